"""Predictions beside measurements: a row for each layer of a configuration's net."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lab.checks.lint.operation import Operation
from lab.checks.probe.measure import Draw, measure
from lab.checks.theory.backward import backward
from lab.checks.theory.forward import forward
from lab.checks.theory.signal import OTHER, Forecast, NoTheoryError, Signal
from lab.checks.theory.weighted import measured_variance
from lab.config import RunConfig
from lab.errors import UserError, check_range
from lab.nets.init import INITS
from lab.nets.pointwise import Pointwise
from lab.nets.spread import SPREADS, weight_variance
from lab.nets.transfer import is_head
from lab.runs.build import obeys_init

MOST_DRAWS = 1000

HIDDEN = ("shape",)
"""Kinds of operations without a row."""


@dataclass(frozen=True)
class Quantity:
    """One quantity of one layer."""

    predicted: float | None
    measured: tuple[float, ...]
    """In each draw; empty where there is nothing to measure."""
    reason: str = ""
    """Why there is no prediction."""
    since: tuple[str, ...] = ()
    """Layers whose measured values the prediction starts from; empty where it starts from the images (or the loss)."""

    @property
    def mean(self) -> float | None:
        """Over draws."""
        return sum(self.measured) / len(self.measured) if self.measured else None


@dataclass(frozen=True)
class Row:
    """One layer."""

    layer: str
    kind: str
    shape: tuple[int, ...]
    """Of one example's result."""
    moment: Quantity
    """Mean square of the results."""
    variance: Quantity
    gradient: Quantity
    """Mean square of the gradient with respect to the results, over that with respect to the net's outputs."""
    idle: tuple[float, ...]
    """Share of dead units or of saturated values, in each draw; empty where there are none such."""
    idle_kind: str
    """`rectifier` (dead units), `bounded` (saturated values) or empty."""
    updates: tuple[float, ...]
    """Norm of the first update over that of the weight, in each draw; empty where there are no weights."""


@dataclass(frozen=True)
class Profile:
    """All layers of one configuration."""

    label: str
    rows: list[Row]
    loss: tuple[float, ...]
    """At the start, in each draw."""
    uniform_loss: float | None
    """log(C) for C classes under cross-entropy: the loss of equal probabilities."""
    batch: int


def check_draws(given: str, draws: int) -> None:
    """Raises `UserError` unless the number of draws, `given` as an option, is possible."""
    check_range(given, draws, 1 <= draws <= MOST_DRAWS, f"1 to {MOST_DRAWS}")


def probe(config: RunConfig, draws: int, label: str) -> Profile:
    """Draws the weights of `config` some times, and puts what theory says beside measurements.

    Raises:
        UserError: the configuration is wrong, or the net runs other operations in another draw.
    """
    acts: dict[int, Pointwise | None] = {}
    found: list[Draw] = []
    for number in range(draws):
        draw = measure(config, number, acts)
        if found and [one.kind for one in draw.graph] != [one.kind for one in found[0].graph]:
            raise UserError(f"model.name={config.model.name} runs other operations in another draw of its weights")
        if number < 2:
            keep_weights(config, draw)
        if found:
            found[0].absorb(draw)
        found.append(draw)
    first = found[0]
    with torch.random.fork_rng(devices=[]):
        forecasts, gradients = predictions(config, found)
    parts = first.parts
    cross_entropy = parts.data.classes and config.train.loss in ("auto", "cross_entropy")
    return Profile(
        label,
        [row(one, found, forecasts, gradients, acts) for one in first.graph if one.kind not in HIDDEN],
        tuple(draw.loss for draw in found),
        math.log(len(parts.data.classes)) if cross_entropy else None,
        len(first.images),
    )


def keep_weights(config: RunConfig, draw: Draw) -> None:
    """Copies the weights without a theory, before another draw is made."""
    for one in draw.graph:
        if one.kind in ("linear", "conv") and one.weight is not None and theoretical(config, draw, one) is None:
            draw.weights[one.index] = one.weight.detach().cpu().clone()


def theoretical(config: RunConfig, draw: Draw, operation: Operation) -> float | None:
    """Variance of the weights that `model.init` draws for a layer; None where it is not what acts there."""
    plain = isinstance(operation.module, nn.Linear | nn.Conv2d) and isinstance(operation.weight, nn.Parameter)
    if not plain or not obeys_init(config.model.name) or draw.parts.started_from:
        return None
    assert operation.weight is not None
    found = weight_variance(config.model, operation.weight)
    return found and found * (config.model.head_gain**2 if is_head(operation.place) else 1.0)


def predictions(config: RunConfig, found: Sequence[Draw]) -> tuple[dict[int, Forecast], dict[int, Forecast]]:
    """Forecasts of signals and of gradients, which start anew from the mean of all draws where there is none."""
    first = found[0]
    cache: dict[int, float] = {}

    def variance(one: Operation) -> float:
        if obeys_init(config.model.name) and config.model.init in INITS and config.model.init not in SPREADS:
            raise NoTheoryError(f"model.init={config.model.init} draws no independent weights of mean 0")
        if one.index not in cache:
            theory = theoretical(config, first, one)
            draws = [draw.weights[one.index] for draw in found if one.index in draw.weights]
            cache[one.index] = measured_variance(draws) if theory is None else theory
        return cache[one.index]

    shapes, number = {one.index: one.out_shape for one in first.graph}, len(found)

    def full(index: int, sums: dict[int, Tensor]) -> Tensor:
        return (sums[index] / number).expand(shapes[index])

    measured = {index: Signal(full(index, first.moments), full(index, first.means), OTHER) for index in first.moments}
    forecasts = forward(first.graph, first.images.float(), variance, measured)
    gradients = {index: full(index, first.gradients) for index in first.gradients}
    return forecasts, backward(first.graph, forecasts, variance, gradients)


def row(
    one: Operation,
    found: Sequence[Draw],
    forecasts: dict[int, Forecast],
    gradients: dict[int, Forecast],
    acts: dict[int, Pointwise | None],
) -> Row:
    """A layer's row."""
    index, act = one.index, acts.get(one.index)
    ahead, back = forecasts.get(index), gradients.get(index)
    output = found[0].graph.outputs[0] if found[0].graph.outputs else index
    start = gradients[output].signal.second_moment if output in gradients else 0.0
    relative = [draw.gradient.get(index, math.nan) / (draw.gradient.get(output) or math.nan) for draw in found]
    moment = predicted(ahead, lambda signal: signal.second_moment)
    variance = predicted(ahead, lambda signal: signal.variance)
    gradient = predicted(back, lambda signal: signal.second_moment / start if start else None)
    update = next((name for name in found[0].updates if is_weight(name, one)), None)
    return Row(
        one.place,
        one.kind if one.kind not in ("act", "layer", "norm", "pool") or not one.name else f"{one.kind} {one.name}",
        one.out_shape[1:],
        quantity(moment, [draw.moment.get(index, math.nan) for draw in found], ahead),
        quantity(variance, [draw.variance.get(index, math.nan) for draw in found], ahead),
        quantity(1.0 if index == output else gradient, relative, back),
        tuple(draw.idle[index] for draw in found if index in draw.idle),
        act.kind if act else "",
        tuple(draw.updates[update] for draw in found if update in draw.updates) if update else (),
    )


def predicted(forecast: Forecast | None, value: Callable[[Signal], float | None]) -> float | None:
    return value(forecast.signal) if forecast is not None and not forecast.reason else None


def quantity(value: float | None, measured: list[float], forecast: Forecast | None) -> Quantity:
    there = tuple(one for one in measured if not math.isnan(one))
    reason = "" if value is not None else (forecast.reason if forecast else "") or "nothing is known of it"
    return Quantity(value, there, reason, forecast.since if forecast and not forecast.reason else ())


def is_weight(name: str, operation: Operation) -> bool:
    """Whether a parameter is the weight of a layer, as it is saved."""
    if operation.weight is None or operation.kind not in ("linear", "conv"):
        return False
    return name in (f"{operation.layer}.weight", f"{operation.layer}.parametrizations.weight.original")
