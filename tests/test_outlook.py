"""`lab plan`: what is there and to do, for how long, and whether the seeds asked for can decide the claims."""

import json
from pathlib import Path

import pytest
from fake_runs import compare, write_arms
from scipy import stats

from lab.cli.main import main
from lab.launch.outlook import sign_lines
from lab.overrides.plan import all_jobs
from lab.records.write import write_json
from lab.studies.statistics.numerals import duration, seed_spans
from lab.studies.statistics.power import least_effect

SAME = "study.claims=[{say: alike, same: [{model.act: relu}, {model.act: tanh}], within: 0.05}]"
HIGHER = "study.claims=[{say: more, higher: {model.act: relu}, than: {model.act: tanh}, by: 0.1}]"
SOONER = (
    'study.claims=[{say: sooner, metric: "steps_to(val/accuracy >= 0.8)", lower: {model.act: relu}, '
    "than: {model.act: tanh}}]"
)
WORDS = ["model.act=relu,tanh", "name=x", "jobs=2"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def finish(words: list[str], scores: dict[str, list[float]]) -> None:
    """Writes results of runs as `lab train` with `words` would, without training."""
    (jobs,) = all_jobs("train", words)
    for job in jobs:
        value = scores[job.config.model.act][job.config.seed]
        job.folder.mkdir(parents=True)
        ended = {"metrics": {"val/accuracy": {"last": value, "best": value, "best_step": 1}}, "train_seconds": 30.0}
        ended["steps"] = job.config.train.steps or 100
        write_json(job.folder / "result.json", {**job.record(), "status": "finished", **ended})


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["plan", *words]) == 0
    return capsys.readouterr().out


def test_a_new_experiment_has_no_time_and_effects_in_standard_deviations(capsys) -> None:
    out = plan(capsys, *WORDS, "seed=0,1,2,3,4", HIGHER)
    assert "x: 10 runs, 2 arms, seeds 0 to 4; 0 finished, 10 to do" in out
    assert "expected time: not known" in out
    assert "5 seeds show a true difference 1.5 standard deviations (of a seed's difference) from 0.1" in out
    assert not Path("outputs").exists()


def test_finished_runs_tell_time_and_spread_and_nothing_about_the_effect(capsys) -> None:
    scores = {"relu": [0.9, 0.94, 0.95, 0.91], "tanh": [0.5, 0.5, 0.5, 0.5]}
    finish([*WORDS, "seed=0,1,2,3"], scores)
    out = plan(capsys, *WORDS, "seed=0,1,2,3,4,5", HIGHER)
    assert "act=relu: 4 of 6 finished" in out
    assert "expected time: about 60 s, 2 side by side" in out
    assert (
        "6 seeds show a true difference about 0.03 from 0.1 (power 0.8, p below 0.04, at the spread of 4 seeds" in out
    )
    finish([*WORDS, "seed=0,1,2,3", "name=shifted"], {**scores, "relu": [0.5, 0.54, 0.55, 0.51]})
    shifted = plan(capsys, *WORDS, "seed=0,1,2,3,4,5", HIGHER, "name=shifted")
    assert shifted.replace("shifted", "x") == out
    assert not list(Path("outputs").rglob("looks.json"))


def test_same_has_its_number_of_seeds_where_the_spread_is_known(capsys) -> None:
    assert "no number of seeds: the spread is not known" in plan(capsys, *WORDS, "seed=0,1,2", SAME)
    finish([*WORDS, "seed=0,1,2"], {"relu": [0.9, 0.92, 0.91], "tanh": [0.9, 0.88, 0.93]})
    assert "seeds show it, more than there are, if nothing differs" in plan(capsys, *WORDS, "seed=0,1,2", SAME)
    assert "1,000 seeds would not show it" in plan(capsys, *WORDS, "seed=0,1,2", SAME.replace("0.05", "0.0001"))


def test_what_its_seeds_can_never_decide_is_told(capsys) -> None:
    assert "undecidable with 1 seed: a verdict needs at least 2" in plan(capsys, *WORDS, HIGHER)
    out = plan(capsys, *WORDS, "seed=0,1,2", SOONER)
    assert "undecidable with 3 seeds if a run never gets there: the smallest p is then 0.12" in out
    assert "5 seeds can" in out
    assert sign_lines(5, 0.04) == []


def test_the_report_says_it_too(tmp_path: Path) -> None:
    runs = write_arms(tmp_path, "model.act", {"relu": [0.5] * 3, "tanh": [0.5] * 3})
    for run in runs:
        reached = {
            "step": 5,
            "epoch": 1.0,
            "seconds": 1.0,
            "val/accuracy": 0.9 if run.arm["model.act"] == "relu" else 0,
        }
        (run.path / "metrics.jsonl").write_text(json.dumps(reached) + "\n")
    claim = {"say": "sooner", "metric": "steps_to(val/accuracy >= 0.8)"}
    claim |= {"lower": {"model.act": "relu"}, "than": {"model.act": "tanh"}}
    (verdict,) = compare(runs, {"claims": [claim]}).verdicts
    assert "By signs alone 3 seeds cannot decide it: the smallest p is 0.12." in verdict.explain


def test_the_last_analysis_is_repeated_and_no_new_one_made(capsys) -> None:
    finish([*WORDS, "seed=0,1,2"], {"relu": [0.9, 0.92, 0.91], "tanh": [0.9, 0.88, 0.93]})
    said = {"say": "more", "verdict": "undecided", "n": 3, "seeds_needed": 12}
    write_json(Path("outputs/x/verdict.json"), {"claims": [said]})
    out = plan(capsys, *WORDS, "seed=0,1,2", HIGHER)
    assert "undecided after 3 seeds; about 12 further seeds would decide it" in out


def test_seeds_auto_shows_its_analyses(capsys) -> None:
    out = plan(capsys, *WORDS, "seeds=auto", "study.max_seeds=8", HIGHER)
    assert "x: at most 16 runs, 2 arms, seeds 0 to 7; 0 finished, at most 16 to do" in out
    assert "claims are analysed with 3, 4, 5, 6, 8 seeds" in out
    assert main(["plan", *WORDS, "seeds=auto"]) == 2
    assert "there is none; give experiment=NAME" in capsys.readouterr().err


def test_tuning_trials_come_first(capsys) -> None:
    out = plan(capsys, *WORDS, "seed=0,1", "study.tune={optimizer.lr: [0.01, 0.1]}")
    assert "4 tuning trials first, 0 finished" in out


def test_the_least_effect_has_power_08() -> None:
    for n, level in ((2, 0.04), (5, 0.01), (20, 0.002)):
        effect = least_effect(n, level)
        assert stats.nct.sf(stats.t.isf(level, n - 1), n - 1, effect * n**0.5) == pytest.approx(0.8, abs=1e-3)


def test_times_and_seeds_are_short() -> None:
    assert [duration(one) for one in (40, 700, 12_600)] == ["40 s", "12 min", "3.5 h"]
    assert [seed_spans(one) for one in ([0], [0, 3], [0, 1, 2, 3])] == ["seed 0", "seeds 0 and 3", "seeds 0 to 3"]


def test_the_expected_time_says_which_runs_it_is_judged_by(capsys) -> None:
    finish([*WORDS, "seed=0,1"], {"relu": [0.9, 0.9], "tanh": [0.9, 0.9]})
    out = plan(capsys, *WORDS, "seed=5,6")
    assert "expected time: about 60 s, 2 side by side, judged by 4 finished runs of these arms (30 s each)" in out
    elsewhere = plan(capsys, "name=x", "jobs=2", "model.act=gelu,elu", "seed=0")
    others = "other arms of this experiment, as long and on the same data"
    assert f"about 30 s, 2 side by side, judged by 4 finished runs of {others} (30 s each)" in elsewhere
    longer = plan(capsys, "name=x", "jobs=2", "model.act=gelu,elu", "seed=0", "train.epochs=50")
    assert "expected time: not known, as no run like these is finished" in longer


def test_the_plan_has_what_lint_says(capsys) -> None:
    bad = plan(capsys, "name=x", "model.depth=30", "model.init=zeros")
    assert "\nlint:\n  error[" in bad
    assert main(["lint", "name=x", "model.depth=30", "model.init=zeros"]) == 1
    said = [line.split(":")[0].split(" ")[0] for line in capsys.readouterr().out.splitlines() if "[" in line[:12]]
    assert all(f"  {code}: " in bad for code in said)
    comparison = plan(capsys, "name=x", "model.block=conv-norm-act,conv-act-norm", "seed=0,1", "train.epochs=1")
    assert "[arms-unfit]: " in comparison
    assert "lint: not asked, as lint.sweeps=false" in plan(capsys, *WORDS, "lint.sweeps=false")


def test_a_configuration_that_would_be_refused_is_told_after_the_plan(capsys) -> None:
    assert main(["plan", "name=x", "model.depth=3", "data.limit=100000"]) == 2
    told = capsys.readouterr()
    assert "x: 1 run, 1 arm, seed 0; 0 finished, 1 to do" in told.out
    assert "data.limit=100000 is out of range" in told.err


def test_a_dry_run_is_the_plan(capsys) -> None:
    planned = plan(capsys, *WORDS, "seed=0,1", HIGHER)
    for flag in ("--dry-run", "-n"):
        assert main(["train", *WORDS, "seed=0,1", HIGHER, flag]) == 0
        assert capsys.readouterr().out == planned
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("short", "long", "expected"),
    [
        ("train.epochs=2", "train.epochs=6", "2 min, from which 4 can go on"),
        ("train.steps=20", "train.steps=60", "2 min, from which 4 can go on"),
        ("train.epochs=2", "train.epochs=6 schedule=cosine", "3 min, from which none can go on"),
    ],
    ids=["epochs", "steps", "a schedule that depends on the length"],
)
def test_longer_runs_take_what_shorter_ones_leave(short: str, long: str, expected: str, capsys) -> None:
    """Runs of a third of the length took 30 s each."""
    first, *rest = long.split()
    finish([*WORDS, "seed=0,1", short, *rest], {"relu": [0.9, 0.94], "tanh": [0.5, 0.5]})
    out = plan(capsys, *WORDS, "seed=0,1", first, *rest, "study.claims=[]")
    time, whence = expected.split(", ")
    based = f"judged by 4 finished shorter runs of these arms, {whence} ("
    assert f"expected time: about {time}, 2 side by side, {based}" in out


@pytest.mark.parametrize("length", ["train.steps=0", "train.epochs=0", "train.steps=10"])
def test_no_longer_run_tells_how_long_a_shorter_one_takes(length: str, capsys) -> None:
    finish([*WORDS, "seed=0,1", "train.epochs=2"], {"relu": [0.9, 0.94], "tanh": [0.5, 0.5]})
    assert "expected time: not known" in plan(capsys, *WORDS, "seed=0,1", length, "study.claims=[]")
