"""Where some seeds do not train: who trained, what is compared, and what is said of it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import compare, write_run

from lab.errors import UserError
from lab.metric import parse_metric
from lab.records.results import Run
from lab.studies.claims.study import parse_study
from lab.studies.claims.verdict import Verdict
from lab.studies.comparison.means import arm_means
from lab.studies.figures.dots import seed_rows
from lab.studies.figures.forest import difference_rows
from lab.studies.report.table import columns, table_text
from lab.studies.select.modes import who_trained
from lab.studies.statistics.spending import level

INIT, DEPTH = "model.init", "model.depth"
HE, XAVIER, LSUV = {INIT: "he_normal"}, {INIT: "xavier_normal"}, {INIT: "lsuv"}
HIGHER: dict[str, Any] = {"say": "higher", "higher": HE, "than": XAVIER}
LOWER: dict[str, Any] = {"say": "lower", "lower": XAVIER, "than": HE}
SAME: dict[str, Any] = {"say": "same", "same": [HE, XAVIER], "within": 0.02}
CHAIN: dict[str, Any] = {"say": "chain", "ordered": [HE, LSUV, XAVIER]}
CROSSED: dict[str, Any] = {
    "say": "crossed",
    "interaction": [HE, XAVIER],
    "between": [{DEPTH: 30}, {DEPTH: 22}],
}
SHARE = "trains(val/accuracy >= 0.8)"

GOOD = [0.96, 0.97, 0.965, 0.972, 0.968, 0.966, 0.971, 0.963]
FINE = [0.95, 0.962, 0.957, 0.96, 0.958, 0.955, 0.96, 0.95]
LOW = [0.1, 0.11, 0.1, 0.09, 0.1, 0.1, 0.11, 0.1]
MIXED = [0.1, 0.95, 0.94, 0.1, 0.95]


def write(root: Path, tag: str = "val/accuracy", depth: int = 30, **arms: Any) -> list[Run]:
    """A run for each score, None for one that diverged, in classes of which each is a tenth."""
    runs = []
    for name, column in arms.items():
        init = {"he": "he_normal", "xavier": "xavier_normal", "lsuv": "lsuv"}[name]
        for seed, score in enumerate(column):
            status = "diverged" if score is None else "finished"
            rows = [{"step": step, tag: score} for step in (10, 20)]
            arm = {INIT: init, DEPTH: depth}
            runs.append(write_run(root, arm, seed, {tag: score}, rows, status, chance=0.1))
    return runs


def judge(runs: list[Run], claim: dict[str, Any], **study: Any) -> Verdict:
    (verdict,) = compare(runs, {"metric": "val/accuracy", **study, "claims": [claim]}).verdicts
    return verdict


@pytest.mark.parametrize(
    ("score", "chance", "trained"),
    [
        (0.18, 0.1, False),
        (0.2, 0.1, True),
        (0.54, 0.5, False),
        (0.56, 0.5, True),
        (0.905, 0.9, False),
        (0.02, 0.009, True),
    ],
)
def test_an_accuracy_has_to_exceed_chance(tmp_path: Path, score: float, chance: float, trained: bool) -> None:
    run = write_run(tmp_path, HE, 0, {"val/accuracy": score, "val/loss": 2.3}, chance=chance)
    for text in ("val/accuracy", "best(val/accuracy)"):
        assert who_trained([run], parse_metric(text), None) == (trained,)
    for text in ("val/loss", "steps_to(val/accuracy >= 0.8)", SHARE, "num_params"):
        assert who_trained([run], parse_metric(text), None) == (True,)


def test_older_runs_tell_chance_by_the_labels_that_any_of_them_kept(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, arm, 0, {"val/accuracy": 0.35}) for arm in (HE, XAVIER)]
    assert who_trained(runs, parse_metric("val/accuracy"), None) == (True, True)
    label = np.array([0] * 15 + [1] * 5)
    np.savez_compressed(runs[0].path / "predictions.npz", index=np.arange(20), label=label, predicted=label)
    again = [Run(**{name: getattr(run, name) for name in run.__dataclass_fields__}) for run in runs]
    assert who_trained(again, parse_metric("val/accuracy"), None) == (False, False)


def test_by_other_metrics_only_what_is_not_finite_failed(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, HE, seed, {"val/loss": loss}) for seed, loss in enumerate([0.5, 9.0, math.inf, None])]
    runs.append(write_run(tmp_path, HE, 4, {"val/loss": 0.4}, status="diverged"))
    assert who_trained(runs, parse_metric("val/loss"), None) == (True, True, False, False, False)


def test_a_declared_rule_takes_the_place_of_chance(tmp_path: Path) -> None:
    runs = write(tmp_path, he=[0.97, 0.6, 0.97])
    rule = parse_study({"trained": "val/accuracy >= 0.9"}).trained
    assert who_trained(runs, parse_metric("val/accuracy"), rule) == (True, False, True)
    with pytest.raises(UserError, match=r"study.trained=val/accuracy cannot be read; write a condition"):
        parse_study({"trained": "val/accuracy"})
    with pytest.raises(UserError, match=r"metric 'val/acuracy' is unknown \(did you mean 'val/accuracy'\?\)"):
        judge(runs, HIGHER, trained="val/acuracy > 0.5")


def test_two_seeds_in_different_modes_prove_nothing_and_five_do(tmp_path: Path) -> None:
    two = judge(write(tmp_path / "2", he=GOOD[:2], xavier=LOW[:2]), HIGHER)
    assert (two.verdict, two.seeds_needed, two.among) == ("undecided", 2, "")
    five = judge(write(tmp_path / "5", he=GOOD[:5], xavier=LOW[:5]), HIGHER)
    assert (five.verdict, five.p) == ("supported", pytest.approx(4**-5))
    assert five.trained == [
        {"side": "init=he_normal", "trained": 5, "seeds": 5},
        {"side": "init=xavier_normal", "trained": 0, "seeds": 5},
    ]
    by = judge(write(tmp_path / "by", he=GOOD[:5], xavier=LOW[:5]), {**HIGHER, "by": 0.4})
    share = 0.4 / (sum(GOOD[:5]) - sum(LOW[:5])) * 5
    assert by.p == pytest.approx(((1 + share) / 2) ** 10, rel=1e-3)
    assert judge(write(tmp_path / "lower", he=GOOD[:5], xavier=LOW[:5]), LOWER).p == five.p


def test_lower_is_better_turns_the_sides(tmp_path: Path) -> None:
    runs = write(tmp_path, "val/loss", he=[0.1, 0.11, 0.12, 0.1, 0.1], xavier=[None] * 5)
    better = judge(runs, {"say": "lower", "lower": HE, "than": XAVIER}, metric="val/loss")
    assert (better.verdict, better.p) == ("supported", pytest.approx(1 / 32))  # the sign test's, above that of shares
    mixed = write(tmp_path / "mixed", "val/loss", he=[0.1, 0.11, 0.12, 0.1, 0.1], xavier=[0.01, 0.02, 0.02, 0.01, None])
    hidden = judge(mixed, LOWER, metric="val/loss")
    assert (hidden.verdict, hidden.n) == ("undecided", 4)
    assert "Nothing is decided in favour of xavier_normal, which trained less often" in hidden.explain


def test_among_the_seeds_that_trained(tmp_path: Path) -> None:
    runs = write(tmp_path, he=GOOD[:5], xavier=MIXED)
    found = judge(runs, HIGHER)
    assert (found.verdict, found.n, found.among, found.seeds_needed) == ("supported", 3, "trained", 0)
    assert found.effect == pytest.approx(np.mean(GOOD[1:3] + GOOD[4:5]) - np.mean([0.95, 0.94, 0.95]))
    assert (found.unseen, found.as_json()["among"]) == (None, "trained")
    assert judge(runs, SAME).verdict == "undecided"
    assert judge(runs, {**HIGHER, "by": 0.3}).verdict == "undecided"  # Xavier fails, so it is not refuted
    other = judge(write(tmp_path / "other", he=MIXED, xavier=LOW[:5]), {**HIGHER, "by": 0.3})
    assert (other.verdict, other.n, other.effect) == ("undecided", 0, None)


def test_a_diverged_run_blocks_no_verdict(tmp_path: Path) -> None:
    runs = write(tmp_path, he=GOOD[:5], xavier=[None, *FINE[1:5]])
    assert (judge(runs, HIGHER).verdict, judge(runs, HIGHER).n) == ("supported", 4)
    xavier = compare(runs, {"metric": "val/accuracy"}).arms[1]
    assert xavier.score is not None
    assert xavier.score.value == pytest.approx(np.mean(FINE[1:5]))


def test_where_no_side_trained_nothing_is_said_of_scores(tmp_path: Path) -> None:
    for claim in (HIGHER, SAME, {**HIGHER, "by": 0.5}):
        found = judge(write(tmp_path / str(claim), he=LOW[:5], xavier=LOW[3:8]), claim)
        assert (found.verdict, found.p) == ("undecided", 1.0)
        assert "none did" in found.explain


def test_a_chain_is_judged_step_by_step(tmp_path: Path) -> None:
    good = [value + 0.01 for value in GOOD[:5]]
    clean = judge(write(tmp_path / "a", he=good, lsuv=FINE[:5], xavier=LOW[:5]), CHAIN)
    assert clean.verdict == "supported"
    mixed = judge(write(tmp_path / "b", he=good, lsuv=MIXED, xavier=LOW[:5]), CHAIN)
    assert mixed.verdict == "undecided"  # no seed in which both lsuv and xavier trained


def test_an_interaction_of_training_alone_needs_many_seeds(tmp_path: Path) -> None:
    def cells(n: int) -> list[Run]:
        root, good = tmp_path / str(n), GOOD * 2
        steady = write(
            root, depth=22, he=good[:n], xavier=[value - 0.01 + 0.001 * (i % 3) for i, value in enumerate(good[:n])]
        )
        return [*write(root, depth=30, he=good[:n], xavier=(LOW * 2)[:n]), *steady]

    assert judge(cells(5), CROSSED).verdict == "undecided"
    found = judge(cells(16), CROSSED)
    assert (found.verdict, [side["trained"] for side in found.trained]) == ("supported", [16, 0, 16, 16])


def test_levels_left_open_are_in_one_mode_where_the_same_fail_in_every_seed(tmp_path: Path) -> None:
    def runs(name: str, low: list[float], high: list[float]) -> list[Run]:
        deep = write(tmp_path / name, depth=30, he=GOOD[:5], xavier=low)
        return [*deep, *write(tmp_path / name, depth=22, he=GOOD[:5], xavier=high)]

    steady = judge(runs("a", LOW[:5], FINE[:5]), HIGHER)
    assert (steady.verdict, steady.n, steady.among) == ("supported", 5, "")
    mixed = judge(runs("b", MIXED, FINE[:5]), HIGHER)
    assert (mixed.n, mixed.among) == (3, "trained")
    share = judge(runs("c", MIXED, FINE[:5]), {**HIGHER, "metric": SHARE})
    assert (share.verdict, share.interval, share.effect) == ("undecided", None, pytest.approx(0.2))
    assert "name the keys left open" in share.explain


def test_how_often_runs_train_is_a_claim(tmp_path: Path) -> None:
    runs = write(tmp_path, he=GOOD[:5], xavier=LOW[:5])
    found = judge(runs, {**HIGHER, "by": 0.1, "metric": SHARE})
    assert (found.verdict, found.effect, found.trained, found.unseen) == ("supported", 1.0, [], None)
    assert judge(runs, {**SAME, "within": 0.3, "metric": SHARE}).verdict == "refuted"
    assert judge(runs, {**LOWER, "metric": SHARE}).verdict == "supported"
    table = columns(compare(runs, {"metric": SHARE}))
    assert (table["mean"], "trained" in table) == (["1.00", "0.00"], False)
    assert parse_metric("trains(test/accuracy > 0.5)").for_choosing() == parse_metric("val/accuracy")


def test_a_clean_sample_says_what_it_does_not_exclude(tmp_path: Path) -> None:
    runs = write(tmp_path, he=GOOD[:5], xavier=FINE[:5])
    same, refuted, higher = (judge(runs, claim) for claim in (SAME, {**HIGHER, "by": 0.05}, HIGHER))
    assert [one.verdict for one in (same, refuted, higher)] == ["supported", "refuted", "supported"]
    assert same.unseen == pytest.approx(1 - 0.04**0.2)
    for verdict, told in ((same, True), (refuted, True), (higher, False)):
        assert ("5 seeds without a failure do not exclude failures in up to 47 % of runs." in verdict.explain) == told


def test_no_mean_is_of_both_kinds_of_runs(tmp_path: Path) -> None:
    runs = write(tmp_path, he=GOOD[:5], xavier=MIXED)
    comparison = compare(runs, {"metric": "val/accuracy", "claims": [HIGHER]})
    table = columns(comparison)
    assert (table["n"], table["trained"], table["mean"][1]) == (["5", "3"], ["5/5", "3/5"], "0.947")
    assert table["difference"][1] == "-0.021"
    assert "Some seeds did not train: means and intervals are of those that did" in table_text(comparison)
    he, xavier = seed_rows(comparison)
    assert (list(he.hollow), list(xavier.hollow), list(xavier.values)) == ([], [0.1, 0.1], [0.95, 0.94, 0.95])
    (forest,) = difference_rows(comparison)
    assert list(forest.hollow) == pytest.approx([0.1 - 0.96, 0.1 - 0.972])
    means = {arm.folder.partition(",")[0]: arm.series["val/accuracy"][-1][1] for arm in arm_means(comparison)}
    assert means["init=xavier_normal"] == pytest.approx(np.mean([0.95, 0.94, 0.95]))
    assert "trained" not in columns(compare(write(tmp_path / "clean", he=GOOD, xavier=FINE), {}))


def sentences(root: Path) -> str:
    """Every kind of claim in every outcome that runs without training have."""
    columns: dict[str, dict[str, Any]] = {
        "all trained": {"he": GOOD[:5], "lsuv": FINE[:5], "xavier": FINE[:5]},
        "2 of 2 against 0 of 2": {"he": GOOD[:2], "lsuv": FINE[:2], "xavier": LOW[:2]},
        "5 of 5 against 0 of 5": {"he": GOOD[:5], "lsuv": FINE[:5], "xavier": LOW[:5]},
        "5 of 5 against 3 of 5": {"he": GOOD[:5], "lsuv": FINE[:5], "xavier": MIXED},
        "5 of 5 against 3 better of 5": {
            "he": [*MIXED[:1], 0.9, 0.9, 0.1, 0.91],
            "lsuv": FINE[:5],
            "xavier": GOOD[:5],
        },
        "5 of 5 against 1 of 5": {"he": GOOD[:5], "lsuv": FINE[:5], "xavier": [*LOW[:4], 0.95]},
        "one diverged": {"he": GOOD[:5], "lsuv": FINE[:5], "xavier": [None, *FINE[1:5]]},
        "all diverged": {"he": GOOD[:5], "lsuv": FINE[:5], "xavier": [None] * 5},
        "none trained": {"he": LOW[:5], "lsuv": FINE[:5], "xavier": LOW[3:8]},
    }
    claims = [HIGHER, {**HIGHER, "say": "higher by 0.05", "by": 0.05}, LOWER, SAME, CHAIN]
    shares = (HIGHER, {**SAME, "within": 0.3}, CHAIN)
    claims += [{**claim, "say": f"{claim['say']}, share", "metric": SHARE} for claim in shares]
    lines = []
    for name, arms in columns.items():
        runs = write(root / name, **arms)
        lines += ["", f"# {name}"]
        lines += [f"{claim['say']}: {(found := judge(runs, claim)).verdict}. {found.explain}" for claim in claims]
    for name, low in (("crossed, 5 seeds", LOW[:5]), ("crossed, mixed", MIXED)):
        runs = [
            *write(root / name, he=GOOD[:5], xavier=low),
            *write(root / name, depth=22, he=GOOD[:5], xavier=FINE[:5]),
        ]
        lines += ["", f"# {name}"]
        for claim in (CROSSED, {**CROSSED, "say": "crossed, share", "metric": SHARE}):
            lines.append(f"{claim['say']}: {(found := judge(runs, claim)).verdict}. {found.explain}")
    return "\n".join(lines).strip() + "\n"


def test_sentences_read_as_they_were_read_once(tmp_path: Path) -> None:
    """A person reads what changes before it is kept."""
    assert sentences(tmp_path) == (Path(__file__).parent / "golden" / "trained.txt").read_text()


@pytest.mark.parametrize(
    ("claim", "crossed"),
    [
        ({**HIGHER, "by": 0.5}, False),
        ({**LOWER, "by": 0.7}, False),
        ({"say": "same", "same": [HE, XAVIER], "within": 0.3}, False),
        ({**CROSSED, "by": 0.05}, True),
    ],
    ids=["higher", "lower", "same", "interaction"],
)
def test_further_seeds_are_told_where_one_side_trains_in_all_and_the_other_in_none(
    tmp_path: Path, claim: dict[str, Any], crossed: bool
) -> None:
    """That many, and not one less, decide it if they end like those there are."""

    def of(seeds: int) -> Verdict:
        folder = tmp_path / str(seeds)
        runs = write(folder, he=[0.96, 0.962, *[0.964, 0.961] * 50][:seeds], xavier=[0.1] * seeds)
        if crossed:
            runs += write(folder, depth=22, he=[0.97] * seeds, xavier=[0.95] * seeds)
        return judge(runs, claim)

    few = of(4)
    assert few.verdict == "undecided"
    assert few.seeds_needed
    assert f"{few.seeds_needed} further seeds that end like these would decide it." in few.explain
    whole = 4 + few.seeds_needed
    assert of(whole).p < level([4, whole])
    assert of(whole - 1).p >= level([4, whole - 1])
