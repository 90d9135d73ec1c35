"""A second signal stops at once, whatever the runs are at, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest

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
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in err
    for _ in range(100):
        if not group(process.pid):
            break
        time.sleep(0.1)
    assert group(process.pid) == []
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == len(seeds.split(","))
    assert os.getpid() in group(os.getpgrp())  # the search does find processes
