"""Muon on hidden weights: the steps of its formula and of torch's own, whatever the shape and the memory format."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lab.config import ModelConfig, OptimizerConfig
from lab.nets.recipe import build
from lab.training.optimizers import make_optimizer

LR, MU, DECAY, STEPS = 0.02, 0.9, 0.1, 4
CONFIG = OptimizerConfig("muon", lr=LR, weight_decay=DECAY, momentum=MU)


def newton_schulz(g: Tensor) -> Tensor:
    """Jordan 2024: five rounds of X <- a X + (b A + c A^2) X with A = X X^T, from the wide side."""
    x = g.double() / g.double().norm()
    x = x.T if len(g) > g.shape[1] else x
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if len(g) > g.shape[1] else x


def grads(*shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator) for _ in range(STEPS)]


def stepped(model: nn.Module, weight: nn.Parameter, gradients: list[Tensor], **settings: float) -> Tensor:
    """`weight` of `model` after the gradients of STEPS steps, biases and all else at zero gradient."""
    optimizer = make_optimizer(model, OptimizerConfig(**{**vars(CONFIG), **settings}))
    for gradient in gradients:
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        weight.grad = gradient.clone()
        optimizer.step()
        assert torch.equal(weight.grad, gradient), "the gradient is not the optimizer's to change"
    return weight.detach().clone()


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (8, 8)], ids=str)
def test_steps_follow_the_formula(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(shape[1], shape[0]), nn.Linear(shape[0], 2))
    value, mean = model.get_parameter("0.weight").detach().double(), torch.zeros(shape, dtype=torch.float64)
    start = value.clone()
    for g in grads(*shape):
        mean = MU * mean + (1 - MU) * g
        step = 0.2 * max(shape) ** 0.5 * newton_schulz(MU * mean + (1 - MU) * g)
        value = value * (1 - LR * DECAY) - LR * step
    found = stepped(model, model.get_parameter("0.weight"), grads(*shape)).double()
    # torch rounds to the eight bits of bfloat16; a wrong coefficient gives 0.1 and more
    assert (found - value).norm() < 0.03 * (value - start).norm()


def test_a_hidden_linear_layer_takes_torchs_steps() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 6), nn.Linear(6, 2))
    theirs = model.get_parameter("0.weight").detach().clone().requires_grad_()
    muon = torch.optim.Muon([theirs], LR, DECAY, momentum=MU, adjust_lr_fn="match_rms_adamw")
    for g in grads(6, 10):
        theirs.grad = g.clone()
        muon.step()
    assert torch.equal(stepped(model, model.get_parameter("0.weight"), grads(6, 10)), theirs)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_takes_the_steps_of_its_flattened_filters(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 2)).to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
    flat = nn.Sequential(nn.Linear(27, 8), nn.Linear(8, 2))
    flat.load_state_dict({key: v.flatten(1) if v.ndim == 4 else v for key, v in conv.state_dict().items()})
    gradients = [g.contiguous(memory_format=memory_format) for g in grads(8, 3, 3, 3)]
    found = stepped(conv, conv.get_parameter("0.weight"), gradients)
    assert found.is_contiguous(memory_format=memory_format)
    assert torch.equal(
        found.flatten(1), stepped(flat, flat.get_parameter("0.weight"), [g.flatten(1) for g in gradients])
    )


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 6), nn.Linear(6, 3)
    )


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for i in steps:
        x = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(i))
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


def test_the_rest_and_the_last_weight_are_adamws() -> None:
    gradients = grads(3, 6)
    whole, alone = small_net(), small_net()
    found = stepped(whole, whole.get_parameter("5.weight"), gradients)
    adamw = torch.optim.AdamW([alone.get_parameter("5.weight")], LR, (MU, 0.999), weight_decay=DECAY)
    for g in gradients:
        alone.get_parameter("5.weight").grad = g.clone()
        adamw.step()
    torch.testing.assert_close(found, alone.get_parameter("5.weight").detach(), rtol=1e-6, atol=1e-7)
    groups = make_optimizer(whole, CONFIG).param_groups
    shapes = {(g["muon"], g["weight_decay"]): [tuple(p.shape) for p in g["params"]] for g in groups}
    assert shapes == {
        (True, DECAY): [(4, 1, 3, 3), (6, 16)],
        (False, DECAY): [(3, 6)],
        (False, 0.0): [(4,), (4,), (4,), (6,), (3,)],
    }


def test_the_trainers_rate_reaches_both() -> None:
    model = small_net()
    optimizer = make_optimizer(model, CONFIG)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = copy.deepcopy(model.state_dict())
    train(model.eval(), optimizer, range(2))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_resumed_run_goes_on_to_the_same_weights(memory_format: torch.memory_format, tmp_path) -> None:
    whole, other = (small_net().to(memory_format=memory_format) for _ in range(2))  # pyright: ignore[reportCallIssue]
    optimizer, resumed = make_optimizer(whole, CONFIG), make_optimizer(other, CONFIG)
    train(whole, optimizer, range(3))
    torch.save({"model": whole.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other.load_state_dict(state["model"])
    resumed.load_state_dict(state["optimizer"])
    train(whole, optimizer, range(3, 6))
    train(other, resumed, range(3, 6))
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in whole.state_dict().items())


def test_a_weight_without_a_gradient_stays() -> None:
    model = small_net()
    optimizer = make_optimizer(model, CONFIG)
    before = model.get_parameter("4.weight").detach().clone()
    model.get_parameter("0.weight").grad = torch.randn_like(model.get_parameter("0.weight"))
    start = model.get_parameter("0.weight").detach().clone()
    optimizer.step()
    assert torch.equal(model.get_parameter("4.weight"), before)
    assert not torch.equal(model.get_parameter("0.weight"), start)


class TwoHeads(nn.Module):
    """A user's net whose auxiliary head comes first, and whose classifier has no such name."""

    def __init__(self):
        super().__init__()
        self.aux1 = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
        self.hidden, self.fc = nn.Linear(4, 4), nn.Linear(4, 3)


class FirstHead(nn.Module):
    """A net that makes its classifier first."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
        self.hidden = nn.Linear(4, 4)


def not_muons(model: nn.Module) -> list[str]:
    """Names of the weights of two dimensions and more that AdamW trains."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    groups = make_optimizer(model, CONFIG).param_groups
    taken = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(taken) == sorted(names), "every parameter is in one group"
    return [names[id(p)] for group in groups if not group["muon"] for p in group["params"] if p.ndim >= 2]


SMALL = ModelConfig(widths=[4, 6], block="conv-act", depth=4, weight_std=True)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (build(SMALL, (1, 8, 8), 3), ["classifier.weight"]),
        (build(replace(SMALL, aux_blocks=[2]), (1, 8, 8), 3), ["classifier", "auxiliary.stage1_block2.classifier"]),
        (
            build(replace(SMALL, name="inception"), (1, 8, 8), 3),
            ["classifier", *(f"auxiliary.stage2_block{i}.classifier" for i in (1, 3))],
        ),
        (build(replace(SMALL, name="lenet"), (1, 8, 8), 3), ["classifier"]),
        (TwoHeads(), ["aux1.0", "aux1.1", "fc"]),
        (FirstHead(), ["classifier.1"]),
        (small_net(), ["5"]),
        (nn.Linear(3, 2), ["weight"]),
        (nn.BatchNorm1d(3), []),
    ],
    ids=["recipe", "aux_blocks", "inception", "lenet", "own", "first", "sequence", "alone", "none"],
)
def test_no_classifiers_weight_is_made_orthogonal(model: nn.Module, expected: list[str]) -> None:
    assert [name.removesuffix(".weight") for name in not_muons(model)] == [
        name if name == "weight" else name.removesuffix(".weight") for name in expected
    ]
