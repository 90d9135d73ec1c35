"""Every initialisation agrees with torch's own or with its formula, at the mean, the spread and the bounds."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lab.config import ModelConfig
from lab.errors import UserError
from lab.nets.init import INITS, initialise
from lab.nets.recipe import build

SIZES = {"conv": (96, 128, 3, 3), "linear": (400, 640)}
FAN_IN = {"conv": 128 * 9, "linear": 640}
FAN_OUT = {"conv": 96 * 9, "linear": 400}


def layer(kind: str, size: tuple[int, ...] | None = None) -> nn.Conv2d | nn.Linear:
    out, into, *kernel = size or SIZES[kind]
    return nn.Conv2d(into, out, kernel[0]) if kernel else nn.Linear(into, out)


def filled(name: str, kind: str, gain: str = "paper", fan: str = "in", size: tuple[int, ...] | None = None) -> Tensor:
    module = layer(kind, size)
    initialise(module, name, gain, "relu", seed=0, fan=fan)
    assert module.bias is not None
    assert not module.bias.any()
    return module.weight.detach()


def stds(kind: str) -> dict[str, float]:
    """Standard deviation by the formula, gain of the paper."""
    fan_in, fan_out = FAN_IN[kind], FAN_OUT[kind]
    return {
        "xavier_uniform": math.sqrt(2 / (fan_in + fan_out)),
        "xavier_normal": math.sqrt(2 / (fan_in + fan_out)),
        "he_uniform": math.sqrt(2 / fan_in),
        "he_normal": math.sqrt(2 / fan_in),
        "lecun_normal": math.sqrt(1 / fan_in),
        "torch_default": math.sqrt(1 / (3 * fan_in)),
        "normal": 0.01,
        "uniform": 0.01 / math.sqrt(3),
        "exponential": 0.01,
    }


RANDOM = list(stds("conv"))


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("gain", ["paper", "0.3"])
def test_spread_and_mean(name: str, kind: str, gain: str) -> None:
    std = stds(kind)[name]
    if gain != "paper":
        std *= 0.3 / {"he_uniform": math.sqrt(2), "he_normal": math.sqrt(2)}.get(name, 1)
        std /= 0.01 if name in ("normal", "uniform", "exponential") else 1
    weight = filled(name, kind, gain)
    assert weight.std().item() == pytest.approx(std, rel=0.03)
    mean = std if name == "exponential" else 0.0
    assert weight.mean().item() == pytest.approx(mean, abs=0.03 * std)


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("name", ["xavier_uniform", "he_uniform", "torch_default", "uniform"])
def test_a_uniform_weight_fills_its_bounds(name: str, kind: str) -> None:
    bound = math.sqrt(3) * stds(kind)[name]
    largest = filled(name, kind).abs().max().item()
    assert 0.999 * bound < largest <= bound * (1 + 1e-6)


@pytest.mark.parametrize("kind", SIZES)
def test_an_exponential_weight_is_positive(kind: str) -> None:
    weight = filled("exponential", kind)
    assert (weight >= 0).all()
    assert (weight > 0.02).float().mean().item() == pytest.approx(math.exp(-2), rel=0.03)


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("fan", ["in", "out"])
@pytest.mark.parametrize("name", ["he_normal", "he_uniform"])
def test_he_is_torchs(name: str, fan: str, kind: str) -> None:
    theirs = torch.empty(SIZES[kind])
    fill = {"he_normal": nn.init.kaiming_normal_, "he_uniform": nn.init.kaiming_uniform_}[name]
    fill(theirs, mode=f"fan_{fan}", nonlinearity="relu", generator=torch.Generator().manual_seed(0))  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(filled(name, kind, fan=fan), theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", SIZES)
def test_torch_default_is_what_torch_gives(kind: str) -> None:
    assert filled("torch_default", kind).std().item() == pytest.approx(layer(kind).weight.std().item(), rel=0.03)


@pytest.mark.parametrize("size", [(12, 20), (20, 12), (16, 16), (8, 3, 3, 3), (40, 4, 3, 3)], ids=str)
@pytest.mark.parametrize("gain", ["paper", "2"])
def test_orthogonal_is_orthogonal(size: tuple[int, ...], gain: str) -> None:
    weight = filled("orthogonal", "", gain, size=size).flatten(1).double()
    gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
    expected = torch.eye(len(gram), dtype=torch.float64) * (4 if gain == "2" else 1)
    torch.testing.assert_close(gram, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("channels", [(3, 3), (3, 5), (5, 3)], ids=str)
@pytest.mark.parametrize("gain", ["paper", "2"])
def test_dirac_is_the_identity(channels: tuple[int, int], gain: str) -> None:
    before, after = channels
    conv, linear = nn.Conv2d(before, after, 3, padding="same"), nn.Linear(before, after)
    for module, x in ((conv, torch.randn(2, before, 6, 6)), (linear, torch.randn(2, before))):
        initialise(module, "dirac", gain, "relu", seed=0)
        out, both = module(x), min(before, after)
        assert torch.equal(out[:, :both], x[:, :both] * (2 if gain == "2" else 1))
        assert not out[:, both:].any()


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(
    ("name", "gain", "value"), [("zeros", "3", 0), ("constant", "paper", 0.01), ("constant", "3", 3)]
)
def test_equal_weights(name: str, gain: str, value: float, kind: str) -> None:
    assert torch.equal(filled(name, kind, gain), torch.full(SIZES[kind], float(value)))


def test_every_init_is_looked_at() -> None:
    assert set(INITS) == {*RANDOM, "orthogonal", "dirac", "zeros", "constant", "lsuv"}  # the last in test_lsuv.py


NET = ModelConfig(block="conv-norm-act-conv-drop-pool", widths=[4, 6], depth=5, pool="stride", weight_std=True)


@pytest.mark.parametrize("skip", ["add", "gate", "concat"])
@pytest.mark.parametrize("act", ["relu", "prelu", "maxout"])
@pytest.mark.filterwarnings("ignore:model.init=lsuv leaves")
@pytest.mark.parametrize("name", INITS)
def test_every_parameter_is_set(name: str, act: str, skip: str) -> None:
    net = build(replace(NET, act=act, skip=skip, drop="dropconnect"), (3, 8, 8), 5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(torch.nan)
    images = torch.randn(8, 3, 8, 8)
    initialise(net, name, "paper", act, seed=0, images=images)
    assert all(parameter.isfinite().all() for parameter in net.parameters())
    before = [parameter.detach().clone() for parameter in net.parameters()]
    initialise(net, name, "paper", act, seed=0, images=images)
    assert all(torch.equal(one, other) for one, other in zip(before, net.parameters(), strict=True))


@pytest.mark.parametrize("name", ["constant", "normal", "uniform", "exponential"])
def test_an_activation_has_no_say_in_a_plain_number(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"model\.init_gain=auto is not supported by model\.init={name}; allowed: paper, or"
    ):
        initialise(nn.Linear(2, 2), name, "auto", "relu", seed=0)


def test_a_fan_without_effect_is_told() -> None:
    with pytest.warns(UserWarning, match=r"model\.init_fan=out has no effect on model\.init=xavier_normal"):
        initialise(nn.Linear(2, 2), "xavier_normal", "paper", "relu", seed=0, fan="out")


def test_an_unknown_fan_is_named() -> None:
    with pytest.raises(UserError, match=r"model\.init_fan=inn is unknown \(did you mean 'in'\?\); there are: in, out"):
        initialise(nn.Linear(2, 2), "he_normal", "paper", "relu", seed=0, fan="inn")
