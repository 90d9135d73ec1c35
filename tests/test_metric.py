"""What a metric is: the whole table of forms, and names of the user's own."""

import math
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeJob
from torch import nn

from lab.cli.main import main
from lab.config import StudyConfig
from lab.errors import UserError
from lab.launch.worker import check
from lab.metric import parse_metric
from lab.quantity import LEAST, QUANTITIES, RESULTS, TAGS, quantity
from lab.records.writer import summarise
from lab.runs.build import assemble
from lab.runs.run import run
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
        ("first(train/gradient_norm)", UP, -INF, (0, INF), "", "first"),
        ("log10(first(train/gradient_norm))", UP, -INF, (math.log10(LEAST), INF), "", "first"),
        ("log10( val/rmse )", DOWN, INF, (math.log10(LEAST), INF), "", "last"),
        ("log10(best(val/accuracy))", UP, math.log10(LEAST), (math.log10(LEAST), 0), "", "best"),
        ("log10(val/r2)", UP, -INF, (-INF, 0), "", "last"),
        ("log10(num_params)", DOWN, INF, (math.log10(LEAST), INF), "", "result"),
        ("test/mc_ece", DOWN, 1, (0, 1), "", "last"),
        ("test/mc_auroc", UP, 0, (0, 1), "", "last"),
        ("train/loss_change", DOWN, INF, (0, INF), "", "last"),
        ("auc(val/rmse)", DOWN, INF, (0, INF), "", "auc"),
        ("gap(accuracy)", DOWN, INF, (-1, 1), "", "gap"),
        ("gap(loss)", DOWN, INF, (-INF, INF), "", "gap"),
        ("gap(r2)", DOWN, INF, (-INF, INF), "", "gap"),
        ("turns(train/x)", DOWN, INF, (0, INF), "", "turns"),
        ("rise(val/loss)", DOWN, INF, (0, INF), "", "rise"),
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


def test_logarithms_keep_what_is_infinite_and_have_one_for_zero() -> None:
    metric = parse_metric("log10(train/gradient_norm)")
    assert [metric.scaled(value) for value in (1000.0, 0.01, 0.0, INF, -INF)] == [3, -2, math.log10(LEAST), INF, -INF]
    assert math.isnan(metric.scaled(-1.0))
    assert math.isnan(metric.scaled(math.nan))
    assert metric.curve_tag == "train/gradient_norm"
    assert not parse_metric("log10(val/accuracy)").is_about_images


def test_what_only_the_test_images_have_has_no_twin_in_validation() -> None:
    assert parse_metric("test/mc_nll").curve_tag == "test/mc_nll"
    for text in ("test/mc_nll", "first(val/accuracy)"):
        assert parse_metric(text).for_choosing().text == "auto"
    assert parse_metric("log10(test/loss)").for_choosing().text == "log10(val/loss)"


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
    assert str(auto.resolve({"val/loss", "train/x"})) == "val/loss"
    other = parse_metric("val/loss")
    assert other.resolve({"val/rmse"}) is other


@pytest.mark.parametrize(
    "text",
    ["steps_to(val/accuracy)", "seconds_to(val/accuracy >= high)", "worst(val/loss)", "best(", "first(val/loss, 3)"]
    + [f"log10({inner})" for inner in ("gap(loss)", "auto", "trains(val/loss < 1)", "log10(val/loss)", "best(")],
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


@pytest.mark.parametrize("seed", ["0", "0,1"])
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["study.metric=val/acuracy"], "study.metric: metric 'val/acuracy' is unknown (did you mean 'val/accuracy'?)"),
        (["study.metric='best(val/lsos)'"], "study.metric: metric 'val/lsos' is unknown (did you mean 'val/loss'?)"),
        (["study.metric=train/top5"], "study.metric: metric 'train/top5' is unknown"),
        (
            ["study.trained='val/acc >= 0.5'"],
            "study.trained: metric 'val/acc' is unknown (did you mean 'val/accuracy'?)",
        ),
        (["study.metric=num_parms"], "study.metric: metric 'num_parms' is unknown (did you mean 'num_params'?)"),
        (
            ["study.metric=val/acuracy", "study.tune={optimizer.lr:[0.1,0.2]}"],
            "study.metric: metric 'val/acuracy' is unknown (did you mean 'val/accuracy'?)",
        ),
    ],
)
def test_a_metric_that_nothing_logs_is_refused_before_the_first_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str, seed: str
) -> None:
    assert main(["train", f"out={tmp_path}", f"seed={seed}", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"lab: {named}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_claim_with_a_metric_that_nothing_logs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = "study.claims=[{say: x, metric: val/acuracy, higher: {model.act: relu}, than: {model.act: tanh}, by: 0}]"
    words = ["model.act=relu,tanh", "seed=0,1", claim]
    assert main(["train", f"out={tmp_path}", *words]) == 2
    assert main(["plan", f"out={tmp_path}", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("claim 'x': metric 'val/acuracy' is unknown (did you mean 'val/accuracy'?)") == 2
    assert list(tmp_path.iterdir()) == []


def test_what_runs_log_is_known_before_them(make_job: MakeJob) -> None:
    """Tags of each run as it is built, all of `TAGS` between them, and what its result has in the end."""
    several = [
        {"train.clip_norm": 1.0, "train.penalty": "l2", "train.patience": 1, "train.watch": True},
        {"train.watch": True, "train.watch_smoothness": True, "train.mc_passes": 1},
        {"data.name": "diabetes", "model.block": "linear-act", "data.limit": 100},
        {"data.name": "digits", "data.limit": 100},
        {"data.name": "blank", "model.name": "saddle", "train.loss": "value"},
    ]
    seen = set()
    for changes in several:
        job = make_job(str(len(seen)), changes)
        tags = assemble(job.config).tags
        logged = set(run(job)["metrics"])
        assert logged <= set(tags) <= set(TAGS)
        assert set(tags) - logged <= {"train/restored_step"}
        seen |= set(tags)
    assert set(TAGS) - seen == {"train/skipped"}  # of loss scaling


@pytest.mark.parametrize(
    ("metric", "datas", "problem"),
    [
        ("val/rmse", ["own_parts:tiny"], "metric 'val/rmse' is unknown"),
        ("auto", ["own_parts:tiny", "diabetes"], "metric 'val/accuracy' is unknown"),
        ("train/clipped", ["own_parts:tiny"], "metric 'train/clipped' is unknown"),
    ],
)
def test_a_metric_of_another_task_is_refused_before_the_first_run(
    make_job: MakeJob, metric: str, datas: list[str], problem: str
) -> None:
    jobs = [make_job(changes={"data.name": data, "model.block": "linear-act"}) for data in datas]
    for job in jobs:
        job.config.study.metric = metric
    with pytest.raises(UserError, match=f"study.metric: {problem}"):
        check(jobs)


CLAIM = {"say": "x", "metric": "val/r2", "higher": {"model.act": "relu"}, "than": {"model.act": "elu"}}


@pytest.mark.parametrize(
    ("study", "problem"),
    [
        ({"metric": "val/rmse"}, "study.metric: metric 'val/rmse' is unknown"),
        ({"trained": "val/r2 >= 0.5"}, "study.trained: metric 'val/r2' is unknown"),
        (
            {
                "claims": [
                    {"say": "x", "metric": "val/r2", "higher": {"model.act": "relu"}, "than": {"model.act": "elu"}}
                ]
            },
            "claim 'x': metric 'val/r2' is unknown",
        ),
    ],
    ids=["metric", "trained", "claim"],
)
def test_so_is_one_of_the_whole_sweep_before_its_tuning(make_job: MakeJob, study: dict[str, Any], problem: str) -> None:
    """Tuning trials have a study of their own, which asks less."""
    with pytest.raises(UserError, match=problem):
        check([make_job()], (), StudyConfig(**study))


def test_so_is_one_of_a_single_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model.block=linear-act", "model.widths=[4]", "model.depth=2", "train.steps=2", "study.metric=val/r2"]
    assert main(["train", f"out={tmp_path}", *words]) == 2
    assert "study.metric: metric 'val/r2' is unknown" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
