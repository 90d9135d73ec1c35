"""Initial weights follow the formulas of the papers, cover every parameter, and depend on the seed alone."""

import math

import pytest
import torch
from torch import nn

from lab.config import ModelConfig, RunConfig
from lab.errors import UserError
from lab.nets.init import INITS, initialise, parse_gain, scale_head
from lab.nets.recipe import build
from lab.validation import validate

LAYERS = {"conv": lambda: nn.Conv2d(128, 96, 3), "linear": lambda: nn.Linear(640, 400)}
FANS = {"conv": (128 * 9, 96 * 9), "linear": (640, 400)}  # in, out

FORMULAS = {
    "xavier_normal": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "xavier_uniform": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "he_normal": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
    "he_uniform": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
    "lecun_normal": lambda fan_in, fan_out: math.sqrt(1 / fan_in),
    "torch_default": lambda fan_in, fan_out: math.sqrt(1 / (3 * fan_in)),
}
PAPER_GAIN = {"he_normal": math.sqrt(2), "he_uniform": math.sqrt(2)}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", FORMULAS)
def test_weights_have_the_spread_of_the_formula(name: str, layer: str) -> None:
    module = LAYERS[layer]()
    initialise(module, name, "paper", "relu", seed=0)
    weight, std = module.weight.detach(), FORMULAS[name](*FANS[layer])
    assert weight.std().item() == pytest.approx(std, rel=0.03)
    assert abs(weight.mean().item()) < 0.02 * std
    bounded = weight.abs().max().item() <= math.sqrt(3) * std * 1.0001
    assert bounded == (not name.endswith("_normal"))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", FORMULAS)
def test_a_gain_replaces_the_one_of_the_paper(name: str, layer: str) -> None:
    module = LAYERS[layer]()
    initialise(module, name, "0.5", "relu", seed=0)
    std = FORMULAS[name](*FANS[layer]) / PAPER_GAIN.get(name, 1) * 0.5
    assert module.weight.std().item() == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize("gain", ["paper", "3"])
@pytest.mark.parametrize("module", [nn.Linear(20, 12), nn.Linear(12, 20), nn.Conv2d(3, 8, 3)], ids=str)
def test_orthogonal_rows_or_columns(module: nn.Linear | nn.Conv2d, gain: str) -> None:
    initialise(module, "orthogonal", gain, "relu", seed=0)
    weight = module.weight.detach().flatten(1)
    gram = weight @ weight.T if weight.shape[0] < weight.shape[1] else weight.T @ weight
    torch.testing.assert_close(gram, torch.eye(len(gram)) * (9 if gain == "3" else 1), atol=1e-5, rtol=0)


def test_zeros() -> None:
    module = nn.Linear(3, 4)
    initialise(module, "zeros", "paper", "relu", seed=0)
    assert not module.weight.any()


GAINS = {  # what torch is asked; ReLU's gain is the stand-in for the rest
    "identity": ("linear",),
    "leaky_relu": ("leaky_relu", 0.01),
    "prelu": ("leaky_relu", 0.25),
    "selu": ("selu",),
    "sigmoid": ("sigmoid",),
    "tanh": ("tanh",),
}


@pytest.mark.parametrize("act", ["relu", "gelu", *GAINS])
def test_auto_gain_is_torchs(act: str) -> None:
    expected = nn.init.calculate_gain(*GAINS.get(act, ("relu",)))  # pyright: ignore[reportArgumentType]
    assert parse_gain("auto", act) == expected
    module = LAYERS["linear"]()
    initialise(module, "lecun_normal", "auto", act, seed=0)
    assert module.weight.std().item() == pytest.approx(expected / math.sqrt(640), rel=0.03)


@pytest.mark.parametrize(("gain", "message"), [("much", "there are: paper, auto, or a number"), ("0", "above 0")])
def test_a_bad_gain_is_named(gain: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"model\.init_gain=.*{message}"):
        validate(RunConfig(model=ModelConfig(init_gain=gain)))


def test_an_unknown_init_is_named() -> None:
    with pytest.raises(UserError, match=r"model\.init=he_norml is unknown \(did you mean 'he_normal'\?\)"):
        initialise(nn.Linear(2, 2), "he_norml", "paper", "relu", seed=0)


NET = ModelConfig(block="conv-norm-act-conv-pool-drop", widths=[4, 6], depth=5, skip="add", pool="stride")


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "group"])
@pytest.mark.parametrize("name", INITS)
def test_every_parameter_is_set(name: str, norm: str) -> None:
    net = build(ModelConfig(**{**vars(NET), "norm": norm}), (3, 8, 8), 5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(torch.nan)
    initialise(net, name, "paper", "relu", seed=0, images=torch.randn(8, 3, 8, 8))
    for key, parameter in net.named_parameters():
        assert parameter.isfinite().all(), key
        if key.endswith("bias"):
            assert not parameter.any(), key
        elif "norm" in key:
            assert (parameter == 1).all(), key


def test_weights_depend_on_the_seed_alone() -> None:
    def weights(seed: int, world: int) -> torch.Tensor:
        torch.manual_seed(world)
        net = build(NET, (3, 8, 8), 5)
        before = torch.get_rng_state()
        initialise(net, "he_normal", "paper", "relu", seed)
        assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
        return nn.utils.parameters_to_vector(net.parameters())

    assert torch.equal(weights(seed=1, world=5), weights(seed=1, world=6))
    assert not torch.equal(weights(seed=1, world=5), weights(seed=2, world=5))


def test_no_two_layers_start_alike() -> None:
    net = build(ModelConfig(block="conv-act", widths=[4], depth=4), (4, 8, 8), 2)
    initialise(net, "he_normal", "paper", "relu", seed=0)
    first, second, third = (module.weight for module in net.modules() if isinstance(module, nn.Conv2d))
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_own_part_keeps_the_start_of_its_author() -> None:
    net = build(ModelConfig(block="conv-norm", norm="own_parts:gain", widths=[4], depth=2), (1, 4, 4), 2)
    initialise(net, "he_normal", "paper", "relu", seed=0)
    gain = net.get_parameter("stage1.block1.norm.gain")
    torch.testing.assert_close(gain, torch.full_like(gain, 0.1))


# The classifier


def test_the_classifier_alone_is_scaled() -> None:
    config = ModelConfig(block="conv-act", widths=[4], depth=3, aux_blocks=[1])
    nets = [build(config, (1, 8, 8), 5) for _ in range(2)]
    for net in nets:
        initialise(net, "he_normal", "paper", "relu", seed=0)
    scale_head(nets[1], 0.1)
    for (name, one), other in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        factor = 0.1 if "classifier" in name or "auxiliary" in name else 1.0
        torch.testing.assert_close(other, factor * one, rtol=1e-6, atol=0, msg=name)


def test_behind_norms_the_scale_of_weights_is_no_other_function() -> None:
    """Ioffe and Szegedy 2015, section 3.3: the classifier's is undone by `head_gain`."""
    outputs = []
    for gain, head in ((math.sqrt(2), 1.0), (10 * math.sqrt(2), 0.1)):
        net = build(ModelConfig(block="conv-norm-act", widths=[4], depth=4), (1, 8, 8), 5)
        initialise(net, "he_normal", str(gain), "relu", seed=0)
        scale_head(net, head)
        outputs.append(net(torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-3, atol=1e-3)


def test_a_net_without_a_classifier_is_named() -> None:
    with pytest.raises(UserError, match=r"model.head_gain=0.5 needs a net with a module named `classifier`"):
        scale_head(nn.Linear(2, 2), 0.5)
