"""Skips by name: what wraps a block of known shapes before and after it."""

from torch import Tensor, nn

from lab.nets.parts import Shape


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
    if len(before) == 3 and len(after) == 3 and after[1] and after[2]:
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
