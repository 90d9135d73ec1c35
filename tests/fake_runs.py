"""Run folders as training leaves them, without training: for tests of all that reads records."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.config import RunConfig
from lab.identity import flatten
from lab.metric import parse_metric
from lab.records.results import Run, read_run
from lab.records.write import finite
from lab.studies.claims import study as claimed
from lab.studies.claims.study import parse_study
from lab.studies.comparison import compare as comparison
from lab.studies.select.scores import score_runs


def write_run(
    root: Path,
    arm: Mapping[str, Any],
    seed: int,
    scores: Mapping[str, float | None],
    history: Iterable[Mapping[str, Any]] = (),
    status: str = "finished",
    config: Mapping[str, Any] | None = None,
    **extra: Any,
) -> Run:
    """Writes `<root>/<arm>/seed=<seed>` and reads it back.

    Args:
        arm: the swept keys with their values.
        scores: the last value of each tag.
        history: rows of `metrics.jsonl`.
        config: what else differs from the defaults.
        extra: further keys of `result.json`, or others instead of those there are.
    """
    default = flatten(RunConfig())
    own = {
        key: value for key, value in arm.items() if key in default
    }  # of a group, as `model`, its keys are in `config`
    flat = {**default, **(config or {}), **own, "seed": seed}
    identity = {key: value for key, value in flat.items() if key not in ("seed", "name", "out")}
    arm_id = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    words = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in arm.items())
    path = root / f"{re.sub(r'[^a-zA-Z0-9.,=_-]', '_', words)[:100]}-{arm_id}" / f"seed={seed}"
    path.mkdir(parents=True)
    result = {
        "config": flat,
        "arm_id": arm_id,
        "arm": dict(arm),
        "seed": seed,
        "status": status,
        "error": "",
        "metrics": {tag: {"last": value, "best": value, "best_step": 0} for tag, value in finite(scores).items()},
        "steps": 880,
        "train_seconds": 30.0,
        "images_per_second": 1900.0,
        "num_params": 64_810,
        "environment": {
            "git_commit": "0123456789abcdef",
            "git_dirty": False,
            "python": "3.11.7",
            "torch": "2.13.0",
            "lab": "0.1.0",
            "device": "cpu",
            "threads": 1,
            "platform": "Linux",
        },
        "overrides": [f"{key}={value}" for key, value in arm.items()],
        "command": "lab train experiment=example",
        **extra,
    }
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    (path / "result.json").write_text(json.dumps(result))
    run = read_run(path)
    assert run
    return run


def write_arms(root: Path, key: str, scores: Mapping[Any, Iterable[float | None]], **more: Any) -> list[Run]:
    """Writes an arm for each value of `key`, with a run for each of its scores (`val/accuracy`), seeds from 0."""
    return [
        write_run(root, {key: value}, seed, {"val/accuracy": score}, **more)
        for value, column in scores.items()
        for seed, score in enumerate(column)
    ]


def compare(runs: Sequence[Run], study: Mapping[str, Any], **more: Any) -> comparison.Comparison:
    """The comparison of `runs` for a study as configurations have it."""
    return comparison.compare(runs, parse_study(study), **more)


def check_claims(study: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> None:
    """Checks a study as configurations have it."""
    claimed.check_claims(parse_study(study), arms)


def scores(runs: Sequence[Run], metric: str) -> list[float]:
    """The scores of `runs` under a metric as it is written."""
    return list(score_runs(runs, parse_metric(metric)).values)
