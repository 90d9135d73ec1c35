"""Loss scaling: it leaves out what overflows, counts it, comes back from a checkpoint, and changes nothing else."""

import itertools
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import MakeJob
from torch import nn

from lab.errors import UserError
from lab.records.results import read_metrics
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.checkpoint import load_checkpoint
from lab.training.fit import Training, fit
from lab.training.precision import LossScaling, make_precision

CPU = torch.device("cpu")


def test_fp16_without_a_gpu_is_named() -> None:
    with pytest.raises(UserError, match=r"train\.precision=fp16 needs a GPU .*, not cpu.*allowed here: fp32, bf16"):
        make_precision("fp16", CPU)


def test_fp16_on_a_gpu_scales_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.training.precision.LossScaling", lambda device: f"scaling on {device}")
    cuda = torch.device("cuda")
    assert make_precision("fp16", cuda) == (torch.float16, "scaling on cuda")
    assert make_precision("bf16", cuda) == (torch.bfloat16, None)
    assert make_precision("fp32", cuda) == (None, None)


def scaled(make_job: MakeJob, changes: dict | None = None, autocast: torch.dtype | None = None) -> Training:
    """A run on the CPU as fp16 on a GPU makes it."""
    training = assemble(make_job(changes=changes).config).training
    return replace(training, train_step=replace(training.train_step, scaling=LossScaling(CPU), autocast=autocast))


def scaling_of(training: Training) -> LossScaling:
    assert training.train_step.scaling is not None
    return training.train_step.scaling


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "rmsprop", "muon"])
def test_scaling_alone_changes_only_the_rounding(make_job: MakeJob, optimizer: str) -> None:
    changes = {"optimizer.name": optimizer, "train.clip_norm": 0.5, "model.act": "tanh"}
    ends = []
    for training in (assemble(make_job(changes=changes).config).training, scaled(make_job, changes)):
        fit(training)
        ends.append(nn.utils.parameters_to_vector(training.train_step.model.parameters()))
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])  # one that looks by itself, and one that is asked
def test_a_step_that_overflows_is_left_out_and_counted(make_job: MakeJob, optimizer: str) -> None:
    usual = scaled(make_job, {"optimizer.name": optimizer, "train.steps": 4, "train.eval_every": 100.0})
    step, rows, steps = usual.train_step, [], []

    def overflow_at_step_2(outputs: torch.Tensor, labels: torch.Tensor, reduction: str) -> torch.Tensor:
        value = step.loss(outputs, labels, reduction)
        steps.append(nn.utils.parameters_to_vector(step.model.parameters()).detach().clone())
        return value * 1e36 if training.step == 2 else value  # finite by itself, and infinite when it is scaled

    training = replace(usual, train_step=replace(step, loss=overflow_at_step_2))
    fit(training, rows.append)
    moved = [not torch.equal(before, after) for before, after in itertools.pairwise(steps)]
    assert moved == [True, True, False]
    assert training.status == "finished"
    assert rows[-1]["train/skipped"] == 1 / 4
    assert scaling_of(training).state()["scaler"]["scale"] == 65536 / 2


def test_fp16_trains_alike_but_not_the_same(make_job: MakeJob) -> None:
    exact, coarse = assemble(make_job().config).training, scaled(make_job, autocast=torch.float16)
    losses = []
    for training in (exact, coarse):
        rows = []
        fit(training, rows.append)
        losses.append(rows[-1]["train/loss"])
        assert all(parameter.dtype == torch.float32 for parameter in training.train_step.model.parameters())
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_the_scale_comes_back_from_a_checkpoint(make_job: MakeJob) -> None:
    one, other = scaled(make_job), scaled(make_job)
    fit(one, should_stop=lambda: one.step == 7)
    mine, theirs = scaling_of(one), scaling_of(other)
    mine.scaler.update(1024.0)
    other.load_state(one.state())
    assert theirs.state()["scaler"] == mine.state()["scaler"]
    assert theirs.state()["scaler"]["scale"] == 1024
    assert torch.equal(theirs.counts, mine.counts)
    assert mine.counts.tolist() == [1, 0]  # since the logged point at step 6


# Compiled nets

COMPILED = {"model.depth": 2, "train.steps": 8, "train.eval_every": 100.0, "train.eval_limit": 10}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch deprecates
def test_runs_with_and_without_compilation_exchange_checkpoints(make_job: MakeJob) -> None:
    plain, compiled = make_job("plain", COMPILED), make_job("compiled", {**COMPILED, "train.compile": True})
    run(plain)
    result = run(compiled)
    assert result["status"] == "finished", result
    first, second = (load_checkpoint(job.folder / "checkpoint.pt", CPU) for job in (plain, compiled))
    assert first is not None
    assert second is not None
    assert first["model"].keys() == second["model"].keys()
    for key, value in first["model"].items():
        torch.testing.assert_close(value, second["model"][key], rtol=1e-3, atol=1e-4)
    resumed = assemble(compiled.config).training
    resumed.load_state(first)
    assert resumed.step == 8
    loss = read_metrics(plain.folder)[-1]["train/loss"]
    assert math.isclose(read_metrics(compiled.folder)[-1]["train/loss"], loss, rel_tol=1e-3)


NORM_FIRST = """
from lab.config import RunConfig
from lab.identity import with_values
from lab.runs.build import assemble
from lab.tables import read_table
from lab.training.fit import fit
short = {"train.steps": 2, "data.limit": 48, "train.batch_size": 16, "train.device": "cpu", "model.depth": 2}
for name in ["own_parts:norm_net", *read_table("norms")]:
    for data in ("synthetic", "own_parts:tiny"):
        for precision in ("fp32", "bf16"):
            for last in (None, True):
                for block in ("norm-conv", "drop-norm-conv"):
                    net = {"model.name": name} if ":" in name else {"model.norm": name}
                    choice = {"train.precision": precision, "train.channels_last": last, "data.name": data}
                    shape = {"model.block": block, "model.widths": [4], **net}
                    print(choice | shape, flush=True)
                    parts = assemble(with_values(RunConfig(), short | choice | shape))
                    fit(parts.training)
                    assert parts.training.status == "finished"
print("all trained")
"""


@pytest.mark.slow
def test_a_norm_before_the_first_convolution_trains_in_every_format() -> None:
    """A fault of torch's GroupNorm ends the process, so that it is another one."""
    path = os.pathsep.join(sys.path)
    process = subprocess.run(
        [sys.executable, "-c", NORM_FIRST], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.returncode == 0, process.stdout[-300:] + process.stderr
    assert process.stdout.endswith("all trained\n")
