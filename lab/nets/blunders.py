"""Four nets of a seminar sheet, each with textbook mistakes, as they stand and repaired with the least change.

Like a user's own net they initialise themselves and ignore `model.init`; where the sheet names no scheme, torch's
default stays. The sheet's optimizers and losses are in `configs/model/`; the loss `cross_entropy` holds the
softmax itself, so a repaired net ends in logits.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lab.nets.chain import chain, conv, dropout, linear, max_pool
from lab.nets.parts.acts import relu, sigmoid, softmax
from lab.nets.parts.heads import flatten
from lab.nets.parts.norms import batch_norm
from lab.nets.parts.part import Part, Shape
from lab.nets.zoo import Net


def blunder_a(in_shape: Shape, num_outputs: int) -> nn.Module:
    """Regression of 39 features: norm, linear 128 from weights all zero, linear; no activation.

    Its hidden units stay multiples of one another forever, by the weights that lead out of them, and are all the same
    where those are; the function stays linear.
    """
    layers = [("norm", batch_norm), ("linear", linear(128)), ("classifier", linear(num_outputs))]
    net = chain("model.name=blunder_a", layers, in_shape)
    _start(net.get_submodule("linear"), nn.init.zeros_)
    return net


def repaired_a(in_shape: Shape, num_outputs: int) -> nn.Module:
    """blunder_a from He's start, with ReLU between, and a step of 32 on the way from 128 to the output."""
    layers = [
        ("norm", batch_norm),
        ("linear", linear(128)),
        ("act", relu),  # else two linear maps are one
        ("linear", linear(32)),  # 128 to 1 is abrupt
        ("act", relu),
        ("classifier", linear(num_outputs)),
    ]
    net = chain("model.name=repaired_a", layers, in_shape)
    _start(net, _he)  # units that differ, with the variance that ReLU keeps
    return net


def blunder_b(in_shape: Shape, num_outputs: int) -> nn.Module:
    """Ten classes of 28x28: conv 512 of 10x10, relu, pool, linear 100, softmax, drop, linear, softmax, drop."""
    layers = [
        ("conv", conv(512, 10)),
        ("act", relu),
        ("pool", max_pool(2)),
        ("flatten", flatten),
        ("linear", linear(100)),
        ("act", softmax),
        ("drop", dropout(0.1)),
        ("classifier", linear(num_outputs)),
        ("output", softmax),
        ("drop", dropout(0.1)),
    ]
    return chain("model.name=blunder_b", layers, in_shape)


def repaired_b(in_shape: Shape, num_outputs: int) -> nn.Module:
    """blunder_b with 32 filters of 3x3, ReLU for the inner softmax, and nothing behind the logits."""
    layers = [
        ("conv", conv(32, 3)),  # few filters where patterns are simplest, and small ones
        ("act", relu),
        ("pool", max_pool(2)),
        ("flatten", flatten),
        ("linear", linear(100)),
        ("act", relu),  # a softmax lets one unit through
        ("drop", dropout(0.1)),
        ("classifier", linear(num_outputs)),
        # No dropout behind the probabilities: one that it sets to zero has an infinite cross-entropy.
    ]
    return chain("model.name=repaired_b", layers, in_shape)


def blunder_c(in_shape: Shape, num_outputs: int) -> nn.Module:
    """Ten classes of 100x100: four times conv 5x5, conv 1x1, pool 3, relu, norm; runs out of pixels."""
    layers: list[tuple[str, Part]] = []
    for width in (32, 64, 128, 256):
        layers += [("conv", conv(width, 5)), ("conv", conv(width, 1))]
        layers += [("pool", max_pool(3)), ("act", relu), ("norm", batch_norm)]
    layers += [("flatten", flatten), ("linear", linear(100)), ("act", relu), ("drop", dropout(0.5))]
    layers += [("classifier", linear(num_outputs)), ("output", softmax)]
    return chain("model.name=blunder_c", layers, in_shape)


def repaired_c(in_shape: Shape, num_outputs: int) -> nn.Module:
    """blunder_c with padding, ReLU between the 5x5 and the 1x1, and logits as the output."""
    layers: list[tuple[str, Part]] = []
    for width in (32, 64, 128, 256):
        layers += [
            ("conv", conv(width, 5, "same")),  # 100, 33, 11, 3, 1: the pixels last
            ("act", relu),  # else 5x5 and 1x1 are one linear map
            ("conv", conv(width, 1)),
        ]
        layers += [("pool", max_pool(3)), ("act", relu), ("norm", batch_norm)]
    layers += [("flatten", flatten), ("linear", linear(100)), ("act", relu), ("drop", dropout(0.5))]
    layers += [("classifier", linear(num_outputs))]  # logits, for a loss that has a gradient
    return chain("model.name=repaired_c", layers, in_shape)


def blunder_d(in_shape: Shape, num_outputs: int) -> nn.Module:
    """Ten classes of 100x100: conv 512, 128, 32, 32 from Xavier's start, pool 10, dropout 1, sigmoid, drop."""
    layers = [
        ("conv", conv(512, 3)),
        ("act", relu),
        ("pool", max_pool(2)),
        ("conv", conv(128, 3)),
        ("act", relu),
        ("conv", conv(32, 3)),
        ("conv", conv(32, 1)),
        ("pool", max_pool(10)),
        ("flatten", flatten),
        ("linear", linear(64)),
        ("drop", dropout(1.0)),
        ("classifier", linear(num_outputs)),
        ("output", sigmoid),
        ("drop", dropout(0.5)),
    ]
    net = chain("model.name=blunder_d", layers, in_shape)
    _start(net, nn.init.xavier_uniform_)
    return net


def repaired_d(in_shape: Shape, num_outputs: int) -> nn.Module:
    """blunder_d widening from 32 to 128, from He's start, with ReLU before every layer, pool 2, dropout 0.5, logits."""
    layers = [
        ("conv", conv(32, 3)),  # few filters where patterns are simplest, and more with depth: 32, 64, 128
        ("pool", max_pool(2)),
        ("act", relu),  # after the maximum: the same, at a quarter of the calls
        ("conv", conv(64, 3)),
        ("act", relu),
        ("conv", conv(128, 3)),
        ("act", relu),  # else 3x3 and 1x1 are one linear map
        ("conv", conv(128, 1)),
        ("pool", max_pool(2)),  # 10x10 throws all places away
        ("flatten", flatten),
        ("linear", linear(64)),
        ("act", relu),  # else two linear maps are one
        ("drop", dropout(0.5)),  # a rate of 1 lets nothing through
        ("classifier", linear(num_outputs)),
        # No sigmoid, as ten classes exclude each other, and no dropout behind the output.
    ]
    net = chain("model.name=repaired_d", layers, in_shape)
    _start(net, _he)  # Xavier's start halves the variance at every ReLU
    return net


BLUNDERS: dict[str, Net] = {
    "blunder_a": blunder_a,
    "repaired_a": repaired_a,
    "blunder_b": blunder_b,
    "repaired_b": repaired_b,
    "blunder_c": blunder_c,
    "repaired_c": repaired_c,
    "blunder_d": blunder_d,
    "repaired_d": repaired_d,
}


@torch.no_grad()
def _start(net: nn.Module, fill: Callable[[Tensor], object]) -> None:
    """Fills the weights of convolutions and linear layers, sets their biases to zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fill(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _he(weight: Tensor) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity="relu")
