"""Losses by name: from a net's outputs and the labels to one number.

Further arguments of a loss have the names of their fields in `TrainConfig`. Every loss is a mean of per-example losses,
so that an evaluation can add up its batches. A user's own is `(outputs, labels, reduction)`.
"""

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.config import TrainConfig
from lab.errors import UserError, choose

Loss = Callable[[Tensor, Tensor, str], Tensor]
"""From outputs (b, k), labels (b,) int64 or targets (b, k), and `mean` or `sum` of the examples, to a number ()."""


def cross_entropy(outputs: Tensor, labels: Tensor, reduction: str, label_smoothing: float = 0.0) -> Tensor:
    """-log softmax(outputs)[label], labels smoothed by `train.label_smoothing` in training (Szegedy et al. 2016)."""
    return F.cross_entropy(outputs, labels, reduction=reduction, label_smoothing=label_smoothing)


def mse(outputs: Tensor, labels: Tensor, reduction: str) -> Tensor:
    """Mean of (output - target)^2 across outputs; a class's target is 1 for its own output, 0 for the others."""
    targets = outputs.new_zeros(outputs.shape).scatter_(1, labels[:, None], 1) if labels.ndim == 1 else labels
    return F.mse_loss(outputs, targets, reduction=reduction) / (outputs.shape[1] if reduction == "sum" else 1)


def hinge(outputs: Tensor, labels: Tensor, reduction: str) -> Tensor:
    """Sum over outputs j but the label's of max(0, 1 - outputs[label] + outputs[j]), divided by all C outputs.

    Weston and Watkins 1999; torch's multi_margin_loss.
    """
    return F.multi_margin_loss(outputs, labels, reduction=reduction)


def focal(outputs: Tensor, labels: Tensor, reduction: str, focal_gamma: float) -> Tensor:
    """(1 - p)^`train.focal_gamma` (-log p), p the label's probability under softmax (Lin et al. 2017)."""
    surprise = F.cross_entropy(outputs, labels, reduction="none")  # (b,), -log p
    missing = -torch.expm1(-surprise)  # 1 - p; clamped, as a power below 1 has no derivative at 0
    losses = missing.clamp_min(1e-12) ** focal_gamma * surprise
    return losses.sum() if reduction == "sum" else losses.mean()


def value(outputs: Tensor, labels: Tensor, reduction: str) -> Tensor:
    """The mean of the outputs, whatever the labels: for nets whose output should be small (`model=saddle`)."""
    return outputs.mean(1).sum() if reduction == "sum" else outputs.mean()


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "mse": mse,
    "hinge": hinge,
    "focal": focal,
    "value": value,
}

FOR_CLASSES = ("cross_entropy", "hinge", "focal")
"""The losses that need classes."""


def loss_name(config: TrainConfig, has_classes: bool) -> str:
    """The name of the loss that is minimised, with `auto` resolved."""
    return config.loss if config.loss != "auto" else "cross_entropy" if has_classes else "mse"


def make_losses(config: TrainConfig, has_classes: bool) -> tuple[Loss, Loss]:
    """The loss for training, and the one for validation and test images, whose labels are never smoothed.

    Args:
        config: `loss` and its knobs; `auto` is `cross_entropy` for classes and `mse` for regression.
        has_classes: whether the data set has classes; otherwise it is a regression.

    Raises:
        UserError: an unknown name, a loss of classes for a regression, or one without labels for classes.
    """
    name = loss_name(config, has_classes)
    loss = choose("train.loss", name, {"auto": None, **LOSSES}, Tensor)
    if name in FOR_CLASSES and not has_classes:
        raise UserError(f"train.loss={name} needs a data set with classes; for regression there are: auto, mse")
    if name == "value" and has_classes:
        allowed = ", ".join(one for one in LOSSES if one != name)
        raise UserError(
            f"train.loss=value has no use for classes: it would lower all outputs; there are: auto, {allowed}"
        )
    smoothing = config.label_smoothing
    known = inspect.signature(loss).parameters if name in LOSSES else {}
    if smoothing and "label_smoothing" not in known:
        warnings.warn(f"train.label_smoothing={smoothing} has no effect with train.loss={name}", stacklevel=2)
    knobs: dict[str, Any] = {key: value for key, value in vars(config).items() if key in known}
    trained = partial(loss, **knobs)
    return trained, partial(trained, label_smoothing=0.0) if knobs.get("label_smoothing") else trained
