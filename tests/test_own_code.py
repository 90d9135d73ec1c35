"""A user's own nets and parts: trained as anywhere else, or one message with key, call and line, before a step."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeJob
from quick_lab import QUICK_LAB

from lab.config import RunConfig
from lab.errors import OwnPartError, UserError, choose
from lab.identity import with_values
from lab.launch.slots import portable
from lab.runs.build import assemble
from lab.runs.run import run

MINE = '''
import torch, torchvision
import torch.nn.functional as F
from torch import nn

class View(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.conv = nn.Conv2d(shape[0], 4, 3, padding=1)
        self.linear = nn.Linear(4 * shape[1] * shape[2], outputs)
    def forward(self, x):
        return self.linear(self.conv(x).view(len(x), -1))

class Loose(nn.Module):
    """A net whose outputs a subclass spoils."""
    def __init__(self, shape, outputs):
        super().__init__()
        self.linear = nn.LazyLinear(outputs)
    def forward(self, x):
        return self.linear(x.flatten(1))

class OneAxis(Loose):
    def forward(self, x):
        return super().forward(x)[:, 0]

class InTraining(Loose):
    def forward(self, x):
        return (super().forward(x),) * 3 if self.training else super().forward(x)

class Named(Loose):
    def forward(self, x):
        return {"logits": super().forward(x)}

class Weightless(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
    def forward(self, x):
        return x.flatten(1)[:, :10]

class NoArgs(nn.Module):
    pass

def thousand(shape, outputs): return nn.Sequential(nn.Flatten(), nn.LazyLinear(1000))
def two(shape, outputs): return nn.Linear(shape[0], 2)
def forgot(shape, outputs): nn.Linear(3, outputs)
def divides(shape, outputs): return 1 / 0
def quits(shape, outputs): raise SystemExit(3)
def each(outputs, labels, reduction): return F.cross_entropy(outputs, labels, reduction="none")
def cut(outputs, labels, reduction): return F.cross_entropy(outputs.detach(), labels)
def short(outputs, labels): return F.cross_entropy(outputs, labels)
def number(outputs, labels, reduction): return 3.0
def one(weight): return weight.zero_()
def late(progress): return None
def shift(images, train): return 1
def alone(images): return images
def act(shape): return None
three = 3

class Calls(nn.Module):
    """What happens in each pass."""
    act = None
    def __init__(self, shape): super().__init__()
    def forward(self, x): return self.act(x)

def leave(x): raise SystemExit(3)
def stop(x): raise KeyboardInterrupt
def fail(x): raise ValueError("no")
def reseed(x):
    torch.manual_seed(0)
    return x.relu()
class Leaves(Calls): act = staticmethod(leave)
class Stops(Calls): act = staticmethod(stop)
class Fails(Calls): act = staticmethod(fail)
class Reseeds(Calls): act = staticmethod(reseed)
class GivesNone(Calls): act = staticmethod(lambda x: None)
class GivesNumber(Calls): act = staticmethod(lambda x: 3)
class GivesText(Calls): act = staticmethod(lambda x: "relu")
class Late(Calls):
    """In training well for two steps."""
    steps = 0
    def forward(self, x):
        Late.steps += self.training and x.requires_grad
        return leave(x) if Late.steps > 3 else x.relu()

class Step(torch.optim.SGD):
    def step(self, closure=None): raise SystemExit(3)
def stepless(groups, lr, momentum): return Step(groups, lr=lr)
def stopped(shape): raise KeyboardInterrupt
def no_penalty(weight): raise SystemExit(3)
def text(root): return "data"

class Normed(nn.Module):
    """The group norm of its images, as a function."""
    def __init__(self, shape, outputs):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(shape[0]))
        self.conv = nn.Conv2d(shape[0], outputs, 3)
    def forward(self, x):
        return self.conv(F.group_norm(x, 1, self.gain)).mean((2, 3))
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mine.py").write_text(MINE)
    for name, text in (
        ("syntax", "def net(:"),
        ("top", "\n1 / 0"),
        ("missing", "import nowhere_at_all"),
        ("lacks", "import os\nos.no_such_thing"),
        ("leaves", "import sys\nsys.exit(3)"),
    ):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("mine", "syntax", "top", "missing", "lacks", "leaves"):
        sys.modules.pop(name, None)


def build(**values: Any) -> Any:
    return assemble(with_values(RunConfig(), {"train.steps": 3, **values}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model.name": "mine:thousand"}, r"mine:thousand returns a tensor \(b, 1000\); wanted .* \(b, 10\)"),
        ({"model.name": "mine:two", "data.name": "diabetes"}, r"returns a tensor \(b, 2\); wanted .* \(b, 1\)"),
        ({"model.name": "mine:OneAxis"}, r"returns a tensor \(b,\); wanted is a tensor \(b, 10\), a logit a class"),
        ({"model.name": "mine:InTraining"}, r"returns a tuple; wanted"),
        ({"model.name": "mine:Named"}, r"returns a dict; wanted"),
        ({"model.name": "mine:Weightless"}, r"has no weights to train"),
        ({"model.name": "mine:NoArgs"}, r"called with \(\(1, 8, 8\), 10\), failed: TypeError: .*mine\.py, line 40"),
        ({"model.name": "mine:forgot"}, r"called with \(\(1, 8, 8\), 10\), returned None \(.*line 45\); model"),
        ({"model.name": "mine:divides"}, r"failed: ZeroDivisionError: division by zero, in .*mine\.py, line 46;"),
        ({"model.name": "mine:quits"}, r"failed: SystemExit: 3, in .*mine\.py, line 47;"),
        ({"model.name": "mine:three"}, r"model\.name=mine:three is 3, not a function; model\.name is called as"),
        ({"model.name": "mine:view"}, r"module 'mine' has no 'view' \(did you mean 'View'\?\)"),
        ({"model.act": "mine:act"}, r"=mine:act, called with \(\(16, 8, 8\)\), returned None \(.*\); .* \(shape\)"),
        ({"model.name": "syntax:net"}, r"cannot import 'syntax' \(SyntaxError: .*syntax\.py, line 1"),
        ({"model.name": "top:net"}, r"cannot import 'top' \(ZeroDivisionError: .*, in .*top\.py, line 2\)"),
        ({"model.name": "missing:net"}, r"cannot import 'missing' \(No module named 'nowhere_at_all', in .*line 1\)"),
        ({"model.name": "lacks:net"}, r"cannot import 'lacks' \(AttributeError: .*no_such_thing.*lacks\.py, line 2\)"),
        ({"model.name": "leaves:net"}, r"cannot import 'leaves' \(SystemExit: 3, in .*leaves\.py, line 2\)"),
        ({"train.loss": "mine:each"}, r"train\.loss=mine:each: the loss is a tensor \(2,\); wanted is one number"),
        ({"train.loss": "mine:cut"}, r"train\.loss=mine:cut: the loss has no gradient"),
        ({"train.loss": "mine:short"}, r"train\.loss=mine:short, called with \(Tensor\(2, 10\), .*failed: TypeError"),
        ({"train.loss": "mine:number"}, r"train\.loss=mine:number, called with .* returned 3\.0 \(.*\); train\.loss"),
        ({"model.init": "mine:one"}, r"model\.init=mine:one, called with \(Tensor\(16, 1, 3, 3\), .*failed: TypeError"),
        ({"schedule.name": "mine:late"}, r"schedule\.name=mine:late, called with \(0\.0\), returned None"),
        ({"data.scale": "mine:shift"}, r"data\.scale=mine:shift, called with .* returned 1 \(.*\); .*-> \(shift,"),
        ({"data.augment": "mine:alone"}, r"data\.augment=mine:alone, called with .*failed: TypeError"),
        ({"optimizer.name": "torch.optim:AdamW"}, r"name=torch\.optim:AdamW, called with .*failed: TypeError"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_cannot_be_made_is_one_message(mine: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        build(**values)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_view_behind_a_convolution_trains(mine: Path) -> None:
    parts = build(**{"model.name": "mine:View"})
    images, labels = parts.training.train_step.batch(0)
    assert images.is_contiguous()
    parts.training.train_step.loss(parts.model(images), labels, "mean").backward()
    with pytest.raises(OwnPartError, match=r"train\.channels_last=true is not supported by model\.name=mine:View"):
        build(**{"model.name": "mine:View", "train.channels_last": True})


def test_lazy_layers_get_their_shapes_from_the_seed(mine: Path) -> None:
    first, second, other = (build(**{"model.name": "mine:Loose", "seed": seed}).model for seed in (0, 0, 1))
    assert first.linear.weight.shape == (10, 64)
    assert torch.equal(first.linear.weight, second.linear.weight)
    assert not torch.equal(first.linear.weight, other.linear.weight)


def test_a_rehearsal_changes_nothing(mine: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    parts = build(**{"model.name": "own_parts:NormNet"})
    assert torch.equal(torch.rand(3), expected)
    assert parts.model.norm.num_batches_tracked == 0
    assert parts.model.training


@pytest.mark.slow
def test_a_file_in_the_working_directory_replaces_no_library(tmp_path: Path) -> None:
    for name in ("yaml", "torch", "tensorboard", "attr", "omegaconf"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__name__} was imported')")
    done = subprocess.run(
        [sys.executable, "-m", "lab", "train", "train.steps=2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_a_table_comes_before_a_part() -> None:
    assert choose("model.act", "relu", {"relu": 1}) == 1


@pytest.mark.slow
def test_a_part_that_fails_takes_its_arm_alone(mine: Path) -> None:
    words = ["model.name=recipe,mine:thousand", "train.steps=3", "seed=0,1"]
    done = subprocess.run([*QUICK_LAB, "train", *words], cwd=mine, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "note: one arm will fail: model.name=mine:thousand returns a tensor (b, 1000)" in done.stderr
    assert "2 of 4 runs failed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a command, where Ctrl-C raises nothing."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model.act": "mine:Leaves"}, r"\(model\.act=mine:Leaves\), cannot .*: SystemExit: 3, in .*mine\.py,"),
        ({"model.act": "mine:Stops"}, r"\(model\.act=mine:Stops\), cannot .*: KeyboardInterrupt, in .*mine\.py,"),
        ({"model.act": "mine:Fails"}, r"\(model\.act=mine:Fails\), cannot .*: ValueError: no, in .*mine\.py,"),
        ({"model.act": "mine:GivesNone"}, r"mine:GivesNone\), .* it returns None, and no tensor, in .*mine\.py"),
        ({"model.act": "mine:GivesNumber"}, r"mine:GivesNumber\), .* it returns 3, and no tensor, in .*mine\.py,"),
        ({"model.act": "mine:GivesText"}, r"mine:GivesText\), .* it returns 'relu', and no tensor, in .*mine\.py"),
        ({"model.norm": "mine:Stops", "model.block": "norm-conv"}, r"\(model\.norm=mine:Stops\), cannot .*mine\.py"),
        ({"model.act": "mine:stopped"}, r"called with \(\(16, 8, 8\)\), failed: KeyboardInterrupt, in .*mine\.py,"),
        ({"model.act": "mine:act"}, r"returned None \(.*mine\.py, line \d+\); model\.act is called as"),
        ({"optimizer.name": "mine:stepless"}, r"=mine:stepless cannot take a step: SystemExit: 3, in .*mine\.py,"),
        ({"train.penalty": "mine:no_penalty", "train.penalty_weight": 1.0}, r"no_penalty, .*Exit: 3, in .*mine\.py"),
        ({"data.name": "mine:text"}, r"data\.name=mine:text gave a str; it must return a lab\.data\.sources\.Source"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_own_code_does_in_place_of_its_work_is_one_message(
    mine: Path, commands: None, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        build(**values)
    assert "\n" not in str(error.value)
    assert " at 0x" not in str(error.value)


def test_ctrl_c_stays_what_it_is(mine: Path) -> None:
    """Where Python's own handler raises it: in a notebook."""
    with pytest.raises(KeyboardInterrupt):
        build(**{"model.act": "mine:Stops"})


def test_what_leaves_in_training_fails_its_run_alone(mine: Path, make_job: MakeJob) -> None:
    job = make_job(changes={"model.act": "mine:Late"})
    result = run(job)
    assert result["status"] == "failed"
    assert re.fullmatch(r"model\.act=mine:Late: SystemExit: 3, in .*mine\.py, line \d+", result["error"])


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["exit", "interrupt"])
def test_no_answer_of_a_worker_ends_the_command(error: BaseException) -> None:
    answer = portable(error)
    assert type(answer) is RuntimeError
    assert type(error).__name__ in str(answer)


def test_own_code_that_seeds_all_generators_changes_no_images(mine: Path) -> None:
    plain, seeded = (build(**{"model.act": act}).training.train_step for act in ("relu", "mine:Reseeds"))
    for step in range(3):
        for one in (plain, seeded):
            one(step)
        assert all(torch.equal(*pair) for pair in zip(plain.batch(step + 1), seeded.batch(step + 1), strict=True))
    for a, b in zip(plain.model.parameters(), seeded.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_group_norm_of_the_images_does_not_end_the_process(mine: Path) -> None:
    values = {"model.name": "mine:Normed", "data.name": "synthetic", "train.precision": "bf16"}
    step = build(**values).training.train_step
    assert step.batch(0)[0].is_contiguous()
    step(0)
    with pytest.raises(OwnPartError, match=r"train\.channels_last=true is not supported .*`group_norm` of the images"):
        build(**values, **{"train.channels_last": True})
