"""Layer-sequential unit variance: every layer's outputs have variance 1 on the pictures, and nothing else changes."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from lab.config import ModelConfig
from lab.errors import UserError
from lab.nets.init import initialise
from lab.nets.recipe import build
from lab.runs.build import assemble

IMAGES = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 + 1


def started(images: Tensor | None = IMAGES, seed: int = 0, **changes) -> nn.Module:
    config = ModelConfig(**{"widths": [6, 8], "depth": 5, **changes})
    net = build(config, (3, 16, 16), 5)
    initialise(net, "lsuv", "paper", config.act, seed, images=images)
    return net


def variances(net: nn.Module, images: Tensor = IMAGES) -> dict[str, float]:
    """Variance of the outputs of every layer with weights, batch norms as in training and all drops off."""
    net = copy.deepcopy(net).eval()
    found = {}

    def record(name: str, module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        found[name] = out.double().var(correction=0).item()

    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) or name == "":
            module.training = True
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(partial(record, name))
    net(images)
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"act": "tanh", "depth": 13},
        {"depth": 30, "widths": [8]},
        {"block": "conv-norm-act-conv-norm-act-pool", "skip": "add", "depth": 9},
        {"skip": "gate", "pool": "stride"},
        {"skip": "concat", "block": "norm-act-conv-pool", "head": "gap"},
        {"block": "linear-act"},
        {"block": "conv-act-drop-pool", "drop": "dropconnect"},
        {"block": "conv-norm-act-drop-pool", "drop": "vanilla", "aux_blocks": [1, 3]},
        {"pool": "stochastic", "act": "noisy_relu"},
        {"name": "lenet"},
        {"name": "inception"},
    ],
    ids=str,
)
def test_every_layer_has_outputs_of_variance_one(changes: dict) -> None:
    net = started(**changes)
    found = variances(net)
    assert len(found) == sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules())
    for name, variance in found.items():
        assert variance == pytest.approx(1, rel=0.01), name


def test_weights_are_orthogonal_up_to_scale_and_biases_zero() -> None:
    net = started(block="conv-norm-act-pool")
    for name, parameter in net.named_parameters():
        if name.endswith("weight") and parameter.ndim > 1:
            flat = parameter.detach().flatten(1).double()
            gram = flat @ flat.T if len(flat) <= flat.shape[1] else flat.T @ flat
            scale = gram.diagonal().mean()
            torch.testing.assert_close(gram / scale, torch.eye(len(gram), dtype=torch.float64), atol=1e-5, rtol=0)
            assert abs(scale - 1) > 1e-3  # it was scaled
        else:
            assert torch.equal(parameter, torch.full_like(parameter, float(name.endswith("norm.weight"))))


def test_the_first_layer_is_the_formula() -> None:
    net, plain = started(), build(ModelConfig(widths=[6, 8], depth=5), (3, 16, 16), 5)
    initialise(plain, "orthogonal", "paper", "relu", seed=0)
    name = "stage1.block1.conv"
    before, after = (model.get_parameter(f"{name}.weight").double() for model in (plain, net))
    outputs = torch.conv2d(IMAGES.double(), before, padding=1)
    torch.testing.assert_close(after, before / outputs.std(correction=0), rtol=1e-5, atol=1e-7)


def test_nothing_else_changes() -> None:
    config = ModelConfig(block="conv-norm-act-drop-pool", widths=[6], depth=3, aux_blocks=[1])
    net = build(config, (3, 16, 16), 5)
    net.stage1.eval()  # pyright: ignore
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    modes = [module.training for module in net.modules()]
    state, images = torch.get_rng_state(), IMAGES.clone()
    initialise(net, "lsuv", "paper", "relu", seed=0, images=images)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, IMAGES)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in net.named_buffers())
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks for module in net.modules())
    norm = net.get_submodule("stage1.block1.norm")
    assert norm.track_running_stats is True


def test_weights_depend_on_seed_and_pictures() -> None:
    one, same, seed, pictures = (
        nn.utils.parameters_to_vector(started(images=images, seed=seed).parameters())
        for images, seed in ((IMAGES, 0), (IMAGES, 0), (IMAGES, 1), (IMAGES + IMAGES.roll(1, 2), 0))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, seed)
    assert not torch.equal(one, pictures)


def test_standardised_weights_stay_orthogonal_with_a_warning() -> None:
    with pytest.warns(
        UserWarning, match=r"model\.init=lsuv leaves 4 of 5 layers .* orthogonal: model\.weight_std=true"
    ):
        net = started(block="conv-norm-act-pool", weight_std=True)
    raw = net.get_parameter("stage1.block1.conv.parametrizations.weight.original").detach().flatten(1)
    torch.testing.assert_close(raw @ raw.T, torch.eye(6), atol=1e-5, rtol=0)
    assert variances(net)["classifier"] == pytest.approx(1, rel=0.01)


def test_a_layer_of_constant_outputs_keeps_its_weight() -> None:
    black = torch.full((4, 2), 0.7)
    net = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    initialise(net, "lsuv", "paper", "relu", seed=0, images=black)
    for layer in net:
        torch.testing.assert_close(layer.weight.norm(), torch.ones(()))  # pyright: ignore
    zero = started(images=torch.zeros(8, 3, 16, 16))
    assert all(parameter.isfinite().all() for parameter in zero.parameters())


def test_a_run_is_started_on_its_first_batch(make_job) -> None:
    parts = assemble(make_job(changes={"model.init": "lsuv"}).config)
    images, _ = parts.training.train_step.batch(0)
    assert all(variance == pytest.approx(1, rel=0.01) for variance in variances(parts.model, images).values())


@pytest.mark.parametrize(("gain", "act"), [("2", "relu"), ("auto", "tanh")])
def test_a_gain_without_effect_is_told(gain: str, act: str) -> None:
    with pytest.warns(UserWarning, match=rf"model\.init_gain={gain} has no effect on model\.init=lsuv"):
        initialise(nn.Linear(2, 2), "lsuv", gain, act, seed=0, images=torch.randn(8, 2))


def test_pictures_are_needed() -> None:
    with pytest.raises(UserError, match=r"model\.init=lsuv needs a batch of training images"):
        started(images=None)
