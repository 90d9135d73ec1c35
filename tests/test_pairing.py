"""Who stands against whom: by seed, by the levels left open, and with the arm's own reference."""

import math
from pathlib import Path

import pytest
from fake_runs import compare, write_run

from lab.metric import parse_metric
from lab.records.results import Run
from lab.studies.figures.forest import difference_rows
from lab.studies.select.pairs import match, pair, subtract
from lab.studies.select.scores import score_runs


def write(root: Path, act: str, scores: dict[int, float | None], **more) -> list[Run]:
    keys = {"model.act": act, **{key.replace("__", "."): value for key, value in more.items()}}
    return [write_run(root, keys, seed, {"val/accuracy": score}) for seed, score in scores.items()]


def paired(*sides: list[Run], open_keys: tuple[str, ...] = ()):
    runs = [run for side in sides for run in side]
    return pair(score_runs(runs, parse_metric("val/accuracy")), sides, open_keys)


def test_seeds_that_both_have_make_pairs_in_the_order_of_the_first(tmp_path) -> None:
    left, right = write(tmp_path, "relu", {3: 0.9, 0: 0.8, 7: 0.7}), write(tmp_path, "tanh", {0: 0.5, 3: 0.4, 8: 0.1})
    found = paired(left, right)
    assert (found.seeds, found.sides) == ((3, 0), ((0.9, 0.8), (0.4, 0.5)))
    assert found.differences == pytest.approx((0.5, 0.3))


def test_levels_left_open_are_averaged_within_the_seed(tmp_path) -> None:
    left = [run for depth in (3, 5) for run in write(tmp_path, "relu", {0: 0.1 * depth}, model__depth=depth)]
    right = [run for depth in (5, 3, 9) for run in write(tmp_path, "tanh", {0: 0.01 * depth}, model__depth=depth)]
    found = paired(left, right, open_keys=("model.depth",))
    assert found.seeds == (0,)
    assert found.sides == (pytest.approx((0.4,)), pytest.approx((0.04,)))
    assert found.differences == pytest.approx((0.36,))


def test_a_seed_that_lacks_a_level_is_left_out(tmp_path) -> None:
    """Its mean would be of something else: here the difference is 0.1 at one level and 0.3 at the other."""
    left = write(tmp_path, "relu", {0: 0.6, 1: 0.6}, model__depth=3) + write(tmp_path, "relu", {0: 0.8}, model__depth=5)
    right = [run for depth in (3, 5) for run in write(tmp_path, "tanh", {0: 0.5, 1: 0.5}, model__depth=depth)]
    found = paired(left, right, open_keys=("model.depth",))
    assert (found.seeds, found.differences, found.num_incomplete) == ((0,), (pytest.approx(0.2),), 1)


def test_levels_that_tie_at_infinity_leave_the_others_to_speak(tmp_path) -> None:
    sides = [
        [
            write_run(tmp_path, {"model.act": act, "model.depth": depth}, 0, {"val/loss": loss})
            for depth, loss in enumerate(losses, start=3)
        ]
        for act, losses in (("relu", (math.inf, 1.0)), ("tanh", (math.inf, 3.0)), ("elu", (math.inf, math.inf)))
    ]
    scores = score_runs([run for side in sides for run in side], parse_metric("val/loss"))
    found = pair(scores, sides[:2], ("model.depth",))
    assert (found.differences, found.num_never) == ((-1.0,), 0)
    assert pair(scores, [sides[2], sides[2]], ("model.depth",)).num_never == 1
    # One level each way: nobody is ahead.
    assert pair(scores, [sides[0], sides[0][::-1]], ()).differences == (0.0,)


def test_several_runs_of_a_seed_count_by_their_mean(tmp_path) -> None:
    left = write(tmp_path, "relu", {0: 0.2}) + write(tmp_path, "relu", {0: 0.4}, model__depth=9)
    right = write(tmp_path, "tanh", {0: 0.1})
    assert paired(left, right).sides == ((pytest.approx(0.3),), (0.1,))
    assert [[len(runs) for runs in cells] for _, _, cells in match([left, right])] == [[2, 1]]


def test_four_sides_make_an_interaction(tmp_path) -> None:
    sides = [write(tmp_path, f"a{index}", {0: value}) for index, value in enumerate((0.9, 0.5, 0.8, 0.7))]
    assert paired(*sides).differences == (pytest.approx(0.3),)


def test_without_a_shared_seed_there_is_no_pair(tmp_path) -> None:
    found = paired(write(tmp_path, "relu", {0: 0.9}), write(tmp_path, "tanh", {1: 0.5}))
    assert (found.seeds, found.sides, found.differences) == ((), ((), ()), ())


def test_two_equal_infinities_are_a_tie() -> None:
    assert subtract([math.inf, -math.inf, math.inf], [math.inf, -math.inf, 1.0]) == [0.0, 0.0, math.inf]


def test_the_forest_shows_the_pairs_of_each_arms_own_reference(tmp_path) -> None:
    """Two references tie in their mean, and the first is not that of the arms at depth 30."""
    scores = {
        (22, "relu"): (0.4, 0.6, 0.8),
        (22, "tanh"): (0.5, 0.9, 0.7),
        (30, "relu"): (0.8, 0.6, 0.4),
        (30, "tanh"): (0.9, 0.5, 0.7),
    }
    runs = [
        run
        for (depth, act), values in scores.items()
        for run in write(tmp_path, act, dict(enumerate(values)), model__depth=depth)
    ]
    comparison = compare(runs, {"reference": {"model.act": "relu"}})
    arms = {arm.label: arm for arm in comparison.arms}
    assert arms["act=tanh depth=30"].reference == "act=relu depth=30"
    assert arms["act=relu depth=30"].is_reference
    rows = {row.label: row.values for row in difference_rows(comparison)}
    assert rows == {arm.label: arm.differences for arm in comparison.arms if not arm.is_reference}
    assert rows["act=tanh depth=22"] == pytest.approx((0.1, 0.3, -0.1))
    assert rows["act=tanh depth=30"] == pytest.approx((0.1, -0.1, 0.3))
