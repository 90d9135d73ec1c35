"""Every optimizer takes the steps of its formula, written out in float64; every clipping does what it says."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from lab.config import OptimizerConfig, RunConfig, TrainConfig
from lab.errors import UserError
from lab.overrides.files import config_dir
from lab.training.clipping import CLIPS, make_clip
from lab.training.optimizers import OPTIMIZERS, make_optimizer
from lab.validation import validate

LR, MU, DECAY, STEPS = 0.1, 0.8, 0.05, 5
DECOUPLED = ("adamw", "sign_sgd", "lion", "muon")

State = dict[str, Tensor]


def zeros(state: State, key: str, like: Tensor) -> Tensor:
    return state.get(key, torch.zeros_like(like))


def sgd(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    return w - LR * g


def momentum(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    state["v"] = MU * zeros(state, "v", w) + g
    return w - LR * state["v"]


def nag(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    state["v"] = MU * zeros(state, "v", w) + g
    return w - LR * (g + MU * state["v"])


def adagrad(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    state["s"] = zeros(state, "s", w) + g * g
    return w - LR * g / (state["s"].sqrt() + 1e-10)


def adadelta(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    state["s"] = 0.9 * zeros(state, "s", w) + 0.1 * g * g
    step = g * (zeros(state, "d", w) + 1e-6).sqrt() / (state["s"] + 1e-6).sqrt()
    state["d"] = 0.9 * zeros(state, "d", w) + 0.1 * step * step
    return w - LR * step


def rmsprop(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    state["s"] = 0.99 * zeros(state, "s", w) + 0.01 * g * g
    return w - LR * g / (state["s"].sqrt() + 1e-8)


def adam(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    state["m"] = MU * zeros(state, "m", w) + (1 - MU) * g
    state["s"] = 0.999 * zeros(state, "s", w) + 0.001 * g * g
    return w - LR * state["m"] / (1 - MU**t) / ((state["s"] / (1 - 0.999**t)).sqrt() + 1e-8)


def nadam(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    """Dozat 2016, algorithm 2, with his schedule mu_t = mu (1 - 0.96^(t / 250) / 2)."""
    mus = [MU * (1 - 0.5 * 0.96 ** (i / 250)) for i in range(1, t + 2)]
    state["m"] = MU * zeros(state, "m", w) + (1 - MU) * g
    state["s"] = 0.999 * zeros(state, "s", w) + 0.001 * g * g
    ahead = mus[t] * state["m"] / (1 - math.prod(mus)) + (1 - mus[t - 1]) * g / (1 - math.prod(mus[:t]))
    return w - LR * ahead / ((state["s"] / (1 - 0.999**t)).sqrt() + 1e-8)


def sign_sgd(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    return w - LR * g.sign()


def lion(w: Tensor, g: Tensor, state: State, t: int) -> Tensor:
    sign = (MU * zeros(state, "m", w) + (1 - MU) * g).sign()
    state["m"] = 0.99 * zeros(state, "m", w) + 0.01 * g
    return w - LR * sign


FORMULAS: dict[str, Callable[[Tensor, Tensor, State, int], Tensor]] = {
    "sgd": sgd,
    "momentum": momentum,
    "nag": nag,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adam,
    "nadam": nadam,
    "sign_sgd": sign_sgd,
    "lion": lion,
    "muon": adam,  # which one linear layer, the last, is left to; hidden ones: tests/test_muon.py
}


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_follow_the_formula(name: str, decay: float) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    optimizer = make_optimizer(model, OptimizerConfig(name, lr=LR, weight_decay=decay, momentum=MU))
    values = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    states: dict[str, State] = {"weight": {}, "bias": {}}
    for t in range(1, STEPS + 1):
        optimizer.zero_grad()
        model(torch.randn(5, 3, dtype=torch.float64)).square().sum().backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None
            w, g, acting = values[key], parameter.grad.clone(), decay if key == "weight" else 0.0
            w, g = (w * (1 - LR * acting), g) if name in DECOUPLED else (w, g + acting * w)
            values[key] = FORMULAS[name](w, g, states[key], t)
        optimizer.step()
        for key, parameter in model.named_parameters():
            # torch keeps the product of NAdam's momenta in float32
            rtol = 1e-6 if name == "nadam" else 1e-10
            torch.testing.assert_close(parameter.detach(), values[key], rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_biases_norms_and_slopes_do_not_decay(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.PReLU(2), nn.Flatten(), nn.Linear(8, 2))
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, OptimizerConfig(name, lr=LR, weight_decay=DECAY))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    changed = {key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])}
    assert changed == {"0.weight", "4.weight"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_optimizer_goes_on_to_the_same_weights(name: str) -> None:
    def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for i in steps:
            x = torch.randn(4, 3, generator=torch.Generator().manual_seed(i))
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    whole, config = nn.Linear(3, 2), OptimizerConfig(name, lr=0.01)
    other = nn.Linear(3, 2)
    optimizer = make_optimizer(whole, config)
    train(whole, optimizer, range(3))
    other.load_state_dict(whole.state_dict())
    resumed = make_optimizer(other, config)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(whole, optimizer, range(3, 6))
    train(other, resumed, range(3, 6))
    assert torch.equal(whole.weight, other.weight)


def test_every_optimizer_has_its_file() -> None:
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (config_dir() / "optimizer").glob("*.yaml")}
    assert files.keys() == OPTIMIZERS.keys() == FORMULAS.keys()
    assert all(settings["name"] == name for name, settings in files.items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_rate_of_the_file_learns(name: str) -> None:
    settings = yaml.safe_load((config_dir() / "optimizer" / f"{name}.yaml").read_text())
    torch.manual_seed(0)
    images, labels = torch.randn(200, 20), torch.arange(200) % 4
    images[torch.arange(200), labels] += 3
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = make_optimizer(model, OptimizerConfig(**settings))
    first = F.cross_entropy(model(images), labels).item()
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    assert F.cross_entropy(model(images), labels).item() < 0.5 * first


# Clipping


def clipped(**settings) -> tuple[Tensor, Tensor]:
    """Gradient before and after, of two parameters in a row."""
    parameters = [nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(1))]
    generator = torch.Generator().manual_seed(0)
    for parameter in parameters[:2]:  # the third takes no part
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    before = torch.cat([p.grad.flatten().clone() for p in parameters if p.grad is not None])
    clip = make_clip(TrainConfig(**settings))
    if clip is not None:
        clip(parameters)
    return before, torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def test_the_whole_gradient_is_scaled_to_its_norm() -> None:
    before, after = clipped(clip="norm", clip_norm=0.5)
    torch.testing.assert_close(after, before * 0.5 / before.norm(), rtol=1e-5, atol=0)
    before, after = clipped(clip="norm", clip_norm=2 * before.norm().item())
    assert torch.equal(after, before)


def test_every_entry_is_cut_to_its_value() -> None:
    before, after = clipped(clip="value", clip_value=0.3)
    assert torch.equal(after, before.clamp(-0.3, 0.3))
    assert not torch.equal(after, before)


def test_the_sign_alone_is_left() -> None:
    before, after = clipped(clip="sign")
    assert torch.equal(after, before.sign())


@pytest.mark.parametrize("settings", [{"clip": "none"}, {"clip": "norm"}, {}], ids=str)
def test_nothing_is_clipped(settings: dict) -> None:
    assert make_clip(TrainConfig(**settings)) is None


def test_a_norm_alone_clips_as_it_always_did() -> None:
    before, after = clipped(clip_norm=0.5)
    assert after.norm().item() == pytest.approx(0.5, rel=1e-4)
    assert before.norm() > 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"clip": "nrom"},
            r"train\.clip=nrom is unknown \(did you mean 'norm'\?\); there are: none, norm, value, sign",
        ),
        ({"clip_norm": -1.0}, r"train\.clip_norm=-1\.0 is out of range; allowed: 0 \(off\) or more"),
        ({"clip": "value", "clip_value": 0.0}, r"train\.clip_value=0\.0 is out of range; allowed: above 0"),
    ],
)
def test_a_bad_clipping_is_named(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(RunConfig(train=TrainConfig(**settings)))


@pytest.mark.parametrize("clip", [name for name in CLIPS if name != "norm"])
def test_a_norm_without_effect_is_told(clip: str) -> None:
    with pytest.warns(UserWarning, match=rf"train\.clip_norm=1\.0 has no effect with train\.clip={clip}"):
        make_clip(TrainConfig(clip=clip, clip_norm=1.0))
