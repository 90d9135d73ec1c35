"""Augmentation by name: random changes to each training image, drawn again at every step, on the device.

Each function takes scaled images (b, c, h, w), a generator on the CPU and the data's knobs, and returns new images
of that shape. A user's own, `module:attribute`, has the same signature.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from lab.config import DataConfig
from lab.errors import UserError, choose
from lab.identity import derive_seed

Word = Callable[[Tensor, torch.Generator, DataConfig], Tensor]

Augment = Callable[[Tensor, int], Tensor]
"""From scaled images (b, c, h, w) and the optimizer step, counted from 0, to augmented ones."""


def none(images: Tensor, generator: torch.Generator, config: DataConfig) -> Tensor:
    """The image as it is."""
    return images


def crop(images: Tensor, generator: torch.Generator, config: DataConfig) -> Tensor:
    """Shifted by whole pixels, uniform up to `data.crop_frac` of the side each way; borders reflected."""
    b, c, h, w = images.shape
    sources = []
    for side in (h, w):
        reach = min(max(1, round(config.crop_frac * side)), side - 1)
        shift = beside(images, torch.randint(-reach, reach + 1, (b, 1), generator=generator))
        at = (torch.arange(side, device=images.device) + shift).abs()  # (b, side): -1 is 1 again
        sources.append(torch.where(at < side, at, 2 * (side - 1) - at))
    rows, columns = sources
    index = (rows[:, :, None] * w + columns[:, None, :]).flatten(1)  # (b, h * w)
    return images.flatten(2).gather(2, index[:, None].expand(-1, c, -1)).view(b, c, h, w)


def flip(images: Tensor, generator: torch.Generator, config: DataConfig) -> Tensor:
    """Left and right exchanged, with probability 1/2."""
    chosen = beside(images, torch.rand(len(images), generator=generator) < 0.5)
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


def cutout(images: Tensor, generator: torch.Generator, config: DataConfig) -> Tensor:
    """A square of `data.cutout_frac` of the side set to 0, its centre any pixel (DeVries and Taylor 2017)."""
    b, _, h, w = images.shape
    side = max(1, round(config.cutout_frac * min(h, w)))
    inside = []
    for length in (h, w):  # the square may reach over the border, so that less is cut out
        start = beside(images, torch.randint(length, (b, 1), generator=generator)) - side // 2
        at = torch.arange(length, device=images.device)
        inside.append((at >= start) & (at < start + side))  # (b, length)
    rows, columns = inside
    return images * ~(rows[:, :, None] & columns[:, None, :]).unsqueeze(1)  # a third of masked_fill's time


AUGMENTS: dict[str, Word] = {"none": none, "crop": crop, "flip": flip, "cutout": cutout}


def make_augment(config: DataConfig, shape: tuple[int, ...], seed: int) -> Augment | None:
    """The augmentation that `data.augment` names, for images of `shape`; None for `none`.

    The draws of a step are a function of seed and step alone, so that a run resumes anywhere and nets of one seed see
    the same images.

    Raises:
        UserError: an unknown word, or data without images.
    """
    words: list[Word] = [choose("data.augment", word, AUGMENTS, Tensor) for word in config.augment.split("-")]
    if config.augment == "none":
        return None
    if len(shape) != 3:
        raise UserError(f"data.augment={config.augment} has no effect on data.name={config.name}, which has no images")

    return Augmentation(words, config, seed)


@dataclass(frozen=True)
class Augmentation:
    """The words of `data.augment` in a row."""

    words: list[Word]
    config: DataConfig
    seed: int

    def __call__(self, images: Tensor, step: int) -> Tensor:
        """Augmented copies of scaled images (b, c, h, w), for optimizer step `step`, counted from 0."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "augment", step))
        for word in self.words:
            images = word(images, generator, self.config)
        return images

    def knobs(self) -> dict[str, Any]:
        """The fields of the configuration that the words read: all of them where a word is the user's own."""
        if any(word not in AUGMENTS.values() for word in self.words):
            return vars(self.config)
        names = {name for word in self.words if isinstance(word, FunctionType) for name in word.__code__.co_names}
        return {key: value for key, value in vars(self.config).items() if key in names}


def beside(there: Tensor, values: Tensor) -> Tensor:
    """Moves values drawn on the CPU (so that every device gets the same) to the device of `there`, without waiting."""
    if there.device.type == "cuda":
        values = values.pin_memory()  # a copy from pageable memory waits for the device
    return values.to(there.device, non_blocking=True)
