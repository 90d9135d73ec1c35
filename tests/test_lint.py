"""`lab lint`: each rule on a small net that has its fault, at the right layer, and silence on sound nets."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.checks.lint.linter import RULES, examples, lint
from lab.checks.lint.render import as_json, as_sarif, as_text, explained
from lab.checks.lint.task import Task, loss_of, range_of
from lab.checks.lint.trace import trace
from lab.cli.main import main
from lab.errors import UserError

CLASSES = Task("classes", 10, "cross_entropy", "logits", optimizer="adam", lr=1e-3, batch_size=64, updates=1000)
NUMBER = Task("numbers", 1, "mse", "values", optimizer="adam", lr=1e-3, batch_size=64, updates=1000)
BINARY = Task("binary", 1, "bce", "probabilities", optimizer="adam", lr=1e-3, batch_size=64, updates=1000)


def mlp(*layers: nn.Module, out: int = 10, first: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:
    """20 features to `out`, with `layers` behind the last linear one."""
    return nn.Sequential(nn.Linear(20, 32), *([first()] if first else []), nn.Linear(32, out), *layers)


def zeroed(net: nn.Sequential) -> nn.Sequential:
    nn.init.zeros_(net.get_parameter("0.weight"))
    return net


def deep(act: Callable[[], nn.Module], depth: int, norm: bool = False) -> nn.Sequential:
    layers = [[nn.Linear(20, 20), *([nn.BatchNorm1d(20)] if norm else []), act()] for _ in range(depth)]
    return nn.Sequential(*(one for block in layers for one in block), nn.Linear(20, 10))


def conv_net(*tail: nn.Module, size: int = 3, out: int = 10) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, size), nn.ReLU(), *tail, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, out)
    )


FAULTS: dict[str, tuple[Callable[[], nn.Module], Task, str, str]] = {
    # What is wrong: (net, task, rule, layer).
    "softmax over one unit": (lambda: mlp(nn.Softmax(dim=-1), out=1), BINARY, "out-one-softmax", "3"),
    "softmax over one number": (lambda: mlp(nn.Softmax(dim=1), out=1), NUMBER, "out-one-softmax", "3"),
    "sigmoids for classes": (
        lambda: mlp(nn.Sigmoid()),
        replace(CLASSES, takes="probabilities"),
        "out-activation",
        "3",
    ),
    "relu for classes": (lambda: mlp(nn.ReLU()), CLASSES, "out-activation", "3"),
    "tanh for yes or no": (lambda: mlp(nn.Tanh(), out=1), BINARY, "out-activation", "3"),
    "softmax for labels": (
        lambda: mlp(nn.Softmax(1)),
        replace(BINARY, kind="labels", num_outputs=10),
        "out-activation",
        "3",
    ),
    "sigmoid for numbers": (
        lambda: mlp(nn.Sigmoid(), out=1),
        replace(NUMBER, targets=(-3, 3)),
        "out-bounded",
        "3",
    ),
    "relu for numbers": (lambda: mlp(nn.ReLU(), out=1), replace(NUMBER, targets=(-1, 1)), "out-bounded", "3"),
    "tanh for larger numbers": (lambda: mlp(nn.Tanh(), out=1), replace(NUMBER, targets=(0, 9)), "out-bounded", "3"),
    "no sigmoid": (lambda: mlp(out=1), BINARY, "out-missing", "2"),
    "no log-softmax": (lambda: mlp(), replace(CLASSES, takes="log-probabilities"), "out-missing", "2"),
    "softmax twice": (lambda: mlp(nn.Softmax(dim=1)), CLASSES, "out-twice", "3"),
    "nine outputs": (lambda: mlp(out=9), CLASSES, "out-count", "2"),
    "squared error of classes": (lambda: mlp(), replace(CLASSES, loss="mse", takes="values"), "out-loss", ""),
    "cross-entropy of a number": (lambda: mlp(out=1), replace(NUMBER, loss="cross_entropy"), "out-loss", ""),
    "accuracy as the loss": (lambda: mlp(), replace(CLASSES, loss="accuracy"), "out-loss", ""),
    "accuracy of numbers": (lambda: mlp(out=1), replace(NUMBER, metric="accuracy"), "out-metric", ""),
    "dropout behind": (lambda: mlp(nn.Dropout(0.1)), CLASSES, "out-dropout", "3"),
    "no activation": (lambda: mlp(first=None), CLASSES, "act-none", "0"),
    "softmax inside": (lambda: mlp(first=lambda: nn.Softmax(1)), CLASSES, "act-softmax", "1"),  # pyright: ignore
    "relu twice": (
        lambda: nn.Sequential(nn.Linear(20, 9), nn.ReLU(), nn.ReLU(), nn.Linear(9, 10)),
        CLASSES,
        "act-twice",
        "2",
    ),
    "sigmoids in depth": (lambda: deep(nn.Sigmoid, 6), CLASSES, "act-saturates", "1"),
    "dropout of all": (
        lambda: nn.Sequential(nn.Linear(20, 9), nn.ReLU(), nn.Dropout(1.0), nn.Linear(9, 10)),
        CLASSES,
        "drop-all",
        "2",
    ),
    "dropout before norm": (
        lambda: nn.Sequential(nn.Linear(20, 9), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(9), nn.Linear(9, 10)),
        CLASSES,
        "drop-before-norm",
        "2",
    ),
    "bias before norm": (lambda: deep(nn.ReLU, 2, norm=True), CLASSES, "norm-bias", "0"),
    "batches of one": (lambda: deep(nn.ReLU, 2, norm=True), replace(CLASSES, batch_size=1), "norm-few", "1"),
    "zero weights": (lambda: zeroed(mlp()), CLASSES, "init-equal", "0"),
    "a signal that fades": (lambda: deep(nn.ReLU, 30), CLASSES, "init-fades", "60"),
    "a rate of 1 under Adam": (lambda: mlp(), replace(CLASSES, lr=1.0), "rate", ""),
    "a rate of 1e-9 under Adam": (lambda: mlp(), replace(CLASSES, lr=1e-9), "rate", ""),
    "a rate of 5 under descent": (lambda: mlp(), replace(CLASSES, optimizer="sgd", lr=5.0), "rate", ""),
    "ten updates": (lambda: mlp(), replace(CLASSES, updates=10), "updates", ""),
    "inputs up to 255": (lambda: mlp(), replace(CLASSES, inputs=(0, 255)), "input-scale", ""),
    "targets up to 1,000": (lambda: mlp(out=1), replace(NUMBER, targets=(0, 1000)), "target-scale", ""),
}


IMAGES: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "kernels beyond the pixels": (lambda: conv_net(nn.MaxPool2d(20), nn.Conv2d(8, 8, 5)), "shape-fails", "3"),
    "no flatten": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Linear(8, 10)), "shape-flatten", "2"),
    "other features": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(99, 10)), "shape-fails", "1"),
    "relu before max": (lambda: conv_net(nn.MaxPool2d(2)), "act-before-pool", "1"),
    "dropout that a pool hides": (lambda: conv_net(nn.Dropout(0.2), nn.MaxPool2d(2)), "drop-before-pool", "2"),
    "few pixels seen": (lambda: conv_net(), "field-small", "2"),
    "all pixels seen long since": (
        lambda: nn.Sequential(
            *(one for _ in range(5) for one in (nn.LazyConv2d(8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))),
            *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 10)),
        ),
        "field-large",
        "12",
    ),
    "many maps first": (
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 256, 3), nn.ReLU(), nn.Conv2d(256, 256, 3), nn.ReLU(), nn.Flatten()),
            nn.Linear(256 * 28 * 28, 10),
        ),
        "width-first",
        "0",
    ),
    "fewer and fewer maps": (
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 8, 3), nn.ReLU(), nn.Flatten()),
            nn.Linear(8 * 28 * 28, 10),
        ),
        "width-narrows",
        "0",
    ),
    "an ImageNet stem": (
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            nn.Linear(8, 10),
        ),
        "shape-proportion",
        "0",
    ),
}


@pytest.mark.parametrize("fault", IMAGES)
def test_faults_of_images_are_found_at_their_layer(fault: str) -> None:
    make, code, layer = IMAGES[fault]
    said = lint(make(), examples((3, 32, 32), CLASSES), CLASSES)
    assert (code, layer) in [(one.rule.code, one.finding.layer) for one in said]


class Listed(nn.Module):
    """Layers in a plain list, which `parameters` does not find."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(20, 32)
        self.layers = [nn.Linear(32, 32), nn.Linear(32, 10)]

    def forward(self, x: Tensor) -> Tensor:
        for layer in [self.first, *self.layers]:
            x = layer(torch.relu(x))
        return x


class Scaled(nn.Module):
    """A weight that is no `nn.Parameter`."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(20, 10)
        self.scale = torch.ones(20, requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(x * self.scale)


class Fresh(nn.Module):
    """A layer made anew in each call."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.relu(nn.Linear(20, 32)(x)))


def frozen(net: nn.Sequential, *layers: str) -> nn.Sequential:
    for name in layers:
        net.get_submodule(name).requires_grad_(False)
    return net


def sized(net: nn.Sequential, layer: str, size: float) -> nn.Sequential:
    """`net` with the weights of a layer drawn from N(0, size^2)."""
    nn.init.normal_(net.get_parameter(f"{layer}.weight"), 0, size)
    return net


def positive(net: nn.Sequential) -> nn.Sequential:
    nn.init.uniform_(net.get_parameter("0.weight"), 0, 0.2)
    return net


def xavier(net: nn.Sequential) -> nn.Sequential:
    for one in net.modules():
        if isinstance(one, nn.Linear):
            nn.init.xavier_normal_(one.weight)
    return net


def dropped(p: float) -> nn.Sequential:
    """Dropout, and a norm somewhere behind it."""
    return nn.Sequential(
        *(nn.Linear(20, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(p)),
        *(nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)),
    )


DECAYED = replace(CLASSES, decay=1e-4)

NEW: dict[str, tuple[Callable[[], nn.Module], Task, str, str]] = {
    "layers in a list": (Listed, CLASSES, "grad-unheld", "layers.0"),
    "a weight that is no parameter": (Scaled, CLASSES, "grad-unheld", "scale"),
    "a layer made in forward": (Fresh, CLASSES, "grad-unheld", "forward"),
    "a frozen layer": (lambda: frozen(mlp(), "0"), CLASSES, "grad-frozen", "0"),
    "all frozen": (lambda: frozen(mlp(), "0", "2"), CLASSES, "grad-frozen", ""),
    "an init behind norms": (
        lambda: deep(nn.ReLU, 3, norm=True),
        replace(CLASSES, init="model.init=orthogonal"),
        "norm-init",
        "0",
    ),
    "large weights behind a norm": (
        lambda: sized(deep(nn.ReLU, 3, norm=True), "3", 10.0),
        CLASSES,
        "norm-init",
        "3",
    ),
    "strong dropout among norms": (lambda: dropped(0.5), CLASSES, "norm-drop", "3"),
    "decay before norms": (lambda: deep(nn.ReLU, 3, norm=True), DECAYED, "norm-decay", "0"),
    "decay of norms": (lambda: dropped(0.1), replace(DECAYED, decays_all=True), "decay-all", "1"),
    "decay of biases": (lambda: mlp(), replace(DECAYED, decays_all=True), "decay-all", "0"),
    "a norm of one value": (
        lambda: nn.Sequential(nn.Linear(20, 1), nn.LayerNorm(1), nn.Linear(1, 10)),
        CLASSES,
        "norm-few",
        "1",
    ),
    "groups of one value": (
        lambda: nn.Sequential(nn.Linear(20, 8), nn.GroupNorm(8, 8), nn.Linear(8, 10)),
        CLASSES,
        "norm-few",
        "1",
    ),
    "sure at the start": (lambda: sized(mlp(), "2", 3.0), CLASSES, "loss-start", "2"),
    "weights of one sign": (lambda: positive(mlp()), CLASSES, "init-sign", "0"),
    "Xavier under relu": (lambda: xavier(deep(nn.ReLU, 4)), CLASSES, "init-act", "0"),
    "plain descent": (lambda: mlp(), replace(CLASSES, optimizer="sgd", lr=0.05), "optimizer-plain", ""),
    "separate sigmoids under cross-entropy": (lambda: mlp(nn.Sigmoid()), CLASSES, "out-activation", "3"),
    "two units for all": (
        lambda: nn.Sequential(nn.Linear(20, 2), nn.ReLU(), nn.Linear(2, 10)),
        CLASSES,
        "width-bottleneck",
        "0",
    ),
}
FAULTS |= NEW


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_at_its_layer(fault: str) -> None:
    torch.manual_seed(0)
    make, task, code, layer = FAULTS[fault]
    said = lint(make(), examples((20,), task), task)
    assert (code, layer) in [(one.rule.code, one.finding.layer) for one in said]


NEIGHBOURS: dict[str, tuple[Callable[[], nn.Module], Task, str]] = {
    # A sound net beside each of them, in which the rule is silent.
    "layers in a ModuleList": (lambda: mlp(), CLASSES, "grad-unheld"),
    "no frozen layer": (lambda: mlp(), CLASSES, "grad-frozen"),
    "an init without norms": (lambda: deep(nn.ReLU, 3), replace(CLASSES, init="model.init=orthogonal"), "norm-init"),
    "the default init behind norms": (lambda: deep(nn.ReLU, 3, norm=True), CLASSES, "norm-init"),
    "little dropout among norms": (lambda: dropped(0.1), CLASSES, "norm-drop"),
    "decay without norms": (lambda: mlp(), DECAYED, "norm-decay"),
    "decay of weights alone": (lambda: dropped(0.1), DECAYED, "decay-all"),
    "groups of two values": (
        lambda: nn.Sequential(nn.Linear(20, 8), nn.GroupNorm(4, 8), nn.Linear(8, 10)),
        CLASSES,
        "norm-few",
    ),
    "near chance at the start": (lambda: mlp(), CLASSES, "loss-start"),
    "torch's own start": (lambda: deep(nn.ReLU, 4), CLASSES, "init-act"),
    "weights of both signs": (lambda: mlp(), CLASSES, "init-sign"),
    "Xavier under tanh": (lambda: xavier(deep(nn.Tanh, 4)), CLASSES, "init-act"),
    "momentum": (lambda: mlp(), replace(CLASSES, optimizer="sgd", lr=0.01, momentum=0.9), "optimizer-plain"),
}


@pytest.mark.parametrize("net", NEIGHBOURS)
def test_a_rule_is_silent_beside_its_fault(net: str) -> None:
    torch.manual_seed(0)
    make, task, code = NEIGHBOURS[net]
    assert code not in [one.rule.code for one in lint(make(), examples((20,), task), task)]


class Functional(nn.Module):
    """As people write a net for MNIST: functions, a branch that depends on a flag, weights used twice, a tuple."""

    def __init__(self, last: Callable[[Tensor], Tensor], pair: bool = False):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 14 * 14, 10)
        self.last, self.pair = last, pair

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = x + F.relu(self.conv2(x))
        x = x + torch.relu_(self.conv2(x))
        x = F.dropout(x.view(len(x), -1), 0.5, self.training)
        found = self.last(self.fc(x))
        return (found, x) if self.pair else found


def test_functions_and_branches_are_read_like_modules() -> None:
    said = lint(Functional(lambda x: F.log_softmax(x, dim=1)), torch.randn(4, 1, 28, 28), CLASSES)
    assert not [one for one in said if one.severity != "note"]  # log-softmax twice is log-softmax
    said = lint(Functional(lambda x: torch.softmax(x, 1), pair=True), torch.randn(4, 1, 28, 28), CLASSES)
    assert [one.rule.code for one in said if one.severity != "note"] == ["out-twice"]
    assert "softmax makes the outputs" in said[0].finding.what


SOUND: dict[str, tuple[Callable[[], nn.Module], Task]] = {
    "a perceptron": (lambda: mlp(), CLASSES),
    "a number": (lambda: mlp(out=1), replace(NUMBER, targets=(-2, 2))),
    "yes or no": (lambda: mlp(nn.Sigmoid(), out=1), BINARY),
    "yes or no from logits": (lambda: mlp(out=1), replace(BINARY, takes="logits")),
    "log-softmax": (lambda: mlp(nn.LogSoftmax(1)), replace(CLASSES, takes="log-probabilities")),
    "pixels by sigmoid": (lambda: mlp(nn.Sigmoid(), out=1), replace(NUMBER, targets=(0, 1))),
    "deep with norms": (lambda: deep(nn.ReLU, 20, norm=True), CLASSES),
    "descent": (lambda: mlp(), replace(CLASSES, optimizer="sgd", lr=0.05, momentum=0.9)),
}


@pytest.mark.parametrize("net", SOUND)
def test_sound_nets_are_clean(net: str) -> None:
    torch.manual_seed(0)
    make, task = SOUND[net]
    assert [as_text([one]) for one in lint(make(), examples((20,), task), task) if one.severity != "note"] == []


def test_a_net_stays_as_it_is() -> None:
    net = deep(nn.ReLU, 2, norm=True)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    inputs, state = torch.randn(4, 20), torch.random.get_rng_state()
    lint(net.eval(), inputs, CLASSES)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert not net.training


def test_unused_and_detached_layers_get_no_gradient() -> None:
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle, self.cut = nn.Linear(20, 10), nn.Linear(3, 3), nn.Linear(20, 20)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(self.cut(x).detach())

    assert trace(Idle(), torch.randn(4, 20)).without_gradient == ["idle.weight", "idle.bias", "cut.weight", "cut.bias"]


def test_recurrent_and_attention_layers_are_one_operation_each() -> None:
    encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    net = nn.Sequential(nn.LSTM(8, 16, batch_first=True), First(), encoder, nn.Linear(16, 10))
    kinds = [one.kind for one in trace(net, torch.randn(4, 5, 8))]
    assert kinds.count("recurrent") == kinds.count("attention") == 1
    assert kinds.count("norm") == 2


class First(nn.Module):
    def forward(self, x: tuple[Tensor, Tensor]) -> Tensor:
        return x[0]


@pytest.mark.parametrize("code", RULES)
def test_each_rule_explains_itself(code: str) -> None:
    text = explained(RULES[code])
    assert text.startswith(f"{code} (")
    assert len(text.split()) > 15


def test_formats_agree() -> None:
    said = lint(mlp(nn.Softmax(dim=1)), torch.randn(4, 20), CLASSES)
    assert json.loads(as_json(said))[0]["code"] == "out-twice"
    assert json.loads(as_sarif(said))["runs"][0]["results"][0]["ruleId"] == "out-twice"
    assert "warning[out-twice] 3 (10,): softmax makes the outputs" in as_text(said)


def test_the_verb_finds_explains_and_repairs(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model.depth=30", "model.widths=[16,16]", "model.init=xavier_normal"]
    assert main(["lint", *words]) == 0
    assert "warning[init-fades] classifier" in capsys.readouterr().out
    assert main(["lint", *words, "--fix"]) == 0
    out = capsys.readouterr().out
    assert "model.init=he_normal" in out
    assert "clean of errors and warnings" in out
    assert main(["list", "rules", "init"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["init-act", "note:"]
    assert main(["lint", "--explain", "init-fades"]) == 0
    assert "He et al. 2015" in capsys.readouterr().out
    assert main(["lint", "--module", "torch.nn:Identity", "--shape", "10", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--explain", "init-fade"], "did you mean 'init-fades'"),
        (["--select", "nothing"], "no such rule"),
        (["--format", "xml"], "there are: text, json, sarif"),
        (["--module", "torch.nn:Identity"], "--shape= is no shape"),
        (["--module", "torch.nn:Identity", "--shape", "0,3"], "1 or more"),
        (["--module", "torch.nn:Identity", "--shape", "3", "--loss", "mse_los"], "did you mean"),
        (["--module", "torch.nn:Identity", "--shape", "3", "--task", "class"], "did you mean 'classes'"),
        (["--module", "torch.nn:Identity", "--shape", "3", "--input", "5..1"], "is not a range"),
        (["--module", "torch.nn:Nothing", "--shape", "3"], "has no 'Nothing'"),
        (["--module", "torch.nn:Linear", "--shape", "3"], "failed: TypeError"),
        (["model.depth=3", "--module", "torch.nn:Identity", "--shape", "3"], "overrides and --fix are for"),
    ],
)
def test_wrong_words_get_one_message(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", *words]) == 2
    assert message in capsys.readouterr().err


def test_names_of_losses_and_ranges() -> None:
    assert loss_of("mse_loss") == ("mse", "values")
    assert range_of("0..255") == (0, 255)
    assert range_of("") is None
    with pytest.raises(UserError, match="did you mean 'hinge'"):
        loss_of("hing")
