"""`seeds=auto`: thresholds that keep 5 % in all, seeds only for open claims, verdicts that stay, and how it goes on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import compare, write_arms
from scipy import stats

import lab.launch.auto
from lab.cli.main import main
from lab.errors import DamagedFileError
from lab.launch.auto import claim_text
from lab.records.design import Design, read_design, write_design
from lab.records.interim import read_interim
from lab.records.places import Job
from lab.records.write import write_json
from lab.studies.claims.stages import claim_facts
from lab.studies.claims.study import parse_study
from lab.studies.report.foot import foot
from lab.studies.report.publish import compare_folders
from lab.studies.statistics.group_sequential import (
    chance_later,
    crossed,
    holm_levels,
    planned_analyses,
    planned_levels,
)
from lab.validation import parse_duration

CLAIM = {"say": "relu wins", "higher": {"model.act": "relu"}, "than": {"model.act": "tanh"}}
OTHER = {"say": "gelu wins", "higher": {"model.act": "gelu"}, "than": {"model.act": "tanh"}}
WORDS = ["train", "model.act=relu,tanh,gelu,selu", "seeds=auto", "name=x", "jobs=1"]
CLAIMS = (
    "study.claims=[{say: relu wins, higher: {model.act: relu}, than: {model.act: tanh}}, "
    "{say: gelu wins, higher: {model.act: gelu}, than: {model.act: tanh}}]"
)
NOISE = [0.01, -0.012, 0.004, 0.013, -0.01, -0.014, 0.011, 0.003, -0.006, 0.009] * 3


def design_for(study: dict, max_seeds: int = 20, held: int = 1) -> Design:
    parsed, analyses = parse_study(study), planned_analyses(max_seeds)
    return Design(max_seeds, analyses, holm_levels(analyses, len(parsed.claims)), claim_facts(parsed), [], held)


# The plan


@pytest.mark.parametrize(
    ("most", "analyses"), [(3, (3,)), (5, (3, 4, 5)), (20, (3, 4, 5, 6, 8, 10, 13, 16, 20)), (100, None)]
)
def test_the_analyses_are_known_beforehand(most: int, analyses: tuple[int, ...] | None) -> None:
    found = planned_analyses(most)
    assert analyses is None or found == analyses
    assert found[0] == 3
    assert found[-1] == most
    assert sorted(set(found)) == list(found)


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_t_tests_of_few_seeds_spend_what_they_may_and_no_more(alpha: float) -> None:
    analyses, number = planned_analyses(20), 300_000
    values = np.random.default_rng(0).normal(size=(number, 20))
    crossed_already, spent = np.zeros(number, bool), []
    for n, level in zip(analyses, planned_levels(analyses, alpha), strict=True):
        t = values[:, :n].mean(1) / values[:, :n].std(1, ddof=1) * np.sqrt(n)
        crossed_already |= t > stats.t.isf(level, n - 1)
        spent.append(crossed_already.mean())
    assert spent == pytest.approx([alpha * n / 20 for n in analyses], abs=0.0012)  # three standard errors


def test_holm_leaves_the_part_of_a_rejected_claim_to_the_others() -> None:
    levels = [[0.05], [0.025], [0.01]]
    assert crossed([0.03, 0.009, 0.02], levels, 0, 0) == [1, 2, 0]
    assert crossed([0.03, 0.011, 0.02], levels, 0, 0) == []
    assert crossed([0.03, 0.02], levels, 0, 1) == [1, 0]
    assert crossed([0.04], levels, 0, 1) == []


def test_the_chance_of_a_verdict_is_that_of_a_simulation() -> None:
    rng, t = np.random.default_rng(1), 1.0
    true = t / np.sqrt(8) + rng.normal(size=200_000) / np.sqrt(8)  # the posterior of the mean under a flat prior
    total = (t * np.sqrt(8) + rng.normal(12 * true, np.sqrt(12))) / np.sqrt(20)
    assert chance_later(float(stats.norm.sf(t)), 8, 20, 0.02) == pytest.approx(
        (total > stats.norm.isf(0.02)).mean(), abs=4e-3
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("20m", 1200), ("1.5h", 5400), ("3s", 3), ("", None), ("0", None), ("m", None), ("-3", None)],
)
def test_a_budget_is_a_time(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


# Verdicts


def test_a_verdict_stays_whatever_later_seeds_say(tmp_path: Path) -> None:
    high = [0.7, 0.71, 0.72, *(0.1 for _ in range(17))]
    runs = write_arms(tmp_path, "model.act", {"relu": high, "tanh": [0.5 + n for n in NOISE[:20]]})
    study = {"claims": [{**CLAIM, "by": 0.01}]}
    for held in (1, 2, 9):
        (verdict,) = compare(runs, study, design=design_for(study, held=held)).verdicts
        assert (verdict.verdict, verdict.n, verdict.stage["status"]) == ("supported", 3, "decided")
        assert verdict.level == planned_levels(planned_analyses(20))[0] > verdict.p


def test_an_analysis_that_was_not_held_yet_is_not_seen(tmp_path: Path) -> None:
    scores = {"relu": [0.5, 0.6, 0.55, *(0.8 + n for n in NOISE[:5])], "tanh": [0.5 + n for n in NOISE[:8]]}
    runs, study = write_arms(tmp_path, "model.act", scores), {"claims": [CLAIM]}
    found = [compare(runs, study, design=design_for(study, held=held)).verdicts[0] for held in range(7)]
    assert [verdict.n for verdict in found[:6]] == [0, 3, 4, 5, 6, 8]
    assert found[0].explain == "Not analysed yet; the first analysis has 3 seeds."
    assert found[1].stage["status"] == "open"
    assert "Analysis 1 of 9 (3 seeds): threshold 0.0075. The same command adds seeds, up to 20." in found[1].explain
    assert found[5].verdict == "supported"


def test_an_analysis_says_who_trained_where_no_seed_trained_on_both_sides(tmp_path: Path) -> None:
    scores = {"relu": [0.9, 0.9, 0.1], "tanh": [0.1, 0.1, 0.9]}
    runs, study = write_arms(tmp_path, "model.act", scores, chance=0.1), {"claims": [CLAIM]}
    (before,), (after,) = (compare(runs, study, design=design_for(study, held=held)).verdicts for held in (0, 1))
    assert before.explain.startswith("Not analysed yet")
    assert claim_text(before).endswith("not analysed yet")
    assert after.explain.startswith("relu trained in 2 of 3 seeds, tanh in 1 of 3.")
    assert (after.verdict, after.n, after.p, after.stage["arms"]) == ("undecided", 0, 1.0, [])
    assert claim_text(after).endswith("undecided, as no seed trained on both sides")
    lines = foot(compare(runs, study))
    assert "In no seed did act=tanh and its reference both train, so there is no difference." in lines


def test_the_last_analysis_and_a_hopeless_one_say_so(tmp_path: Path) -> None:
    runs = write_arms(tmp_path, "model.act", {"relu": NOISE[:20], "tanh": NOISE[3:23]})
    study = {"claims": [CLAIM]}
    (last,) = compare(runs, study, design=design_for(study, 20, 9)).verdicts
    assert last.verdict == "undecided"
    assert last.stage["status"] in ("maximum", "futile")
    (hopeless,) = compare(runs, study, design=design_for(study, 20, 7)).verdicts
    assert hopeless.stage["status"] == "futile"
    assert "the chance of a verdict with 20 is below 10 %" in hopeless.explain


def test_ties_are_never_hopeless_as_nobody_knows_the_first_other_value(tmp_path: Path) -> None:
    runs = write_arms(tmp_path, "model.act", {"relu": [0.5] * 6, "tanh": [0.5] * 6})
    study = {"claims": [CLAIM]}
    (verdict,) = compare(runs, study, design=design_for(study, 20, 4)).verdicts
    assert (verdict.verdict, verdict.stage["status"]) == ("undecided", "open")


def test_claims_of_another_design_are_judged_without_it(tmp_path: Path) -> None:
    runs = write_arms(tmp_path, "model.act", {"relu": NOISE[:5], "tanh": NOISE[2:7]})
    (verdict,) = compare(runs, {"claims": [{**CLAIM, "by": 0.1}]}, design=design_for({"claims": [CLAIM]})).verdicts
    assert verdict.stage == {}
    assert verdict.n == 5


# Training


Score = Callable[[str, int], float]


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Score], list[list[tuple[str, int]]]]:
    """Replaces training by a score of activation and seed; the batches that were trained are kept."""
    monkeypatch.chdir(tmp_path)

    def replace_training(score: Score) -> list[list[tuple[str, int]]]:
        batches: list[list[tuple[str, int]]] = []

        def train_runs(jobs: list[Job], sweep: Any = ()) -> tuple[bool, dict[Path, str]]:
            batches.append([(job.config.model.act, job.config.seed) for job in jobs])
            for job in jobs:
                value = score(job.config.model.act, job.config.seed)
                ended = {"metrics": {"val/accuracy": {"last": value, "best": value, "best_step": 1}}, "steps": 1}
                job.folder.mkdir(parents=True, exist_ok=True)
                (job.folder / "config.yaml").write_text(f"study:\n  {CLAIMS.removeprefix('study.').replace('=', ': ')}")
                (job.folder / "metrics.jsonl").write_text("")
                write_json(
                    job.folder / "result.json",
                    {**job.record(), "status": "finished", "train_seconds": 5.0, "images_per_second": 1.0, **ended},
                )
            return False, {}

        monkeypatch.setattr(lab.launch.auto, "train_runs", train_runs)
        monkeypatch.setattr("lab.studies.report.page.hang", lambda *_: {})  # figures take the time
        return batches

    return replace_training


def by_arm(act: str, seed: int) -> float:
    """relu is far better than tanh, and gelu no better."""
    return {"relu": 0.9, "tanh": 0.5, "gelu": 0.5, "selu": 0.5}[act] + NOISE[seed + len(act) + (act == "relu")]


def test_only_arms_of_open_claims_get_more_seeds(trained, capsys: pytest.CaptureFixture[str]) -> None:
    batches = trained(by_arm)
    assert main([*WORDS, CLAIMS, "study.max_seeds=6"]) == 0
    assert len(batches[0]) == 12
    assert {act for batch in batches[1:] for act, _ in batch} <= {"tanh", "gelu"}
    out = capsys.readouterr().out
    assert "relu wins: supported after 3 seeds" in out
    assert "gelu wins: undecided after" in out
    root = Path("outputs/x")
    written = json.loads((root / "verdict.json").read_text())["claims"]
    assert written[0]["n"] == 3
    assert written[0]["stage"]["status"] == "decided"
    design = read_design(root)
    assert design is not None
    assert read_interim(root).num_seeds == design.holds()
    seeds = {act: 1 + max(seed for batch in batches for name, seed in batch if name == act) for act in ("relu", "tanh")}
    assert (f"Arms have 3 to {seeds['tanh']} seeds" in out) == (seeds["tanh"] > 3)


def test_the_same_command_again_trains_nothing_and_says_the_same(trained, capsys: pytest.CaptureFixture[str]) -> None:
    batches = trained(by_arm)
    assert main([*WORDS, CLAIMS, "study.max_seeds=6"]) == 0
    first, number = capsys.readouterr().out, len(batches)
    assert main([*WORDS, CLAIMS, "study.max_seeds=6"]) == 0
    assert len(batches) == number
    assert first.splitlines()[-3:] == capsys.readouterr().out.splitlines()[-3:]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_command_goes_on_to_the_same_verdicts(trained, after: int, monkeypatch) -> None:
    batches = trained(by_arm)
    assert main([*WORDS, CLAIMS, "study.max_seeds=6", "out=whole"]) == 0
    batches.clear()
    working = lab.launch.auto.train_runs
    calls = iter(range(10))

    def stops(jobs: list[Job], *more: Any) -> tuple[bool, dict[Path, str]]:
        if next(calls) == after:
            working(jobs[: len(jobs) // 2], *more)
            return True, {}
        return working(jobs, *more)

    monkeypatch.setattr(lab.launch.auto, "train_runs", stops)
    code = main([*WORDS, CLAIMS, "study.max_seeds=6", "out=parts"])
    assert code == (130 if after < len(batches) else 0)
    monkeypatch.setattr(lab.launch.auto, "train_runs", working)
    assert main([*WORDS, CLAIMS, "study.max_seeds=6", "out=parts"]) == 0
    whole, parts = (json.loads(Path(out, "x/verdict.json").read_text()) for out in ("whole", "parts"))
    assert whole == parts


def test_a_budget_ends_it_between_two_analyses(trained, capsys: pytest.CaptureFixture[str]) -> None:
    batches = trained(lambda act, seed: 0.5 + 0.02 * (act == "gelu") + NOISE[seed + len(act)])
    assert main([*WORDS, CLAIMS, "study.budget=4"]) == 0  # a run takes 5 s
    assert len(batches) == 1
    assert "stopped: study.budget=4 is spent; the same command goes on" in capsys.readouterr().out
    assert main([*WORDS, CLAIMS]) == 0
    assert len(batches) > 1


def test_a_comparison_by_hand_holds_no_analysis(trained) -> None:
    trained(by_arm)
    assert main([*WORDS, CLAIMS, "study.max_seeds=6"]) == 0
    before, file = read_design(Path("outputs/x")), Path("outputs/x/verdict.json")
    verdicts = file.read_text()
    compare_folders([Path("outputs/x")], None, None, None)
    assert read_design(Path("outputs/x")) == before
    assert file.read_text() == verdicts


def test_a_failed_run_ends_it(trained, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    trained(by_arm)
    working = lab.launch.auto.train_runs

    def fails(jobs: list[Job], *more: Any) -> tuple[bool, dict[Path, str]]:
        working(jobs[1:], *more)
        return False, {jobs[0].folder: "out of memory"}

    monkeypatch.setattr(lab.launch.auto, "train_runs", fails)
    assert main([*WORDS, CLAIMS]) == 1
    out, err = capsys.readouterr()
    assert "stopped: runs failed" in out
    assert "out of memory" in err
    design = read_design(Path("outputs/x"))
    assert design is not None
    assert design.held == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*WORDS], "there is none; give experiment=NAME"),
        ([*WORDS, CLAIMS, "seed=0,1"], "seeds=auto takes the seeds 0, 1, 2"),
        ([*WORDS, CLAIMS, "force=true"], "force=true is not possible with seeds=auto"),
        ([*WORDS, CLAIMS, "study.max_seeds=2"], "study.max_seeds=2 is out of range; allowed: 3 to 200 (seeds)"),
        ([*WORDS, CLAIMS, "study.budget=soon"], "study.budget=soon is out of range; allowed: a time above 0"),
        (["train", "seeds=atuo"], "or auto (did you mean 'auto'?)"),
    ],
)
def test_what_is_wrong_is_told(words: list[str], message: str, trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert trained(by_arm) == []
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (message in err, out) == (True, ""), err
    assert not Path("outputs").exists()


def test_a_design_is_not_changed_in_silence(trained, capsys: pytest.CaptureFixture[str]) -> None:
    trained(by_arm)
    assert main([*WORDS, CLAIMS, "study.max_seeds=6"]) == 0
    changes = {
        "study.max_seeds=7": "was begun with 6",
        "model.depth=5": "the arms differ",
        f"{CLAIMS[:-2]}, by: 0.1}}]": "the claims differ",
    }
    for change, message in changes.items():
        words = [CLAIMS] if not change.startswith("study.claims") else []
        most = ["study.max_seeds=6"] if "max_seeds" not in change else []
        assert main([*WORDS, *words, *most, change]) == 2
        assert message in capsys.readouterr().err


def test_an_experiment_that_was_analysed_by_hand_has_no_design_afterwards(trained, capsys) -> None:
    trained(by_arm)
    Path("outputs/x").mkdir(parents=True)
    write_json(Path("outputs/x/looks.json"), {"looks": [5], "last_seed": 4})
    assert main([*WORDS, CLAIMS]) == 2
    assert "was analysed with 5 seeds, without the plan of seeds=auto" in capsys.readouterr().err


def test_the_further_of_two_commands_counts_and_damage_is_told(tmp_path: Path) -> None:
    design = design_for({"claims": [CLAIM, OTHER]}, held=3)
    assert write_design(tmp_path, design) == read_design(tmp_path) == design
    assert write_design(tmp_path, replace(design, held=1)).held == 3
    (tmp_path / "design.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"design\.json is damaged"):
        read_design(tmp_path)
