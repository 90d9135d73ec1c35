"""Interim analyses: what each may find by chance, how they are counted, and how seeds are added."""

import json

import numpy as np
import pytest
from fake_runs import compare, write_arms, write_run
from scipy import stats

from lab.errors import UserError
from lab.records.interim import Interim, read_interim, record_interim
from lab.studies.claims.study import Study, parse_study
from lab.studies.report.publish import publish
from lab.studies.statistics.spending import counted_analyses, level, levels, spending

CLAIM = {
    "say": "a wins",
    "higher": {"model.act": "relu"},
    "than": {"model.act": "tanh"},
}


def test_levels_spend_what_they_may() -> None:
    assert levels((5,)) == (0.04,)
    assert sum(spending(number) for number in range(1, 60)) == pytest.approx(0.05)
    bounds = -stats.norm.ppf(levels((5, 10, 15)))
    walk = np.random.default_rng(0).normal(size=(400_000, 15)).cumsum(1)
    crossed = walk[:, [4, 9, 14]] / np.sqrt([5, 10, 15]) > bounds
    spent = [crossed[:, :k].any(1).mean() for k in (1, 2, 3)]
    assert spent == pytest.approx([0.04, 0.045, 0.0475], abs=0.0012)  # three standard errors
    assert level([5, 10, 15]) < level([5, 10]) < level([5])


def test_many_looks_still_have_a_level() -> None:
    found = levels(tuple(range(2, 14)))
    assert all(0 < one <= 0.04 for one in found)
    assert found[-1] == spending(12)


def test_a_look_at_the_same_seeds_is_no_other_look() -> None:
    assert counted_analyses([], 5) == [5]
    assert counted_analyses([5], 5) == [5]
    assert counted_analyses([5, 10], 15) == [5, 10, 15]
    assert counted_analyses([5, 10], 5) == [5]


def test_false_support_stays_below_five_percent_after_four_looks() -> None:
    generator, sizes = np.random.default_rng(1), (5, 10, 15, 20)
    found = np.zeros(20_000, dtype=bool)
    values = generator.normal(size=(20_000, 20))
    for number, n in enumerate(sizes):
        part = values[:, :n]
        p = stats.t.sf(part.mean(1) / part.std(1, ddof=1) * np.sqrt(n), n - 1)
        found |= p < level(sizes[: number + 1])
    assert found.mean() < 0.05


def test_a_comparison_with_claims_is_remembered(tmp_path, capsys) -> None:
    scores = {"relu": [0.5, 0.52, 0.5, 0.53, 0.55], "tanh": [0.5, 0.5, 0.51, 0.5, 0.52]}
    study = parse_study({"claims": [CLAIM]})
    runs = write_arms(tmp_path, "model.act", {act: column[:3] for act, column in scores.items()})
    publish(runs, study, tmp_path, last_seed=2)
    assert (read_interim(tmp_path).num_seeds, read_interim(tmp_path).last_seed) == ((3,), 2)
    for act, column in scores.items():
        runs += [write_run(tmp_path, {"model.act": act}, seed, {"val/accuracy": column[seed]}) for seed in (3, 4)]
    publish(runs, study, tmp_path)
    assert (read_interim(tmp_path).num_seeds, read_interim(tmp_path).last_seed) == ((3, 5), 2)
    assert [[one.n for one in analyses] for analyses in (read_interim(tmp_path).claims or {}).values()] == [[3, 5]]
    text = capsys.readouterr().out
    assert "Second interim analysis (3, then 5 seeds): threshold 0.01" in " ".join(text.split())
    written = json.loads((tmp_path / "verdict.json").read_text())
    assert written["looks"] == written["claims"][0]["looks"] == [3, 5]
    assert written["claims"][0]["level"] == level([3, 5])
    publish(runs, Study(), tmp_path / "other")
    assert not (tmp_path / "other" / "looks.json").exists()


def test_another_look_needs_a_smaller_p(tmp_path) -> None:
    scores = {"relu": [0.5, 0.6, 0.7, 0.8, 0.62, 0.57], "tanh": [0.5, 0.5, 0.63, 0.63, 0.6, 0.5]}
    runs = write_arms(tmp_path, "model.act", scores)
    (first,) = compare(runs, {"claims": [CLAIM]}).verdicts
    (second,) = compare(runs, {"claims": [CLAIM]}, analyses=[3]).verdicts
    assert second.level < first.p == second.p < first.level
    assert (first.verdict, second.verdict) == ("supported", "undecided")


def test_the_record_keeps_the_largest_seed(tmp_path) -> None:
    record_interim(tmp_path, 5, 4)
    record_interim(tmp_path, 5, 2)
    assert read_interim(tmp_path) == Interim((5,), 4)


def test_seeds_are_added_after_the_last_finished_sweep(tmp_path) -> None:
    from lab.overrides.seeds import asked_seeds, take_seeds

    assert take_seeds(["a=1", "seeds=+5"]) == (["a=1"], "+5")
    own = [0, 1]
    assert asked_seeds("", own, tmp_path, 20) == own
    assert list(asked_seeds("3", own, tmp_path, 20)) == [0, 1, 2]
    assert asked_seeds("+2", own, tmp_path, 20) == [0, 1, 2, 3]
    record_interim(tmp_path, 4, 3)
    assert asked_seeds("+2", own, tmp_path, 20) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["seeds=+0"], r"seeds=\+0 is out of range; allowed: a number of 1 or more"),
        (["seeds=five"], "seeds=five is out of range"),
        (["seeds=3", "seed=0,1"], "says how many seeds and seed= which ones"),
        (["seeds=3", "seeds=+2"], "seeds is given 2 times"),
    ],
)
def test_wrong_seeds_are_refused(typed, message) -> None:
    from lab.overrides.seeds import take_seeds

    with pytest.raises(UserError, match=message):
        take_seeds(typed)
