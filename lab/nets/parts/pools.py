"""Poolings by name: 2x2 with stride 2; an odd last row or column is left out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.nets.parts.part import Part, Shape


class MaxAvgPool(nn.Module):
    """(max + mean) / 2 of each 2x2 square."""

    def forward(self, x: Tensor) -> Tensor:
        return (F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)) / 2


class StochasticPool(nn.Module):
    """One unit of each 2x2 square, drawn with probability p_i = x_i / sum x; sum p_i x_i in evaluation.

    Zeiler and Fergus 2013 have only x >= 0, after ReLU. Here a negative unit counts as zero in p, and where no unit is
    positive all four are as likely.
    """

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2] // 2, x.shape[3] // 2
        squares = x[:, :, : 2 * h, : 2 * w].unflatten(3, (w, 2)).unflatten(2, (h, 2))  # (n, c, h, 2, w, 2)
        squares = squares.transpose(3, 4).flatten(4)  # (n, c, h, w, 4)
        weights = squares.detach().relu()
        # Not torch.where(..., 1.0), which carries the 1 to the device and waits for that.
        weights = weights.masked_fill(~(weights.sum(-1, keepdim=True) > 0), 1.0)
        if not self.training:
            return (squares * weights).sum(-1) / weights.sum(-1)
        # The largest of weight / exponential noise is unit i with probability p_i: a draw without a loop.
        chosen = (weights / torch.empty_like(weights).exponential_()).argmax(-1, keepdim=True)
        return squares.gather(-1, chosen).squeeze(-1)


class BlurPool(nn.Module):
    """The largest of each 2x2 square at stride 1, then a blur by (1, 2, 1) x (1, 2, 1) / 16 at stride 2 (Zhang 2019).

    Edges are mirrored for the blur as in the paper's code; maps of two pixels, too small for that, repeat theirs.
    """

    kernel: Tensor

    def __init__(self, shape: Shape):
        super().__init__()
        self.padding = "reflect" if min(shape[1:]) > 2 else "replicate"
        binomial = torch.tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(binomial, binomial).repeat(shape[0], 1, 1, 1)  # (c, 1, 3, 3)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        dense = F.pad(F.max_pool2d(x, 2, stride=1), (1, 1, 1, 1), self.padding)
        return F.conv2d(dense, self.kernel, stride=2, groups=len(self.kernel))

    def extra_repr(self) -> str:
        return f"padding={self.padding}"


def no_pool(shape: Shape) -> nn.Module:
    """No pooling: the maps keep their size."""
    return nn.Identity()


def max_pool(shape: Shape) -> nn.Module:
    """The largest of each 2x2 square."""
    return nn.MaxPool2d(2)


def avg_pool(shape: Shape) -> nn.Module:
    """The mean of each 2x2 square."""
    return nn.AvgPool2d(2)


def max_avg_pool(shape: Shape) -> nn.Module:
    """Half the largest plus half the mean of each 2x2 square (Lee et al. 2016)."""
    return MaxAvgPool()


def stochastic_pool(shape: Shape) -> nn.Module:
    """One unit of each 2x2 square, drawn in proportion; the expectation in evaluation (Zeiler and Fergus 2013)."""
    return StochasticPool()


def blur_pool(shape: Shape) -> nn.Module:
    """Maximum at stride 1, then a 3x3 binomial blur at stride 2: nearly invariant to shifts (Zhang 2019)."""
    return BlurPool(shape)


def stride_pool(shape: Shape) -> nn.Module:
    """A learnt 2x2 convolution with stride 2 (Springenberg et al. 2015); not counted in `model.depth`."""
    return nn.Conv2d(shape[0], shape[0], 2, stride=2)


POOLS: dict[str, Part] = {
    "none": no_pool,
    "max": max_pool,
    "avg": avg_pool,
    "max_avg": max_avg_pool,
    "stochastic": stochastic_pool,
    "blur": blur_pool,
    "stride": stride_pool,
}
