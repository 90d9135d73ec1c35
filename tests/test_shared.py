"""What pairing by seed is worth, and what test images alone do to a score: exact arithmetic."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import compare, write_run

from lab.studies.report.foot import foot
from lab.studies.report.formats import json_text
from lab.studies.report.table import verdict_data
from lab.studies.statistics.shared import binomial_spread, find_shared

LEFT, RIGHT = (0.90, 0.92, 0.91, 0.95), (0.80, 0.81, 0.83, 0.84)


def test_correlation_and_what_pairing_saves() -> None:
    found = find_shared(LEFT, RIGHT)
    assert found is not None
    assert found.correlation == pytest.approx(np.corrcoef(LEFT, RIGHT)[0, 1])
    assert found.n == 4
    # Variances by hand: 14/30,000 and 10/30,000; of the differences (.10, .11, .08, .11) 6/30,000.
    assert found.saved == pytest.approx(1 - 6 / (14 + 10))
    same = find_shared((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert same is not None
    assert (same.correlation, same.saved) == pytest.approx((1, 1))
    opposite = find_shared((1.0, 2.0, 3.0), (3.0, 2.0, 1.0))
    assert opposite is not None
    assert (opposite.correlation, opposite.saved) == pytest.approx((-1, -1)), "pairing doubles the variance"
    alike_spread = find_shared((0.0, 1.0, 2.0, 3.0), (1.0, 0.0, 2.0, 3.0))
    assert alike_spread is not None
    assert alike_spread.saved == pytest.approx(alike_spread.correlation), "of equal spreads it is the correlation"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1.0, 2.0), (2.0, 1.0)),
        ((1.0, 2.0, math.inf), (2.0, 1.0, 0.0)),
        ((0.1, 0.1, 0.1), (0.1, 0.2, 0.3)),
        ((0.1, 0.2, 0.3), (0.1, 0.1, 0.1)),
        ((), ()),
    ],
)
def test_of_what_has_no_correlation_none_is_told(left: tuple[float, ...], right: tuple[float, ...]) -> None:
    assert find_shared(left, right) is None


def test_binomial_spread() -> None:
    assert binomial_spread(0.5, 100) == 0.05
    assert binomial_spread(0.95, 2000) == pytest.approx(0.004873, abs=1e-6)
    assert binomial_spread(1.0, 10) == 0


def test_both_are_told_under_the_table(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path, {"model.act": act}, seed, {"val/accuracy": score}, num_images={"val": 288, "test": 359})
        for act, scores in (("relu", LEFT), ("tanh", RIGHT))
        for seed, score in enumerate(scores)
    ]
    claims = [{"say": "relu is higher", "higher": {"model.act": "relu"}, "than": {"model.act": "tanh"}}]
    found = compare(runs, {"claims": claims})
    floor = math.sqrt((0.92 * 0.08 + 0.82 * 0.18) / 2 / 288)
    spread = math.sqrt((14 + 10) / 2 / 30_000)
    assert foot(found) == [
        f"Over 4 seeds the two arms correlate by {np.corrcoef(LEFT, RIGHT)[0, 1]:.2f}, so pairing saves 75 % of "
        "the variance.",
        f"288 validation images alone make accuracies of 0.87 scatter by {floor:.2g} (binomial standard deviation); "
        f"the seeds scatter by {spread:.2g}.",
    ]
    data = verdict_data(found)
    assert data["claims"][0]["shared"]["saved"] == pytest.approx(0.75)
    noise = data["noise_floor"]
    assert (noise["split"], noise["num_images"]) == ("val", 288)
    assert (noise["accuracy"], noise["by_images"], noise["by_seeds"]) == pytest.approx((0.87, floor, spread))
    assert json.loads(json_text(found))["arms"][1]["shared"]["n"] == 4


def test_a_noise_floor_is_told_of_shares_of_known_images_alone(tmp_path: Path) -> None:
    def told(name: str, metric: str = "val/accuracy", num_seeds: int = 3, **more: Any) -> bool:
        runs = [
            write_run(tmp_path / name, {}, seed, {"val/accuracy": 0.9, "val/loss": 0.3}, **more)
            for seed in range(num_seeds)
        ]
        return any("images alone" in line for line in foot(compare(runs, {"metric": metric})))

    images: dict[str, Any] = {"num_images": {"val": 288}}
    assert told("one", **images)
    assert not told("older")
    assert not told("loss", "val/loss", **images)
    assert not told("best", "best(val/accuracy)", **images)
    assert not told("single", num_seeds=1, **images)
