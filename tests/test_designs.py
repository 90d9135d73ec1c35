"""Claims about chains and interactions, and metrics that sum a curve up."""

import math

import pytest
from fake_runs import check_claims, compare, scores, write_arms, write_run

from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import flatten
from lab.metric import parse_metric
from lab.studies.select.scores import num_turns

A, B, C = ({"model.act": name} for name in ("relu", "tanh", "sigmoid"))
CHAIN = {"say": "relu, tanh, sigmoid", "ordered": [A, B, C], "by": 0.02}
MORE_AT_30 = {
    "say": "the norm matters more at 30 layers",
    "interaction": [{"model.norm": "batch"}, {"model.norm": "none"}],
    "between": [{"model.depth": 30}, {"model.depth": 5}],
    "by": 0.1,
}


def judge(runs, *claims):
    return compare(runs, {"claims": list(claims)}).verdicts


def grid(root, means, num_seeds=5):
    """Runs of norm x depth with the given mean scores."""
    runs = []
    for (norm, depth), mean in means.items():
        for seed in range(num_seeds):
            luck = 0.01 * seed + 0.001 * ((seed * seed * depth + 3 * seed * len(norm)) % 11)
            runs.append(
                write_run(root, {"model.norm": norm, "model.depth": depth}, seed, {"val/accuracy": mean + luck})
            )
    return runs


def arms(**swept):
    """Flat configurations of the Cartesian product; dots are written as two underscores."""
    found = [flatten(RunConfig())]
    for key, values in swept.items():
        found = [{**arm, key.replace("__", "."): value} for arm in found for value in values]
    return found


def test_a_chain_is_as_good_as_its_weakest_step(tmp_path):
    top, middle = [0.9, 0.91, 0.93, 0.9, 0.92], [0.8, 0.82, 0.81, 0.83, 0.8]
    runs = write_arms(tmp_path, "model.act", {"relu": top, "tanh": middle, "sigmoid": [0.1, 0.12, 0.1, 0.13, 0.11]})
    pair = {"say": "first step", "higher": A, "than": B, "by": 0.02}
    (chain,) = judge(runs, CHAIN)
    (step,) = judge(runs, pair)
    assert (chain.verdict, chain.kind, chain.n) == ("supported", "ordered", 5)
    assert (chain.p, chain.effect, chain.interval) == (step.p, step.effect, step.interval)
    assert [one["say"] for one in chain.steps] == ["act=relu - act=tanh", "act=tanh - act=sigmoid"]
    assert chain.steps[1]["effect"] == pytest.approx(0.7)
    assert chain.explain.startswith("At the weakest of 2 steps relu is higher than tanh by 0.1")
    (back,) = judge(runs, {**CHAIN, "ordered": [A, C, B]})
    assert back.verdict == "refuted"
    assert back.effect == pytest.approx(-0.7)


def test_a_chain_with_one_open_step_is_open(tmp_path):
    near, level = [0.80, 0.83, 0.79, 0.84], [0.80, 0.79, 0.82, 0.80]
    runs = write_arms(tmp_path, "model.act", {"relu": [0.9, 0.95, 0.92, 0.91], "tanh": near, "sigmoid": level})
    (verdict,) = judge(runs, {**CHAIN, "by": 0})
    assert (verdict.verdict, verdict.n) == ("undecided", 4)
    assert verdict.seeds_needed is None or verdict.seeds_needed > 0


def test_an_interaction_is_a_difference_of_differences(tmp_path):
    means = {("batch", 5): 0.9, ("none", 5): 0.88, ("batch", 30): 0.9, ("none", 30): 0.5}
    runs = grid(tmp_path, means)
    (verdict,) = judge(runs, MORE_AT_30)
    assert (verdict.verdict, verdict.n) == ("supported", 5)
    assert verdict.effect == pytest.approx(0.38, abs=0.01)
    assert verdict.explain.startswith("norm=batch minus norm=none is higher at depth=30 than at depth=5 by 0.378")
    (turned,) = judge(runs, {**MORE_AT_30, "between": MORE_AT_30["between"][::-1]})
    assert turned.verdict == "refuted"
    assert verdict.effect is not None
    assert turned.effect == pytest.approx(-verdict.effect)
    (lacking,) = judge([run for run in runs if run.config["model.depth"] == 5], MORE_AT_30)
    assert (lacking.verdict, lacking.n) == ("undecided", 0)
    assert lacking.explain.startswith("No seed has been run with norm=batch depth=30 and ")


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({**CHAIN, "ordered": [A, B]}, "'ordered' needs a list of at least three selectors"),
        ({**CHAIN, "ordered": [A, B, A]}, "act=relu and act=relu pick the same arm"),
        ({**CHAIN, "ordered": [A, A, B]}, "pick the same arm"),
        ({**CHAIN, "ordered": [A, B, {"model.act": "gelu"}]}, "act=gelu picks no arm of the sweep; model.act takes:"),
        ({**CHAIN, "within": 0.1}, "'within' does not belong to 'ordered'"),
        ({**CHAIN, "between": [A, B]}, "'between' does not belong to 'ordered'"),
        ({"say": "s", "interaction": [A, B]}, "'interaction' needs 'between'"),
        ({"say": "s", "interaction": [A, B], "between": [{"model.depth": 3}]}, "'between' needs a list of two"),
        (
            {"say": "s", "interaction": [A, B], "between": [{"model.depth": 3}, {"model.depth": 9}]},
            "act=relu depth=9 picks no arm",
        ),
        ({"say": "s", "interaction": [A, B], "between": [{"model.depth": 3}, {"model.depth": 5}]}, None),
    ],
)
def test_designs_are_checked_before_the_first_run(claim, message):
    there = arms(model__act=["relu", "tanh", "sigmoid"], model__depth=[3, 5])
    if message is None:
        check_claims({"claims": [claim]}, there)
        return
    with pytest.raises(UserError, match=message):
        check_claims({"claims": [claim]}, there)


def test_an_interaction_needs_all_four_arms(tmp_path):
    there = [arm for arm in arms(model__act=["relu", "tanh"], model__depth=[3, 5]) if arm["model.act"] == "relu"]
    with pytest.raises(UserError, match="act=tanh depth=3 picks no arm of the sweep"):
        check_claims(
            {"claims": [{"say": "s", "interaction": [A, B], "between": [{"model.depth": d} for d in (3, 5)]}]}, there
        )


def test_metrics_that_sum_a_curve_up(tmp_path):
    values = [0.1, 0.5, 0.9, 0.7]
    rows = [{"step": step, "val/accuracy": value} for step, value in zip((10, 20, 30, 50), values, strict=True)]
    run = write_run(
        tmp_path, A, 0, {"val/accuracy": 0.7, "train/accuracy": 0.95, "val/loss": 0.4, "train/loss": 0.1}, rows
    )
    run.result["metrics"]["val/accuracy"]["best"] = 0.9
    assert scores([run], "best(val/accuracy)") == [0.9]
    assert scores([run], "mean(val/accuracy, 2)") == [pytest.approx(0.8)]
    assert scores([run], "mean( val/accuracy ,4 )") == [pytest.approx(0.55)]
    assert scores([run], "auc(val/accuracy)") == [pytest.approx((3 + 7 + 16) / 40)]
    assert scores([run], "gap(accuracy)") == [pytest.approx(0.25)]
    assert scores([run], "first(val/accuracy)") == [0.1]
    assert scores([run], "log10(first(val/accuracy))") == [pytest.approx(-1)]
    assert scores([run], "log10(best(val/accuracy))") == [pytest.approx(math.log10(0.9))]
    assert scores([run], "log10(val/loss)") == [pytest.approx(math.log10(0.4))]
    assert scores([run], "gap(loss)") == [pytest.approx(0.3)]
    assert scores([run], "turns(val/accuracy)") == [1]
    assert scores([run], "rise(val/accuracy)") == [pytest.approx(0.8)]


@pytest.mark.parametrize(
    ("values", "turns"),
    [
        ([5.0], 0),
        ([1.0, 1.0, 1.0], 0),
        ([3.0, 2.0, 1.0], 0),
        ([0.0, 2.0, 1.0, 3.0], 2),
        ([3.0, 1.0, 2.0, 2.0, 0.0], 2),
        ([0.0, 50.0, 49.6, 100.0], 0),  # back by less than a hundredth of the range
        ([0.0, 50.0, 49.6, 49.2, 48.8, 100.0], 2),  # the same in small steps
        ([-2.0, 1.0, -0.5, 0.25, -0.125], 3),
    ],
)
def test_turns_are_counted_where_a_swing_is_seen(values: list[float], turns: int) -> None:
    assert num_turns(values) == turns
    assert num_turns([-value for value in values]) == turns


def test_a_diverged_run_has_the_worst_of_every_summary(tmp_path):
    rows = [{"step": 10, "val/accuracy": 0.9}, {"step": 20, "val/accuracy": None}]
    tags = {"val/accuracy": 0.9, "train/accuracy": 0.9}
    run = write_run(tmp_path, A, 0, tags, rows, status="diverged")
    for metric in ("best(val/accuracy)", "mean(val/accuracy, 2)", "auc(val/accuracy)"):
        assert scores([run], metric) == [0.0]
    assert scores([run], "gap(accuracy)") == [float("inf")]
    assert scores([run], "first(val/accuracy)") == [0.9]  # as it was
    assert scores([run], "log10(val/accuracy)") == [parse_metric("log10(val/accuracy)").worst]
    finished = write_run(tmp_path, A, 1, tags, rows)
    assert scores([finished], "mean(val/accuracy, 1)") == scores([finished], "auc(val/accuracy)") == [0.0]


@pytest.mark.parametrize(
    "metric", ["mean(val/accuracy)", "best(val/accuracy, 3)", "mean(val/accuracy, 0)", "gap(val/loss)"]
)
def test_a_summary_that_cannot_be_read_is_refused(metric):
    with pytest.raises(UserError, match=r"cannot be read; there are: best\(val/accuracy\), mean\(val/accuracy, 5\)"):
        parse_metric(metric)


def test_a_summary_of_what_was_not_logged_is_refused(tmp_path):
    run = write_run(tmp_path, A, 0, {"val/accuracy": 0.9}, [{"step": 1, "val/accuracy": 0.9}])
    with pytest.raises(UserError, match="metric 'train/accuracy' is unknown"):
        scores([run], "gap(accuracy)")
    with pytest.raises(UserError, match="logged 'val/accuracy' once; a mean of 3 needs as many"):
        scores([run], "mean(val/accuracy, 3)")
    assert parse_metric("gap(accuracy)").tags == ("val/accuracy", "train/accuracy")
    assert parse_metric("steps_to(val/loss <= 1)").tags == parse_metric("best(val/loss)").tags == ("val/loss",)
