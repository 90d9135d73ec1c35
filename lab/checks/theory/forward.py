"""Second moments of signals, forward through the operations of a net.

Given the examples, over draws of the weights, and for many units: a pre-activation is then normal with mean 0 and a
variance that follows from its inputs alone (Neal 1996; Poole et al. 2016). Each example and place has its own, so real
images, with edges and correlated pixels, are no approximation.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lab.checks.lint.operation import INPUT, Graph, Operation
from lab.checks.theory.norms import normalised
from lab.checks.theory.signal import NORMAL, OTHER, SYMMETRIC, Forecast, NoTheoryError, Signal
from lab.checks.theory.weighted import bias_variance, squared
from lab.nets.pointwise import pointwise

Variance = Callable[[Operation], float]
"""The variance of the weights of an operation; raises `NoTheoryError`."""

INVERTED = ("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "gaussiandropout", "stochasticdepth")
"""Drops that keep the mean: the second moment grows by 1 / (1 - p)."""

BY_UNIT = ("dropout", "gaussiandropout")
"""Drops that draw for each unit by itself."""

MAPPED = ("act", "softmax", "product", "sum", "layer", "other")
"""Kinds of operations that may be functions of single numbers."""


def forward(graph: Graph, inputs: Tensor, variance: Variance, measured: Mapping[int, Signal]) -> dict[int, Forecast]:
    """A forecast for the result of each operation.

    Args:
        graph: a recorded execution in training mode.
        inputs: the examples (b, ...).
        variance: of the weights of an operation.
        measured: by operation what stands in where there is no prediction; those behind one that is missing here have
            none.
    """
    found = {INPUT: Forecast(Signal(inputs.square(), inputs))}
    origins = sources(graph)
    for one in graph:
        given = [found[index] for index in one.inputs if index in found]
        if len(given) < len(one.inputs):
            continue
        since = tuple(dict.fromkeys(place for forecast in given for place in forecast.since))
        try:
            law = Law(graph, one, [forecast.signal for forecast in given], variance, origins)
            signal = law()
            found[one.index] = Forecast(signal, since=since, slope=law.slope, linear=law.linear)
        except NoTheoryError as reason:
            if one.index in measured:
                found[one.index] = Forecast(measured[one.index], str(reason), (one.place,))
    return found


def sources(graph: Graph) -> dict[int, frozenset[int]]:
    """For each result the layers with weights, or the input, that its values come from without another in between."""
    found = {INPUT: frozenset({INPUT})}
    for one in graph:
        own = frozenset({one.index})
        fresh = one.kind in ("linear", "conv") and not is_reused(graph, one)
        before = frozenset().union(*(found[index] for index in one.inputs))
        found[one.index] = own if fresh else before
    return found


def is_reused(graph: Graph, operation: Operation) -> bool:
    """Whether another operation has the same weight."""
    return any(
        other is not operation and other.kind in ("linear", "conv") and same_weight(operation, other) for other in graph
    )


def same_weight(one: Operation, other: Operation) -> bool:
    """The same parameter, or the same layer twice, whose weight may be computed anew at each use."""
    layer = isinstance(one.module, nn.Linear | nn.modules.conv._ConvNd) and one.module is other.module
    return one.weight is not None and (layer or one.weight is other.weight)


class Law:
    """What one operation makes of the signals that reach it."""

    def __init__(
        self,
        graph: Graph,
        operation: Operation,
        given: list[Signal],
        variance: Variance,
        origins: Mapping[int, frozenset[int]],
    ):
        self.graph, self.operation, self.given = graph, operation, given
        self.variance, self.origins = variance, origins
        self.slope: Tensor | None = None
        self.linear = False

    def __call__(self) -> Signal:
        """The signal behind it; of an activation also notes E[f'^2], its `slope`.

        Raises:
            NoTheoryError: no formula is right.
        """
        one, given = self.operation, self.given
        if one.kind in ("linear", "conv"):
            return self.weighted()
        if one.kind == "shape":
            return self.rearranged()
        if one.kind == "cat":
            return self.joined()
        if one.kind == "norm":
            return normalised(one, given[0])
        if one.kind == "dropout":
            return self.dropped()
        if one.kind == "sum" and len(given) == 2:
            return self.added()
        if one.kind == "pool":
            raise NoTheoryError(f"{one.name} pooling: the values of a window are correlated")
        if one.kind in MAPPED and len(given) == 1:
            return self.mapped()
        raise NoTheoryError(f"no formula for {one.name}")

    def weighted(self) -> Signal:
        one, given = self.operation, self.given[0]
        if one.weight is None:
            raise NoTheoryError(f"no formula for {one.name}")
        if is_reused(self.graph, one):
            raise NoTheoryError("its weights are used more than once")
        moment = squared(one, self.variance(one))(given.moment)
        bias = bias_variance(one.bias)
        moment = moment + bias if bias else moment
        normal = given.exact and bias <= 0.3 * float(moment.detach().mean())
        return Signal(moment, torch.zeros_like(moment), NORMAL if normal else SYMMETRIC, given.exact)

    def rearranged(self) -> Signal:
        given = self.given[0]
        check = self.again(torch.full_like(given.moment, 4.0))
        if not bool(((check == 4) | (check == 0)).all()) or bool(self.again(torch.zeros_like(given.moment)).any()):
            raise NoTheoryError(f"no formula for {self.operation.name}")
        return given.through(self.again(given.moment), None if given.mean is None else self.again(given.mean))

    def again(self, values: Tensor) -> Tensor:
        """The operation on other values."""
        call = self.operation.call
        assert call is not None
        try:
            result = call({self.operation.inputs[0]: values})
        except Exception:  # arguments that fit the data alone
            result = None
        if not isinstance(result, Tensor) or result.shape != self.operation.out_shape:
            raise NoTheoryError(f"no formula for {self.operation.name}")
        return result

    def joined(self) -> Signal:
        one, given = self.operation, self.given
        assert one.call is not None
        moment = one.call(dict(zip(one.inputs, (signal.moment for signal in given), strict=True)))
        means = [signal.mean for signal in given if signal.mean is not None]
        mean = one.call(dict(zip(one.inputs, means, strict=True))) if len(means) == len(given) else None
        laws = {signal.law for signal in given}
        return Signal(moment, mean, laws.pop() if len(laws) == 1 else OTHER, all(signal.exact for signal in given))

    def dropped(self) -> Signal:
        one, given = self.operation, self.given[0]
        p = float(one.options.get("p", 0.5))
        if one.call is not None and one.call.kwargs.get("training") is False:
            p = 0.0
        if p == 0 or one.name == "dropconnect":  # drops weights, and passes on what reaches it
            return given
        if p >= 1:
            zero = torch.zeros_like(given.moment)
            return Signal(zero, zero, NORMAL)
        law = OTHER if given.law == OTHER else SYMMETRIC
        exact = given.exact and one.name in BY_UNIT
        if one.name in INVERTED:
            return Signal(given.moment / (1 - p), given.mean, law, exact, given.center)
        if one.name == "vanilladropout":
            mean = None if given.mean is None else given.mean * (1 - p)
            return Signal(given.moment * (1 - p), mean, law, given.exact)
        raise NoTheoryError(f"no formula for {one.name}")

    def added(self) -> Signal:
        """q_x + q_y + 2 m_x m_y: given its example, the parts have nothing in common but their means."""
        one, (x, y) = self.operation, self.given
        if self.origins[one.inputs[0]] & self.origins[one.inputs[1]]:
            raise NoTheoryError("both parts come from the same weights, so they are correlated")
        if one.name in ("sub", "isub", "rsub"):
            y = y.through(y.moment, None if y.mean is None else -y.mean)
        if not (is_zero(x) or is_zero(y)) and (x.mean is None or y.mean is None):
            raise NoTheoryError("the mean of a part is not known")
        if x.moment.shape != y.moment.shape:
            raise NoTheoryError("parts of different shapes")
        cross = 0 if x.mean is None or y.mean is None else 2 * x.mean * y.mean
        mean = None if x.mean is None or y.mean is None else x.mean + y.mean
        laws = {x.law, y.law}
        law = OTHER if OTHER in laws else laws.pop() if len(laws) == 1 else SYMMETRIC
        return Signal(x.moment + y.moment + cross, mean, law, x.exact and y.exact)

    def mapped(self) -> Signal:
        """E[f(sqrt(q) g)^2] and E[f'(sqrt(q) g)^2], g ~ N(0, 1)."""
        one, given = self.operation, self.given[0]
        call = one.call
        assert call is not None
        f = pointwise(lambda x: call({one.inputs[0]: x}), one.in_shape[1:])
        if f is None:
            raise NoTheoryError(f"no formula for {one.name}")
        if f.factor is not None:
            self.linear, self.slope = True, torch.full_like(given.moment, f.factor**2)
            return given.through(
                given.moment * f.factor**2, None if given.mean is None else given.mean * f.factor, f.factor
            )
        if given.law == NORMAL and given.exact:
            found = f.moments(shared(given.moment))
            square, mean, self.slope = (
                part.expand(given.moment.shape) for part in (found.square, found.mean, found.slope)
            )
            return Signal(square, mean)
        if given.law != OTHER and f.is_homogeneous:
            _, square, slope = (float(part) for part in f.integrals(torch.ones(1, dtype=torch.float64)))
            self.slope = torch.full_like(given.moment, slope)
            return Signal(given.moment * square, None, OTHER, given.exact)
        why = "is not normal" if given.law == OTHER else "differs in scale between examples"
        raise NoTheoryError(f"what reaches {one.name} {why}")


def is_zero(signal: Signal) -> bool:
    return signal.mean is not None and not bool(signal.mean.any())


def shared(moment: Tensor) -> Tensor:
    """One channel (or feature) of many that are views of the same."""
    return moment[:, :1] if moment.ndim > 1 and moment.stride(1) == 0 and math.prod(moment.shape[1:]) > 1 else moment
