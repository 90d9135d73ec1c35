"""Two commands at once: no run is trained twice, no file is mixed, and what a dead process held is free."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest
from conftest import MakeJob

from lab.errors import UserError
from lab.records import lock
from lab.records.lock import LockedError, is_locked, locked
from lab.records.places import Job, arm_folders, claimed, settled
from lab.runs.run import run

HOLD = """
import sys, time
from pathlib import Path
from lab.records.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

# A net that notes who trained it, once an instance.
NET = """
import os, time
from torch import nn

class Slow(nn.Sequential):
    def forward(self, x):
        if self.training and not hasattr(self, "seen"):
            self.seen = True
            with open("trained", "a") as file:
                file.write(f"{os.getppid()}\\n")
            self.calls = 0
        self.calls += self.training
        if self.training:
            time.sleep(60 if "HOLD" in os.environ and self.calls == 30 else 0.01)
        return super().forward(x)

def slow(in_shape, num_outputs):
    c, h, w = in_shape
    return Slow(nn.Flatten(), nn.Linear(c * h * w, num_outputs))
"""


def start(folder: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lab", "train", "model.name=slow:slow", "train.threads=1", *words]
    environment = {**os.environ, **more}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process, which holds the lock of `tmp_path`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_one_process_alone_and_free_when_that_dies(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert is_locked(tmp_path)
    with pytest.raises(LockedError, match=rf"in use by another command \(process {holder.pid} on "), locked(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    assert (tmp_path / ".lock").exists(), "the dead process could not remove it"
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / ".lock").read_text()
    assert list(tmp_path.iterdir()) == []


def test_waiting_for_a_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    before = time.monotonic()
    threading.Timer(0.5, holder.kill).start()
    with locked(tmp_path, wait=True):
        assert time.monotonic() - before > 0.4
    holder.communicate()


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(lock.UNSUPPORTED[0], "No locks available")

    assert lock.fcntl is not None
    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    words = r"has no locks \(No locks available\): one command at a time"
    with pytest.warns(UserWarning, match=words), locked(tmp_path):
        pass
    monkeypatch.setattr(lock, "fcntl", None)  # Windows
    with locked(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_run_that_another_process_is_at_is_left_alone(make_job: MakeJob) -> None:
    job = make_job()
    with claimed(job), pytest.raises(UserError, match="is in use by another command"):
        run(job)
    assert [path.name for path in job.folder.iterdir()] == []
    assert run(job)["status"] == "finished"
    before = (job.folder / "result.json").stat().st_mtime_ns
    assert run(job)["status"] == "finished"  # it was over already
    assert (job.folder / "result.json").stat().st_mtime_ns == before


def test_an_arm_has_one_folder_whatever_two_commands_call_it(make_job: MakeJob) -> None:
    job = make_job()
    other = Job(job.config, job.folder.parent.parent / f"other-{job.folder.parent.name[-8:]}" / "seed=0", {}, [], "")
    run(job)
    assert settled(other).folder == job.folder
    with claimed(other) as mine:
        assert mine.folder == job.folder
    assert len(arm_folders(job.folder.parent.parent)) == 1


@pytest.mark.slow
def test_two_sweeps_at_once_train_each_run_once(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(NET)
    words = ["train.steps=60", "optimizer.lr=0.01,0.02", "seed=0,1", "jobs=2"]
    both = [start(tmp_path, *words), start(tmp_path, *words)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    trained = (tmp_path / "trained").read_text().splitlines()
    assert len(trained) == 4, said
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert [result["status"] for result in results] == ["finished"] * 4
    assert all(out.count("finished  val/accuracy") == 4 or "finished already" in out for out, _ in said)
    assert any("being trained by another process; waiting" in out for out, _ in said), said
    assert not list(tmp_path.rglob("*.lock"))
    assert len({path.read_bytes() for path in tmp_path.rglob("verdict.json")}) == 1


@pytest.mark.slow
def test_what_a_killed_process_was_at_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(NET)
    words = ["train.steps=80", "train.checkpoint_every=0"]
    first = start(tmp_path, *words, HOLD="1")
    wait_until(lambda: bool(list(tmp_path.rglob("checkpoint.pt"))))
    alone = start(tmp_path, *words)
    out, err = alone.communicate(timeout=60)
    assert (alone.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert f"is in use by another command (process {first.pid} on " in err
    sweep = start(tmp_path, *words, "seed=0,1", "jobs=2")
    assert sweep.stdout is not None
    while "1 run is being trained by another process; waiting" not in (line := sweep.stdout.readline()):
        assert line, sweep.communicate()
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    out, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 0, err
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert [result["status"] for result in results] == ["finished"] * 2
