"""Nuisance tuning: every arm tries the same values on seeds of its own, and is compared at its best ones."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_runs import compare, write_run
from fake_tuning import BEST, LR, WORDS, Fake, fake_training, tuning_in

from lab.cli.main import main
from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import arm_hash, flatten
from lab.launch.tunable import check_tuning
from lab.launch.tune import FIRST_SEED, rank
from lab.metric import parse_metric
from lab.overrides.compose import typed_grid
from lab.overrides.plan import one_job
from lab.records.places import Job
from lab.records.results import find_runs
from lab.records.tuning import Tried, TunedArm, Tuning, base_id, read_tuning, write_tuning
from lab.studies import load
from lab.studies.claims.study import parse_study
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.tuned import budget_text, compared, find_tuning, picked_text, tuning_warnings
from lab.studies.figures.tuning_curves import value_places
from lab.studies.report.gallery import EXHIBITS
from lab.studies.report.page import write_report
from lab.studies.report.table import columns, csv_text, table_text

ONLY_TUNING = tuple(one for one in EXHIBITS if one.name == "tuning")
SWEEP = [*WORDS, "study.tune={optimizer.lr:[0.0001,0.1,0.02]}"]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return fake_training(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of a sweep that was really trained, in workers, with its report: two arms, two seeds, two values."""
    folder = tmp_path_factory.mktemp("swept")
    small = ["model.block=linear-norm-act", "model.widths=[4]", "model.depth=2", "data.limit=100", "train.steps=4"]
    # One thread a run: two on busy cores wait for each other, up to ten times as long.
    more = ["train.eval_limit=50", "train.pictures=0", f"out={folder}", "train.device=cpu", "jobs=1", "train.threads=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.studies.report.gallery.EXHIBITS", ONLY_TUNING)  # the others have tests of their own
        assert main([*WORDS, *small, *more, "study.tune={optimizer.lr:[0.0001,0.1]}"]) == 0
    return folder / "scratch"


def test_each_arm_is_compared_at_its_best_value(swept: Path) -> None:
    tuning = tuning_in(swept)
    assert (tuning.keys, tuning.metric, tuning.seeds) == ([LR], "val/accuracy", [FIRST_SEED])
    assert [arm.arm for arm in tuning.arms] == [{"model.norm": "none"}, {"model.norm": "batch"}]
    runs = find_runs([swept])
    assert sorted(run.seed for run in runs) == [0, 0, 1, 1]
    for arm in tuning.arms:
        # By hand, from the trials' own files: what scored best in validation is what the comparison was run with.
        trials = [run for run in find_runs([trials_of(swept)]) if run.config["model.norm"] == arm.arm["model.norm"]]
        assert [run.seed for run in trials] == [FIRST_SEED] * 2
        best = max(trials, key=lambda run: run.result["metrics"]["val/accuracy"]["last"])
        own = [run for run in runs if run.config["model.norm"] == arm.arm["model.norm"]]
        assert {run.config[LR] for run in own} == {best.config[LR]} == set(arm.picked.values())
        assert {run.arm_id for run in own} == {arm.arm_id}
        assert all(run.arm == arm.arm for run in own)  # an arm is what is compared, not what was tuned


def test_trials_are_no_part_of_what_is_compared(swept: Path) -> None:
    assert set(load(swept)["seed"]) == set(load(swept.parent)["seed"]) == {0, 1}
    assert len(load(trials_of(swept))) == 4
    assert not list(swept.glob("*_tune*"))
    written = json.loads((swept / "verdict.json").read_text())
    assert written["looks"] == [2]
    assert written["claims"][0]["n"] == 2
    means = {path.relative_to(swept / "_mean").parts[0] for path in (swept / "_mean").rglob("*tfevents*")}
    assert means == {run.path.parent.name for run in find_runs([swept])}


def test_trials_have_rows_of_their_own_in_hparams(swept: Path) -> None:
    picked = tuning_in(swept).arms[1].arm_id
    trial, run = (next(folder.glob(f"*-{picked}/*/*tfevents*")).read_bytes() for folder in (trials_of(swept), swept))
    assert f"_tune-{picked}".encode() in trial
    assert picked.encode() in run
    assert b"_tune" not in run


def test_the_report_tells_of_the_tuning_and_so_does_compare(
    swept: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Each arm had 2 tuning trials x 1 seed (seed 1000000"
    page = (swept / "report.html").read_text()
    assert said in " ".join(page.split())
    assert 'id="tuning"' in page
    assert (swept / "tuning.svg").exists()
    assert json.loads((swept / "verdict.json").read_text())["tune"]["arms"][0]["picked"]
    drawn: list[Comparison] = []
    monkeypatch.setattr("lab.studies.report.page.write_report", lambda comparison, *_: drawn.append(comparison))
    assert main(["compare", str(swept)]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    assert [one.tuning and one.tuning.arms for one in drawn] == [tuning_in(swept).arms]


def test_a_second_start_trains_nothing_and_picks_the_same(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SWEEP) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "tuning optimizer.lr: 2 arms x 3 values x 1 seed = 6 tuning trials, then 4 runs to compare" in text
    assert "warning: model.norm=batch is best at optimizer.lr=0.1, the largest tried: try larger ones" in text
    assert picks() == BEST
    assert len(fake.trained) == 6 + 4
    before = Path("outputs/scratch/tune.json").read_text()
    assert main(SWEEP) == 0
    assert Path("outputs/scratch/tune.json").read_text() == before
    assert len(fake.trained) == 6 + 4
    assert main([*SWEEP, "seeds=+1"]) == 0
    assert sorted(fake.trained[10:]) == ["scratch/batch/0.1/seed=2", "scratch/none/0.02/seed=2"]


def test_trials_in_the_old_place_are_not_run_again(fake: Fake) -> None:
    assert main(SWEEP) == 0
    old = Path("outputs/scratch/_tune")
    shutil.move("outputs/_tune/scratch", old)
    Path("outputs/_tune").rmdir()
    before = Path("outputs/scratch/tune.json").read_text()
    assert main(SWEEP) == 0
    assert len(fake.trained) == 10
    assert Path("outputs/scratch/tune.json").read_text() == before
    assert main([*WORDS, "study.tune={optimizer.lr:[0.0001,0.1,0.02,1]}"]) == 0  # new ones join them
    assert fake.trained[10:] == [f"scratch/_tune/{norm}/1/seed={FIRST_SEED}" for norm in ("none", "batch")]
    assert not Path("outputs/_tune").exists()
    assert {run.seed for run in find_runs([Path("outputs")])} == {0, 1}
    assert len(find_runs([old])) == 8


@pytest.mark.parametrize("name", ["_tune", "_tune/scratch", "scratch/_tune"])
def test_no_experiment_can_have_the_folder_of_trials(name: str, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, f"name={name}"]) == 2
    assert f"name={name} is not possible: folders named _tune hold tuning trials" in capsys.readouterr().err
    assert fake.trained == []


def test_force_does_trials_over_again(fake: Fake) -> None:
    assert main(SWEEP) == 0
    shutil.rmtree("outputs")  # the fake writes into no folder that is there
    assert main([*SWEEP, "force=true"]) == 0
    assert fake.trained[10:] == fake.trained[:10]


def test_an_interrupted_tuning_goes_on(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    for stops_after in (4, 8):  # among the trials, and after them
        fake.stops_after = stops_after
        assert main(SWEEP) == 130
        assert "the same command goes on" in capsys.readouterr().err
        assert Path("outputs/scratch/tune.json").exists() == (stops_after == 8)
    fake.stops_after = 1000
    assert main(SWEEP) == 0
    assert len(fake.trained) == len(set(fake.trained)) == 10


def test_runs_at_values_picked_earlier_are_left_out(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("outputs/scratch")
    plain = ["train", "name=scratch", "optimizer=sgd", "model.norm=none,batch", "seed=0", "optimizer.lr=0.5"]
    assert main(plain) == 0  # before anything was tuned
    assert main([*WORDS, "study.tune={optimizer.lr:[0.0001,0.001]}"]) == 0
    first = tuning_in(folder)
    assert main([*WORDS, "study.tune={optimizer.lr:[0.0001,0.001,0.02,0.1,1]}"]) == 0
    second = tuning_in(folder)
    assert picks() == BEST
    assert set(second.superseded) == {arm.arm_id for arm in first.arms}
    assert len(find_runs([folder])) == 2 + 4 + 4
    capsys.readouterr()
    assert main(["compare", str(folder), "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert "left out: 6 runs" in captured.err
    arms = json.loads(captured.out)["arms"]
    assert [(arm["label"], arm["n"]) for arm in arms] == [("norm=none", 2), ("norm=batch", 2)]
    # Other keys tuned later do not bring them back.
    assert main([*WORDS, "study.tune={train.batch_size:[20,10]}"]) == 0
    _, runs = find_tuning(find_runs([folder]))
    assert {run.config["train.batch_size"] for run in runs if run.config[LR] == 0.05} == {20}
    assert {run.config[LR] for run in runs} == {0.05, 0.5}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"optimizer.rate": [1, 2]}, r"optimizer.rate is no key.*same group: optimizer.name, optimizer.lr"),
        ({"optimizer": ["adam", "sgd"]}, "optimizer is no key of the configuration"),
        ({"optimiser.lr": [1, 2]}, r"did you mean 'optimizer.lr'.*data.\*, model.\*"),
        ({"seed": [1, 2]}, "seed is no key to tune"),
        ({"name": ["a", "b"]}, "name is no key to tune"),
        ({"data.root": ["a", "b"]}, r"data.root is no key to tune.*allowed: .*; in the same group: data.name"),
        ({"study.metric": ["a", "b"]}, "study.metric is no key to tune"),
        ({LR: []}, r"optimizer.lr=\[\]; allowed: a list of two or more"),
        ({LR: [0.1]}, r"optimizer.lr=\[0.1\]; allowed: a list of two or more"),
        ({LR: [1, 1.0]}, "all different"),
        ({LR: 0.1}, "optimizer.lr=0.1; allowed: a list"),
        ([1, 2], "allowed: keys with lists of values"),
        ({LR: [0.1, "fast"]}, "study.tune: optimizer.lr=fast is not a number; allowed: above 0"),
        ({"model.depth": [2, 2.5]}, "study.tune: model.depth=2.5 is not a whole number"),
        ({"model.norm": ["none", "batch"]}, "model.norm is swept as well"),
    ],
)
def test_a_grid_that_cannot_be_tuned_is_refused(grid: Any, message: str) -> None:
    jobs = []
    for norm in ("none", "batch"):
        config = RunConfig()
        config.model.norm = norm
        jobs.append(Job(config, Path(norm), {"model.norm": norm}, [f"model.norm={norm}"], "lab train"))

    def check(grid: Any) -> None:
        jobs[0].config.study.tune = typed_grid(grid)
        check_tuning(jobs, parse_study(jobs[0].config.study))

    with pytest.raises(UserError, match=message):
        check(grid)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study.tune={optimizer.rate:[1,2]}"], "optimizer.rate is no key of the configuration"),
        (["study.tune={optimizer.lr:[0.1,fast]}"], "study.tune: optimizer.lr=fast is not a number; allowed: above 0"),
        (["study.tune={model.norm:[none,batch]}", "model.norm=none"], "model.norm is named by a claim"),
        (["study.reference={optimizer.lr:0.1}"], "optimizer.lr is named by a claim or the reference"),
        (
            ["train=default,smoke", "study.tune={train.steps:[1,2],train.eval_every:[1,2],train.eval_limit:[1,2]}"],
            "arms of .*train=default.* and .*train=smoke.* differ in nothing but train.steps and train.eval_every",
        ),
        (["study.tune_seeds=0"], "study.tune_seeds=0 is out of range; allowed: 1 or more"),
        (["seed=0,1000000"], "seed=1000000 is out of range; allowed: 0 to 999999"),
        (["study.metric='best('"], "cannot be read"),
    ],
)
def test_what_cannot_be_tuned_is_told_before_the_first_run(
    words: list[str], message: str, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {word.partition("=")[0] for word in words}
    kept = [word for word in SWEEP[1:] if word.partition("=")[0] not in given]
    assert main(["train", *kept, *words]) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))
    assert fake.trained == []


def test_a_value_out_of_range_is_told_before_the_first_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study.tune={optimizer.lr:[0.1,-1]}", f"out={tmp_path}", "train.device=cpu"]
    assert main(["train", *words]) == 2
    assert "optimizer.lr=-1.0" in capsys.readouterr().err
    assert not list(tmp_path.rglob("metrics.jsonl"))


def test_values_tuned_replace_those_of_the_experiment_and_of_the_arm(fake: Fake) -> None:
    grids = ["study.tune={optimizer.momentum:[0,0.5]}", "study.tune={optimizer.lr:[0.0001,0.1]}"]
    assert main(["train", "optimizer.lr=5", *grids]) == 0
    tuning = tuning_in(Path("outputs/scratch"))
    (run,) = find_runs([Path("outputs")])
    assert (tuning.keys, tuning.arms[0].picked) == ([LR], {LR: 0.1})
    assert run.config[LR] == 0.1
    assert run.arm_id == tuning.arms[0].arm_id
    # What is recorded is this one run, and tunes nothing.
    job = one_job("train", run.result["overrides"])
    assert arm_hash(job.config) == run.arm_id
    assert job.config.study.tune is None
    # Without a tuning nothing is tuned.
    assert main(["train", *grids, "study.tune=null", "seed=0,1"]) == 0
    assert len(fake.trained) == 2 + 1 + 2


def test_a_whole_grid_on_several_seeds(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    grid = "study.tune={optimizer.lr:[0.01,0.1],train.batch_size:[10,20,50]}"
    assert main(["train", grid, "study.tune_seeds=2", "study.metric=test/accuracy", "seed=0"]) == 0
    text = capsys.readouterr().out
    assert "1 arm x 6 values x 2 seeds = 12 tuning trials, then 1 run to compare" in text
    assert "by validation, as study.metric=test/accuracy" in text
    tuning = tuning_in(Path("outputs/scratch"))
    assert (tuning.metric, tuning.seeds) == ("val/accuracy", [FIRST_SEED, FIRST_SEED + 1])
    assert [len(point.scores) for point in tuning.arms[0].tried] == [2] * 6
    assert len({tuple(point.values.items()) for point in tuning.arms[0].tried}) == 6
    assert tuning.arms[0].picked == {LR: 0.1, "train.batch_size": 10}  # of equals the first


def test_an_arm_that_no_value_suits_is_left_out(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.fails = "_tune/scratch/none"
    assert main(SWEEP) == 1
    captured = capsys.readouterr()
    assert "model.norm=none: none of 3 tuning trials ended well (3 failed); left out" in captured.out
    assert re.search(
        r"tuning did not end well:\n  _tune/scratch/.*seed=1000000: RuntimeError: out of memory", captured.err
    )
    assert captured.err.endswith("model.norm=none: left out, as none of its tuning trials ended well\n")
    assert {run.config["model.norm"] for run in find_runs([Path("outputs")])} == {"batch"}
    shutil.rmtree("outputs")
    fake.fails = ""
    assert main([*WORDS, "study.tune={optimizer.lr:[1e30,1e31]}"]) == 1
    out, err = capsys.readouterr()
    assert "no optimizer.lr of those tried trains model.norm=batch (2 tuning trials diverged)" in out
    assert "no arm is left to compare: no value that was tried trains any" in err
    assert not list(Path("outputs/scratch").glob("norm=*"))


@pytest.mark.parametrize("how", ["interrupted", "failed", ""])
@pytest.mark.parametrize(("cut", "verb"), [("_tune/scratch", "picked"), ("scratch", "compared")])
def test_nothing_is_picked_or_judged_without_a_run_that_a_signal_ended(
    fake: Fake, capsys: pytest.CaptureFixture[str], cut: str, verb: str, how: str
) -> None:
    fake.cut, fake.how = cut, how
    assert main(SWEEP) == 1
    out, err = capsys.readouterr()
    what = "tuning trial" if cut.startswith("_tune") else "run"
    assert f"nothing is {verb} without the 1 {what} that did not end; the same command goes on" in err
    assert {"interrupted": "it was interrupted", "failed": "killed", "": "it left no result"}[how] in err
    assert "verdict" not in out
    assert "is higher" not in out
    root = Path("outputs/scratch")
    assert (root / "tune.json").exists() == (verb == "compared")
    assert not (root / "verdict.json").exists()
    assert not (root / "looks.json").exists()
    number = len(fake.trained)
    fake.cut = ""
    assert main(SWEEP) == 0
    assert len(fake.trained) == number + (1 if verb == "compared" else 5)
    assert (root / "looks.json").exists()


def trials_of(folder: Path) -> Path:
    return folder.parent / "_tune" / folder.name


def picks() -> dict[str, float]:
    """The rate of each norm in the outputs here."""
    return {arm.arm["model.norm"]: arm.picked[LR] for arm in tuning_in(Path("outputs/scratch")).arms}


def tried(lr: float, *scores: float | None, statuses: tuple[str, ...] = ()) -> Tried:
    return Tried({LR: lr}, list(scores), list(statuses or ("finished",) * len(scores)))


def tuned(arm: dict[str, Any], picked: float | None, *points: Tried, arm_id: str = "11111111") -> TunedArm:
    found = {} if picked is None else {LR: picked}
    return TunedArm(arm, arm_hash(arm), arm_id if found else "", found, list(points))


def both(*arms: TunedArm, metric: str = "val/accuracy") -> Tuning:
    return Tuning([LR], metric, [FIRST_SEED], list(arms), [])


def test_the_best_mean_is_picked_and_what_diverged_counts_at_its_worst() -> None:
    good, bad, lucky = (
        tried(0.1, 0.8, 0.8),
        tried(0.2, 0.7, 0.7),
        tried(1, 0.99, 0.0, statuses=("finished", "diverged")),
    )
    assert min([bad, lucky, good], key=lambda point: rank(point, parse_metric("val/accuracy"))) is good
    low, high, never = tried(0.1, 0.2, 0.4), tried(0.2, 0.5, 0.5), tried(1, 0.01, None)
    assert min([high, never, low], key=lambda point: rank(point, parse_metric("val/loss"))) is low
    twice = tried(2, None, None)
    assert sorted([twice, never, high], key=lambda point: rank(point, parse_metric("val/loss"))) == [high, never, twice]
    assert min([good, tried(0.5, 0.8, 0.8)], key=lambda point: rank(point, parse_metric("val/accuracy"))) is good


@pytest.mark.parametrize(
    ("metric", "found"),
    [
        ("auto", "auto"),
        ("val/loss", "val/loss"),
        ("test/accuracy", "val/accuracy"),
        ("best(val/accuracy)", "best(val/accuracy)"),
        ("steps_to(val/accuracy >= 0.8)", "steps_to(val/accuracy >= 0.8)"),
        ("train/loss", "auto"),
        ("gap(accuracy)", "auto"),
        ("images_per_second", "auto"),
    ],
)
def test_values_are_picked_by_validation(metric: str, found: str) -> None:
    assert parse_metric(metric).for_choosing().text == found


def test_a_best_value_at_the_edge_is_warned_of() -> None:
    arm = {"model.norm": "batch"}
    assert tuning_warnings(both(tuned(arm, 0.1, tried(0.01, 0.5), tried(0.1, 0.9)))) == [
        "warning: model.norm=batch is best at optimizer.lr=0.1, the largest tried: try larger ones"
    ]
    assert tuning_warnings(both(tuned(arm, 0.01, tried(0.01, 0.9), tried(0.1, 0.5)))) == [
        "warning: model.norm=batch is best at optimizer.lr=0.01, the smallest tried: try smaller ones"
    ]
    inside = tuned(arm, 0.1, tried(0.01, 0.5), tried(0.1, 0.9), tried(1, 0.4))
    assert tuning_warnings(both(inside)) == []
    assert tuning_warnings(both(tuned(arm, 0.0, tried(0.0, 0.9), tried(0.1, 0.5)))) == []  # nothing lies below 0
    assert tuning_warnings(both(tuned(arm, 0.1, tried(0.1, 0.5), tried(0.2, 0.5)))) == []  # nothing is best
    (line,) = tuning_warnings(both(inside, tuned({"model.norm": "none"}, 0.1, *inside.tried, tried(2, 0.1))))
    assert "unequal budgets" in line
    assert "model.norm=batch 3 tuning trials x 1 seed; model.norm=none 4 tuning trials" in budget_text(
        both(inside, tuned({"model.norm": "none"}, 0.1, *inside.tried, tried(2, 0.1)))
    )


def test_an_earlier_part_of_the_sweep_keeps_its_tuning(tmp_path: Path) -> None:
    none = tuned({"model.norm": "none"}, 0.1, tried(0.1, 0.5), tried(0.2, 0.4), arm_id="aaaaaaaa")
    batch = tuned({"model.norm": "batch"}, 0.1, tried(0.1, 0.5), tried(0.2, 0.4), arm_id="bbbbbbbb")
    other = tuned({"model.norm": "batch"}, 0.2, tried(0.1, 0.5), tried(0.2, 0.9), arm_id="cccccccc")
    write_tuning(tmp_path, both(none))
    assert write_tuning(tmp_path, both(batch)).arms == [batch, none]
    found = write_tuning(tmp_path, both(other))
    assert (found.arms, found.superseded) == ([other, none], ["bbbbbbbb"])
    assert read_tuning(tmp_path) == found
    assert write_tuning(tmp_path, both(batch)).superseded == ["cccccccc"]
    assert write_tuning(tmp_path, both(other, metric="val/loss")).arms == [other]
    (tmp_path / "tune.json").write_text("{")
    with pytest.raises(UserError, match=r"tune\.json is damaged \(JSONDecodeError\); restore it, or remove it"):
        read_tuning(tmp_path)


def test_an_arm_is_the_same_whatever_is_tuned() -> None:
    config = RunConfig()
    config.model.depth, config.optimizer.lr = 5, 0.5
    plain = RunConfig()
    plain.model.depth = 5
    stored = json.loads(json.dumps(flatten(config)))
    assert base_id(stored, [LR]) == base_id(flatten(plain), [LR]) == arm_hash(plain)
    assert base_id(stored, []) == arm_hash(config) != arm_hash(plain)


def test_values_are_held_as_their_fields_hold_them() -> None:
    grid = {LR: [1, 0.1], "model.widths": [[8, 16], [32]], "train.steps": [None, 5], "nothing": [1], "seed": 3}
    found = typed_grid(grid)
    assert found == grid
    assert [type(value) for value in found[LR]] == [float, float]
    with pytest.raises(UserError, match=r"study.tune: train.steps=0.5 is not a whole number"):
        typed_grid({"train.steps": [0.5]})


@pytest.mark.parametrize(
    ("values", "places", "log"),
    [
        ([0.01, 0.03, 0.1], [0.01, 0.03, 0.1], True),
        ([0.01, 0.1], [0.01, 0.1], True),
        ([0.1, 0.2], [0.1, 0.2], False),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], False),
        ([0.0, 0.5, 0.9], [0.0, 0.5, 0.9], False),
        ([0, 1e-4, 1e-3, 1e-2], [0, 1, 2, 3], False),
        (["relu", "tanh"], [0, 1], False),
    ],
)
def test_an_axis_is_logarithmic_where_values_are_powers(values: list[Any], places: list[float], log: bool) -> None:
    found, found_log = value_places(values)
    assert (list(found.values()), found_log) == (places, log)


def test_arms_at_their_own_values_are_paired_and_cut_into_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, arms = [], []
    for norm, lr, score in (("none", 0.1, 0.5), ("batch", 1.0, 0.8)):
        own = [
            write_run(tmp_path, {"model.norm": norm}, seed, {"val/accuracy": score + seed * lr / 100}, config={LR: lr})
            for seed in range(3)
        ]
        runs += own
        points = [tried(0.1, 0.6), tried(1.0, 0.7), tried(10, 0.0, statuses=("diverged",))]
        arms.append(tuned({"model.norm": norm}, lr, *points, arm_id=own[0].arm_id))
    claim = {"say": "b", "higher": {"model.norm": "batch"}, "than": {"model.norm": "none"}, "by": 0.1}
    tuning = both(*arms, tuned({"model.norm": "layer"}, None, tried(0.1, 0.0, statuses=("diverged",))))
    comparison = compare(runs, {"claims": [claim]}, tuning=compared(tuning, runs))
    (verdict,) = comparison.verdicts
    assert (verdict.n, verdict.setting, verdict.verdict) == (3, {}, "supported")
    assert [arm.label for arm in comparison.arms] == ["norm=none", "norm=batch"]
    assert [arm.difference and arm.difference.n for arm in comparison.arms] == [None, 3]
    assert columns(comparison)["tuned lr"] == ["0.1", "1"]
    assert csv_text(comparison).splitlines()[1].startswith("val/accuracy,none,0.1,3,")
    assert "model.norm=layer: no value that was tried trains it (1 tuning trial diverged)" in picked_text(
        tuning, tuning.arms[-1]
    )
    assert max(map(len, table_text(comparison).splitlines())) <= 120
    # Without the tuning the same runs are two settings, which no claim compares.
    assert compare(runs, {"claims": [claim]}).verdicts[0].n == 0
    monkeypatch.setattr("lab.studies.report.gallery.EXHIBITS", ONLY_TUNING)
    page = write_report(comparison, tmp_path / "report").read_text()
    assert "optimizer.lr=0.1 (val/accuracy 0.6000; 1: 0.7000, 10: diverged)" in " ".join(page.split())
    assert compared(tuning, runs[:0]) is None


def test_a_run_at_other_values_is_left_out_even_without_a_record(tmp_path: Path) -> None:
    picked, plain = (
        write_run(tmp_path, {"model.norm": "none"}, 0, {"val/accuracy": 0.5}, config={LR: lr}) for lr in (0.1, 0.001)
    )
    other = write_run(tmp_path, {"model.norm": "batch"}, 0, {"val/accuracy": 0.5})
    base = base_id(picked.config, [LR])
    write_tuning(tmp_path, both(TunedArm(picked.arm, base, picked.arm_id, {LR: 0.1}, [tried(0.1, 1), tried(1, 0)])))
    tuning, runs = find_tuning([plain, picked, other])
    assert tuning
    assert runs == [picked, other]


def test_experiments_tuned_otherwise_are_not_taken_for_one(tmp_path: Path) -> None:
    one, two = (write_run(tmp_path / name, {"model.norm": name}, 0, {"val/accuracy": 0.5}) for name in "ab")
    assert find_tuning([one, two]) == (None, [one, two])
    for run in (one, two):
        assert find_tuning([one, two])[0] is None  # as long as one of them was not tuned
        arm = tuned(run.arm, 0.1, tried(0.1, 0.5), tried(1, 0.4), arm_id=run.arm_id)
        write_tuning(run.path.parent.parent, both(arm))
    joined, runs = find_tuning([one, two])
    assert joined
    assert [arm.arm_id for arm in joined.arms] == [one.arm_id, two.arm_id]
    assert runs == [one, two]
    write_tuning(two.path.parent.parent, both(metric="val/loss"))
    assert find_tuning([one, two])[0] is None
