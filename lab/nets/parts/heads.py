"""Heads by name: from the last maps to a vector."""

import torch
from torch import Tensor, nn

from lab.nets.parts.part import Part, Shape


class GlobalPool(nn.Module):
    """One number per map: the mean or the maximum of its pixels; features pass unchanged."""

    def __init__(self, reduce: str):
        super().__init__()
        self.reduce = reduce

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return x
        return x.mean((2, 3)) if self.reduce == "mean" else torch.amax(x, (2, 3))  # (n, c)

    def extra_repr(self) -> str:
        return self.reduce


def flatten(shape: Shape) -> nn.Module:
    """All pixels of all maps, flattened."""
    return nn.Flatten()


def global_average(shape: Shape) -> nn.Module:
    """The mean of each map (Lin et al. 2014)."""
    return GlobalPool("mean")


def global_maximum(shape: Shape) -> nn.Module:
    """The maximum of each map."""
    return GlobalPool("max")


HEADS: dict[str, Part] = {"flatten": flatten, "gap": global_average, "gmp": global_maximum}
