"""Norms: second moments behind them, and of gradients before them."""

import torch
from torch import Tensor

from lab.checks.lint.operation import Operation
from lab.checks.theory.signal import NORMAL, OTHER, SYMMETRIC, NoTheoryError, Signal

ENOUGH = 32
"""Units that a norm takes together, from which its statistics are taken as those of all draws."""

CLEAR = 0.05
"""Second moment before a batch or instance norm from which `eps` (1e-5) is taken as nothing, as the variance about the
mean, which is not known, may be much smaller."""


def normalised(operation: Operation, given: Signal) -> Signal:
    """What is behind a norm at its start, gain 1 and offset 0: a second moment of 1 over its axes.

    Raises:
        NoTheoryError: gain or offset is another, it is a norm of another kind, or its inputs are too small.
    """
    check_start(operation)
    if operation.name in ("layer", "group"):
        return by_example(operation, given)
    if operation.name not in ("batch", "instance"):
        raise NoTheoryError(f"no formula for {operation.name} norm")
    if given.second_moment < CLEAR:
        raise NoTheoryError("what reaches the norm is so small that eps counts")
    one = torch.ones_like(given.moment)
    if given.law == OTHER:
        return Signal(one, None, OTHER, False, center=0.0)
    return Signal(one, torch.zeros_like(one), SYMMETRIC, False)


def by_example(operation: Operation, given: Signal) -> Signal:
    """(x - m) / s with mean and variance of the units of one example, or of a group of them."""
    mean, scale = statistics(operation, given)
    moment = given.moment
    assert given.mean is not None
    centered = (moment - 2 * mean * given.mean + mean.square()) * scale
    enough = units(operation) >= ENOUGH
    law = given.law if given.law != NORMAL or enough else SYMMETRIC
    return Signal(centered, (given.mean - mean) * scale.sqrt(), law, given.exact and enough)


def statistics(operation: Operation, given: Signal) -> tuple[Tensor, Tensor]:
    """Mean, and 1 / (variance + eps), that a layer or group norm finds for each value of (b, ...)."""
    if given.mean is None:
        raise NoTheoryError("the mean of what reaches the norm is not known")
    shape = given.moment.shape
    if operation.name == "layer":
        number = normalised_axes(operation)
        split = (*shape[: len(shape) - number], -1)
    else:
        split = (shape[0], group_number(operation), -1)
    mean = given.mean.reshape(split).mean(-1, keepdim=True)
    variance = given.moment.reshape(split).mean(-1, keepdim=True) - mean.square()
    full = given.moment.reshape(split)
    scale = 1 / (variance + epsilon(operation))
    return mean.expand_as(full).reshape(shape), scale.expand_as(full).reshape(shape)


def before(operation: Operation, given: Signal, gradient: Tensor) -> Tensor:
    """Second moment of the gradient with respect to a norm's inputs: that behind over the variance.

    The norm also removes two directions of many, the mean and the signal itself, which is nothing for many units.

    Raises:
        NoTheoryError: the norm takes the batch, or few units, together.
    """
    if operation.name == "batch":
        raise NoTheoryError("batch norm: gradients grow with its depth (Yang et al. 2019), by the images as well")
    if operation.name not in ("layer", "group") or units(operation) < ENOUGH:
        raise NoTheoryError(f"{operation.name} norm over few units")
    return gradient * statistics(operation, given)[1]


def units(operation: Operation) -> int:
    """Channels or features that a layer or group norm takes together; places of a map are no independent values."""
    channels = operation.in_shape[1]
    if operation.name == "group":
        return channels // group_number(operation)
    number = normalised_axes(operation)
    return channels if len(operation.in_shape) - number <= 1 else operation.in_shape[-1]


def argument(operation: Operation, place: int, name: str, default: object) -> object:
    call = operation.call
    assert call is not None
    return call.kwargs.get(name, call.args[place] if len(call.args) > place else default)


def normalised_axes(operation: Operation) -> int:
    shape = argument(operation, 1, "normalized_shape", ())
    return len(shape) if isinstance(shape, list | tuple | torch.Size) else 1


def group_number(operation: Operation) -> int:
    number = argument(operation, 1, "num_groups", 1)
    assert isinstance(number, int)
    return number


def epsilon(operation: Operation) -> float:
    value = argument(operation, 4, "eps", 1e-5)
    return value if isinstance(value, float) else 1e-5


def check_start(operation: Operation) -> None:
    """Raises `NoTheoryError` unless gain and offset are those of the start."""
    gain, offset = operation.weight, operation.bias
    if (gain is not None and not bool((gain == 1).all())) or (offset is not None and bool(offset.any())):
        raise NoTheoryError("its gain is not 1, or its offset is not 0")
