"""Layers with weights as maps of second moments: z = sum w x with independent w of mean 0 and variance v."""

import math
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from lab.checks.lint.operation import Operation
from lab.checks.theory.signal import NoTheoryError

CONVS = {"conv1d": F.conv1d, "conv2d": F.conv2d, "conv3d": F.conv3d}

ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
"""Of `F.linear` and of convolutions, in order."""


def squared(operation: Operation, variance: float) -> Callable[[Tensor], Tensor]:
    """The map from second moments of the inputs, (b, ...), to those of the outputs.

    q = v times the sum of E[x^2] over the connections of a unit: fan_in v E[x^2] for a linear layer; for a convolution
    only the taps that lie inside count. Its transpose maps second moments of gradients back.

    Raises:
        NoTheoryError: it is another layer.
    """
    call, weight = operation.call, operation.weight
    assert call is not None
    assert weight is not None
    given = {**dict(zip(ARGUMENTS, call.args, strict=False)), **call.kwargs}
    if operation.name == "linear":
        return lambda moment: variance * moment.sum(-1, keepdim=True).expand(*moment.shape[:-1], len(weight))
    if operation.name not in CONVS:
        raise NoTheoryError(f"no formula for {operation.name}")
    conv = CONVS[operation.name]
    options = {name: given[name] for name in ("stride", "padding", "dilation") if name in given}
    groups = given.get("groups", 1)

    def through(moment: Tensor) -> Tensor:
        if groups > 1:
            return conv(moment, moment.new_full(weight.shape, variance), groups=groups, **options)
        taps = moment.new_full((1, 1, *weight.shape[2:]), variance)  # alike for all channels
        found = conv(moment.sum(1, keepdim=True), taps, **options)
        return found.expand(-1, len(weight), *[-1] * (found.ndim - 2))

    return through


def measured_variance(draws: Sequence[Tensor]) -> float:
    """Mean square of weights that nothing is known of, if they can be independent of mean 0, and differ between draws.

    Args:
        draws: the same layer's weight, (out, in, ...), in each of some draws.

    Raises:
        NoTheoryError: they are not such.
    """
    flat = [one.detach().float().flatten(1).cpu() if one.ndim > 1 else one.detach()[:, None] for one in draws]
    if len(flat) > 1:
        first, second = (one / one.norm().clamp(min=1e-30) for one in flat[:2])
        if abs(float((first * second).sum())) > 5 / math.sqrt(first.numel()) + 1e-6:
            raise NoTheoryError("its weights are not drawn at random")
    for weight in flat:
        for one in (weight, weight.T):
            # Sums of n independent weights have n times their variance; constant weights more, standardised ones none.
            count, size = one.shape
            scale = float(one.square().mean()) * size
            ratio = float(one.sum(1).square().mean()) / scale if scale else 1.0
            if ratio > 1 + 5 * math.sqrt(2 / count) or (ratio < 0.05 and count >= 8):
                raise NoTheoryError("its weights are not independent of mean 0")
    return sum(float(one.square().mean()) for one in flat) / len(flat)


def bias_variance(bias: Tensor | None) -> float:
    """Mean square of biases of mean 0.

    Raises:
        NoTheoryError: their mean is not 0.
    """
    if bias is None:
        return 0.0
    values = bias.detach().float()
    if abs(float(values.mean())) > 5 * float(values.square().mean().sqrt()) / math.sqrt(len(values)):
        raise NoTheoryError("its biases are not of mean 0")
    return float(values.square().mean())
