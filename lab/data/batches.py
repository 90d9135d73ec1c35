"""A data set on the device: split by seed, scaled a batch at a time, in an order that only the seed decides."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from lab.config import DataConfig
from lab.data.augment import Augment, beside, make_augment
from lab.data.scales import SCALES
from lab.data.shifts import shifted
from lab.data.sources import SOURCES, Source, check_source, folder
from lab.data.variants import (
    check_labels,
    imbalanced,
    keep_classes,
    outliers,
    resized,
    seen_labels,
    standardised,
    with_noise,
)
from lab.errors import check_range, choose
from lab.identity import derive_seed


@dataclass(frozen=True)
class Split:
    """Some images, or rows of features, of a tensor that all splits share, and how to scale them."""

    images: Tensor  # (n, c, h, w) uint8 or float32, or (n, f) float32, on the device, shared between splits
    labels: Tensor  # (n,) int64, or (n, 1) float32, standardised, for regression
    index: Tensor  # (k,) int64: the images of this split
    shift: Tensor  # (c, 1, 1) or (f,) float32, subtracted
    factor: Tensor  # (c, 1, 1) or (f,) float32, multiplied afterwards
    gain: Tensor | None = None  # (n, 1, 1, 1) or (n, 1) float32, what each scaled image is multiplied by; None is 1

    def __len__(self) -> int:
        return len(self.index)

    def take(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled images (b, c, h, w) or features (b, f) float32 and labels (b,), or (b, 1) for regression, at
        `positions` (b,) of this split."""
        index = self.index[positions]
        images = (self.images[index].float() - self.shift) * self.factor
        return images if self.gain is None else images * self.gain[index], self.labels[index]

    def batches(self, size: int, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The first `limit` images (all if None) in order, in batches of at most `size`."""
        for positions in torch.arange(min(limit or len(self), len(self)), device=self.index.device).split(size):
            yield self.take(positions)


@dataclass(frozen=True)
class Dataset:
    """The three splits of one run."""

    train: Split
    val: Split
    test: Split
    shape: tuple[int, ...]
    """Channels, height, width of an image; number of features."""
    classes: tuple[str, ...]
    """Names of the classes; none for regression."""
    unit: float
    """Standard deviation of a regression's targets over the training part, in the targets' unit; 1 for classification.
    A standardised label times `unit`, plus `offset`, is the target."""
    offset: float
    """Mean of a regression's targets over the training part, in the targets' unit; 0 for classification."""
    augment: Augment | None
    """Changes the training images of a step; None without augmentation."""

    @property
    def num_outputs(self) -> int:
        """Outputs that the net needs: a logit for each class, or one number for regression."""
        return len(self.classes) or 1


class Order:
    """Chooses the training images of each step: as a rule a new permutation every epoch, from the seed alone.

    A function of the step, not a stream, so that a run resumes anywhere and nets of one seed see the same batches.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        augment: Augment | None = None,
        left_by: str = "",
        shuffle: str = DataConfig.shuffle,
    ):
        """
        Args:
            split: the training images.
            batch_size: images per step.
            seed: the run's seed.
            augment: changes the scaled images of a step.
            left_by: the keys that decide how many images there are, for the message.
            shuffle: when there is a new order: `epochs`, `once` or `never`.

        Raises:
            UserError: `batch_size` is below 1 or above the number of training images.
        """
        allowed = f"1 to {len(split)}, the number of training images{f' ({left_by})' if left_by else ''}"
        check_range("train.batch_size", batch_size, 1 <= batch_size <= len(split), allowed)
        self.split, self.batch_size, self.seed, self.augment = split, batch_size, seed, augment
        self.shuffle = shuffle
        self.steps_per_epoch = len(split) // batch_size
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Scaled, augmented images (b, c, h, w) and labels (b,) of optimizer step `step`, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, beside(self.split.index, self.permutation(epoch))
        start = position * self.batch_size
        images, labels = self.split.take(self._permutation[start : start + self.batch_size])
        return images if self.augment is None else self.augment(images, step), labels

    def permutation(self, epoch: int) -> Tensor:
        """The order of the training images in an epoch, counted from 0; on the CPU, so the same on every device."""
        if self.shuffle == "never":
            return self.split.index.cpu().argsort()
        drawn = 0 if self.shuffle == "once" else epoch
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", drawn))
        return torch.randperm(len(self.split), generator=generator)


def load_dataset(config: DataConfig, seed: int, device: torch.device) -> Dataset:
    """The data set of one run on `device`: training images cut into train and val by `seed`, all scaled alike.

    A process reads the files once; runs that differ in seed share the tensors.

    Raises:
        UserError: unknown name, missing files, a value out of range, or an option without effect on these data.
    """
    root = str(Path(config.root).expanduser())
    source = _on_device(config.name, root, str(device), tuple(config.classes), config.resize)
    check_labels(config, len(source.classes))
    generator = torch.Generator().manual_seed(derive_seed(seed, "split"))
    order, seen = torch.randperm(len(source.images), generator=generator), seen_labels(source, config.unseen)
    if config.unseen:
        order = order[torch.isin(source.labels.cpu()[order], torch.tensor(seen))]
    num_val = max(1, round(config.val_frac * len(order)))
    val, train = order[:num_val], order[num_val:]
    most = (len(order) - 1) / len(order)
    check_range("data.val_frac", config.val_frac, len(train) > 0, f"at most {most:.4g}, which leaves one to train on")
    train = imbalanced(train, source.labels.cpu(), source.classes, seen, config.imbalance, seed)
    if config.limit is not None:
        check_range("data.limit", config.limit, 1 <= config.limit <= len(train), f"1 to {len(train)}")
        train = train[: config.limit]  # random already
    source, unit, offset = (source, 1.0, 0.0) if source.classes else standardised(source, train)
    source = shifted(source, config)
    labels = with_noise(source.labels, train, seen, config.label_noise, seed)
    val, train = val.to(device), train.to(device)
    scale = choose("data.scale", config.scale, SCALES, tuple)
    shape = tuple(source.images.shape[1:])
    shift, factor = (part.view(-1, *[1] * (len(shape) - 1)).to(device) for part in scale(source.images, train))
    # Shuffled with a fixed seed: files are often sorted by class, and `train.eval_limit` takes the first ones.
    test = torch.randperm(len(source.test_images), generator=torch.Generator().manual_seed(0)).to(device)
    return Dataset(
        train=Split(source.images, labels, train, shift, factor, outliers(source.images, train, config, seed)),
        val=Split(source.images, source.labels, val, shift, factor),
        test=Split(source.test_images, source.test_labels, test, shift, factor),
        shape=shape,
        classes=source.classes,
        unit=unit,
        offset=offset,
        augment=make_augment(config, shape, seed),
    )


@lru_cache(maxsize=2)
def _on_device(name: str, root: str, device: str, classes: tuple[str, ...], resize: int | None) -> Source:
    read = choose("data.name", name, SOURCES)
    # Files are read at the size asked for, so that large ones need not fit into memory.
    found = folder(Path(root), resize) if read is folder else read(Path(root))
    source = check_source(f"data.name={name}", found)
    source = resized(keep_classes(source, classes), resize)
    tensors = (source.images, source.labels, source.test_images, source.test_labels)
    return Source(*(tensor.to(device) for tensor in tensors), classes=source.classes)
