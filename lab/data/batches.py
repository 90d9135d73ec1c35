"""A data set on the device: split by seed, scaled a batch at a time, in an order that only the seed decides."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from lab.config import DataConfig, UserError, check_range, choose, derive_seed
from lab.data.sources import SOURCES, Source


@dataclass(frozen=True)
class Split:
    """Some pictures of a tensor that stays whole, and how to scale them."""

    images: Tensor  # (n, c, h, w) uint8 or float32, on the device, shared between splits
    labels: Tensor  # (n,) int64
    index: Tensor  # (k,) int64: the pictures of this split
    shift: Tensor  # (c, 1, 1) float32, subtracted
    factor: Tensor  # (c, 1, 1) float32, multiplied afterwards

    def __len__(self) -> int:
        return len(self.index)

    def take(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled pictures (b, c, h, w) float32 and labels (b,) at `positions` (b,) of this split."""
        index = self.index[positions]
        return (self.images[index].float() - self.shift) * self.factor, self.labels[index]

    def batches(self, size: int, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The first `limit` pictures (all if None) in order, in batches of at most `size`."""
        for positions in torch.arange(min(limit or len(self), len(self)), device=self.index.device).split(size):
            yield self.take(positions)


@dataclass(frozen=True)
class Dataset:
    """The three splits of one run."""

    train: Split
    val: Split
    test: Split
    shape: tuple[int, int, int]
    """Channels, height, width of a picture."""
    classes: tuple[str, ...]
    unit: float = 1.0


class Order:
    """Which training pictures make up the batch of a step: a new permutation every epoch, decided by the seed alone.

    A function of the step, not a stream, so that a run resumes anywhere and nets of one seed see the same batches.
    """

    def __init__(self, split: Split, batch_size: int, seed: int):
        """
        Raises:
            UserError: `batch_size` is below 1 or above the number of training pictures.
        """
        allowed = f"1 to {len(split)}, the number of training pictures"
        check_range("train.batch_size", batch_size, 1 <= batch_size <= len(split), allowed)
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.steps_per_epoch = len(split) // batch_size
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Scaled pictures (b, c, h, w) and labels (b,) of optimizer step `step`, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
            permutation = torch.randperm(len(self.split), generator=generator)  # on the CPU: same order on every device
            self._epoch, self._permutation = epoch, permutation.to(self.split.index.device)
        start = position * self.batch_size
        return self.split.take(self._permutation[start : start + self.batch_size])


def load(config: DataConfig, seed: int, device: torch.device) -> Dataset:
    """The data set of one run on `device`: training pictures cut into train and val by `seed`, all scaled alike.

    The files are read once a process; runs that differ in seed share the tensors.

    Raises:
        UserError: unknown name, missing files, or a value out of range.
    """
    check_range("data.val_frac", config.val_frac, 0 < config.val_frac < 1, "above 0 and below 1")
    source = _on_device(config.name, str(Path(config.root).expanduser()), str(device))
    generator = torch.Generator().manual_seed(derive_seed(seed, "split"))
    order = torch.randperm(len(source.images), generator=generator)
    num_val = max(1, round(config.val_frac * len(order)))
    val, train = order[:num_val], order[num_val:]
    if config.limit is not None:
        check_range("data.limit", config.limit, 1 <= config.limit <= len(train), f"1 to {len(train)}")
        train = train[: config.limit]  # random already
    val, train = val.to(device), train.to(device)
    scale = choose("data.scale", config.scale, SCALES)
    shift, factor = (part.view(-1, 1, 1).to(device) for part in scale(source.images, train))
    # Shuffled once and for all: files often lie class by class, and `train.eval_limit` reads the first ones.
    test = torch.randperm(len(source.test_images), generator=torch.Generator().manual_seed(0)).to(device)
    return Dataset(
        train=Split(source.images, source.labels, train, shift, factor),
        val=Split(source.images, source.labels, val, shift, factor),
        test=Split(source.test_images, source.test_labels, test, shift, factor),
        shape=(source.images.shape[1], source.images.shape[2], source.images.shape[3]),
        classes=source.classes,
    )


@lru_cache(maxsize=2)
def _on_device(name: str, root: str, device: str) -> Source:
    source = choose("data.name", name, SOURCES)(Path(root))
    if not isinstance(source, Source):
        raise UserError(f"data.name={name} gave a {type(source).__name__}; it must return a lab.data.sources.Source")
    tensors = (source.images, source.labels, source.test_images, source.test_labels)
    return Source(*(tensor.to(device) for tensor in tensors), classes=source.classes)


def standard(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Zero mean and unit variance a channel over the training pictures."""
    count = train.numel() * images[0, 0].numel()
    sums = torch.zeros(2, images.shape[1], dtype=torch.float64, device=images.device)
    for index in train.split(4096):  # in pieces: a float64 copy of all pictures would be eight times the data
        part = images[index].double()
        sums += torch.stack([part.sum((0, 2, 3)), part.square().sum((0, 2, 3))])
    mean = sums[0] / count
    std = (sums[1] / count - mean.square()).clamp_min(1e-12).sqrt()
    return mean.float(), (1 / std).float()


def zero_one(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """0 to 1: the least and the greatest value that a pixel of this data set can have."""
    low, high = _range(images)
    return torch.full((images.shape[1],), low), torch.full((images.shape[1],), 1 / (high - low))


def minus_one_one(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """-1 to 1."""
    low, high = _range(images)
    return torch.full((images.shape[1],), (low + high) / 2), torch.full((images.shape[1],), 2 / (high - low))


def raw(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """As stored: 0 to 255 for pictures."""
    return torch.zeros(images.shape[1]), torch.ones(images.shape[1])


SCALES = {"standard": standard, "zero_one": zero_one, "minus_one_one": minus_one_one, "raw": raw}


def _range(images: Tensor) -> tuple[float, float]:
    return (0.0, 255.0) if images.dtype == torch.uint8 else (images.min().item(), images.max().item())
