"""What a metric is: the whole table of forms, and names of the user's own."""

import math

import pytest
from torch import nn

from lab.errors import UserError
from lab.metric import QUANTITIES, RESULTS, parse_metric, quantity
from lab.records.writer import summarise
from lab.training.plateau import Plateau
from lab.training.stopping import Stopping

INF = math.inf
UP, DOWN = False, True


@pytest.mark.parametrize(
    ("text", "lower", "worst", "bounds", "unit", "kind"),
    [
        ("val/accuracy", UP, 0, (0, 1), "", "last"),
        ("test/top5", UP, 0, (0, 1), "", "last"),
        ("val/loss", DOWN, INF, (-INF, INF), "", "last"),
        ("val/rmse", DOWN, INF, (0, INF), "", "last"),
        ("val/mae", DOWN, INF, (0, INF), "", "last"),
        ("val/r2", UP, -INF, (-INF, 1), "", "last"),
        ("train/lr", UP, -INF, (0, INF), "", "last"),
        ("train/weight_norm", UP, -INF, (0, INF), "", "last"),
        ("best(val/accuracy)", UP, 0, (0, 1), "", "best"),
        ("best(val/loss)", DOWN, INF, (-INF, INF), "", "best"),
        ("mean( val/accuracy ,5 )", UP, 0, (0, 1), "", "mean"),
        ("auc(val/rmse)", DOWN, INF, (0, INF), "", "auc"),
        ("gap(accuracy)", DOWN, INF, (-1, 1), "", "gap"),
        ("gap(loss)", DOWN, INF, (-INF, INF), "", "gap"),
        ("gap(r2)", DOWN, INF, (-INF, INF), "", "gap"),
        ("steps_to(val/accuracy >= 0.8)", DOWN, INF, (0, INF), "steps", "steps_to"),
        ("steps_to(val/loss<1)", DOWN, INF, (0, INF), "steps", "steps_to"),
        ("seconds_to(val/accuracy >= 0.8)", DOWN, INF, (0, INF), "seconds", "seconds_to"),
        ("images_per_second", UP, -INF, (0, INF), "images/s", "result"),
        ("train_seconds", DOWN, INF, (0, INF), "seconds", "result"),
        ("num_params", DOWN, INF, (0, INF), "parameters", "result"),
    ],
)
def test_each_form_has_direction_worst_value_bounds_and_unit(text, lower, worst, bounds, unit, kind) -> None:
    metric = parse_metric(text)
    assert (metric.lower_is_better, metric.worst, metric.bounds, metric.unit) == (lower, worst, bounds, unit)
    assert (metric.kind, metric.text, str(metric)) == (kind, text, text)


@pytest.mark.parametrize(
    ("tag", "lower", "worst"),
    [
        ("val/my_loss", DOWN, INF),
        ("val/loss2", DOWN, INF),
        ("loss/val", DOWN, INF),
        ("val/error", DOWN, INF),
        ("val/top1_error", DOWN, INF),
        ("val/top-1-error", DOWN, INF),
        ("val/accuracy_loss", DOWN, INF),
        ("val/log_mse", DOWN, INF),
        ("val/balanced_accuracy", UP, 0),
        ("val/lossless", UP, -INF),  # a word, not a piece of one
        ("val/terror", UP, -INF),
        ("val/maximum", UP, -INF),
        ("score", UP, -INF),
    ],
)
def test_names_of_the_users_own_go_by_their_words(tag, lower, worst) -> None:
    assert (quantity(tag).lower_is_better, quantity(tag).worst) == (lower, worst)


def test_the_worst_is_not_better_than_anything_within_the_bounds() -> None:
    for found in (*QUANTITIES.values(), *RESULTS.values()):
        for value in (*found.bounds, 0.5):
            assert not found.better(found.worst, value)
            assert not found.better(math.nan, value)
        assert not found.better(math.nan, found.unreached)


def test_parts_of_a_metric() -> None:
    assert parse_metric("mean(val/loss, 5)").count == 5
    time = parse_metric(" steps_to( test/accuracy>=0.8 ) ")
    assert (time.tags, time.sign, time.threshold, time.curve_tag) == (("test/accuracy",), ">=", 0.8, "val/accuracy")
    assert [time.reached(value) for value in (0.8, 0.79, None, math.nan)] == [True, False, False, False]
    assert parse_metric("gap(accuracy)").curve_tag == "val/accuracy"
    assert parse_metric("best(val/accuracy)").is_about_images
    for text in ("steps_to(val/accuracy > 0)", "gap(accuracy)", "auc(val/accuracy)"):
        assert not parse_metric(text).is_about_images  # what the net gets right in the end does not explain these
    assert parse_metric("val/accuracy").difference_bounds == (-1, 1)
    assert parse_metric("gap(accuracy)").difference_bounds == (-2, 2)
    assert parse_metric("train_seconds").difference_bounds == (-math.inf, math.inf)
    assert not parse_metric("val/top5").is_about_images


def test_auto_is_what_the_task_suggests() -> None:
    auto = parse_metric("auto")
    assert str(auto.resolve({"val/rmse", "val/mae"})) == "val/rmse"
    assert str(auto.resolve({"val/rmse", "val/accuracy"})) == str(auto.resolve(set())) == "val/accuracy"
    other = parse_metric("val/loss")
    assert other.resolve({"val/rmse"}) is other


@pytest.mark.parametrize(
    "text", ["steps_to(val/accuracy)", "seconds_to(val/accuracy >= high)", "worst(val/loss)", "best("]
)
def test_what_cannot_be_read_is_refused(text) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        parse_metric(text)


@pytest.mark.parametrize(("tag", "values", "best"), [("val/accuracy", [0.2, 0.5], 0.5), ("val/loss", [0.5, 0.2], 0.2)])
def test_nan_is_never_better(tag, values, best) -> None:
    stopping = Stopping(tag, patience=9, restore_best=False)
    plateau = Plateau(tag, factor=0.5, patience=1)
    for step, value in enumerate([math.nan, values[0], math.nan, values[1], math.nan]):
        stopping.should_stop({"step": step, tag: value}, nn.Identity())
        plateau.update({"step": step, tag: value})
    assert (stopping.best, stopping.best_step, stopping.stale) == (best, 3, 1)
    # Had NaN counted as best, the rate would have fallen by now.
    assert plateau.multiplier == 1
    rows = [{"step": step, tag: value} for step, value in enumerate([None, *values, None])]
    assert summarise(rows)[tag] == {"last": None, "best": best, "best_step": 2}
