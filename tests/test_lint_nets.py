"""`lab lint` on whole nets: sound ones are clean, the textbook blunders are told fault by fault."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from public_nets import (
    Airbench,
    BasicBlock,
    DenseNet,
    Inception,
    LeNet,
    MnistExample,
    MobileBlock,
    PreActBlock,
    ResNet,
    SqueezeExcite,
    SqueezeNet,
    Transformer,
)
from torch import nn

from lab.checks.lint.configured import lint_config
from lab.checks.lint.finding import Said
from lab.checks.lint.linter import examples, lint
from lab.checks.lint.render import as_text
from lab.checks.lint.task import Task
from lab.config import RunConfig
from lab.nets.parts.pools import POOLS
from lab.overrides.plan import Options, one_job

CLASSES = Task("classes", 10, "cross_entropy", "logits", optimizer="adam", lr=1e-3, batch_size=64, updates=1000)

PUBLIC: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Task]] = {
    "MNIST example": (MnistExample, (1, 28, 28), replace(CLASSES, takes="log-probabilities")),
    "LeNet": (LeNet, (3, 32, 32), CLASSES),
    "ResNet": (lambda: ResNet(BasicBlock), (3, 32, 32), CLASSES),
    "pre-activation ResNet": (lambda: ResNet(PreActBlock, pre=True), (3, 32, 32), CLASSES),
    "DenseNet": (DenseNet, (3, 32, 32), CLASSES),
    "airbench": (Airbench, (3, 32, 32), replace(CLASSES, optimizer="sgd", lr=0.2, momentum=0.85)),
    "inception": (Inception, (3, 32, 32), CLASSES),
    "SqueezeNet": (SqueezeNet, (3, 32, 32), CLASSES),
    "squeeze and excitation": (SqueezeExcite, (3, 32, 32), CLASSES),
    "MobileNetV2": (MobileBlock, (3, 32, 32), CLASSES),
    "vision transformer": (Transformer, (3, 32, 32), CLASSES),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_nets_are_clean(name: str) -> None:
    torch.manual_seed(0)
    make, shape, task = PUBLIC[name]
    assert [as_text([one]) for one in lint(make(), examples(shape, task), task) if one.severity != "note"] == []


def composed(*words: str) -> RunConfig:
    return one_job("lint", list(words), Options()).config


def told(said: list[Said], severities: tuple[str, ...] = ("error", "warning")) -> list[tuple[str, str]]:
    return [(one.rule.code, one.finding.layer) for one in said if one.severity in severities]


NAMED = ("all_conv", "densenet", "highway", "inception", "lenet", "linear", "mlp", "plain", "resnet", "vgg")


@pytest.mark.parametrize("data", ["data=digits", "data.name=own_parts:grey28", "data.name=own_parts:colour32"])
@pytest.mark.parametrize("name", NAMED)
def test_the_named_nets_are_clean(name: str, data: str) -> None:
    assert told(lint_config(composed(f"model={name}", data))) == []


BLUNDERS: dict[str, tuple[tuple[str, ...], set[tuple[str, str]], set[tuple[str, str]]]] = {
    # Words, errors and warnings, and notes: all of them.
    "blunder_a": (
        ("data.name=own_parts:features39", "optimizer=sgd", "train.loss=mse"),
        {("init-equal", "linear"), ("act-none", "linear")},
        {("width-bottleneck", "classifier"), ("optimizer-plain", "")},
    ),
    "blunder_b": (
        ("data.name=own_parts:grey28", "optimizer=rmsprop", "train.loss=mse"),
        {("act-softmax", "act2"), ("out-dropout", "drop2"), ("out-loss", "")},
        {("width-first", "conv"), ("shape-proportion", "conv"), ("act-before-pool", "act")},
    ),
    "blunder_c": (
        ("data.name=own_parts:colour100", "train.epochs=100"),
        {("shape-fails", "conv7"), *(("act-none", f"conv{i}") for i in ("", 3, 5))},
        set(),
    ),
    "blunder_d": (
        ("data.name=own_parts:colour100", "train.epochs=100"),
        {
            *(("act-none", "conv3"), ("act-none", "linear"), ("drop-all", "drop")),
            *(("out-activation", "output"), ("out-dropout", "drop2")),
        },
        {
            *(("width-first", "conv"), ("width-narrows", "conv"), ("init-act", "conv")),
            *(("shape-proportion", "pool2"), ("act-before-pool", "act")),
        },
    ),
}


@pytest.mark.parametrize("name", [*list(BLUNDERS)[:-1], pytest.param("blunder_d", marks=pytest.mark.slow)])
def test_each_fault_of_the_blunders_has_its_rule_and_nothing_else_is_said(name: str) -> None:
    words, faults, notes = BLUNDERS[name]
    said = lint_config(composed(f"model={name}", *words))
    assert set(told(said)) == faults
    assert set(told(said, ("note",))) == notes


@pytest.mark.parametrize("name", BLUNDERS)
def test_the_repaired_blunders_are_clean(name: str) -> None:
    words = [word for word in BLUNDERS[name][0] if not word.startswith(("optimizer", "train.loss"))]
    assert told(lint_config(composed(f"model={name.replace('blunder', 'repaired')}", *words))) == []


@pytest.mark.parametrize("pool", POOLS)
def test_no_pool_is_taken_for_a_second_activation(pool: str) -> None:
    said = lint_config(composed("model.block=conv-act-pool", f"model.pool={pool}"))
    assert "act-twice" not in {one.rule.code for one in said}


class Guarded(nn.Module):
    """Results of a ReLU, weighted by a second ReLU of the same."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(20, 32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        weight = torch.relu(x) + 1.0
        return self.last(x * weight / weight.sum(1, keepdim=True))


def test_an_activation_that_makes_a_weight_is_no_second_one() -> None:
    assert told(lint(Guarded(), examples((20,), CLASSES), CLASSES)) == []
