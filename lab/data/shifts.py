"""Shifts by name: test images that are distributed otherwise than those that a run learns from.

Each function takes images (n, c, h, w), or features (n, f), as float32, the size of the shift and the width of their
range, 255 for images of 8 bits and else the standard deviation of the training images, and returns values of that
shape. What is meant by a shift of the inputs: Quiñonero-Candela et al. 2009, "Dataset shift in machine learning"; the
kinds are of those of Hendrycks and Dietterich 2019.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lab.config import DataConfig
from lab.data.sources import Source
from lab.errors import UserError, choose
from lab.system.vision import torchvision

Shift = Callable[[Tensor, float, float], Tensor]


def none(images: Tensor, size: float, width: float) -> Tensor:
    """Test images as they are."""
    return images


def scale(images: Tensor, size: float, width: float) -> Tensor:
    """Contrast: each image's distance to its mean times 1 + size; below 0 it fades."""
    mean = images.mean(tuple(range(1, images.ndim)), keepdim=True)
    return mean + (1 + size) * (images - mean)


def brightness(images: Tensor, size: float, width: float) -> Tensor:
    """Every value raised by size times the range (255 of 8 bits, else a standard deviation)."""
    return images + size * width


def rotated(images: Tensor, degrees: float, fill: Sequence[float] | None = None) -> Tensor:
    """Images (n, c, h, w) turned counter-clockwise, bilinear; what comes in is `fill`, a value a channel, or 0."""
    transforms = torchvision().transforms
    return transforms.functional.rotate(images, degrees, transforms.InterpolationMode.BILINEAR, fill=fill)


def rotation(images: Tensor, size: float, width: float) -> Tensor:
    """Turned counter-clockwise by size in radians (0.5 is 29 degrees), bilinear; what comes in is 0."""
    return rotated(images, math.degrees(size))


def noise(images: Tensor, size: float, width: float) -> Tensor:
    """Gaussian noise of zero mean, its standard deviation size times the range (see brightness); same for all seeds."""
    drawn = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return images + size * width * drawn.to(images.device)


SHIFTS: dict[str, Shift] = {
    "none": none,
    "scale": scale,
    "brightness": brightness,
    "rotation": rotation,
    "noise": noise,
}


def shifted(source: Source, config: DataConfig) -> Source:
    """`source` with its test images shifted as `config` says; those of 8 bits are rounded and cut to 0 to 255.

    Raises:
        UserError: an unknown name, or a rotation of data without images.
    """
    shift = choose("data.shift", config.shift, SHIFTS, Tensor)
    if config.shift == "none":
        return source
    images, is_bytes = source.test_images, source.images.dtype == torch.uint8
    if shift is rotation and images.ndim != 4:
        raise UserError(f"data.shift=rotation has no effect on data.name={config.name}, which has no images")
    width = 255.0 if is_bytes else source.images.double().std().item()
    found = shift(images.float(), config.shift_size, width)
    if found.shape != images.shape:
        raise UserError(f"data.shift={config.shift} gave {tuple(found.shape)} of test images {tuple(images.shape)}")
    return replace(source, test_images=found.round().clamp(0, 255).to(torch.uint8) if is_bytes else found)
