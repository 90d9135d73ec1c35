"""Stands in for the training of tuned sweeps: writes results at once, so that tests of tuning take no time."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

import lab.launch.sweep
from lab.identity import flatten
from lab.records.places import Job
from lab.records.tuning import Tuning, read_tuning

LR = "optimizer.lr"
BEST = {"none": 0.02, "batch": 0.1}
"""The rates at which the fake training scores best."""
CLAIM = "{say: batch is higher, higher: {model.norm: batch}, than: {model.norm: none}}"
WORDS = ["train", "name=scratch", "optimizer=sgd", "model.norm=none,batch", "seed=0,1", f"study.claims=[{CLAIM}]"]


class Fake:
    """Stands in for training: writes results at once, and notes what it was asked for."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        self.stops_after = 1000
        self.fails = ""
        self.cut = ""
        """Of the runs of this name the last is ended by a signal, as `how`."""
        self.how = ""
        self.too_high: dict[str, float] = {}
        """By norm the rate above which a run diverges."""

    def __call__(self, jobs: list[Job], sweep: Sequence[Job] = (), **_: Any) -> tuple[bool, dict[Path, str]]:
        for job in jobs:
            if len(self.trained) >= self.stops_after:
                return True, {}
            config = flatten(job.config)
            self.trained.append(f"{config['name']}/{config['model.norm']}/{config[LR]:g}/{job.folder.name}")
            score = (
                0.9
                - abs(math.log10(config[LR] / BEST.get(config["model.norm"], 0.05))) / 10
                + config["seed"] % 10 / 100
            )
            result = {
                **job.record(),
                "status": "diverged" if config[LR] > self.too_high.get(config["model.norm"], 1e20) else "finished",
                "train_seconds": 1.0,
            }
            # The test set would have another value picked.
            scores = {"val/accuracy": score, "test/accuracy": 1 - score, "val/loss": 1 - score}
            result["metrics"] = {tag: {"last": value, "best": value, "best_step": 1} for tag, value in scores.items()}
            if self.fails and self.fails in self.trained[-1]:
                result |= {"status": "failed", "error": "RuntimeError: out of memory", "metrics": {}}
            if self.cut == job.config.name and job is jobs[-1]:
                result |= {"status": self.how, "metrics": {}}
                result |= {"error": "killed", "ended_by": "SIGKILL"} if self.how == "failed" else {}
                if not self.how:
                    continue
            job.folder.mkdir(parents=True, exist_ok=True)
            (job.folder / "result.json").write_text(json.dumps(result))
            (job.folder / "config.yaml").write_text(yaml.safe_dump(asdict(job.config)))
        return False, {}


def fake_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The fake training, in an empty folder where all outputs go; comparisons print their table and draw nothing."""
    found = Fake()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab.launch.sweep, "train_runs", found)
    for name in ("page.write_report", "publish.write_mean_runs", "publish.write_board"):
        monkeypatch.setattr(f"lab.studies.report.{name}", lambda *_: None)
    return found


def tuning_in(folder: Path) -> Tuning:
    found = read_tuning(folder)
    assert found
    return found
