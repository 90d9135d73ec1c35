"""A run that is killed at any moment loses what came after its last checkpoint, and nothing trips over the rest."""

import multiprocessing
import random
import time
import warnings

import pytest
import torch
from conftest import MakeJob
from killed_worker import work

from lab.records.results import read_metrics, read_result
from lab.runs.run import run
from lab.training.checkpoint import load_checkpoint, previous

KILLS = 20


PRELOAD = ["lab.runs.preload"]
"""What every start would import: the processes are copies of one that has."""


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_as_if_it_had_not_been(make_job: MakeJob) -> None:
    changes = {"model.block": "conv-norm-act-drop-pool", "optimizer.name": "adamw", "schedule.name": "plateau"}
    changes |= {"train.steps": 600, "train.patience": 1000, "data.augment": "crop"}
    whole = make_job("whole", changes)
    killed = make_job("killed", {**changes, "train.checkpoint_every": 0.0})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the other processes: more of them round differently
    run(whole)
    torch.set_num_threads(threads)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    draw, kills, steps = random.Random(5), 0, [0]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        process = context.Process(target=work, args=(killed,))
        process.start()
        begun = read_metrics(killed.folder)
        while process.is_alive() and len(read_metrics(killed.folder)) <= len(begun) and kills % 4:
            time.sleep(0.002)  # three of four attempts get somewhere; the others die while they start
        process.join(draw.uniform(0, 0.2) if kills < KILLS + 5 else None)  # then it may come to its end
        if process.exitcode is not None:
            assert process.exitcode == 0
            break
        process.kill()
        process.join()
        kills += 1
        assert read_result(killed.folder) is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            state = load_checkpoint(killed.folder / "checkpoint.pt", torch.device("cpu"))
        steps.append(0 if state is None else state["step"])
        assert steps[-1] >= steps[-2]
    print(f"{kills} kills, at steps {steps}")
    assert kills >= KILLS, f"it ended after {kills} kills, at steps {steps}; give it more to do"
    for job in (whole, killed):
        assert not previous(job.folder / "checkpoint.pt").exists()
        assert not list(job.folder.glob(".*.lab-tmp"))
        assert not (job.folder / ".lock").exists()
    rows = [[{**row, "seconds": 0} for row in read_metrics(job.folder)] for job in (whole, killed)]
    assert rows[0] == rows[1]
    ends = [load_checkpoint(job.folder / "checkpoint.pt", torch.device("cpu")) for job in (whole, killed)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert all(torch.equal(value, ends[1]["model"][key]) for key, value in ends[0]["model"].items())
    results = [read_result(job.folder) or {} for job in (whole, killed)]
    assert results[0]["metrics"] == results[1]["metrics"]
