"""Hundreds of runs make a report that a browser opens, and mean curves that TensorBoard reads."""

from pathlib import Path

import numpy as np
import pytest
from fake_runs import compare, write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.means import arm_means, mean_series, write_mean_runs
from lab.studies.report.page import write_report

SEEDS, STEPS = 5, 20


def compared(folder: Path, num_arms: int) -> Comparison:
    rng = np.random.default_rng(0)
    runs = []
    for arm in range(num_arms):
        for seed in range(SEEDS):
            curve = np.sort(rng.uniform(0.1, 0.9 + 0.1 * arm / num_arms, size=STEPS)).tolist()
            rows = [
                {"step": 17 * i, "epoch": float(i), "seconds": 0.1 * i, "val/accuracy": v, "val/loss": 1 - v}
                for i, v in enumerate(curve, start=1)
            ]
            runs.append(write_run(folder, {"optimizer.lr": 0.001 * (arm + 1)}, seed, {"val/accuracy": curve[-1]}, rows))
    return compare(runs, {})


@pytest.mark.slow
@pytest.mark.figures
def test_the_report_of_300_runs_is_below_3_megabytes(tmp_path: Path) -> None:
    page = write_report(compared(tmp_path, 60), tmp_path)
    assert 100_000 < page.stat().st_size < 3e6
    assert page.read_text().count("lr=0.06") > 1


def test_mean_runs_hold_every_tag_at_every_step(tmp_path: Path) -> None:
    comparison = compared(tmp_path, 2)
    write_mean_runs(arm_means(comparison), tmp_path)
    runs = comparison.arms[0].runs
    series = mean_series(runs, ["val/accuracy", "val/loss"])
    for part, column in (("", 1), ("low", 2), ("high", 3)):
        events = EventAccumulator(str(tmp_path / "_mean" / runs[0].path.parent.name / part)).Reload()
        for tag, points in series.items():
            found = [(one.step, one.value) for one in events.Scalars(tag)]
            assert [step for step, _ in found] == [17 * i for i in range(1, STEPS + 1)]
            assert [value for _, value in found] == pytest.approx([point[column] for point in points], rel=1e-6)
    assert mean_series([], ["val/accuracy"]) == {}
