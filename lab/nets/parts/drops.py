"""Drops by name: they take the shape and the rate. Inverted scaling, off in evaluation, unless they say otherwise."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lab.nets.parts.part import Shape
from lab.nets.weights import DropConnect
from lab.system.vision import torchvision


class GaussianDropout(nn.Module):
    """x e with e ~ N(1, rate / (1 - rate)), the mean and variance of dropout (Srivastava et al. 2014, section 10)."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * (1 + torch.randn_like(x) * (self.rate / (1 - self.rate)) ** 0.5)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class VanillaDropout(nn.Module):
    """Each unit is zero with probability `rate` in training; in evaluation all are scaled by 1 - rate."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x * (1 - self.rate)
        return x * torch.empty_like(x).bernoulli_(1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def dropout(shape: Shape, rate: float) -> nn.Module:
    """Each unit by itself, the rest scaled by 1 / (1 - rate) (Srivastava et al. 2014)."""
    return nn.Dropout(rate)


def spatial_dropout(shape: Shape, rate: float) -> nn.Module:
    """Whole feature maps (Tompson et al. 2015); single features where there are no maps."""
    return nn.Dropout2d(rate) if len(shape) == 3 else nn.Dropout(rate)


def dropblock(shape: Shape, rate: float) -> nn.Module:
    """Squares of each map (Ghiasi et al. 2018), which overlap: 0.36 to 0.39 of all units at rate 0.5; features singly.

    Squares of 7x7, on maps below 14x14 of half their side, odd and at least 1, which is dropout. As in the paper, the
    rate is the share of units that squares would cover if none overlapped. The rest is scaled to the mean of the batch.
    """
    if len(shape) != 3:
        return nn.Dropout(rate)
    side = min(7, max(1, min(shape[1:]) // 2))
    return torchvision().ops.DropBlock2d(rate, side - (side % 2 == 0))


def dropconnect(shape: Shape, rate: float) -> nn.Module:
    """Weights of the conv or linear before it in the block, instead of units; one mask a step (Wan et al. 2013)."""
    return DropConnect(rate)


def gaussian_dropout(shape: Shape, rate: float) -> nn.Module:
    """Each unit times a draw from N(1, rate / (1 - rate)) (Srivastava et al. 2014)."""
    return GaussianDropout(rate)


def stochastic_depth(shape: Shape, rate: float) -> nn.Module:
    """All units of an example at once: last in a block with `model.skip=add` only its shortcut (Huang et al. 2016)."""
    return torchvision().ops.StochasticDepth(rate, "row")


def vanilla_dropout(shape: Shape, rate: float) -> nn.Module:
    """Each unit by itself, unscaled; evaluation scales by 1 - rate instead (Srivastava et al. 2014, figure 2)."""
    return VanillaDropout(rate)


DROPS: dict[str, Callable[[Shape, float], nn.Module]] = {
    "dropout": dropout,
    "spatial": spatial_dropout,
    "dropblock": dropblock,
    "dropconnect": dropconnect,
    "gaussian": gaussian_dropout,
    "stochastic_depth": stochastic_depth,
    "vanilla": vanilla_dropout,
}
