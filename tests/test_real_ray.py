"""A real Ray cluster of two one-core nodes on this machine: the command is killed, and a node is lost."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

import pytest

HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]

WORDS = [
    *("data.name=own_parts:tiny", "model.widths=[4]", "model.depth=2", "train.batch_size=20", "train.eval_every=0.5"),
    *("train.device=cpu", "train.checkpoint_every=0", "lint=off", "name=x", "train.steps=24", f"data.root={HERE}"),
    *("model.act=slow_parts:slow,relu", "seed=0,1,2"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[subprocess.Popen[str], str, dict[str, str]]]:
    """Its process, its address, and the environment for it."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:  # the names of its sockets have to be short
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": folder}
        environment |= {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]), "OMP_NUM_THREADS": "1"}
        environment |= {"RAY_raylet_start_wait_time_s": "120"}
        command = [sys.executable, str(HERE / "ray_cluster.py")]
        with subprocess.Popen(command, env=environment, stdin=PIPE, stdout=PIPE, text=True) as process:
            assert process.stdout is not None
            address = next((line for line in process.stdout if line[:1].isdigit()), "").strip()
            assert address, "it does not start"
            yield process, address, environment


def train(folder: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lab", "train", *WORDS, *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=PIPE, stderr=STDOUT, text=True)


def until(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Waits until `holds` is true."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < 120, "it never happened"
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def metrics(folder: Path) -> dict[str, dict[str, Any]]:
    found = {path.parent: json.loads(path.read_text()) for path in folder.glob("outputs/x/*/*/result.json")}
    return {
        f"{run.parent.name}/{run.name}": one["metrics"] for run, one in found.items() if one["status"] == "finished"
    }


def test_a_lost_node_and_a_killed_command_leave_the_numbers_of_a_local_sweep(
    tmp_path: Path, cluster: tuple[subprocess.Popen[str], str, dict[str, str]]
) -> None:
    ray, address, environment = cluster
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    words = ["on=ray", f"on.address={address}"]
    first = train(far, environment, *words)
    until(lambda: list(far.glob("outputs/x/*/*/checkpoint.pt")), first)
    first.kill()
    first.communicate()
    done = len(metrics(far))
    second = train(far, environment, *words)
    until(lambda: len(metrics(far)) > done, second)
    assert ray.stdin is not None
    ray.stdin.write("lose\n")
    ray.stdin.flush()
    out = second.communicate(timeout=240)[0]
    assert second.returncode == 0, out
    local = train(near, environment, "jobs=2").communicate(timeout=240)[0]
    assert len(metrics(near)) == 6, local
    assert metrics(far) == metrics(near)
    for path in far.glob("outputs/x/*/*/metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
        assert steps == sorted(set(steps)), "each step once"
    words[1] = "on.address=127.0.0.1:1"
    refused = train(near, environment, *words, "seed=7", "name=none")
    assert "no Ray cluster answers" in refused.communicate(timeout=120)[0]
    assert refused.returncode == 2
