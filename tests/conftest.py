"""What several test files share. Torch is imported where it is used, so that tests without it start at once."""

import json
import multiprocessing
import os
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the nets are tiny, and xdist fills the cores
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    # A core each: a single run takes all that it may use, and threads that outnumber the cores wait for one another.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

if TYPE_CHECKING:
    from lab.records.places import Job

MakeJob = Callable[..., "Job"]


SKETCH = b'<svg viewBox="0 0 1 1"></svg>'
"""What stands for a figure that is drawn and not rendered."""


@pytest.fixture(autouse=True)
def figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, which take longer than all else in a comparison. Tests marked `figures` have them, those
    marked `figures("sketched")` have a sketch in the place of each."""
    marker = request.node.get_closest_marker("figures")
    if marker and not marker.args:
        return
    monkeypatch.setattr("lab.studies.select.pixels.Pending._ask", lambda self, text: None)
    if marker:
        monkeypatch.setattr("lab.studies.report.gallery.figure_bytes", lambda figure, kind: SKETCH)
    else:
        monkeypatch.setattr("lab.studies.report.gallery.EXHIBITS", ())


class Here:
    """A slot without a process: a call is made when it is submitted."""

    process = SimpleNamespace(kill=lambda: None)

    def __init__(self, *_: object):
        self.pipe, self.bell = multiprocessing.Pipe()

    def submit(self, function: Callable[..., Any], *args: object) -> None:
        from lab.system.reporter import Keeper, reporting_to

        self.kept, self.value, self.error = Keeper(), None, None
        try:
            with reporting_to(self.kept), warnings.catch_warnings():
                warnings.simplefilter("default")  # as in a worker; those of the suite are errors
                self.value = function(*args)
        except Exception as error:
            self.error = error
        self.bell.send("answered")

    def result(self) -> Any:
        from lab.system.reporter import note

        self.pipe.recv()
        for line in self.kept.notes:
            note(line)
        if self.error:
            raise self.error
        return self.value

    def is_gone(self) -> bool:
        return False

    def close(self) -> None:
        self.pipe.close()
        self.bell.close()


@pytest.fixture
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps in this process: for many small ones, of which each would wait for processes that import torch."""
    monkeypatch.setattr("lab.launch.local.Slot", Here)
    monkeypatch.setattr("lab.launch.local.make_context", lambda preload: None)


@pytest.fixture
def every_core() -> Iterator[None]:
    """All cores of the machine, for tests of processes that wait for one another."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    yield
    os.sched_setaffinity(0, own)


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """`make_job("outputs", {"model.depth": 3})`: a run of 20 steps on 120 tiny pictures, 6 steps an epoch."""
    from lab.config import RunConfig
    from lab.identity import with_values
    from lab.records.places import Job, run_folder

    def make(out: str = "outputs", changes: dict[str, Any] | None = None) -> "Job":
        changes = changes or {}
        small = {"data.name": "own_parts:tiny", "model.widths": [4], "model.depth": 2}
        short = {"train.steps": 20, "train.batch_size": 20, "train.eval_every": 0.5, "train.device": "cpu"}
        config = with_values(RunConfig(), {"out": str(tmp_path / out)} | small | short | changes)
        return Job(config, run_folder(config, changes), changes, [f"{k}={v}" for k, v in changes.items()], "lab train")

    return make


def rows(folder: Path) -> list[dict[str, Any]]:
    """The steps that the one run in `folder`, or under it, has logged, without the clock."""
    (path,) = folder.rglob("metrics.jsonl")
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in path.read_text().splitlines()]


def output_of(process: subprocess.Popen[str]) -> str:
    """What `process` printed, which ends within two minutes and well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    return out
