"""Digests of tensors, and of the test images that a run is scored on: the same in every process."""

import hashlib
import weakref
from typing import Any

import torch
from torch import Tensor

from lab.data.batches import Dataset

LARGE = 1 << 20
"""Bytes from which the digest of a tensor is kept: data sets, which runs of a process share."""

_kept: dict[int, tuple[Any, int, str]] = {}


def scored_on(data: Dataset, limit: int | None) -> str:
    """Twelve hexadecimal digits for the labels that a run is scored by, and twelve for the test images.

    Targets of a regression count by their order: they are scaled by the training part, which depends on the seed.

    Args:
        data: the run's.
        limit: most images that are read.
    """
    index = data.test.index[:limit]
    labels = data.test.labels[index]
    ranks = labels if data.classes else labels.flatten().argsort(stable=True)
    parts = (repr((data.classes, bits(ranks))), repr(bits(data.test.images[index])))
    return "-".join(hashlib.sha256(text.encode()).hexdigest()[:12] for text in parts)


def bits(tensor: Tensor) -> str:
    """A digest of a tensor's type, shape and content, wherever it lies."""
    size = tensor.numel() * tensor.element_size()
    kept = _kept.get(id(tensor))
    if kept and kept[0]() is tensor and kept[1] == tensor._version:
        return kept[2]
    content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    found = hashlib.sha256(repr((tensor.dtype, tuple(tensor.shape))).encode())
    found.update(content.data)
    if size >= LARGE and not tensor.requires_grad:
        _kept[id(tensor)] = (weakref.ref(tensor), tensor._version, found.hexdigest())
    return found.hexdigest()
