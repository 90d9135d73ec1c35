"""What is measured of outputs: sums that the device adds up unread, and the means that are read at a logged point."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lab.training.parallel import Ranks


@dataclass(frozen=True)
class Metrics:
    """The metrics of one task beside its loss: sums over examples, and the values that follow from them."""

    names: tuple[str, ...]
    num_sums: int
    sums: Callable[[Tensor, Tensor], Tensor]
    """From outputs (b, k) and labels to (num_sums,), on the device: nothing here is read."""
    values: Callable[[list[float], int], tuple[float, ...]]
    """From the sums and the number of examples to a value for each name."""


def classification(top5: bool) -> Metrics:
    """Accuracy, the share of examples whose greatest output is the label's; with `top5` also among the five greatest.

    Top-5 is measured of validation and test images, where there are more than five classes.
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


def make_metrics(num_classes: int, unit: float, labelled: bool = True) -> tuple[Metrics, Metrics]:
    """What is measured of training batches, and of validation and test examples; regression if there are no classes,
    and nothing beside the loss where that does not depend on labels."""
    if not labelled:
        nothing = Metrics((), 0, lambda outputs, labels: outputs.new_zeros(0), lambda totals, count: ())
        return nothing, nothing
    if num_classes:
        return classification(top5=False), classification(top5=num_classes > 5)
    return regression(unit), regression(unit)


class Tally:
    """Sums over the training batches since the last logged point; they stay on the device, unread, until the next."""

    def __init__(self, metrics: Metrics, device: torch.device):
        # MPS has no float64; there the sums are a little less exact.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.metrics = metrics
        self.num_images = 0
        """Images of all ranks together; the sums below are of this rank."""
        self.totals = torch.zeros(1 + metrics.num_sums, dtype=dtype, device=device)
        """Loss and sums of the metrics over images, (1 + num_sums,)."""
        self.step_totals = torch.zeros(3, dtype=dtype, device=device)
        """Steps, those in which the gradient was clipped, and the sum of their penalties, (3,)."""

    def add(
        self,
        loss: Tensor,
        outputs: Tensor,
        labels: Tensor,
        clipped: Tensor | None = None,
        penalty: Tensor | None = None,
    ) -> None:
        """Adds one batch on the device: its mean loss (), outputs (b, k), labels (b,), and what its step did.

        A CUDA graph may record this, so the caller counts the images.
        """
        with torch.no_grad():
            self.totals += torch.cat([(loss.detach() * len(labels)).view(1), self.metrics.sums(outputs, labels)])
            if clipped is not None or penalty is not None:
                zero = loss.new_zeros(())
                counts = [zero + 1, zero if clipped is None else clipped, zero if penalty is None else penalty]
                self.step_totals += torch.stack([count.to(self.step_totals) for count in counts])

    def means(self, ranks: Ranks) -> dict[str, float]:
        """Mean loss and the metrics over the images of all `ranks`; this waits for the device."""
        loss_sum, *sums = ranks.total(self.totals).tolist()
        values = self.metrics.values(sums, self.num_images)
        return {"loss": loss_sum / self.num_images, **dict(zip(self.metrics.names, values, strict=True))}

    def step_means(self) -> tuple[float, float]:
        """Share of steps whose gradient was clipped, and mean penalty, where either is used; this waits."""
        num_steps, clipped, penalty = self.step_totals.tolist()
        return clipped / num_steps, penalty / num_steps

    def clear(self) -> None:
        """Starts again from nothing, without a wait."""
        self.totals.zero_()
        self.step_totals.zero_()
        self.num_images = 0

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {"num_images": self.num_images, "totals": self.totals, "step_totals": self.step_totals}

    def load_state(self, state: dict[str, Any], ranks: Ranks) -> None:
        """Takes up where `state` left off; a checkpoint holds the sums of all ranks, which rank 0 takes."""
        self.num_images = state["num_images"]
        self.totals.copy_(state["totals"] * (ranks.rank == 0))
        self.step_totals.copy_(state["step_totals"])
