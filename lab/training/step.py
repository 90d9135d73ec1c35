"""One optimizer step, in the order in which it happens."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.training.clipping import Clip
from lab.training.graph import StepGraph, set_rate
from lab.training.losses import Loss
from lab.training.parallel import ALONE, Ranks
from lab.training.precision import LossScaling
from lab.training.tally import Tally


@dataclass(frozen=True)
class TrainStep:
    """All that a step needs. Nothing in it waits for the device: no `.item()`, no printing."""

    model: nn.Module
    """From images (b, c, h, w) to outputs (b, k); in training perhaps `(outputs, ((weight, outputs), ...))`, the
    latter of auxiliary classifiers, whose losses are added with their weights."""
    optimizer: Optimizer
    rate: Callable[[int], float]
    """From a step, counted from 0, to its learning rate."""
    batch: Callable[[int], tuple[Tensor, Tensor]]
    """From a step to images (b, c, h, w) and labels (b,) on the device."""
    loss: Loss
    tally: Tally
    """Sums of what the training batches show."""
    autocast: torch.dtype | None = None
    """What the forward pass computes in; float32 if None."""
    scaling: LossScaling | None = None
    penalty: Callable[[], Tensor] | None = None
    """What is added to the loss, ()."""
    clip: Clip | None = None
    """Clips the gradients in place."""
    bound: Callable[[], None] | None = None
    """Bounds the weights in place."""
    freeze: Callable[[int], None] | None = None
    """Sets, from the step, which weights train and which are held still; all train if None."""
    graph: StepGraph | None = None
    """Records the update and replays it."""
    ranks: Ranks = ALONE
    """The processes that take the step together: `batch` gives the share of this one."""

    def __call__(self, step: int) -> None:
        """Takes step `step`, counted from 0: rate, batch, update."""
        if self.freeze:
            self.freeze(step)
        set_rate(self.optimizer, self.rate(step))
        images, labels = self.batch(step)  # (b, c, h, w), (b,)
        if self.graph:
            self.graph(self.update, self.optimizer, images, labels)
        else:
            self.update(images, labels)
        self.tally.num_images += len(labels) * self.ranks.size

    def update(self, images: Tensor, labels: Tensor) -> None:
        """Forward, loss, backward, clip, update, sums; a CUDA graph may record it, so no Python value changes here."""
        total, loss, outputs, penalty = self.objective(images, labels)

        self.optimizer.zero_grad(set_to_none=True)
        (self.scaling.scale(total) if self.scaling else total).backward()
        self.ranks.average(self.model.parameters())
        if self.scaling:
            self.scaling.unscale(self.optimizer)
        clipped = self.clip(list(self.model.parameters())) if self.clip else None

        if self.scaling:
            self.scaling.step(self.optimizer)
        else:
            self.optimizer.step()
        if self.bound:
            self.bound()

        self.tally.add(loss, outputs, labels, clipped, penalty)

    def objective(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """What the step descends, (); the loss in it without penalty and auxiliary classifiers, (); the outputs (b, k);
        and the penalty, ()."""
        with torch.autocast(images.device.type, self.autocast, enabled=self.autocast is not None):
            outputs = self.model(images)  # (b, k)
            outputs, auxiliary = outputs if isinstance(outputs, tuple) else (outputs, ())
            loss = total = self.loss(outputs, labels, "mean")
            for weight, side_outputs in auxiliary:
                total = total + weight * self.loss(side_outputs, labels, "mean")
        penalty = self.penalty() if self.penalty else None
        return total if penalty is None else total + penalty, loss, outputs, penalty
