"""Stop signals: one line at any moment, a checkpoint while training, a second one at once, and no process left."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from quick_lab import QUICK_LAB

from lab.system.signals import STOP, stop_signals

# A net whose sixth step takes a minute.
NET = """
import time
from torch import nn

class Slow(nn.Sequential):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.training and self.calls == 6:
            open(f"stuck-{id(self)}", "w").close()
            time.sleep(60)
        return super().forward(x)

def slow(in_shape, num_outputs):
    c, h, w = in_shape
    return Slow(nn.Flatten(), nn.Linear(c * h * w, num_outputs))
"""


def group(number: int) -> list[int]:
    """The processes of a process group that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it ended meanwhile
            continue
        if int(of_group) == number and state != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("seeds", ["0", "0,1"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_stops_at_once(tmp_path: Path, number: signal.Signals, seeds: str) -> None:
    (tmp_path / "slow.py").write_text(NET)
    words = ["model.name=slow:slow", "train.threads=1", "train.checkpoint_every=0", f"seed={seeds}", "jobs=2"]
    command = [sys.executable, "-m", "lab", "train", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("stuck-*"))) < len(seeds.split(",")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    time.sleep(0.5)
    assert process.poll() is None, "the first signal waits for the step"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    for _ in range(100):
        if not group(process.pid):
            break
        time.sleep(0.1)
    assert group(process.pid) == []
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == len(seeds.split(","))
    assert os.getpid() in group(os.getpgrp())  # the search does find processes


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import lab.cli.main

def verb(words):
    {body}

lab.cli.main.VERBS["list"] = verb
sys.argv = ["lab", "list"]
code = lab.cli.main.main()
{after}
sys.exit(code)
"""
ONE = "os.kill(os.getpid(), signal.SIGINT)"


@pytest.mark.parametrize(
    ("body", "after"),
    [
        (ONE, ""),
        (f"{ONE}; {ONE}", ""),
        (f"exec('try: {ONE}\\nexcept BaseException: pass')", ""),  # as imports do
        ("return 0", ONE),
    ],
    ids=["once", "twice", "swallowed", "at_the_end"],
)
def test_ctrl_c_is_one_line_at_any_moment(body: str, after: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED.format(body=body, after=after)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (130, "interrupted\n", "")


def test_what_main_imports_before_it_listens() -> None:
    """Until then Ctrl-C prints where it was: no module of the lab but these, and nothing heavy."""
    code = "import sys; before = set(sys.modules); import lab.cli.main; print(*sorted(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in found if name.startswith("lab")} == {
        *("lab", "lab.cli", "lab.cli.main", "lab.system", "lab.system.signals")
    }
    assert not {"argparse", "difflib", "importlib", "inspect", "threading", "typing"} & set(found)


def test_a_hangup_stops_as_a_term_does_and_nohup_is_heeded() -> None:
    before = {one: signal.getsignal(one) for one in STOP}
    with stop_signals() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGHUP)
        assert stopped()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stopped:
            signal.raise_signal(signal.SIGHUP)
            assert not stopped()
            signal.raise_signal(signal.SIGTERM)
            assert stopped()
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])
    assert {one: signal.getsignal(one) for one in STOP} == before


# A net that ends its own process at the fifth step, as a signal from outside would; a file says whether it has.
ENDED = """
import os, signal
from pathlib import Path
from torch import nn

class Net(nn.Sequential):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.training and self.calls == 5 and len(list(Path().glob("ended-*"))) < TIMES:
            open(f"ended-{os.getpid()}", "w").close()
            os.kill(os.getpid(), signal.NAME)
        return super().forward(x)

def ended(in_shape, num_outputs):
    c, h, w = in_shape
    return Net(nn.Flatten(), nn.Linear(c * h * w, num_outputs))
"""
SMALL = ["data.limit=100", "train.steps=20", "train.batch_size=20", "train.threads=1", "train.device=cpu", "jobs=2"]


def ended_sweep(folder: Path, name: str, times: int, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "own.py").write_text(ENDED.replace("TIMES", str(times)).replace("NAME", name))
    command = [*QUICK_LAB, "train", "model.name=own:ended", *SMALL, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def metrics(folder: Path) -> dict[str, Any]:
    return {path.parent.name: json.loads(path.read_text())["metrics"] for path in folder.rglob("result.json")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGHUP"])
def test_a_run_that_a_signal_ended_is_repeated(tmp_path: Path, name: str) -> None:
    done = ended_sweep(tmp_path, name, 1, "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("; it is repeated") == 1
    assert done.stderr.count("\n") == 0
    whole = ended_sweep(tmp_path, name, 0, "seed=0,1", "out=whole")
    assert whole.returncode == 0
    assert metrics(tmp_path / "outputs") == metrics(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_tuning_is_not_picked_without_a_trial_that_signals_end(tmp_path: Path, name: str) -> None:
    words = ["seed=0", "study.tune={optimizer.lr:[0.01,0.1]}"]
    done = ended_sweep(tmp_path, name, 100, *words)
    assert done.returncode == 1
    assert "nothing is picked without the 2 tuning trials that did not end; the same command goes on" in done.stderr
    assert ("out of memory" in done.stderr) == (name == "SIGKILL")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("tune.json"))
    done = ended_sweep(tmp_path, name, 0, *words)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("tune.json"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="looks for what is left in /dev/shm")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("begun", ["study.json", "metrics.jsonl"])
def test_all_processes_of_a_sweep_end_together(tmp_path: Path, number: signal.Signals, begun: str) -> None:
    """As a terminal, or a cluster, sends a signal to all of them: while they start, and while they train."""
    words = ["seed=0,1", *SMALL, "train.steps=200000", "train.checkpoint_every=0"]
    there = set(os.listdir("/dev/shm"))
    command = [sys.executable, "-m", "lab", "train", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob(begun)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 130)
    assert "Traceback" not in err
    if number != signal.SIGKILL:
        assert err.splitlines()[-1].startswith("interrupted")
    for _ in range(100):
        if not group(process.pid):
            break
        time.sleep(0.1)
    assert group(process.pid) == []
    assert not {name for name in set(os.listdir("/dev/shm")) - there if name.startswith("sem.mp")}


@pytest.mark.slow
@pytest.mark.parametrize("seeds", ["0", "0,1"])
def test_a_terminal_that_is_closed_leaves_checkpoints(tmp_path: Path, seeds: str) -> None:
    """It sends SIGHUP, and whatever is printed afterwards fails."""
    words = [*SMALL, f"seed={seeds}", "train.steps=2000000", f"out={tmp_path}"]
    number, terminal = pty.fork()
    if number == 0:
        os.execv(sys.executable, [sys.executable, "-m", "lab", "train", *words])
    deadline = time.monotonic() + 60
    while len([path for path in tmp_path.rglob("metrics.jsonl") if path.stat().st_size]) < len(seeds.split(",")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 130
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert [result["status"] for result in results] == ["interrupted"] * len(seeds.split(","))
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == len(results)
