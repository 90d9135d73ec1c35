"""Variants of a data set: some of its classes, some unseen, another size, fewer images of some, wrong labels."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lab.config import DataConfig
from lab.data.resize import resize
from lab.data.sources import Source
from lab.errors import UserError, nearest
from lab.identity import derive_seed
from lab.system.devices import free_bytes


def keep_classes(source: Source, classes: tuple[str, ...]) -> Source:
    """`source` with only the images of `classes`, labelled by position in that list; unchanged if the list is empty."""
    if not classes:
        return source
    given = f"data.classes=[{','.join(classes)}]"
    numbers = class_numbers(given, classes, source)
    new = torch.full((len(source.classes),), -1)
    new[numbers] = torch.arange(len(classes))
    labels, test_labels = new[source.labels], new[source.test_labels]
    kept, test = labels >= 0, test_labels >= 0
    return Source(source.images[kept], labels[kept], source.test_images[test], test_labels[test], classes)


def class_numbers(given: str, names: Sequence[str], source: Source) -> list[int]:
    """The labels of the classes `names` of `source`; raises `UserError`, which begins with `given`, without them."""
    if not source.classes:
        raise UserError(f"{given} has no effect on a regression, which has no classes")
    for name in names:
        if name not in source.classes:
            there = ", ".join(source.classes)
            raise UserError(f"{given}: class '{name}' is unknown{nearest(name, source.classes)}; there are: {there}")
    return [source.classes.index(name) for name in names]


def seen_labels(source: Source, unseen: Sequence[str]) -> list[int]:
    """The labels of `source` that a run learns, in order: all but those of the classes `unseen`."""
    labels = range(len(source.classes))
    if not unseen:
        return list(labels)
    given = f"data.unseen=[{','.join(unseen)}]"
    seen = sorted(set(labels) - set(class_numbers(given, unseen, source)))
    if len(seen) < 2:
        raise UserError(f"{given} leaves fewer than two classes to learn; there are: {', '.join(source.classes)}")
    return seen


def resized(source: Source, side: int | None) -> Source:
    """`source` with images of `side` x `side`, see `resize`."""
    if side is None:
        return source
    if source.images.ndim != 4:
        raise UserError(f"data.resize={side} has no effect on features; it needs images")
    num_images, values = len(source.images) + len(source.test_images), source.images.shape[1] * side * side
    size, free = num_images * values * source.images.element_size(), free_bytes(source.images.device)
    if free is not None and size > free:
        raise UserError(
            f"data.resize={side} makes {size / 1e9:,.1f} GB of {num_images:,} images; {free / 1e9:,.1f} GB of memory "
            "are free"
        )
    return replace(source, images=resize(source.images, side), test_images=resize(source.test_images, side))


def check_labels(config: DataConfig, num_classes: int) -> None:
    """Checks the options that change which labels are learnt; 0 classes stand for a regression."""
    for key, value, neutral in (("label_noise", config.label_noise, 0), ("imbalance", config.imbalance, 1)):
        if num_classes < 2 and value != neutral:
            raise UserError(f"data.{key}={value} has no effect on data.name={config.name}, which has no classes")


def imbalanced(
    train: Tensor, labels: Tensor, classes: tuple[str, ...], seen: Sequence[int], imbalance: float, seed: int
) -> Tensor:
    """The part of `train` in which class i of C has n * imbalance^(i / (C - 1)) images (Cui et al. 2019).

    n is the largest number for which every class has enough of them; counts are rounded down.

    Args:
        train: indices of images (k,), in random order.
        labels: labels of all images (n,), on the CPU like `train`.
        classes: names of the classes.
        seen: the labels that count.
        imbalance: last class's share of the first one's count, in (0, 1]; 1 changes nothing.
        seed: the run's seed, for the order of the result, which must be random since `data.limit` takes the first ones.
    """
    if imbalance == 1:
        return train
    labels = labels[train]
    share = imbalance ** (torch.arange(len(seen), dtype=torch.float64) / (len(seen) - 1))
    there = labels.bincount(minlength=len(classes))[seen]
    wanted = ((there / share).min() * share + 1e-6).long()  # 49.99... is 50
    if wanted.min() < 1:
        name = classes[seen[int(wanted.argmin())]]
        raise UserError(f"data.imbalance={imbalance} leaves class '{name}' without a training image; take a larger one")
    kept = [(labels == label).nonzero().flatten()[:number] for label, number in zip(seen, wanted.tolist(), strict=True)]
    generator = torch.Generator().manual_seed(derive_seed(seed, "imbalance"))
    return train[torch.cat(kept)][torch.randperm(sum(map(len, kept)), generator=generator)]


def with_noise(labels: Tensor, train: Tensor, seen: Sequence[int], share: float, seed: int) -> Tensor:
    """`labels` with round(share * k) of the k labels at `train` replaced by other labels of `seen`, uniformly."""
    if share == 0:
        return labels
    generator = torch.Generator().manual_seed(derive_seed(seed, "label_noise"))
    order = torch.randperm(len(train), generator=generator)
    offsets = torch.randint(1, len(seen), (len(train),), generator=generator)  # for all: more noise keeps these
    chosen, known = order[: round(share * len(train))], torch.tensor(seen)
    index, noisy = train[chosen].to(labels.device), labels.clone()
    places = torch.searchsorted(known, labels[index].cpu()) + offsets[: len(chosen)]
    noisy[index] = known[places % len(seen)].to(labels.device)
    return noisy


def outliers(images: Tensor, train: Tensor, config: DataConfig, seed: int) -> Tensor | None:
    """What each of `images` (n, ...) is multiplied by once it is scaled, (n, 1, ...) float32: `data.outlier_size` for
    round(share * k) of the k at `train`, else 1; None without outliers."""
    if config.outliers == 0:
        return None
    generator = torch.Generator().manual_seed(derive_seed(seed, "outliers"))
    order = torch.randperm(len(train), generator=generator)  # more outliers keep these
    gain = torch.ones(len(images), *[1] * (images.ndim - 1), device=images.device)
    gain[train[order[: round(config.outliers * len(train))]].to(images.device)] = config.outlier_size
    return gain


def standardised(source: Source, train: Tensor) -> tuple[Source, float, float]:
    """`source` with targets (n, 1) of zero mean and unit variance on `train`; their standard deviation and mean before.

    This makes learning rates and losses comparable between data sets; errors times the second result are in the
    targets' unit.
    """
    targets = source.labels[train.to(source.labels.device)].cpu().double()
    mean, std = targets.mean().item(), targets.std(correction=0).item()
    unit = std if std > 1e-6 * abs(mean) else 1.0  # below is rounding
    labels, test_labels = (
        ((part.cpu().double() - mean) / unit).float().unsqueeze(1).to(part.device)
        for part in (source.labels, source.test_labels)
    )
    return replace(source, labels=labels, test_labels=test_labels), unit, mean
