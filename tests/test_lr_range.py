"""The learning-rate range test finds the limit of a known surface, suggests rates that train, and leaves no trace."""

import csv
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lab.cli.main import main
from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import with_values
from lab.runs.build import assemble
from lab.training.clock import Clock
from lab.training.fit import Training
from lab.training.losses import cross_entropy
from lab.training.range_test import range_test
from lab.training.step import TrainStep
from lab.training.tally import Tally, classification


class Bowl(nn.Module):
    """Logits whose cross-entropy with label 0 is q = 0.01 + curvature (w - x)^2 / 2: log(1 + e^z) = q."""

    def __init__(self, curvature: float):
        super().__init__()
        self.curvature = curvature
        self.w = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        q = 0.01 + self.curvature * (self.w - x).square() / 2  # (b, 1)
        return torch.cat([torch.zeros_like(q), q + torch.log(-torch.expm1(-q))], 1)


CPU = torch.device("cpu")


def toy(model: nn.Module, images: Tensor, labels: Tensor) -> Training:
    """A run of plain SGD whose step i has the i-th of `images`, and again from the first."""
    train_step = TrainStep(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), 0.5),
        rate=lambda step: 0.5,
        batch=lambda step: (images[[step % len(images)]], labels[[step % len(images)]]),
        loss=cross_entropy,
        tally=Tally(classification(top5=False), CPU),
    )
    return Training(train_step, evaluate=dict, clock=Clock(CPU), steps=7, log_every=1, steps_per_epoch=1)


@pytest.mark.parametrize("curvature", [0.1, 1.0, 100.0])
def test_the_blow_up_of_a_quadratic_is_near_two_over_its_curvature(curvature: float) -> None:
    limit = 2 / curvature
    images = 0.05 * torch.randn(500, 1, generator=torch.Generator().manual_seed(0))  # so that it is never still
    training = toy(Bowl(curvature), images, torch.zeros(500, dtype=torch.int64))
    found = range_test(training, limit / 1000, limit * 1000, 300)
    assert found.outcome == "blew up"
    assert limit / 2 < found.rates[-1] < limit * 2
    assert found.least is not None
    assert found.rates[found.least] < limit
    assert found.suggestion is not None
    assert limit / 200 < found.suggestion < limit / 2


def test_rates_rise_exponentially_from_low_to_high() -> None:
    training = toy(nn.Linear(2, 2), torch.ones(4, 2), torch.zeros(4, dtype=torch.int64))
    found = range_test(training, 1e-6, 1e-3, 31)
    assert found.outcome == "reached the end"
    assert found.rates == pytest.approx([1e-6 * 10 ** (i / 10) for i in range(31)])
    weight, mean = 1 - 2 / 3, 0.0  # a span of 1.55, that is two steps
    for i, loss in enumerate(found.losses):
        mean = weight * mean + (1 - weight) * loss
        assert found.smoothed[i] == pytest.approx(mean / (1 - weight ** (i + 1)))


def digits(optimizer: str, seed: int = 0, **model) -> RunConfig:
    given = {f"model.{key}": value for key, value in model.items()}
    return with_values(RunConfig(seed=seed), {"optimizer.name": optimizer, "train.device": "cpu", **given})


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["adam", "sgd", "muon"])
def test_the_suggested_rate_trains(name: str, seed: int) -> None:
    config = digits(name, seed, block="conv-norm-act-pool")
    found = range_test(assemble(config).training, 1e-7, 10, 200)
    assert found.outcome == "blew up"
    assert found.suggestion is not None
    config.optimizer.lr = found.suggestion
    training = assemble(config).training
    before = training.evaluate()["loss"]
    training.train_step.model.train()
    for step in range(60):
        training.train_step(step)
    assert training.evaluate()["loss"] < 0.4 * before


def test_the_run_is_left_as_it_was() -> None:
    config = digits("adam", block="conv-norm-act-drop-pool")
    tested, fresh = assemble(config).training, assemble(config).training
    for training in (tested, fresh):
        torch.manual_seed(5)
        for step in range(3):
            training.train_step(step)
        training.step = 3
    before = vars(tested).copy()
    state = torch.get_rng_state()
    range_test(tested, 1e-4, 10, 20)
    assert torch.equal(torch.get_rng_state(), state)
    assert vars(tested) == before
    assert (tested.step, tested.status) == (3, "running")
    for training in (tested, fresh):
        torch.set_rng_state(state)
        for step in range(3, 6):
            training.train_step(step)
    one, other = tested.train_step, fresh.train_step
    assert one.rate(5) == other.rate(5)
    assert one.tally.num_images == other.tally.num_images
    assert torch.equal(one.tally.totals, other.tally.totals)
    for mine, theirs in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_net_that_blows_up_at_once_gets_no_suggestion() -> None:
    found = range_test(assemble(digits("sgd")).training, 1e5, 1e30, 50)
    assert len(found.rates) < 10
    assert found.suggestion is None


def test_a_loss_that_is_not_finite_ends_it() -> None:
    training = toy(nn.Linear(1, 2), torch.full((2, 1), math.nan), torch.tensor([0, 1]))
    found = range_test(training, 1e-3, 1, 20)
    assert (found.rates, found.outcome, found.suggestion, found.steepest) == ([], "not finite", None, None)


def test_noise_is_no_fall() -> None:
    found = range_test(assemble(digits("sgd")).training, 1e-9, 1e-6, 50)
    assert found.outcome == "reached the end"
    assert found.suggestion is None


@pytest.mark.parametrize(
    ("low", "high", "steps", "message"),
    [
        (0.0, 1.0, 20, r"--low=0\.0 is out of range; allowed: above 0"),
        (math.nan, 1.0, 20, "--low=nan is out of range"),
        (0.1, 0.1, 20, r"--high=0\.1 is out of range; allowed: above --low=0\.1"),
        (0.1, math.inf, 20, "--high=inf is out of range"),
        (0.1, 1.0, 9, "--steps=9 is out of range; allowed: at least 10"),
    ],
)
def test_a_value_out_of_range_is_named(low: float, high: float, steps: int, message: str) -> None:
    training = toy(nn.Linear(1, 2), torch.ones(2, 1), torch.tensor([0, 1]))
    with pytest.raises(UserError, match=message):
        range_test(training, low, high, steps)


# The verb


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_verb_writes_table_and_figure_that_are_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["lr-range", "model.depth=4", "--steps", "100", "seed=2", "train.threads=1", "data.limit=200"]
    assert main(words) == 0  # 3 batches an epoch
    out = capsys.readouterr().out
    (rate,) = re.findall(r"suggested, between the two: optimizer\.lr=(\S+)", out)
    assert 1e-4 < float(rate) < 1
    (table,) = Path("outputs/scratch/lr-range").glob("depth=4,limit=200-????????/seed=2.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert list(rows[0]) == ["step", "lr", "loss", "smoothed"]
    assert float(rows[0]["lr"]) == pytest.approx(1e-7)
    assert [int(row["step"]) for row in rows] == list(range(len(rows)))
    assert table.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    svg = table.with_suffix(".svg").read_text()
    for words in ("learning rate", "training loss", "suggested", "steepest descent"):
        assert words in svg
    assert main(["compare", "outputs/scratch"]) == 2
    assert "no finished run" in capsys.readouterr().err
    assert not list(Path().rglob("*tfevents*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=0,1"], "lab lr-range takes one configuration, and this is a sweep of 2 runs"),
        (["experiment=xavier_vs_he"], "a sweep of 20 runs"),
        (["optimizer.lrr=1"], r"did you mean 'optimizer\.lr'"),
        (["--low", "-1"], r"--low=-1\.0 is out of range"),
        (["--high", "1e-9"], "--high=1e-09 is out of range; allowed: above --low=1e-07"),
        (["out=/proc/nowhere"], "out=/proc/nowhere: cannot write"),
    ],
)
def test_a_wrong_word_gets_one_message(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lr-range", *words]) == 2
    out, err = capsys.readouterr()
    assert re.search(message, err)
    assert err.startswith("lab: ")
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.slow
def test_ctrl_c_ends_it() -> None:
    command = [sys.executable, "-m", "lab", "lr-range", "train.threads=1", "--low", "1e-9", "--steps", "100000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    folder = Path("outputs/scratch/lr-range")
    clock = time.monotonic()
    while not folder.is_dir():
        assert process.poll() is None
        assert time.monotonic() - clock < 60
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "interrupted"


def test_help_is_quick_and_names_an_example() -> None:
    ask = "try: main(['lr-range', '--help'])\nfinally: print('torch' in sys.modules)"
    code = f"import sys\nfrom lab.cli.main import main\n{ask}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "example: lab lr-range" in done.stdout
    assert done.stdout.endswith("False\n")
