"""What theory says of activations, weights and layers, beside numbers that were drawn."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lab.checks.lint.operation import INPUT
from lab.checks.lint.trace import Recorder, tensors
from lab.checks.probe.measure import layer_kind
from lab.checks.theory.forward import forward
from lab.checks.theory.signal import NoTheoryError
from lab.checks.theory.weighted import bias_variance, measured_variance
from lab.config import ModelConfig
from lab.nets.init import INITS, choose_scheme, parse_gain
from lab.nets.parts.acts import ACTS
from lab.nets.parts.drops import DROPS
from lab.nets.parts.norms import NORMS
from lab.nets.pointwise import Pointwise, pointwise
from lab.nets.spread import SPREADS, weight_variance


def act(name: str, channels: int = 6) -> nn.Module:
    module = ACTS[name]((channels, 2, 2)).train()
    for one in module.modules():
        if isinstance(reset := getattr(one, "reset_parameters", None), Callable):
            reset()
    return module


def as_function(module: nn.Module, channels: int = 6) -> Pointwise:
    found = pointwise(module, (channels, 2, 2))
    assert found is not None
    return found


@pytest.mark.parametrize("name", [name for name in ACTS if name != "softmax"])
def test_moments_are_those_of_drawn_numbers(name: str) -> None:
    module = act(name)
    q = torch.tensor([0.01, 1.0, 9.0])
    found = as_function(module).moments(q)
    generator = torch.Generator().manual_seed(0)
    for place, variance in enumerate(q.tolist()):
        z = (torch.randn(10000, 6, 2, 2, generator=generator) * math.sqrt(variance)).requires_grad_()
        values = module(z)
        (slope,) = torch.autograd.grad(values.sum(), z) if name != "identity" else (torch.ones_like(z),)
        near: dict[str, Any] = {"rel": 0.03 if name in ("rrelu", "noisy_relu") else 0.02, "abs": 1e-9}
        assert float(found.square[place]) == pytest.approx(float(values.detach().square().mean()), **near)
        assert float(found.slope[place]) == pytest.approx(float(slope.square().mean()), **near)
        near["abs"] = 0.02 * math.sqrt(variance)
        assert float(found.mean[place]) == pytest.approx(float(values.detach().mean()), **near)


def test_known_moments() -> None:
    relu = as_function(act("relu")).moments(torch.tensor([0.0, 3.0]))
    assert relu.square.tolist() == pytest.approx([0, 1.5], rel=1e-5)
    assert relu.slope[1] == pytest.approx(0.5)
    assert relu.mean[1] == pytest.approx(math.sqrt(3 / (2 * math.pi)), rel=1e-4)
    assert float(as_function(act("sigmoid")).moments(torch.tensor(1.0)).slope) <= 1 / 16


def test_between_the_nodes_moments_are_interpolated_well() -> None:
    tanh, q = as_function(act("tanh")), torch.logspace(-8, 3, 301)
    each = tanh.integrals(q.double())
    together = tanh.moments(q)
    assert together.square.tolist() == pytest.approx(each[1].tolist(), rel=0.01)
    assert together.slope.tolist() == pytest.approx(each[2].tolist(), rel=0.01)


def test_a_jump_of_the_slope_is_integrated_exactly() -> None:
    """Gauss-Hermite with 64 nodes misses the share of N(0, 1) within 1 by several per cent."""
    slope = as_function(act("hard_tanh")).moments(torch.tensor(1.0)).slope
    assert float(slope) == pytest.approx(math.erf(1 / math.sqrt(2)), rel=2e-3)


def test_what_maps_no_single_numbers_is_told_apart() -> None:
    assert pointwise(act("softmax"), (6, 2, 2)) is None
    assert all(pointwise(NORMS[name]((6, 2, 2)).train(), (6, 2, 2)) is None for name in NORMS if name != "none")
    assert pointwise(nn.MaxPool2d(2), (6, 2, 2)) is None
    assert pointwise(lambda x: x.flip(1), (6, 2, 2)) is None
    assert pointwise(lambda x: x.relu_(), (6, 2, 2)) is not None


@pytest.mark.parametrize(
    ("name", "kind", "flat"),
    [
        ("relu", "rectifier", (0.0, math.inf)),
        ("tanh", "bounded", (-2.18, 2.18)),
        ("sigmoid", "bounded", (-4.36, 4.36)),
        ("hard_tanh", "bounded", (-1.0, 1.0)),
        ("prelu", "", (-math.inf, math.inf)),
        ("maxout", "rectifier", (0.0, math.inf)),
    ],
)
def test_where_an_activation_is_flat(name: str, kind: str, flat: tuple[float, float]) -> None:
    found = as_function(act(name))
    assert found.kind == kind
    assert found.flat_beyond == pytest.approx(flat, abs=0.02)


def test_dead_units_and_saturated_values() -> None:
    x = torch.tensor([[-1.0, 1.0, -5.0, 0.0], [-2.0, -1.0, 5.0, 0.0]])  # two examples of four units
    assert as_function(act("relu")).idle(x) == 0.5  # the first is never positive, the last never above 0
    assert as_function(act("tanh")).idle(x) == 0.25  # two of eight values, -5 and 5
    assert as_function(act("identity")).idle(x) is None
    maps = x[:, None].expand(2, 3, 4)  # a map with one positive place lives
    assert as_function(act("relu")).idle(maps) == 0
    assert as_function(act("relu")).idle(1e-9 * x) == 0.5


@pytest.mark.parametrize("shape", [(300, 200), (40, 24, 5, 5)])
@pytest.mark.parametrize("name", [name for name in SPREADS if name != "zeros"])
def test_each_scheme_draws_the_variance_that_theory_takes(name: str, shape: tuple[int, ...]) -> None:
    for gain, fan in (("paper", "in"), ("2.0", "out" if name.startswith("he_") else "in")):
        config = ModelConfig(init=name, init_gain=gain, init_fan=fan)
        weight = torch.empty(shape)
        choose_scheme(name, gain, fan)(weight, parse_gain(gain, "relu"), torch.Generator().manual_seed(1))
        assert float(weight.square().mean()) == pytest.approx(weight_variance(config, weight), rel=0.03)


def test_schemes_without_theory_have_none() -> None:
    assert set(INITS) - set(SPREADS) == {"constant", "dirac", "exponential", "lsuv"}
    assert all(weight_variance(ModelConfig(init=name), torch.empty(3, 3)) is None for name in set(INITS) - set(SPREADS))
    assert weight_variance(ModelConfig(init="zeros"), torch.empty(3, 3)) == 0


def drawn(make: Callable[[Tensor], Tensor], count: int = 2) -> list[Tensor]:
    torch.manual_seed(0)
    return [make(torch.randn(64, 100)) for _ in range(count)]


def test_the_variance_of_unknown_weights_is_measured_only_where_the_formula_holds() -> None:
    assert measured_variance(drawn(lambda w: 0.3 * w)) == pytest.approx(0.09, rel=0.05)
    assert measured_variance([torch.zeros(4, 4)] * 2) == 0
    fixed = torch.randn(64, 100)
    for make, why in (
        (lambda w: fixed, "not drawn at random"),
        (lambda w: fixed + 0.3 * w, "not drawn at random"),
        (lambda w: w.abs(), "not drawn at random"),
        (lambda w: torch.eye(64, 100), "not drawn at random"),
        (lambda w: w + 1, "not drawn at random"),
    ):
        with pytest.raises(NoTheoryError, match=why):
            measured_variance(drawn(make))
    for make in (lambda w: w - w.mean(1, keepdim=True), lambda w: w.abs(), lambda w: torch.ones(64, 100)):
        with pytest.raises(NoTheoryError, match="not independent of mean 0"):
            measured_variance(drawn(make, 1))


def test_biases_count_where_their_mean_is_nothing() -> None:
    torch.manual_seed(0)
    bias = torch.randn(400)
    assert bias_variance(None) == 0
    assert bias_variance(0.1 * bias) == pytest.approx(0.01, rel=0.2)
    with pytest.raises(NoTheoryError, match="biases are not of mean 0"):
        bias_variance(bias - 2)


def said(net: nn.Module, inputs: Tensor, variance: float = 0.01) -> list[tuple[str, str]]:
    """Kind of each operation, and why nothing is predicted of it."""
    recorder = Recorder(net.train(), inputs, layer_kind, lambda one, result: None)
    with recorder.hooked(), recorder:
        graph = recorder.graph(list(tensors(net(inputs))))
    found = forward(graph, inputs, lambda one: variance, {})
    return [(one.kind, found[one.index].reason if one.index in found else "none") for one in graph]


def test_behind_what_has_no_theory_there_is_none() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4))
    found = said(net, torch.randn(4, 3, 4, 4))
    assert found == [("conv", ""), ("pool", "none"), ("act", "none"), ("shape", "none"), ("linear", "none")]


def test_weights_that_are_used_twice_have_no_theory() -> None:
    shared = nn.Linear(6, 6)
    assert said(nn.Sequential(shared, nn.ReLU(), shared), torch.randn(4, 6))[0][1] == "none"


class Both(nn.Module):
    """Two parts, added."""

    def __init__(self, first: nn.Module, second: nn.Module):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)


def test_parts_of_the_same_weights_are_not_added() -> None:
    independent = Both(nn.Linear(6, 6), nn.Linear(6, 6))
    assert said(independent, torch.randn(4, 6))[-1] == ("sum", "")
    correlated = nn.Sequential(nn.Linear(6, 6), Both(nn.ReLU(), nn.Tanh()))
    assert said(correlated, torch.randn(4, 6))[-1] == ("sum", "none")


def moments(net: nn.Module, inputs: Tensor, variance: float) -> list[tuple[float, float | None]]:
    """Second moment and variance of each operation's result."""
    recorder = Recorder(net.train(), inputs, layer_kind, lambda one, result: None)
    with recorder.hooked(), recorder:
        graph = recorder.graph(list(tensors(net(inputs))))
    found = forward(graph, inputs, lambda one: variance, {})
    assert found[INPUT].signal.second_moment == pytest.approx(float(inputs.square().mean()), rel=1e-4)
    return [(found[one.index].signal.second_moment, found[one.index].signal.variance) for one in graph]


def test_dropout_adds_the_square_of_the_mean() -> None:
    """AutoInit drops m^2 p / (1 - p): after ReLU of N(0, 1) at p = 0.5 it says .682."""
    net = nn.Sequential(nn.Linear(100, 100, bias=False), nn.ReLU(), nn.Dropout(0.5))
    inputs = torch.ones(1, 100)
    linear, relu, drop = moments(net, inputs, 1 / 100)
    assert linear == pytest.approx((1, 1))
    assert relu == pytest.approx((0.5, 0.5 - 1 / (2 * math.pi)), rel=1e-4)
    assert drop == pytest.approx((1, 0.841), rel=1e-3)


@pytest.mark.parametrize(("side", "share"), [(32, 0.959), (16, 0.918), (8, 0.840), (4, 0.694), (2, 0.444)])
def test_taps_outside_of_the_map_count_nothing(side: int, share: float) -> None:
    """AutoInit counts them: ((3 s - 2) / (3 s))^2 on maps of side s."""
    net = nn.Conv2d(2, 4, 3, padding="same", bias=False)
    (found,) = moments(net, torch.ones(1, 2, side, side), 1 / 18)
    assert found[0] == pytest.approx(share, abs=6e-4)
    assert share == pytest.approx(((3 * side - 2) / (3 * side)) ** 2, abs=6e-4)


@pytest.mark.parametrize("name", ["dropout", "spatial", "gaussian", "stochastic_depth", "vanilla"])
def test_drops(name: str) -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), DROPS[name]((4, 3, 3), 0.2))
    conv, drop = moments(net, torch.ones(1, 2, 3, 3), 0.5)
    assert conv[0] == pytest.approx(1)
    assert drop[0] == pytest.approx(0.8 if name == "vanilla" else 1.25)
