"""Activations, norms, pools, drops, skips and heads by name; the first line of each docstring is its catalogue entry.

Every function takes the shape of one example that reaches the layer, (c, h, w) or (n,), so that a user's own part,
`package.module:attribute`, has the same signature: `def part(shape) -> nn.Module`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
Part = Callable[[Shape], nn.Module]


# Activations


def identity(shape: Shape) -> nn.Module:
    """x: no activation."""
    return nn.Identity()


def relu(shape: Shape) -> nn.Module:
    """max(0, x) (Nair and Hinton 2010)."""
    return nn.ReLU()


def leaky_relu(shape: Shape) -> nn.Module:
    """x where x > 0, else 0.01 x (Maas et al. 2013)."""
    return nn.LeakyReLU(0.01)


def elu(shape: Shape) -> nn.Module:
    """x where x > 0, else exp(x) - 1 (Clevert et al. 2016)."""
    return nn.ELU()


def selu(shape: Shape) -> nn.Module:
    """Scaled ELU whose activations keep zero mean and unit variance (Klambauer et al. 2017)."""
    return nn.SELU()


def gelu(shape: Shape) -> nn.Module:
    """x Phi(x), with Phi the normal distribution function (Hendrycks and Gimpel 2016)."""
    return nn.GELU()


def silu(shape: Shape) -> nn.Module:
    """x sigmoid(x), also called swish (Elfwing et al. 2018)."""
    return nn.SiLU()


def sigmoid(shape: Shape) -> nn.Module:
    """1 / (1 + exp(-x))."""
    return nn.Sigmoid()


def tanh(shape: Shape) -> nn.Module:
    """The hyperbolic tangent."""
    return nn.Tanh()


ACTS: dict[str, Part] = {
    "identity": identity,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "silu": silu,
    "sigmoid": sigmoid,
    "tanh": tanh,
}


# Norms


def no_norm(shape: Shape) -> nn.Module:
    """No normalisation."""
    return nn.Identity()


def batch_norm(shape: Shape) -> nn.Module:
    """Each map (or feature) over the batch; running statistics in evaluation (Ioffe and Szegedy 2015)."""
    return nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])


def layer_norm(shape: Shape) -> nn.Module:
    """All maps (or features) of one example together (Ba et al. 2016); for maps, one gain a map."""
    return nn.GroupNorm(1, shape[0]) if len(shape) == 3 else nn.LayerNorm(shape[0])


def instance_norm(shape: Shape) -> nn.Module:
    """Each map of one example by itself (Ulyanov et al. 2016); needs maps of more than one pixel."""
    if len(shape) != 3 or shape[1] * shape[2] < 2:
        raise ValueError("instance norm needs feature maps of more than one pixel")
    return nn.InstanceNorm2d(shape[0], affine=True)


def group_norm(shape: Shape) -> nn.Module:
    """Groups of maps (or features) of one example: 8 groups, or fewer where 8 does not divide (Wu and He 2018)."""
    return nn.GroupNorm(next(groups for groups in range(8, 0, -1) if shape[0] % groups == 0), shape[0])


NORMS: dict[str, Part] = {
    "none": no_norm,
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


# Pools: 2x2 with stride 2; an odd last row or column is left out


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


# Drops: they also take the rate; inverted scaling, off in evaluation


def dropout(shape: Shape, rate: float) -> nn.Module:
    """Each unit by itself, the rest scaled by 1 / (1 - rate) (Srivastava et al. 2014)."""
    return nn.Dropout(rate)


def spatial_dropout(shape: Shape, rate: float) -> nn.Module:
    """Whole feature maps (Tompson et al. 2015); single features where there are no maps."""
    return nn.Dropout2d(rate) if len(shape) == 3 else nn.Dropout(rate)


DROPS: dict[str, Callable[[Shape, float], nn.Module]] = {"dropout": dropout, "spatial": spatial_dropout}


# Skips: what wraps a block


class Add(nn.Module):
    """shortcut(x) + block(x) (He et al. 2016).

    Where the block changes the shape, the shortcut is a mean over squares of the same size (the "ResNet-D" shortcut of
    He et al. 2019, which loses no pixel) and a 1x1 convolution, or a linear layer for features.
    """

    def __init__(self, block: nn.Module, before: Shape, after: Shape):
        """
        Raises:
            ValueError: no shortcut leads from shape `before` to shape `after`.
        """
        super().__init__()
        self.block = block
        self.shortcut = _projection(before, after)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.block(x)


def _projection(before: Shape, after: Shape) -> nn.Module:
    if before == after:
        return nn.Identity()
    if len(before) == 1 and len(after) == 1:
        return nn.Linear(before[0], after[0])
    if len(before) == 3 and len(after) == 3 and 0 < after[1] <= before[1] and 0 < after[2] <= before[2]:
        strides = (before[1] // after[1], before[2] // after[2])
        if (before[1] // strides[0], before[2] // strides[1]) == after[1:]:
            pool = nn.Identity() if strides == (1, 1) else nn.AvgPool2d(strides)
            return nn.Sequential(pool, nn.Conv2d(before[0], after[0], 1))
    raise ValueError(f"no shortcut leads from shape {before} to {after}")


def no_skip(block: nn.Module, before: Shape, after: Shape) -> nn.Module:
    """The block alone."""
    return block


def add(block: nn.Module, before: Shape, after: Shape) -> nn.Module:
    """x + block(x), with a 1x1 projection where the shape changes (He et al. 2016)."""
    return Add(block, before, after)


SKIPS = {"none": no_skip, "add": add}


# Heads: from the last maps to a vector


class GlobalPool(nn.Module):
    """One number a map: the mean or the maximum over its pixels; features pass as they are."""

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
    """All pixels of all maps, in a row."""
    return nn.Flatten()


def global_average(shape: Shape) -> nn.Module:
    """The mean of each map (Lin et al. 2014)."""
    return GlobalPool("mean")


def global_maximum(shape: Shape) -> nn.Module:
    """The maximum of each map."""
    return GlobalPool("max")


HEADS: dict[str, Part] = {"flatten": flatten, "gap": global_average, "gmp": global_maximum}
