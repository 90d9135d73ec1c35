"""`lab lint` on faults as people ask about them, and on sound nets that resemble them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.checks.lint.linter import examples, lint
from lab.checks.lint.render import as_text
from lab.checks.lint.task import Task

CLASSES = Task("classes", 10, "cross_entropy", "logits", optimizer="adam", lr=1e-3, batch_size=64, updates=1000)
PROBABILITIES = replace(CLASSES, takes="probabilities")
LOGS = replace(CLASSES, takes="log-probabilities")
NUMBER = Task("numbers", 1, "mse", "values", optimizer="adam", lr=1e-3, updates=1000, targets=(-3, 3))
BINARY = Task("binary", 1, "bce", "logits", optimizer="adam", lr=1e-3, updates=1000)


class Net(nn.Module):
    """A net whose `forward` is `run(net, x)`."""

    def __init__(self, run: Callable[..., object], **layers: nn.Module):
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> object:
        return self.run(self, x)


def dense(run: Callable[..., object], out: int = 10) -> nn.Module:
    """Two linear layers, `a` and `b`, of 20 features."""
    return Net(run, a=nn.Linear(20, 32), b=nn.Linear(32, out))


def logits(net: nn.Module, x: Tensor) -> Tensor:
    return net.b(F.relu(net.a(x)))  # pyright: ignore[reportCallIssue]


def recurrent(run: Callable[..., object], batch_first: bool) -> nn.Module:
    return Net(run, lstm=nn.LSTM(8, 32, batch_first=batch_first), fc=nn.Linear(32, 10))


def encoder(batch_first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=batch_first)
    return Net(lambda net, x: net.fc(net.layer(x).mean(1)), layer=layer, fc=nn.Linear(16, 10))


def changed_in_place(net: nn.Module, x: Tensor) -> Tensor:
    y = torch.sigmoid(net.a(x))  # pyright: ignore[reportCallIssue]
    y += 1
    return net.b(y)  # pyright: ignore[reportCallIssue]


def rounded(net: nn.Module, x: Tensor) -> Tensor:
    return net.b(torch.round(net.a(x)))  # pyright: ignore[reportCallIssue]


def passed_around(net: nn.Module, x: Tensor) -> Tensor:
    y = net.a(x)  # pyright: ignore[reportCallIssue]
    return net.b(y + (torch.round(y) - y).detach())  # pyright: ignore[reportCallIssue]


def standardised(net: nn.Module, x: Tensor) -> Tensor:
    y = net.a(x)  # pyright: ignore[reportCallIssue]
    return net.b(F.relu((y - y.mean(0)) / (y.std(0) + 1e-5)))  # pyright: ignore[reportCallIssue]


def maps(*tail: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), *tail)


def images(*layers: nn.Module, features: int) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 10))


def viewed() -> nn.Module:
    """A `view` with 320 features, where there are 5,760."""
    layers = {"a": nn.Conv2d(1, 10, 5), "b": nn.Linear(320, 10)}
    return Net(lambda net, x: net.b(F.relu(net.a(x)).view(-1, 320)), **layers)


def halved() -> nn.Module:
    return images(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.MaxPool2d(14), nn.Conv2d(8, 8, 2), nn.ReLU(), features=8)


def averaged() -> nn.Module:
    """A shortcut with an average and a projection, as in ResNet-D."""
    layers = {"a": nn.Conv2d(3, 8, 3, padding=1), "short": nn.Conv2d(8, 16, 1), "b": nn.Conv2d(8, 16, 3, 2, 1)}

    def run(net: nn.Module, x: Tensor) -> Tensor:
        a, short, b, fc = (net.get_submodule(name) for name in ("a", "short", "b", "fc"))
        x = F.relu(a(x))
        return fc((short(F.avg_pool2d(x, 2)) + b(x)).mean((2, 3)))

    return Net(run, **layers, fc=nn.Linear(16, 10))


def tagger() -> nn.Module:
    """A row of outputs for each word."""
    layers = {"words": nn.Embedding(50, 8), "lstm": nn.LSTM(8, 32, batch_first=True), "fc": nn.Linear(32, 10)}
    return Net(lambda net, x: net.fc(net.lstm(net.words(x))[0]).view(-1, 10), **layers)


Case = tuple[Callable[[], nn.Module], tuple[int, ...], Task]

FAULTS: dict[str, tuple[Case, str, str]] = {
    "softmax over the batch": (
        (lambda: dense(lambda net, x: F.softmax(logits(net, x), dim=0)), (20,), PROBABILITIES),
        "softmax-axis",
        "softmax",
    ),
    "log-softmax over the batch": (
        (lambda: nn.Sequential(nn.Linear(20, 10), nn.LogSoftmax(dim=0)), (20,), LOGS),
        "softmax-axis",
        "1",
    ),
    "softmax along a row of pixels": (
        (lambda: maps(nn.Conv2d(8, 10, 1), nn.Softmax(dim=-1)), (3, 16, 16), PROBABILITIES),
        "softmax-axis",
        "3",
    ),
    "a view with other numbers": (
        (viewed, (1, 28, 28), CLASSES),
        "out-rows",
        "view",
    ),
    "flatten from axis 0 on": (
        (lambda: nn.Sequential(nn.Flatten(0), nn.Linear(80, 10)), (20,), CLASSES),
        "out-rows",
        "0",
    ),
    "the last step of the wrong axis": (
        (lambda: recurrent(lambda net, x: net.fc(net.lstm(x)[0][-1]), False), (12, 8), CLASSES),
        "out-rows",
        "lstm",
    ),
    "a recurrent layer over the batch": (
        (lambda: recurrent(lambda net, x: net.fc(net.lstm(x)[0][:, -1]), False), (12, 8), CLASSES),
        "batch-mixed",
        "lstm",
    ),
    "attention over the batch": ((lambda: encoder(False), (12, 16), CLASSES), "batch-mixed", "layer.self_attn"),
    "a tensor changed in place": ((lambda: dense(changed_in_place), (20,), CLASSES), "grad-fails", ""),
    "rounding": ((lambda: dense(rounded), (20,), CLASSES), "grad-flat", "round"),
    "no outputs": ((lambda: dense(lambda net, x: None), (20,), CLASSES), "shape-fails", ""),
    "dropout that never ends": (
        (lambda: dense(lambda net, x: net.b(F.dropout(F.relu(net.a(x)), 0.5))), (20,), CLASSES),
        "drop-always",
        "dropout",
    ),
    "relu before softmax": (
        (lambda: dense(lambda net, x: F.softmax(F.relu(logits(net, x)), 1)), (20,), PROBABILITIES),
        "act-twice",
        "relu",
    ),
    "pools between convolutions": (
        (
            lambda: images(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.Conv2d(8, 8, 5), nn.ReLU(), features=512),
            (1, 28, 28),
            CLASSES,
        ),
        "act-pooled",
        "0",
    ),
    "averages between two linear maps": (
        (lambda: images(nn.Conv2d(1, 8, 3), nn.AvgPool2d(2), features=1352), (1, 28, 28), CLASSES),
        "act-none",
        "0",
    ),
    "probabilities with a guard": (
        (lambda: dense(lambda net, x: F.softmax(logits(net, x), 1) + 1e-8), (20,), CLASSES),
        "out-twice",
        "softmax",
    ),
    "kernels over most of the image": (
        (lambda: images(nn.Conv2d(1, 8, 20), nn.ReLU(), features=648), (1, 28, 28), CLASSES),
        "shape-proportion",
        "0",
    ),
    "a pool over half of the image": (
        (halved, (1, 28, 28), CLASSES),
        "shape-proportion",
        "2",
    ),
    "batches of one image": (
        (
            lambda: images(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), features=5408),
            (1, 28, 28),
            replace(CLASSES, batch_size=1),
        ),
        "norm-few",
        "1",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_people_ask_about_is_found(fault: str) -> None:
    torch.manual_seed(0)
    (make, shape, task), code, layer = FAULTS[fault]
    said = lint(make(), examples(shape, task), task)
    found = [(one.rule.code, one.finding.layer) for one in said if one.severity != "note"]
    assert (code, layer) in found
    assert len(found) == 1 or code == "norm-few"  # no second alarm about the same


SOUND: dict[str, Case] = {
    "a recurrent layer": (lambda: recurrent(lambda net, x: net.fc(net.lstm(x)[0][:, -1]), True), (12, 8), CLASSES),
    "time first, as it should be": (
        lambda: recurrent(lambda net, x: net.fc(net.lstm(x.transpose(0, 1))[0][-1]), False),
        *((12, 8), CLASSES),
    ),
    "its last state": (lambda: recurrent(lambda net, x: net.fc(net.lstm(x)[1][0][-1]), True), (12, 8), CLASSES),
    "attention": (lambda: encoder(True), (12, 16), CLASSES),
    "a row for each word": (tagger, (12,), CLASSES),
    "words": (
        lambda: Net(lambda net, x: net.fc(net.words(x).mean(1)), words=nn.Embedding(100, 16), fc=nn.Linear(16, 10)),
        *((12,), CLASSES),
    ),
    "numbers of words as floats": (
        lambda: Net(
            lambda net, x: net.fc(net.words(x.long()).mean(1)), words=nn.Embedding(100, 16), fc=nn.Linear(16, 10)
        ),
        *((12,), replace(CLASSES, inputs=(0, 99))),
    ),
    "classes of pixels": (lambda: maps(nn.Conv2d(8, 10, 1), nn.Softmax(dim=1)), (3, 16, 16), PROBABILITIES),
    "a straight-through estimator": (lambda: dense(passed_around), (20,), CLASSES),
    "a norm written by hand": (lambda: dense(standardised), (20,), CLASSES),
    "log of softmax": (lambda: dense(lambda net, x: F.softmax(logits(net, x), 1).log()), (20,), LOGS),
    "log of a guarded softmax": (
        lambda: dense(lambda net, x: torch.log(F.softmax(logits(net, x), 1) + 1e-8)),
        *((20,), LOGS),
    ),
    "clamped probabilities": (
        lambda: dense(lambda net, x: F.softmax(logits(net, x), 1).clamp(1e-7, 1 - 1e-7)),
        *((20,), PROBABILITIES),
    ),
    "inputs divided by the net": (
        lambda: dense(lambda net, x: logits(net, x / 255)),
        *((20,), replace(CLASSES, inputs=(0, 255))),
    ),
    "a sigmoid that is stretched": (
        lambda: dense(lambda net, x: 40 * torch.sigmoid(logits(net, x)), out=1),
        *((20,), replace(NUMBER, targets=(0, 40))),
    ),
    "inputs through numpy": (
        lambda: dense(lambda net, x: logits(net, torch.from_numpy(x.numpy() / 2))),
        *((20,), CLASSES),
    ),
    "inputs changed in place": (lambda: dense(lambda net, x: logits(net, x.sub_(1))), (20,), CLASSES),
    "dropout in training alone": (
        lambda: dense(lambda net, x: net.b(F.dropout(F.relu(net.a(x)), 0.5, net.training))),
        *((20,), CLASSES),
    ),
    "yes or no, squeezed": (lambda: dense(lambda net, x: logits(net, x).squeeze(1), out=1), (20,), BINARY),
    "two images compared": (
        lambda: dense(lambda net, x: net.b((net.a(x[:, 0]) - net.a(x[:, 1])).abs()), out=1),
        *((2, 20), BINARY),
    ),
    "patches": (
        lambda: nn.Sequential(nn.Conv2d(3, 32, 16, 16), nn.Flatten(), nn.LayerNorm(128), nn.ReLU(), nn.Linear(128, 10)),
        *((3, 32, 32), CLASSES),
    ),
    "an average on the shortcut": (averaged, (3, 16, 16), CLASSES),
}


@pytest.mark.parametrize("net", SOUND)
def test_what_resembles_a_fault_is_let_through(net: str) -> None:
    torch.manual_seed(0)
    make, shape, task = SOUND[net]
    said = lint(make(), examples(shape, task), task)
    assert [as_text([one]) for one in said if one.severity != "note"] == []
