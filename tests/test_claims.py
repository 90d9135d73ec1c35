"""Claims are read strictly, and judged by pairs, margins and settings."""

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from fake_runs import check_claims, compare, scores, write_arms, write_run

from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import flatten
from lab.records.checked import Checked, OneFunction
from lab.studies.claims.departures import Past
from lab.studies.report.table import verdict_texts
from lab.studies.select.selectors import canonical, label, matches

HE, XAVIER = {"model.init": "he_normal"}, {"model.init": "xavier_normal"}
HIGHER = {"say": "He is higher", "higher": HE, "than": XAVIER, "by": 0.2}
SAME = {"say": "both alike", "same": [HE, XAVIER], "within": 0.05}


def arms(**swept):
    """Flat configurations, one for each value of the one swept key; dots are written as two underscores."""
    ((key, values),) = swept.items()
    return [{**flatten(RunConfig()), key.replace("__", "."): value} for value in values]


def judge(runs, *claims, metric="val/accuracy", **more):
    return compare(runs, {"metric": metric, "claims": list(claims)}, **more).verdicts


def write_inits(root, he, xavier, **more):
    return write_arms(root, "model.init", {"he_normal": he, "xavier_normal": xavier}, **more)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({**HIGHER, "then": XAVIER}, r"'then' is unknown \(did you mean 'than'\?\)"),
        ({"say": "nothing"}, "needs exactly one of higher, lower, same, ordered, interaction; given: none"),
        ({**HIGHER, "lower": HE}, "given: higher, lower"),
        ({"higher": HE, "than": XAVIER}, "needs 'say'"),
        ({"say": "s", "higher": HE}, "each side must be a selector"),
        ({**HIGHER, "within": 0.1}, "'within' does not belong to 'higher'"),
        ({**HIGHER, "by": -1}, "'by' must be a finite number of at least 0; given: -1"),
        ({**HIGHER, "by": math.nan}, "'by' must be a finite number of at least 0; given: nan"),
        ({**HIGHER, "by": math.inf}, "'by' must be a finite number of at least 0; given: inf"),
        ({**HIGHER, "by": 10**400}, "'by' must be a finite number of at least 0; given: 1000"),
        ({**HIGHER, "by": "0.1"}, "'by' must be a finite number of at least 0; given: '0.1'"),
        ({"say": "s", "same": [HE, XAVIER]}, "needs 'within', a finite number above 0"),
        ({"say": "s", "same": [HE, XAVIER], "within": math.inf}, "needs 'within', a finite number above 0; given: inf"),
        ({"say": "s", "same": [HE], "within": 1}, "a list of two selectors"),
        ({**HIGHER, "where": "depth"}, "where: depth: no arms have names"),
        ({**HIGHER, "where": 3}, "'where' must be a selector"),
        ({**HIGHER, "where": {"model.dept": 3}}, r"'model.dept' is unknown \(did you mean 'model.depth'\?\)"),
        ({**HIGHER, "higher": {"model.init": "he"}}, "picks no arm of the sweep; model.init takes: he_normal, xavier"),
        ({**HIGHER, "than": HE}, "pick the same arm"),
        ({**HIGHER, "metric": "steps_to(val/accuracy)"}, "cannot be read; write steps_to"),
        ("He is higher", "a claim needs 'say'"),
    ],
)
def test_a_wrong_claim_is_refused_before_the_sweep(claim, message):
    with pytest.raises(UserError, match=message):
        check_claims({"claims": [claim]}, arms(model__init=["he_normal", "xavier_normal"]))


def test_sides_without_a_counterpart_are_refused():
    left, right = arms(model__init=["he_normal", "xavier_normal"])
    with pytest.raises(UserError, match="no arm of init=he_normal has a counterpart in init=xavier_normal"):
        check_claims({"claims": [HIGHER]}, [{**left, "model.depth": 5}, right])


def test_right_claims_pass():
    check_claims({"claims": [HIGHER, SAME], "reference": XAVIER}, arms(model__init=["he_normal", "xavier_normal"]))
    adam, sgd = arms(optimizer__name=["adam", "sgd"])
    by_group = {"say": "s", "higher": {"optimizer": "adam"}, "than": {"optimizer": "sgd"}}
    check_claims({"claims": [by_group]}, [adam, {**sgd, "optimizer.lr": 0.1}])
    with pytest.raises(UserError, match="the study's reference: init=zeros picks no arm"):
        check_claims({"reference": {"model.init": "zeros"}}, [adam])


def test_values_compare_however_they_are_written():
    assert canonical("30") == canonical(30) == canonical(30.0)
    assert canonical("[16, 32]") == canonical([16, 32]) == canonical(("16", 32.0))
    assert canonical(True) == canonical("true") == canonical("True") != canonical(1)
    assert canonical("0.1") == canonical(0.1) != canonical(0.10001)
    assert matches({"optimizer.name": "adam"}, {"optimizer": "adam"})
    assert label({"optimizer.name": "adam", "model.widths": [16, 32], "optimizer.lr": 0.10}) == (
        "optimizer=adam widths=16-32 lr=0.1"
    )


def test_supported_refuted_and_undecided(tmp_path):
    good, bad, mixed = [0.97, 0.96, 0.98, 0.97], [0.10, 0.11, 0.09, 0.12], [0.97, 0.10, 0.98, 0.11]
    (verdict,) = judge(write_inits(tmp_path / "a", good, bad), HIGHER)
    assert (verdict.verdict, verdict.n, verdict.seeds_needed) == ("supported", 4, 0)
    assert verdict.effect == pytest.approx(0.865)
    assert verdict.p < 0.001
    assert verdict.explain.startswith("he_normal is higher than xavier_normal by 0.8")
    assert "over 4 seeds; the claim asks for higher by more than 0.2." in verdict.explain
    (verdict,) = judge(write_inits(tmp_path / "b", bad, good), HIGHER)
    assert verdict.verdict == "refuted"
    assert "he_normal is lower than xavier_normal by 0.8" in verdict.explain
    (verdict,) = judge(write_inits(tmp_path / "c", mixed, bad), HIGHER)
    assert verdict.verdict == "undecided"
    assert verdict.seeds_needed is not None
    assert f"About {verdict.seeds_needed} further seeds would decide it." in verdict.explain


def test_lower_mirrors_higher(tmp_path):
    runs = write_inits(tmp_path, [0.1, 0.12, 0.11], [0.9, 0.91, 0.93])
    (verdict,) = judge(runs, {"say": "s", "lower": HE, "than": XAVIER, "by": 0.5})
    assert verdict.verdict == "supported"
    assert verdict.effect == pytest.approx(-0.803, abs=1e-3)
    (verdict,) = judge(runs, {"say": "s", "lower": HE, "than": XAVIER, "by": 0.9})
    assert verdict.verdict == "refuted"


def test_same_is_two_one_sided_tests(tmp_path):
    near, far = [0.961, 0.970, 0.969, 0.972], [0.80, 0.82, 0.78, 0.81]
    wide = [0.90, 1.00, 0.91, 0.99]
    base = [0.960, 0.971, 0.970, 0.970]
    assert judge(write_inits(tmp_path / "a", near, base), SAME)[0].verdict == "supported"
    assert judge(write_inits(tmp_path / "b", far, base), SAME)[0].verdict == "refuted"
    (verdict,) = judge(write_inits(tmp_path / "c", wide, base), SAME)
    assert (verdict.verdict, verdict.margin, verdict.as_json()["within"]) == ("undecided", 0.05, 0.05)


def keep_predictions(run, wrong):
    """Keeps predictions for 50 images of which those in `wrong` are misclassified."""
    label = np.arange(50) % 10
    predicted = np.where(np.isin(np.arange(50), wrong), (label + 1) % 10, label)
    np.savez_compressed(run.path / "predictions.npz", index=np.arange(50), label=label, predicted=predicted)


def test_networks_that_predict_alike_are_the_same(tmp_path):
    runs = write_inits(tmp_path, [0.9, 0.8, 0.7], [0.9, 0.8, 0.7])
    for run in runs:
        keep_predictions(run, range(5 + run.seed))
    (verdict,) = judge(runs, SAME)
    assert (verdict.verdict, verdict.effect, verdict.interval) == ("supported", 0.0, (0.0, 0.0))
    assert "score exactly alike in 3 seeds" in verdict.explain
    assert judge(runs, HIGHER)[0].verdict == "refuted"
    assert judge(runs, {**HIGHER, "by": 0})[0].verdict == "undecided"


@pytest.mark.parametrize("wrong", [None, (), range(3), (5, 6, 7, 8, 9)])
def test_ties_alone_prove_nothing(tmp_path, wrong):
    """Without predictions, at the ceiling, with too few mistakes, and where one image is told differently."""
    runs = write_inits(tmp_path, [0.9, 0.8, 0.7], [0.9, 0.8, 0.7])
    for run in runs if wrong is not None else ():
        other = wrong and len(wrong) == 5 and run.config["model.init"] == "he_normal" and run.seed == 2
        keep_predictions(run, [4, *(wrong or ())[1:]] if other else wrong)
    (same,) = judge(runs, SAME)
    assert (same.verdict, same.p, same.seeds_needed) == ("undecided", 1.0, None)
    assert "Tied in all 3 seeds; ties do not show that rarer differences are absent." in same.explain
    assert judge(runs, HIGHER)[0].verdict == "undecided"


def one_function(left, right, free=False):
    return Past(checked=Checked(same=(OneFunction((left.arm_id, right.arm_id), ("a theorem",), free),)))


def test_ties_of_arms_that_were_proved_to_be_one_function(tmp_path):
    runs = write_inits(tmp_path, [0.9, 0.8, 0.7], [0.9, 0.8, 0.7])
    left, right = runs[0], next(run for run in runs if run.arm_id != runs[0].arm_id)
    (verdict,) = judge(runs, SAME, past=one_function(left, right))
    assert (verdict.verdict, verdict.proved) == ("supported", ["a theorem"])
    assert "both sides are one function of their weights (a theorem)" in verdict.explain
    assert "ties do not show" not in verdict.explain
    (verdict,) = judge(runs, SAME, past=one_function(left, right, free=True))  # so that they train otherwise
    assert (verdict.verdict, verdict.proved) == ("undecided", ["a theorem"])
    apart = write_inits(tmp_path / "apart", [0.9, 0.8, 0.7], [0.9, 0.8, 0.71])
    assert judge(apart, {**SAME, "within": 0.0001}, past=one_function(left, right))[0].verdict != "supported"


def test_a_proof_holds_for_the_two_sides_and_not_for_the_levels_of_one(tmp_path):
    runs = [
        write_run(tmp_path, {"model.init": init, "model.act": act}, seed, {"val/accuracy": 0.9})
        for init, act, seed in itertools.product(("he_normal", "xavier_normal"), ("relu", "tanh"), range(3))
    ]
    arms = {(run.config["model.init"], run.config["model.act"]): run.arm_id for run in runs}
    groups = {
        "within": [[arms[init, act] for act in ("relu", "tanh")] for init in ("he_normal", "xavier_normal")],
        "across": [[arms[init, act] for init in ("he_normal", "xavier_normal")] for act in ("relu", "tanh")],
    }
    same = {name: tuple(OneFunction(tuple(ids), (name,), False) for ids in group) for name, group in groups.items()}
    found = {name: judge(runs, SAME, past=Past(checked=Checked(same=proofs)))[0] for name, proofs in same.items()}
    assert {name: one.verdict for name, one in found.items()} == {"within": "undecided", "across": "supported"}
    assert {name: one.proved for name, one in found.items()} == {"within": [], "across": ["across"]}


def test_a_few_seeds_that_differ_are_no_proof_of_equality(tmp_path):
    (verdict,) = judge(write_inits(tmp_path, [0.9] * 10, [0.9] * 9 + [0.88]), {**SAME, "within": 0.005})
    assert verdict.verdict == "undecided"
    assert "9 of 10 seeds tie; how rare other differences are is not known well enough." in verdict.explain
    assert verdict.seeds_needed is not None


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("steps_to(val/accuracy >= 0.8)", "Neither he_normal nor"),
        ("val/loss", "Neither he_normal nor xavier_normal is finite"),
    ],
)
def test_networks_that_never_arrive_are_not_the_same(tmp_path, metric, said):
    history = [{"step": step, "val/accuracy": 0.1} for step in (10, 20)]
    runs = [
        write_run(tmp_path, arm, seed, {"val/accuracy": 0.1, "val/loss": math.inf}, history)
        for arm in (HE, XAVIER)
        for seed in range(3)
    ]
    (verdict,) = judge(runs, {**SAME, "metric": metric})
    assert (verdict.verdict, verdict.seeds_needed) == ("undecided", None)
    assert said in verdict.explain
    assert "in 3 seeds" in verdict.explain


def test_holm_counts_all_claims_of_the_experiment(tmp_path):
    runs = write_inits(tmp_path, [0.5, 0.9, 0.6, 0.7], [0.40, 0.5, 0.5, 0.55])
    claim = {**HIGHER, "by": 0}
    (alone,) = judge(runs, claim)
    among = judge(runs, claim, *[{**HIGHER, "say": str(i), "by": 0.9} for i in range(4)])[0]
    assert alone.verdict == "supported"
    assert among.verdict == "undecided"
    assert among.p == pytest.approx(5 * alone.p)


def test_one_seed_decides_nothing(tmp_path):
    (verdict,) = judge(write_inits(tmp_path, [0.9], [0.1]), HIGHER)
    assert (verdict.verdict, verdict.n, verdict.interval, verdict.seeds_needed) == ("undecided", 1, None, None)
    assert "A verdict needs at least 2 seeds." in verdict.explain


def test_claims_about_runs_that_are_not_there_are_undecided(tmp_path):
    runs = write_arms(tmp_path, "model.init", {"he_normal": [0.9, 0.8]})
    (verdict,) = judge(runs, {**HIGHER, "where": {"model.depth": 3}})
    assert (verdict.verdict, verdict.n, verdict.effect) == ("undecided", 0, None)
    assert verdict.explain == "No seed has been run with both init=he_normal and init=xavier_normal where depth=3."


def test_only_shared_seeds_are_paired(tmp_path):
    (verdict,) = judge(write_inits(tmp_path, [0.9, 0.8, 0.95, 0.9], [0.1, 0.2]), HIGHER)
    assert verdict.n == 2


def test_the_seed_is_the_unit_where_keys_are_left_open(tmp_path):
    runs = []
    for depth, level in ((22, 0.9), (30, 0.5)):
        for init, gain in (("he_normal", 0.05), ("xavier_normal", 0.0)):
            for seed in range(3):
                score = {"val/accuracy": level + gain + 0.001 * seed * (1 + gain)}
                runs.append(write_run(tmp_path, {"model.depth": depth, "model.init": init}, seed, score))
    (verdict,) = judge(runs, {**HIGHER, "by": 0.02})
    assert (verdict.verdict, verdict.n) == ("supported", 3)
    assert "over 3 seeds" in verdict.explain
    (table,) = [arm for arm in compare(runs, {}, by=["model.init"]).arms if arm.difference]
    assert (table.num_seeds, len(table.differences)) == (3, 3)
    (verdict,) = judge(runs, {**HIGHER, "by": 0.02, "where": {"model.depth": "30"}})
    assert verdict.n == 3


def test_settings_are_judged_apart(tmp_path):
    runs = write_inits(tmp_path, [0.97, 0.96, 0.98], [0.1, 0.12, 0.11])
    mnist = {"data.name": "mnist", "train.epochs": 2.0}
    runs += write_inits(tmp_path, [0.1, 0.12, 0.11], [0.97, 0.96, 0.98], config=mnist)
    first, second = judge(runs, HIGHER)
    assert (first.setting, first.verdict, first.n) == ({"data.name": "digits"}, "supported", 3)
    assert (second.setting, second.verdict, second.n) == ({"data.name": "mnist"}, "refuted", 3)
    arms = compare(runs, {"claims": [HIGHER]}).arms
    assert [arm.label for arm in arms if arm.is_reference] == [
        "init=he_normal data=digits",
        "init=he_normal data=mnist",
    ]
    assert [round(arm.difference.value, 2) for arm in arms if arm.difference] == [-0.86, 0.86]


def test_a_group_brings_its_keys_along(tmp_path):
    runs = write_arms(tmp_path, "optimizer.name", {"adam": [0.9, 0.91, 0.92]})
    runs += write_arms(tmp_path, "optimizer.name", {"sgd": [0.5, 0.52, 0.54]}, config={"optimizer.lr": 0.1})
    (verdict,) = judge(runs, {"say": "s", "higher": {"optimizer": "adam"}, "than": {"optimizer": "sgd"}})
    assert (verdict.verdict, verdict.n, verdict.setting) == ("supported", 3, {})
    assert [arm.label for arm in compare(runs, {}).arms] == ["optimizer=adam", "optimizer=sgd"]


def test_a_group_whose_files_share_a_name_is_compared_by_the_choices_that_were_typed(tmp_path):
    runs = []
    for model, keys in {"plain": {}, "mlp": {"model.block": "linear-act", "model.widths": [64, 64]}}.items():
        for seed, score in enumerate([0.5, 0.52, 0.54] if model == "plain" else [0.9, 0.91, 0.92]):
            run = write_run(tmp_path, keys, seed, {"val/accuracy": score})
            runs.append(replace(run, arm={"model": model}))  # the choice, which the configuration does not hold
    first, second = compare(runs, {}).arms
    assert [first.label, second.label] == ["model=plain", "model=mlp"]
    assert first.is_reference
    assert second.difference is not None
    assert round(second.difference.value, 2) == 0.39


def test_runs_that_never_arrive_count_as_infinite(tmp_path):
    def history(arrival):
        return [{"step": s, "seconds": s / 10, "val/accuracy": 0.9 if s >= arrival else 0.1} for s in (10, 20, 30)]

    runs = []
    for seed in range(6):
        runs.append(write_run(tmp_path, HE, seed, {"val/accuracy": 0.9}, history(20)))
        runs.append(write_run(tmp_path, XAVIER, seed, {"val/accuracy": 0.1}, history(30 if seed == 0 else 99)))
    sooner = {"say": "sooner", "lower": HE, "than": XAVIER, "metric": "steps_to(val/accuracy >= 0.8)"}
    (verdict,) = judge(runs, sooner)
    assert (verdict.verdict, verdict.p, verdict.interval) == ("supported", pytest.approx(1 / 64), None)
    assert "he_normal gets there sooner than xavier_normal in 6 of 6 seeds; in 5 only one gets there" in verdict.explain
    assert scores(runs[:2], "seconds_to(val/accuracy>0.8)") == [2.0, 3.0]
    diverged = replace(runs[0], status="diverged")  # after it got there
    for metric in ("steps_to(val/accuracy >= 0.8)", "seconds_to(val/accuracy >= 0.8)"):
        assert scores([diverged, runs[1]], metric)[0] == math.inf
    (verdict,) = judge(runs, {**sooner, "lower": XAVIER, "than": HE})
    assert verdict.verdict == "refuted"


def test_a_diverged_run_scores_the_worst_there_is(tmp_path):
    run = write_run(tmp_path, HE, 0, {"val/accuracy": 0.9, "val/loss": 0.3}, status="diverged")
    assert scores([run], "val/accuracy") == [0.0]
    assert scores([run], "val/loss") == [float("inf")]
    assert scores([run], "num_params") == [64810.0]
    lost = write_run(tmp_path, HE, 1, {"val/accuracy": None})
    assert scores([lost, run], "val/accuracy") == [0.0, 0.0]
    runs = write_inits(tmp_path / "more", [0.9, 0.91, 0.93, 0.92], [0.1, 0.1, 0.1, 0.1])
    (verdict,) = judge([*runs[:4], *(replace(run, status="diverged") for run in runs[4:])], HIGHER)
    assert (verdict.verdict, verdict.num_diverged) == ("supported", 4)
    assert "4 of 8 runs diverged, scored at the worst value." in verdict.explain


def test_unknown_metrics_are_named(tmp_path):
    run = write_run(tmp_path, HE, 0, {"val/accuracy": 0.9, "val/loss": 0.1})
    with pytest.raises(
        UserError, match=r"metric 'val/acuracy' is unknown \(did you mean 'val/accuracy'\?\); there are:"
    ):
        scores([run], "val/acuracy")
    with pytest.raises(UserError, match="metric 'accuracy' is unknown"):
        scores([run], "steps_to(accuracy >= 0.8)")
    with pytest.raises(UserError, match="cannot be read"):
        scores([run], "epochs_to(val/accuracy >= 0.8)")
    older = write_run(tmp_path, HE, 1, {"val/accuracy": 0.9})
    with pytest.raises(UserError, match=r"did not log 'val/loss'; lab compare .*seed=0 leaves out what differs"):
        scores([run, older], "val/loss")


@pytest.mark.parametrize(
    ("lower", "word", "told"),
    [
        ([0.79, 0.90, 0.70, 0.86], "undecided", r"p = 0\.\d{3} against it, by"),
        ([0.93, 0.85, 0.97, 0.84], "undecided", r"p = 0\.\d{3}, by"),
        ([0.60, 0.62, 0.59, 0.61], "refuted", r"p (= 0\.00\d|< 0\.001), by"),
    ],
)
def test_an_undecided_claim_tells_the_p_that_is_nearer_to_deciding(tmp_path, lower, word, told):
    """What the claim calls higher is lower, or a little higher."""
    runs = write_inits(tmp_path, lower, [0.83, 0.81, 0.84, 0.80])
    (verdict,) = judge(runs, {**HIGHER, "by": 0.05})
    assert verdict.verdict == word
    assert re.search(told, verdict_texts(verdict)[1])
