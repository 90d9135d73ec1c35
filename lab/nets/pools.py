"""Poolings by name: 2x2 with stride 2; an odd last row or column is left out."""

from torch import nn

from lab.nets.parts import Part, Shape


def no_pool(shape: Shape) -> nn.Module:
    """No pooling: the maps keep their size."""
    return nn.Identity()


def max_pool(shape: Shape) -> nn.Module:
    """The largest of each 2x2 square."""
    return nn.MaxPool2d(2)


def avg_pool(shape: Shape) -> nn.Module:
    """The mean of each 2x2 square."""
    return nn.AvgPool2d(2)


def stride_pool(shape: Shape) -> nn.Module:
    """A learnt 2x2 convolution with stride 2 (Springenberg et al. 2015); not counted in `model.depth`."""
    return nn.Conv2d(shape[0], shape[0], 2, stride=2)


POOLS: dict[str, Part] = {"none": no_pool, "max": max_pool, "avg": avg_pool, "stride": stride_pool}
