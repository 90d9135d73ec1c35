"""Skips by name: they wrap a block whose shapes before and after are known."""

import torch
from torch import Tensor, nn

from lab.nets.parts.part import Shape


class Add(nn.Module):
    """shortcut(x) + block(x) (He et al. 2016).

    Where the block changes the shape, the shortcut is a mean of squares of the same size (the "ResNet-D" shortcut of
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


class Gate(nn.Module):
    """t block(x) + (1 - t) s with s = shortcut(x) and t = sigmoid(gate s + bias) (Srivastava et al. 2015).

    The shortcut is that of `Add`; the gate is a 1x1 convolution, or a linear layer for features, of one t a unit. Its
    bias starts at -2 (as in the paper), so that at first most of x passes.
    """

    def __init__(self, block: nn.Module, before: Shape, after: Shape):
        """
        Raises:
            ValueError: no shortcut leads from shape `before` to shape `after`.
        """
        super().__init__()
        self.block = block
        self.shortcut = _projection(before, after)
        self.shortcut_gate = _pointwise(after[0], after, bias=False)
        self.bias = nn.Parameter(torch.empty(after[0]))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the bias alone; the layers initialise themselves."""
        nn.init.constant_(self.bias, -2.0)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        bias = self.bias.view(-1, *[1] * (x.ndim - 2))  # (c, 1, 1), or (c,)
        gate = torch.sigmoid(self.shortcut_gate(shortcut) + bias)
        return gate * self.block(x) + (1 - gate) * shortcut


class Concat(nn.Module):
    """x and block(x) side by side, (n, c + width, h, w) (Huang et al. 2017); x is averaged where the maps shrink."""

    def __init__(self, block: nn.Module, before: Shape, after: Shape):
        """
        Raises:
            ValueError: no averaging brings x to the size of shape `after`.
        """
        super().__init__()
        self.block = block
        self.shortcut = _resize(before, after)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.shortcut(x), self.block(x)], 1)


def _resize(before: Shape, after: Shape) -> nn.Module:
    """The mean of squares that brings maps of shape `before` to height and width of `after`."""
    if len(before) == 1 and len(after) == 1:
        return nn.Identity()
    if len(before) == 3 and len(after) == 3 and after[1] and after[2]:
        strides = (before[1] // after[1], before[2] // after[2])
        if min(strides) and (before[1] // strides[0], before[2] // strides[1]) == after[1:]:
            return nn.Identity() if strides == (1, 1) else nn.AvgPool2d(strides)
    raise ValueError(f"no shortcut leads from shape {before} to {after}")


def _projection(before: Shape, after: Shape) -> nn.Module:
    if before == after:
        return nn.Identity()
    resize, project = _resize(before, after), _pointwise(before[0], after, bias=True)
    return project if len(after) == 1 else nn.Sequential(resize, project)


def _pointwise(channels: int, after: Shape, bias: bool) -> nn.Module:
    """A linear map from `channels` to `after[0]` of them, the same at every pixel where there are pixels."""
    if len(after) == 1:
        return nn.Linear(channels, after[0], bias=bias)
    return nn.Conv2d(channels, after[0], 1, bias=bias)


def no_skip(block: nn.Module, before: Shape, after: Shape) -> nn.Module:
    """The block alone."""
    return block


def add(block: nn.Module, before: Shape, after: Shape) -> nn.Module:
    """x + block(x), with a 1x1 projection where the shape changes (He et al. 2016)."""
    return Add(block, before, after)


def gate(block: nn.Module, before: Shape, after: Shape) -> nn.Module:
    """t block(x) + (1 - t) x, t = sigmoid(W x + b) learnt with b from -2: a highway (Srivastava et al. 2015)."""
    return Gate(block, before, after)


def concat(block: nn.Module, before: Shape, after: Shape) -> nn.Module:
    """x beside block(x), so that the width grows with every block (DenseNet, Huang et al. 2017)."""
    return Concat(block, before, after)


SKIPS = {"none": no_skip, "add": add, "gate": gate, "concat": concat}
