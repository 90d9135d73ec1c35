"""Runs that are killed, interrupted or short of disk: nothing computed is lost, and the numbers stay the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import output_of, rows
from quick_lab import QUICK_LAB

WORDS = ["train.epochs=8", "train.threads=1", "model.block=conv-norm-act-drop-pool", "model.depth=5"]
EVERY_STEP = "train.checkpoint_every=0"


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [*QUICK_LAB, "train", *WORDS, f"out={folder}", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(folder: Path, *words: str) -> str:
    return output_of(start(folder, *words))


def scores(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("result.json")
    result = json.loads(path.read_text())
    assert result["status"] == "finished"
    return result["metrics"]


def wait_for(folder: Path, name: str, process: subprocess.Popen[str]) -> None:
    """Until the run has written its file `name`."""
    for _ in range(1200):
        if list(folder.rglob(name)):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError(f"no {name} within 24 s")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.9])
def test_a_killed_run_ends_with_the_same_numbers_bit_for_bit(tmp_path: Path, delay: float) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(whole)
    process = start(killed, EVERY_STEP)
    wait_for(killed, "checkpoint.pt", process)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list(killed.rglob("result.json")), "it ended before the kill; give it more to do"
    assert "resumed at step" in finish(killed, EVERY_STEP)
    assert rows(killed) == rows(whole)
    assert scores(killed) == scores(whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_leaves_no_process_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    sweep = ["model.act=relu,tanh,gelu", "train.epochs=12"]
    process = start(tmp_path, *sweep)
    wait_for(tmp_path, "metrics.jsonl", process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on where this one stopped" in err
    assert "Traceback" not in err
    assert not members(process.pid)
    statuses = [json.loads(path.read_text())["status"] for path in tmp_path.rglob("result.json")]
    assert "interrupted" in statuses
    finish(tmp_path, *sweep)
    statuses = [json.loads(path.read_text())["status"] for path in tmp_path.rglob("result.json")]
    assert statuses == ["finished"] * 3


@pytest.mark.slow
def test_workers_end_when_the_sweep_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, "model.act=relu,tanh", "train.epochs=4000")
    wait_for(tmp_path, "metrics.jsonl", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    for _ in range(100):
        if not members(process.pid):
            return
        time.sleep(0.2)
    raise AssertionError(f"left behind: {members(process.pid)}")


def members(group: int) -> list[int]:
    """The processes of a process group that still run."""
    found = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in found.splitlines()]
    return [int(pid) for pid, pgid, stat in lines if int(pgid) == group and not stat.startswith("Z")]


@pytest.mark.slow
def test_a_full_disk_is_one_message(tmp_path: Path) -> None:
    """The file-size limit of the shell stands in for a full disk: writing fails in the middle of a checkpoint."""
    done = with_little_disk(tmp_path, "train.epochs=1")
    assert done.returncode == 1, done.stderr
    assert "failed: OSError: [Errno 27] File too large" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_full_disk_fails_the_runs_of_a_sweep_and_says_so(tmp_path: Path) -> None:
    done = with_little_disk(tmp_path, "train.epochs=1", "seed=0,1")
    assert done.returncode == 1, done.stderr
    assert "2 of 2 runs failed:" in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr


def with_little_disk(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = f'ulimit -f 16; exec "{sys.executable}" -m lab train {" ".join(words)} out="{folder}"'
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
