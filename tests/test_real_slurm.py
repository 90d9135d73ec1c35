"""A real Slurm of two one-core nodes on this machine: tasks are killed, a node is lost, the controller is away."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from lab.records.lock import holder_of

HERE = Path(__file__).parent
NEEDED = ("sbatch", "slurmctld", "slurmd", "munged")
MISSING = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"there is no {', no '.join(MISSING)} on this machine"),
    pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="a Slurm is started by root alone"),
]

WORDS = [
    *("data.name=own_parts:tiny", "model.widths=[4]", "model.depth=2", "train.batch_size=20", "train.eval_every=0.5"),
    *("train.device=cpu", "train.checkpoint_every=0", "lint=off", "name=x", "train.steps=24", f"data.root={HERE}"),
]
ARMS = "model.act=slow_parts:slow,relu,tanh,gelu,elu"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which its commands find it."""
    folder = tmp_path_factory.mktemp("slurm")
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]), "OMP_NUM_THREADS": "1"}
    port = 20000 + os.getpid() % 20000
    up = ["bash", str(HERE / "slurm_up.sh"), str(folder), "2", str(port)]
    conf = subprocess.run(up, env=environment, stdout=PIPE, text=True, check=True).stdout.splitlines()[-1]
    yield {**environment, "SLURM_CONF": conf}
    subprocess.run(["bash", str(HERE / "slurm_down.sh"), str(folder)], env=environment, check=True)


def lab(folder: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lab", "train", *WORDS, *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=PIPE, stderr=subprocess.STDOUT, text=True)


def ask(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=environment, stdout=PIPE, text=True, check=False).stdout


def until(holds: Callable[[], object], process: subprocess.Popen[Any] | None = None, seconds: float = 240) -> None:
    """Waits until `holds` is true."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, "it never happened"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.1)


def results(folder: Path) -> dict[str, dict[str, Any]]:
    found = {path.parent: json.loads(path.read_text()) for path in sorted(folder.glob("outputs/x/*/*/result.json"))}
    return {f"{path.parent.name}/{path.name}": result for path, result in found.items()}


def under_way(folder: Path) -> int:
    """The process of a slow run that has a checkpoint, once there is one."""
    found: list[int] = []

    def there() -> bool:
        for path in folder.glob("outputs/x/*slow*/*/checkpoint.pt"):
            holder = None if (path.parent / "result.json").exists() else holder_of(path.parent)
            if holder and of_task(holder.pid, "SLURM_JOB_ID"):  # it may be the command, which submits it again
                found.append(holder.pid)
        return bool(found)

    until(there)
    return found[0]


def of_task(process: int, name: str) -> str:
    """A variable in the environment of a process; empty where it has none, or has ended."""
    try:
        words = Path(f"/proc/{process}/environ").read_text().split("\0")
    except OSError:
        return ""
    return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), "")


def test_whatever_happens_all_runs_end_as_in_a_local_sweep(tmp_path: Path, slurm: dict[str, str]) -> None:
    """Forty runs: the command is killed, a task is killed, the controller is away, a task is warned of its time limit,
    and a node is lost; the same command then ends well, with the numbers of a local sweep, and trains nothing twice."""
    far, near, conf = tmp_path / "far", tmp_path / "near", Path(slurm["SLURM_CONF"]).parents[1]
    far.mkdir()
    near.mkdir()
    words = [ARMS, "seed=range(8)", "on=slurm", "on.runs_a_job=4", f"on.setup=[exec >> {tmp_path}/said 2>&1]"]
    first = lab(far, slurm, *words)
    until(lambda: list(far.glob("outputs/x/*/*/checkpoint.pt")), first)
    first.kill()
    first.communicate()
    log = tmp_path / "second.log"
    with open(log, "w") as file:
        command = [sys.executable, "-m", "lab", "train", *WORDS, *words]
        second = subprocess.Popen(command, cwd=far, env=slurm, stdout=file, stderr=file)
    try:
        until(lambda: "following slurm" in log.read_text(), second)
        os.kill(under_way(far), signal.SIGKILL)
        until(lambda: "it is submitted again" in log.read_text(), second)

        ask(slurm, "kill", (conf / "run" / "slurmctld.pid").read_text().strip())
        until(lambda: "slurm does not answer" in log.read_text(), second)
        ask(slurm, "slurmctld")
        until(lambda: ask(slurm, "squeue", "--noheader"), second)

        ask(slurm, "scancel", "--batch", "--signal=USR2", of_task(under_way(far), "SLURM_JOB_ID"))
        until(lambda: "starts the task again" in (tmp_path / "said").read_text(), second)

        process = under_way(far)
        node = of_task(process, "SLURMD_NODENAME")
        ask(slurm, "kill", "-9", (conf / "run" / f"slurmd-{node}.pid").read_text().strip())
        os.kill(process, signal.SIGKILL)
        ask(slurm, "scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")
        assert second.wait(timeout=400) == 0, log.read_text()
    finally:
        second.kill()
    ask(slurm, "slurmd", "-N", node)
    ask(slurm, "scontrol", "update", f"NodeName={node}", "State=RESUME")

    out = lab(near, slurm, ARMS, "seed=range(8)", "jobs=2").communicate(timeout=400)[0]
    mine, there = results(far), results(near)
    assert len(there) == 40, out
    assert {run: one["metrics"] for run, one in mine.items()} == {run: one["metrics"] for run, one in there.items()}
    assert {one["status"] for one in mine.values()} == {"finished"}
    said = (tmp_path / "said").read_text()
    starts = Counter(re.findall(r"^x/(\S+): 24 steps$", said, re.MULTILINE))
    assert starts == dict.fromkeys(there, 1), "each began once"
    assert 1 <= said.count("resumed at step") <= 3, "one for each accident"


def test_a_cancelled_sweep_says_so_and_the_same_command_goes_on(tmp_path: Path, slurm: dict[str, str]) -> None:
    words = ["model.act=slow_parts:slow,relu", "seed=0", "train.steps=100", "on=slurm"]
    process = lab(tmp_path, slurm, *words)
    under_way(tmp_path)
    cancel = [sys.executable, "-m", "lab", "cancel", "outputs/x"]
    assert (
        "cancelled 2 tasks of slurm"
        in subprocess.run(cancel, cwd=tmp_path, env=slurm, stdout=PIPE, text=True, check=True).stdout
    )
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 1, out
    assert "its task was cancelled" in out
    (run,) = tmp_path.glob("outputs/x/*slow*/seed=0")
    assert (run / "checkpoint.pt").exists(), "what it had reached stays"
    out = lab(tmp_path, slurm, *words).communicate(timeout=120)[0]
    assert {result["status"] for result in results(tmp_path).values()} == {"finished"}, out


def test_a_run_longer_than_the_time_limit_goes_on_in_further_turns(tmp_path: Path, slurm: dict[str, str]) -> None:
    """A run of 90 s under a limit of a minute: Slurm warns its task, which writes a checkpoint and is started again."""
    said = tmp_path / "said"
    words = [
        "model.act=slow_parts:slow",
        "seed=0",
        "train.steps=900",
        "train.eval_every=10",
        "train.checkpoint_every=60",
    ]
    words += ["on=slurm", "on.time=1", f"on.setup=[exec >> {said} 2>&1]"]
    process = lab(tmp_path, slurm, *words)
    out = process.communicate(timeout=400)[0]
    assert process.returncode == 0, out
    assert "is submitted again" not in out, "no turn was lost"
    (result,) = results(tmp_path).values()
    assert (result["status"], result["steps"]) == ("finished", 900)
    turns = said.read_text().count("the time is nearly up; Slurm starts the task again")
    assert turns >= 1
    assert said.read_text().count("resumed at step") == turns
