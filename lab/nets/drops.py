"""Drops by name: they take the shape and the rate; inverted scaling, off in evaluation."""

from collections.abc import Callable

from torch import nn

from lab.nets.parts import Shape


def dropout(shape: Shape, rate: float) -> nn.Module:
    """Each unit by itself, the rest scaled by 1 / (1 - rate) (Srivastava et al. 2014)."""
    return nn.Dropout(rate)


def spatial_dropout(shape: Shape, rate: float) -> nn.Module:
    """Whole feature maps (Tompson et al. 2015); single features where there are no maps."""
    return nn.Dropout2d(rate) if len(shape) == 3 else nn.Dropout(rate)


DROPS: dict[str, Callable[[Shape, float], nn.Module]] = {"dropout": dropout, "spatial": spatial_dropout}
