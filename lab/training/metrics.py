"""What is measured of outputs beside their loss: sums that the device adds up unread, and what they come to."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Metrics:
    """The metrics of one task, as sums over examples and what those mean."""

    names: tuple[str, ...]
    num_sums: int
    sums: Callable[[Tensor, Tensor], Tensor]
    """From outputs (b, k) and labels to (num_sums,), on the device: nothing here is read."""
    values: Callable[[list[float], int], tuple[float, ...]]
    """From the sums and the number of examples to a value for each name."""


def classification(top5: bool) -> Metrics:
    """Accuracy, the share of examples whose greatest output is the label's; with `top5` also among the five greatest.

    Top-5 is measured of validation and test pictures, where there are more than five classes.
    """

    def sums(outputs: Tensor, labels: Tensor) -> Tensor:
        correct = (outputs.argmax(1) == labels).sum()
        if not top5:
            return correct.view(1)
        return torch.stack([correct, (outputs.topk(5, 1).indices == labels[:, None]).sum()])

    def values(totals: list[float], count: int) -> tuple[float, ...]:
        return tuple(total / count for total in totals)

    return Metrics(("accuracy", "top5")[: 1 + top5], 1 + top5, sums, values)


def regression(unit: float) -> Metrics:
    """Root of the mean squared error and mean absolute error in the target's own unit, and R2.

    R2 = 1 - sum (y - f)^2 / sum (y - mean y)^2, over the examples measured together; nan where all targets are equal.

    Args:
        unit: what a difference of 1 between standardised targets is in their own unit.
    """

    def sums(outputs: Tensor, targets: Tensor) -> Tensor:
        outputs, targets = outputs.double(), targets.double()
        error = outputs - targets  # (b, 1)
        return torch.stack([error.square().sum(), error.abs().sum(), targets.sum(), targets.square().sum()])

    def values(totals: list[float], count: int) -> tuple[float, ...]:
        squares, absolutes, target, target_squares = totals
        spread = target_squares - target**2 / count
        r2 = 1 - squares / spread if spread > 1e-12 * count else math.nan
        return unit * math.sqrt(squares / count), unit * absolutes / count, r2

    return Metrics(("rmse", "mae", "r2"), 4, sums, values)


def make_metrics(num_classes: int, unit: float) -> tuple[Metrics, Metrics]:
    """What is measured of training batches, and of validation and test examples; regression if there are no classes."""
    if num_classes:
        return classification(top5=False), classification(top5=num_classes > 5)
    return regression(unit), regression(unit)
