"""Second moments of gradients, backward through the operations of a net.

Taken as independent of the signals on the way forward, as they are for many units whose weights have mean 0
(Schoenholz et al. 2017): the same maps as forward, transposed, and E[f'^2] at each activation.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lab.checks.lint.operation import INPUT, Graph, Operation
from lab.checks.theory.forward import BY_UNIT, INVERTED, Variance, is_reused
from lab.checks.theory.norms import before
from lab.checks.theory.signal import Forecast, NoTheoryError, Signal
from lab.checks.theory.weighted import squared

END = -2
"""Stands for the loss among what a gradient comes from."""


def backward(
    graph: Graph, forecasts: Mapping[int, Forecast], variance: Variance, measured: Mapping[int, Tensor]
) -> dict[int, Forecast]:
    """A forecast for the gradient with respect to the result of each operation, as its second moment.

    Args:
        graph: the recorded execution.
        forecasts: those of the signals.
        variance: of the weights of an operation.
        measured: by operation the mean square of the gradient, (b, ...): the start at the net's outputs, and what
            stands in where there is no prediction.
    """
    found: dict[int, Forecast] = {}
    parts: dict[int, list[tuple[int, Tensor | str]]] = {}
    sinks = destinations(graph)
    for one in reversed(graph.operations):
        if one.index in graph.outputs:
            if one.index not in measured:
                continue
            found[one.index] = Forecast(Signal(measured[one.index], None, tied=True), "the loss gives it")
            since: tuple[str, ...] = ()
        else:
            given = parts.get(one.index, [])
            users = {user for user, _ in given}
            since = tuple(dict.fromkeys(place for user in users for place in found[user].since))
            try:
                if not given:
                    raise NoTheoryError("no gradient reaches it")
                tied = any(found[user].signal.tied and not is_weighted(graph.operations[user]) for user in users)
                found[one.index] = Forecast(Signal(together(graph, given, sinks), None, tied=tied), since=since)
            except NoTheoryError as reason:
                if one.index not in measured:
                    continue
                found[one.index] = Forecast(Signal(measured[one.index], None, tied=True), str(reason), (one.place,))
        gradient = found[one.index].signal
        for index, part in passed(graph, one, forecasts, variance, gradient).items():
            parts.setdefault(index, []).append((one.index, part))
    return found


def destinations(graph: Graph) -> dict[int, frozenset[int]]:
    """For each operation the layers with weights, or the loss, from which the gradient of its result comes."""
    found: dict[int, frozenset[int]] = {}
    for one in reversed(graph.operations):
        behind = [destination(user, found) for user in graph.users(one)]
        found[one.index] = frozenset().union(*behind, {END} if one.index in graph.outputs else ())
    return found


def destination(user: Operation, found: Mapping[int, frozenset[int]]) -> frozenset[int]:
    return frozenset({user.index}) if is_weighted(user) else found[user.index]


def is_weighted(one: Operation) -> bool:
    return one.kind in ("linear", "conv")


def together(graph: Graph, given: list[tuple[int, Tensor | str]], sinks: Mapping[int, frozenset[int]]) -> Tensor:
    """The sum of parts from several users of one result, if they are uncorrelated."""
    reasons = [part for _, part in given if isinstance(part, str)]
    if reasons:
        raise NoTheoryError(reasons[0])
    seen: set[int] = set()
    for user, _ in given:
        own = destination(graph.operations[user], sinks) if len(given) > 1 else frozenset()
        if seen & own:
            raise NoTheoryError("its gradients come back through the same weights, so they are correlated")
        seen |= own
    total = 0
    for _, part in given:
        total = total + part  # pyright: ignore[reportOperatorIssue]
    assert isinstance(total, Tensor)
    return total


def passed(
    graph: Graph, one: Operation, forecasts: Mapping[int, Forecast], variance: Variance, gradient: Signal
) -> dict[int, Tensor | str]:
    """What an operation gives to each of its inputs, or the reason why that is not known."""
    inputs = [index for index in one.inputs if index != INPUT]
    if not inputs:
        return {}
    try:
        return transposed(graph, one, forecasts, variance, gradient)
    except NoTheoryError as reason:
        return dict.fromkeys(inputs, str(reason))


def transposed(
    graph: Graph, one: Operation, forecasts: Mapping[int, Forecast], variance: Variance, behind: Signal
) -> dict[int, Tensor | str]:
    gradient = behind.moment
    own, first = forecasts.get(one.index), one.inputs[0]
    given = forecasts[first].signal if first in forecasts else None
    if own is None or given is None:
        raise NoTheoryError("nothing is known of the signal")
    if is_weighted(one):
        if one.weight is None or is_reused(graph, one):
            raise NoTheoryError(own.reason or "its weights are used more than once")
        return {first: pulled(squared(one, variance(one)), given.moment, gradient)}
    if one.kind in ("shape", "cat") and not own.reason:
        return rearranged(one, forecasts, gradient)
    if one.kind == "norm":
        return {first: before(one, given, gradient)}
    if one.kind == "dropout" and not own.reason:
        return {first: gradient * kept(one)}
    if one.kind == "sum" and len(one.inputs) == 2 and gradient.shape == given.moment.shape:
        return dict.fromkeys(one.inputs, gradient)
    if own.slope is not None:
        if behind.tied and not own.linear:
            raise NoTheoryError("the gradient that comes back depends on the signal here")
        return {first: gradient * own.slope}
    if one.kind == "pool" and one.name == "avg":
        return {first: averaged(one, given.moment, gradient)}
    raise NoTheoryError(own.reason or f"no formula for {one.name}")


def pulled(function: Callable[[Tensor], Tensor], at: Tensor, gradient: Tensor) -> Tensor:
    """The transpose of a linear `function` of (b, ...), as `at`, applied to `gradient`."""
    with torch.enable_grad():
        inputs = torch.zeros_like(at, memory_format=torch.contiguous_format).requires_grad_()
        return torch.autograd.grad(function(inputs), inputs, gradient)[0]


def rearranged(one: Operation, forecasts: Mapping[int, Forecast], gradient: Tensor) -> dict[int, Tensor | str]:
    call = one.call
    assert call is not None
    with torch.enable_grad():
        inputs = {index: torch.zeros_like(forecasts[index].signal.moment).requires_grad_() for index in one.inputs}
        result = call(inputs)
        uses = torch.autograd.grad(result, list(inputs.values()), torch.ones_like(result), retain_graph=True)
        if any(float(use.max()) > 1 for use in uses):
            raise NoTheoryError("it uses a value several times")
        return dict(zip(inputs, torch.autograd.grad(result, list(inputs.values()), gradient), strict=True))


def kept(one: Operation) -> float:
    """Mean square of what a drop multiplies a value by."""
    p = float(one.options.get("p", 0.5))
    if (one.call is not None and one.call.kwargs.get("training") is False) or one.name == "dropconnect":
        return 1.0
    if p >= 1:
        return 0.0
    return 1 / (1 - p) if one.name in (*INVERTED, *BY_UNIT) else 1 - p


def averaged(one: Operation, at: Tensor, gradient: Tensor) -> Tensor:
    """Of means of n values each, without overlap: each value gets 1 / n of one gradient."""
    call = one.call
    assert call is not None
    if not apart(one):
        raise NoTheoryError("average pooling whose windows overlap")
    back = pulled(lambda x: call({one.inputs[0]: x}), at, torch.ones_like(gradient))
    return pulled(lambda x: call({one.inputs[0]: x}), at, gradient) * back.max()


def apart(one: Operation) -> bool:
    """Whether the windows of an average pooling have no value in common."""
    call = one.call
    assert call is not None
    name = getattr(call.func, "__name__", "")
    if name == "mean":
        return True
    places = zip(one.in_shape[2:], one.out_shape[2:], strict=True)
    if one.options.get("adaptive"):
        return all(before % after == 0 for before, after in places)
    kernel = one.options.get("kernel")
    stride = call.kwargs.get("stride", call.args[2] if len(call.args) > 2 else None)
    padding = call.kwargs.get("padding", call.args[3] if len(call.args) > 3 else 0)
    return stride in (None, [], kernel) and padding in (0, (0, 0), [0, 0])
