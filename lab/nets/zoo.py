"""Whole nets by name (`model.name`), which no recipe expresses. Of the keys of a recipe they obey `model.init` alone.

A net is a function of the shape of one example and the number of outputs, like a user's own `package.module:function`.
It ends in a linear layer named `classifier`.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from lab.nets.auxiliary import WithAuxiliaries, side_classifier
from lab.nets.chain import chain, conv, dropout, linear, max_pool, num_maps
from lab.nets.parts.acts import relu, scaled_tanh
from lab.nets.parts.heads import flatten, global_average
from lab.nets.parts.part import Part, Shape
from lab.nets.parts.pools import avg_pool

Net = Callable[[Shape, int], nn.Module]

AUX_WEIGHT = 0.3
"""Weight of the loss of each auxiliary classifier of `inception` (Szegedy et al. 2015, section 5)."""


class Branches(nn.Module):
    """Concatenates the outputs of several branches for the same x: (n, sum of their maps, h, w)."""

    def __init__(self, **branches: nn.Module):
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


def lenet(in_shape: Shape, num_outputs: int) -> nn.Module:
    """LeNet-5 (LeCun et al. 1998): scaled tanh, mean pooling; 61,706 weights for ten classes of 28x28.

    As in the paper: maps 6, 16 and layers of 120, 84; 5x5 kernels; 1.7159 tanh(2 x / 3). Unlike it: the second
    convolution sees all maps (the paper links each to some), the mean pooling has no gain, bias or activation, and
    the last layer is linear (the paper: radial basis functions).

    The paper's images are 32x32. Here the first convolution is padded by 2 pixels along sides below 32, so that 28x28
    becomes the paper's; the second is padded by 2 along sides of its maps below 6, where otherwise nothing would be
    left to pool: images of 11 pixels and less, such as 8x8 digits. The least side is 4.
    """
    layers = [
        ("conv", _conv5(6, 32)),
        ("act", scaled_tanh),
        ("pool", avg_pool),
        ("conv", _conv5(16, 6)),
        ("act", scaled_tanh),
        ("pool", avg_pool),
        ("flatten", flatten),
        ("linear", linear(120)),
        ("act", scaled_tanh),
        ("linear", linear(84)),
        ("act", scaled_tanh),
        ("classifier", linear(num_outputs)),
    ]
    return chain("model.name=lenet", layers, in_shape)


def inception(in_shape: Shape, num_outputs: int) -> nn.Module:
    """GoogLeNet in small (Szegedy et al. 2015): six modules of four branches, two auxiliary classifiers.

    Each module has branches of 1x1, 3x3 and 5x5 (the last two behind a 1x1 that narrows) and of a 3x3 maximum with
    a 1x1 behind it, in the shares of the paper's first module, ReLU after every convolution; 40 % dropout before the
    classifier. Smaller than the paper's: widths 32, 64 and 128, a stem of one convolution, a 2x2 maximum before
    the second and the third stage, and auxiliary classifiers, after the third and the fifth module, of a global average
    and a linear layer.

    In training mode it returns `(logits, ((0.3, aux_logits), (0.3, aux_logits)))`, see `WithAuxiliaries`. The least
    side of an image is 4.
    """
    where = "model.name=inception"
    stages = {
        "stage1": [("block1", _inception_module(32)), ("block2", _inception_module(32))],
        "stage2": [("pool", max_pool(2)), *((f"block{i}", _inception_module(64)) for i in (1, 2, 3))],
        "stage3": [("pool", max_pool(2)), ("block1", _inception_module(128))],
    }
    layers = [
        ("stem", partial(chain, f"{where}: stem", _conv_relu(16, 3))),
        *((name, partial(chain, f"{where}: {name}", blocks)) for name, blocks in stages.items()),
        ("head", global_average),
        ("drop", dropout(0.4)),
        ("classifier", linear(num_outputs)),
    ]
    net = chain(where, layers, in_shape)
    beside = ("stage2.block1", "stage2.block3")
    classifiers = {block: side_classifier((64,), num_outputs) for block in beside}
    return WithAuxiliaries(net, classifiers, dict.fromkeys(beside, AUX_WEIGHT))


NETS: dict[str, Net] = {"lenet": lenet, "inception": inception}


def _conv5(width: int, least: int) -> Part:
    """A 5x5 convolution, padded by 2 along sides below `least` pixels."""

    def part(shape: Shape) -> nn.Module:
        channels = num_maps(shape)
        _, h, w = shape
        return nn.Conv2d(channels, width, 5, padding=(2 * (h < least), 2 * (w < least)))

    return part


def _inception_module(width: int) -> Part:
    """The module of GoogLeNet that gives `width` maps, a multiple of 16, in the shares of its first module (3a)."""
    words = {
        "branch1x1": _conv_relu(width // 4, 1),
        "branch3x3": [*_conv_relu(3 * width // 8, 1), *_conv_relu(width // 2, 3)],
        "branch5x5": [*_conv_relu(width // 16, 1), *_conv_relu(width // 8, 5)],
        "branch_pool": [("pool", lambda shape: nn.MaxPool2d(3, stride=1, padding=1)), *_conv_relu(width // 8, 1)],
    }
    return lambda shape: Branches(**{name: chain(name, layers, shape) for name, layers in words.items()})


def _conv_relu(width: int, kernel: int) -> list[tuple[str, Part]]:
    """A convolution that keeps the size of the maps, and ReLU."""
    return [("conv", conv(width, kernel, "same" if kernel > 1 else 0)), ("act", relu)]
