"""Two commands at once: no run is trained twice, no file is mixed, and what a dead process held is free."""

import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from conftest import MakeJob
from quick_lab import QUICK_LAB

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
    calls = 0

    def forward(self, x):
        trains = self.training and len(x) > 2  # two examples are a rehearsal
        if trains and not self.calls:
            with open("trained", "a") as file:
                file.write(f"{os.getppid()}\\n")
        self.calls += trains
        if trains:
            time.sleep(60 if "HOLD" in os.environ and self.calls == 30 else 0.01)
        return super().forward(x)

def slow(in_shape, num_outputs):
    c, h, w = in_shape
    return Slow(nn.Flatten(), nn.Linear(c * h * w, num_outputs))
"""


def start(folder: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    command = [*QUICK_LAB, "train", "model.name=slow:slow", "train.threads=1", *words]
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
    with pytest.raises(LockedError, match=rf"is locked by another process \(pid {holder.pid}, host "), locked(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    assert (tmp_path / ".lock").exists(), "the dead process could not remove it"
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert f"pid={os.getpid()}\n" in (tmp_path / ".lock.lease").read_text()
    assert list(tmp_path.iterdir()) == []


def test_waiting_for_a_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    before = time.monotonic()
    threading.Timer(0.5, holder.kill).start()
    with locked(tmp_path, wait=True):
        assert time.monotonic() - before > 0.4
    holder.communicate()


def test_a_file_system_without_flock_has_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(lock.UNSUPPORTED[0], "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with (
            pytest.raises(LockedError, match=rf"is locked by another process \(pid {os.getpid()}, host "),
            locked(tmp_path),
        ):
            pass
    assert not is_locked(tmp_path)


@pytest.mark.parametrize("text", ["", "filelock/2\n", "filelock/2\nhost=here\nmode=lea", "\0" * 20, "12\nhere\n"])
@pytest.mark.parametrize("wait", [False, True])
def test_what_is_left_of_a_lease_whose_writer_was_killed_is_in_nobodys_way(
    tmp_path: Path, text: str, wait: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "TORN", 0.2)
    (tmp_path / ".lock.lease").write_text(text)
    assert not is_locked(tmp_path)
    before = time.monotonic()
    with locked(tmp_path, wait=wait) as held:
        assert time.monotonic() - before > 0.19
        held.check()
        assert is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lease_that_is_just_being_written_is_waited_for(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    lease = tmp_path / ".lock.lease"
    text = lease.read_text().replace("host=", "host=elsewhere-").replace("duration=60", "duration=90")
    holder.kill()
    holder.communicate()
    lease.write_text("")
    threading.Timer(0.3, lambda: lease.write_text(text)).start()
    with pytest.raises(LockedError, match="elsewhere-"), locked(tmp_path):  # at once, as lengths differ
        pass
    assert lease.read_text() == text


def test_lock_files_of_old_folders_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("process 12345 on elsewhere\n")
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [".lock", ".lock.lease"])
def test_a_link_is_never_followed(name: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "target").write_text("kept")
    (tmp_path / "run" / name).symlink_to(tmp_path / "target")
    with pytest.raises((OSError, LockedError)), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "target").read_text() == "kept"


# As on a file system that does not pass flock on to other hosts: all that two hosts share is the files.
HOST = """
import fcntl, os, socket, time
socket.gethostname = lambda: os.environ["HOST_NAME"]
fcntl.flock = lambda handle, operation: None
import lab.records.lock as lock
lock.LEASE, lock.BEAT = 2.0, 0.3
if skew := float(os.environ.get("SKEW", "0")):
    touch, stat = os.utime, os.stat
    os.utime = lambda path, times=None, **more: touch(path, (time.time() + skew,) * 2, **more)
"""

WRITE = """
import sys, time
from pathlib import Path
from lab.records.lock import LockedError, locked
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
try:
    with locked(folder) as held:
        print("held", flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)
            held.check()
            with open(folder / "written", "a") as file:
                file.write(sys.argv[3] + "\\n")
except LockedError as error:
    print(type(error).__name__, error, flush=True)
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`host("a", 3)`: a process on host a that holds the lock of `tmp_path` for 3 s and writes all the time."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, seconds: float, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOST + WRITE, str(tmp_path), str(seconds), name]
        environment = {**os.environ, "HOST_NAME": name, **more}
        started.append(subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def says(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(words), line + process.communicate()[1]
    return line


def written(folder: Path) -> list[str]:
    return (folder / "written").read_text().splitlines()


@pytest.mark.parametrize("skew", ["0", "-3600", "3600"])
def test_a_living_host_keeps_its_lock(tmp_path: Path, host: Callable[..., subprocess.Popen[str]], skew: str) -> None:
    first = host("a", 6, SKEW=skew)
    says(first, "held")
    second = host("b", 1)
    assert f"is locked by another process (pid {first.pid}, host a)" in says(second, "LockedError")
    assert "waiting up to 2 s for a sign of it" in second.communicate()[1]
    assert set(written(tmp_path)) == {"a"}
    assert first.poll() is None


def test_a_dead_host_is_taken_over_when_its_lease_is_stale(
    tmp_path: Path, host: Callable[..., subprocess.Popen[str]]
) -> None:
    first = host("a", 60)
    says(first, "held")
    first.kill()
    first.communicate()
    before = time.monotonic()
    here = host("a", 0.1)  # on the same host at once: its process is dead
    says(here, "held")
    assert here.wait() == 0
    assert time.monotonic() - before < 1.9
    first = host("a", 60)
    says(first, "held")
    first.kill()
    first.communicate()
    before = time.monotonic()
    says(host("b", 0.1), "held")
    assert time.monotonic() - before > 1.9


@pytest.mark.slow
def test_a_suspended_process_that_lost_its_lock_writes_nothing_more(
    tmp_path: Path, host: Callable[..., subprocess.Popen[str]]
) -> None:
    first = host("a", 60)
    says(first, "held")
    wait_until(lambda: (tmp_path / "written").exists())
    first.send_signal(signal.SIGSTOP)
    second, third = host("b", 2), host("c", 2)  # which both want it
    assert {process.communicate()[0].split()[0] for process in (second, third)} >= {"held"}
    first.send_signal(signal.SIGCONT)
    assert "was taken over by another process" in says(first, "LostLockError")
    lines = written(tmp_path)
    order = [name for name, _ in itertools.groupby(lines)]
    assert len(order) == len(set(order)), order  # no two wrote at a time
    assert sorted(path.name for path in tmp_path.iterdir()) == ["written"]


def test_a_run_that_another_process_has_locked_is_left_alone(make_job: MakeJob) -> None:
    job = make_job()
    with claimed(job), pytest.raises(UserError, match="is locked by another process"):
        run(job)
    assert [path.name for path in job.folder.iterdir()] == []
    assert run(job)["status"] == "finished"
    before = (job.folder / "result.json").stat().st_mtime_ns
    assert run(job)["status"] == "finished"  # it was finished already
    assert (job.folder / "result.json").stat().st_mtime_ns == before


def test_an_arm_has_one_folder_whatever_two_commands_call_it(make_job: MakeJob) -> None:
    job = make_job()
    other = Job(job.config, job.folder.parent.parent / f"other-{job.folder.parent.name[-8:]}" / "seed=0", {}, [], "")
    run(job)
    assert settled(other).folder == job.folder
    with claimed(other) as (mine, _):
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
    words = ["train.steps=80", "train.checkpoint_every=0", "name=one"]
    first = start(tmp_path, *words, HOLD="1")
    wait_until(lambda: bool(list(tmp_path.rglob("checkpoint.pt"))))
    alone = start(tmp_path, *words)
    out, err = alone.communicate(timeout=60)
    assert (alone.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert f"is locked by another process (pid {first.pid}, host " in err
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


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [False, True], ids=["alone", "sweep"])
def test_a_run_that_another_host_took_over_is_left_to_it(tmp_path: Path, sweep: bool) -> None:
    (tmp_path / "slow.py").write_text(NET)
    (tmp_path / "sitecustomize.py").write_text(HOST)
    words = ["train.steps=200", "train.checkpoint_every=0", "train.eval_every=0.1", *["seed=0,1", "jobs=1"] * sweep]
    paths = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    first = start(tmp_path, *words, HOST_NAME="a", **paths)
    wait_until(lambda: bool(list(tmp_path.rglob("checkpoint.pt"))))
    os.killpg(first.pid, signal.SIGSTOP)
    second = start(tmp_path, *words, HOST_NAME="b", **paths)
    wait_until(lambda: bool([path for path in tmp_path.rglob("seed=0/*.lease") if "host=b" in path.read_text()]))
    if not sweep:
        assert second.wait(60) == 0
    os.killpg(first.pid, signal.SIGCONT)
    (out, err), (_, second_err) = (process.communicate(timeout=120) for process in (first, second))
    assert "was taken over by another process" in err, out + err
    assert (first.returncode, second.returncode) == (0 if sweep else 130, 0), err + second_err
    assert "Traceback" not in err + second_err
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert [result["status"] for result in results] == ["finished"] * (1 + sweep)
    for path in tmp_path.rglob("metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
        assert steps == sorted(set(steps))
        assert steps[-1] == 200
    assert not [*tmp_path.rglob("*.lock"), *tmp_path.rglob("*.lease")]
