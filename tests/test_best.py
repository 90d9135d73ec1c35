"""`train.keep_best` keeps the weights of the best logged point: those, to the bit, also after interruptions."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeJob, rows

import lab
from lab.cli.main import main
from lab.launch.changed import change_notes
from lab.records.places import Job
from lab.records.removal import OF_RUN
from lab.records.results import read_metrics
from lab.runs.build import assemble
from lab.runs.run import run

# A rate at which the validation loss of the tiny data gets worse soon.
RESTLESS = {"optimizer.name": "sgd", "optimizer.lr": 3.0, "train.steps": 18, "model.block": "conv-norm-act-drop"}
RESTLESS |= {"model.norm": "batch", "model.drop_rate": 0.2}
KEPT = {**RESTLESS, "train.keep_best": True}


def read(job: Job, file: str = "best.pt") -> dict[str, Any]:
    return torch.load(job.folder / file, weights_only=True)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("metric", ["val/loss", "val/accuracy", "train/loss"])
def test_the_weights_are_those_of_the_best_point(make_job: MakeJob, metric: str) -> None:
    job = make_job(changes={**KEPT, "train.patience_metric": metric})
    result = run(job)
    points = read_metrics(job.folder)
    pick = max if metric == "val/accuracy" else min
    best = pick(points, key=lambda row: row[metric])
    found = read(job)
    assert (found["metric"], found["value"], found["step"]) == (metric, best[metric], best["step"])
    assert result["best_kept"] == {"metric": metric, "value": best[metric], "step": best["step"], "since": 0}
    parts = assemble(job.config)
    parts.model.load_state_dict(found["model"])
    measured = parts.training.evaluate()
    assert all(measured[name] == pytest.approx(best[f"val/{name}"], rel=1e-6) for name in ("loss", "accuracy"))
    assert same(found["model"], read(job, "checkpoint.pt")["model"]) == (best["step"] == 18)


def test_it_changes_no_number_and_makes_no_arm(make_job: MakeJob) -> None:
    plain, kept = make_job("plain", RESTLESS), make_job("kept", KEPT)
    for job in (plain, kept):
        run(job)
    assert rows(plain.folder) == rows(kept.folder)
    assert same(read(plain, "checkpoint.pt")["model"], read(kept, "checkpoint.pt")["model"])
    assert plain.folder.parent.name[-8:] == kept.folder.parent.name[-8:]
    assert not (plain.folder / "best.pt").exists()


@pytest.mark.parametrize("stops", [(2,), (3, 4), (9, 13, 17)], ids=str)
def test_an_interruption_changes_nothing(make_job: MakeJob, stops: tuple[int, ...]) -> None:
    whole, job = make_job("whole", KEPT), make_job("pieces", KEPT)
    run(whole)
    for stop in stops:
        steps = iter(range(1000))
        done = read(job, "checkpoint.pt")["step"] if (job.folder / "checkpoint.pt").exists() else 0
        result = run(job, should_stop=lambda steps=steps, done=done, stop=stop: done + next(steps) + 1 >= stop)
        assert (result["status"], result["steps"]) == ("interrupted", stop)
    run(job)
    one, other = read(whole), read(job)
    assert same(one.pop("model"), other.pop("model"))
    assert one == other


def test_weights_that_were_written_after_the_last_checkpoint_are_no_memory_of_the_run(make_job: MakeJob) -> None:
    """Killed between the two files, a run goes on from its checkpoint, and ends with the best of what it then logs."""
    whole, job = make_job("whole", KEPT), make_job("killed", KEPT)
    run(whole)
    steps = iter(range(1000))
    run(job, should_stop=lambda: next(steps) >= 6)
    later = read(whole)
    torch.save({**later, "model": {name: value * 0 for name, value in later["model"].items()}}, job.folder / "best.pt")
    run(job)
    assert same(read(job)["model"], later["model"])


@pytest.mark.filterwarnings("always:train.keep_best")
def test_a_run_that_goes_on_says_since_when_it_keeps(make_job: MakeJob) -> None:
    steps = iter(range(1000))
    run(make_job(changes=RESTLESS), should_stop=lambda: next(steps) >= 6)
    kept = make_job(changes=KEPT)
    result = run(kept)
    assert result["best_kept"]["since"] == 7
    assert any("those of the best point after step 7" in note for note in result["notes"])
    later = [row for row in read_metrics(kept.folder) if row["step"] > 7]
    assert read(kept)["value"] == min(row["val/loss"] for row in later)
    assert OF_RUN.fullmatch("best.pt")


def test_verbs_and_functions_take_them_or_say_that_there_are_none(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, bare = make_job("kept", KEPT), make_job("bare", RESTLESS)
    for one in (job, bare):
        run(one)
    best = read(job)
    assert same(lab.load_model(job.folder, own_parts=True, best=True).state_dict(), best["model"])
    words = ["--own-parts", "--best"]
    assert main(["export", str(job.folder), *words]) == 0
    assert f"the weights of its best point, step {best['step']}, uint8" in capsys.readouterr().out
    exported = torch.load(job.folder / "export.best.state_dict.pt", weights_only=True)
    assert same({name[4:]: value for name, value in exported.items() if name[:4] == "net."}, best["model"])
    assert main(["predict", str(job.folder), *words, "--passes", "1"]) == 0
    for verb in ("export", "predict"):
        assert main([verb, str(bare.folder), *words]) == 2
        said = capsys.readouterr().err
        assert re.fullmatch(rf"lab: {verb}: the run \S+ kept no best weights; train.keep_best=true .*\n", said)
    asked = make_job("bare", KEPT)
    assert any("1 run ended without keeping the best weights" in line for line in change_notes([asked]))
    assert change_notes([job]) == []


def test_a_metric_that_is_not_logged_is_named(make_job: MakeJob) -> None:
    with pytest.raises(lab.UserError, match=r"train\.patience_metric=val/rmse is not logged"):
        assemble(make_job(changes={**KEPT, "train.patience_metric": "val/rmse"}).config)
