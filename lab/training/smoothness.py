"""How smooth the loss is along a step: what the slope before it said of the loss and of the slope after it.

Santurkar et al. 2018, section 3.1: a smooth loss changes along the gradient as the gradient says, and the gradient
itself changes little.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lab.training.checkpoint import rng_state, set_rng_state
from lab.training.step import TrainStep


@dataclass(frozen=True)
class Slope:
    """What a step descends, on its own batch, from some weights."""

    loss: Tensor  # ()
    weights: list[Tensor]
    gradients: list[Tensor]


class Smoothness:
    """Measures steps of a run by two more passes through the batch of each, from the weights before and after it.

    Both draw the same dropout and the like as the step itself, in float32. The run goes on as if they had not been:
    random numbers, running statistics and the gradients of the weights stay as they are.
    """

    def __init__(self, step: TrainStep):
        self.step = replace(step, autocast=None)
        self.before: tuple[int, dict[str, Any], Slope] | None = None

    def keep(self, index: int) -> None:
        """Before step `index`, counted from 0, with no random number drawn between."""
        state = rng_state(self.device)
        self.before = index, state, self.slope(index, state)

    def forget(self) -> None:
        """The step is not to be measured."""
        self.before = None

    def measure(self) -> dict[str, float]:
        """After the step that `keep` was called before, with g and L the gradient and what is descended:

        `train/gradient_change`, |g(after) - g(before)| / |g(before)|, and `train/loss_change`, by how much L changed
        otherwise than g(before) times the step says, as a share of that. NaN where g is 0; nothing without `keep`.
        """
        if self.before is None:
            return {}
        (index, state, before), self.before = self.before, None
        after = self.slope(index, state)
        turned = squares(one - other for one, other in zip(after.gradients, before.gradients, strict=True))
        moves = [one - other for one, other in zip(after.weights, before.weights, strict=True)]
        told = sum(
            float((one * move).sum(dtype=dtype(move))) for one, move in zip(before.gradients, moves, strict=True)
        )
        length = math.sqrt(squares(before.gradients))
        missed = abs(float(after.loss) - float(before.loss) - told)
        return {
            "train/gradient_change": math.sqrt(turned) / length if length else math.nan,
            "train/loss_change": missed / abs(told) if told else math.nan,
        }

    @property
    def device(self) -> torch.device:
        return next(self.step.model.parameters()).device

    def slope(self, index: int, state: dict[str, Any]) -> Slope:
        """The slope of step `index` at the weights as they stand, with the random numbers of `state`."""
        model, device = self.step.model, self.device
        model.train()
        if self.step.freeze:
            self.step.freeze(index)
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
            set_rng_state(state, device)
            loss = self.step.objective(*self.step.batch(index))[0]
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        with torch.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)
        found = [
            (one.detach().clone(), slope) for one, slope in zip(weights, gradients, strict=True) if slope is not None
        ]
        return Slope(loss.detach(), [one for one, _ in found], [slope for _, slope in found])


def squares(tensors: Any) -> float:
    """The sum of all squares."""
    return math.fsum(float(one.square().sum(dtype=dtype(one))) for one in tensors)


def dtype(tensor: Tensor) -> torch.dtype:
    """What sums are exact in."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
