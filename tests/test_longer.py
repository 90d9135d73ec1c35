"""A longer run goes on from a finished shorter one only where that equals one long run to the bit, and says so."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeJob, rows
from test_resume import differences

from lab.cli.main import main
from lab.records.places import Job
from lab.records.results import read_result
from lab.runs.build import assemble
from lab.runs.run import run

# Six steps an epoch, a logged point every three.
NET = {"model.block": "conv-norm-act-drop", "model.norm": "batch", "model.drop_rate": 0.2, "optimizer.lr": 0.01}
NET |= {"train.pictures": 0}


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}


def state(job: Job) -> dict[str, Any]:
    found = torch.load(job.folder / "checkpoint.pt", weights_only=True)
    found.pop("continued_from", None)
    return found


def trained(make_job: MakeJob, out: str, changes: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
    job = make_job(out, {**NET, **changes})
    result = run(job)
    assert result["status"] == "finished", result
    return job, result


def both(make_job: MakeJob, changes: dict[str, Any], *lengths: int) -> dict[str, Any]:
    """The result of the longest of runs of `lengths` in one folder, where it equals one long run."""
    whole, alone = trained(make_job, "whole", {**changes, "train.steps": lengths[-1]})
    shorts = [trained(make_job, "pieces", {**changes, "train.steps": length})[0] for length in lengths[:-1]]
    short = shorts[-1]
    before = content(short.folder)
    job, result = trained(make_job, "pieces", {**changes, "train.steps": lengths[-1]})
    assert content(short.folder) == before
    assert rows(whole.folder) == rows(job.folder)
    assert differences(state(whole), state(job), "state") == []
    same = ("metrics", "steps", "stopped_by", "num_images", "best_kept")
    assert [result.get(key) for key in same] == [alone.get(key) for key in same]
    predictions = [(one.folder / "predictions.npz") for one in (whole, job)]
    assert not predictions[0].exists() or predictions[0].read_bytes() == predictions[1].read_bytes()
    assert (whole.folder / "best.pt").exists() == (job.folder / "best.pt").exists()
    return result


CASES: list[dict[str, Any]] = [
    {"optimizer.name": "momentum", "train.penalty": "l2", "train.clip_norm": 0.1},
    {"optimizer.name": "adamw", "data.augment": "crop-flip", "train.keep_best": True},
    {"schedule.name": "plateau", "schedule.patience": 0, "optimizer.name": "sgd", "optimizer.lr": 3.0},
    {"schedule.name": "exponential", "schedule.low": 1.0, "train.precision": "bf16"},
    {"train.patience": 9, "train.restore_best": False},
    {"data.name": "diabetes", "model.block": "linear-norm-act-drop", "train.eval_limit": 20},
    {"train.watch": True, "train.watch_smoothness": True},
]


@pytest.mark.parametrize("lengths", [(6, 14), (8, 13)], ids=["at a logged point", "between two"])
@pytest.mark.parametrize("changes", CASES, ids=lambda one: ",".join(f"{key}={value}" for key, value in one.items()))
def test_it_equals_one_long_run(make_job: MakeJob, changes: dict[str, Any], lengths: tuple[int, int]) -> None:
    result = both(make_job, changes, *lengths)
    assert result["continued_from"]["steps"] == lengths[0]
    (note,) = [one for one in result["notes"] if "differs in length" in one]
    about = f"a finished run of {lengths[0]} steps that differs in length alone"
    assert note == f"goes on from {about}, with the numbers of one long run"


def test_of_several_it_takes_the_longest_and_its_seconds(make_job: MakeJob) -> None:
    result = both(make_job, {}, 4, 7, 13)
    source = result["continued_from"]
    assert source["steps"] == 7
    earlier = read_result(Path(source["run"])) or {}
    assert earlier["continued_from"]["steps"] == 4
    assert result["train_seconds"] > source["train_seconds"] == earlier["train_seconds"]
    assert result["train_seconds"] > earlier["continued_from"]["train_seconds"]


def test_epochs_and_steps_are_both_lengths(make_job: MakeJob) -> None:
    _, alone = trained(make_job, "whole", {"train.steps": None, "train.epochs": 2.0})
    trained(make_job, "pieces", {"train.steps": 7})
    _, result = trained(make_job, "pieces", {"train.steps": None, "train.epochs": 2.0})
    assert result["continued_from"]["steps"] == 7
    assert result["metrics"] == alone["metrics"]


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "cosine": ({"schedule.name": "cosine"}, {}, "schedule=cosine depends on the length of the run"),
    "step": ({"schedule.name": "step"}, {}, "schedule=step depends on the length of the run"),
    "warm-up": ({"schedule.warmup_frac": 0.2}, {}, "schedule.warmup_frac=0.2 depends on the length of the run"),
    "patience": (
        {"train.patience": 1, "optimizer.lr": 3.0, "optimizer.name": "sgd", "train.restore_best": False},
        {},
        "it was ended by train.patience",
    ),
    "restored": (
        {"train.patience": 90, "optimizer.lr": 3.0, "optimizer.name": "sgd"},
        {},
        r"it ended with the weights of an earlier step \(train.restore_best\)",
    ),
    "watched": ({}, {"train.watch": True}, "it has train.watch=false"),
    "best": ({}, {"train.keep_best": True}, "it kept no best weights"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_it_would_not_it_starts_anew_and_says_why(make_job: MakeJob, name: str) -> None:
    first, more, why = REFUSED[name]
    changes = {**first, **more}
    _, alone = trained(make_job, "whole", {**changes, "train.steps": 20})
    trained(make_job, "pieces", {**first, "train.steps": 17})
    _, result = trained(make_job, "pieces", {**changes, "train.steps": 20})
    assert "continued_from" not in result
    assert result["metrics"] == alone["metrics"]
    (note,) = [one for one in result["notes"] if "differs in length" in one]
    assert note.startswith("starts at step 0 although there is a finished run of ")
    assert re.search(rf"as one long run would not be the same: {why}$", note), note


def damage(file: str, text: bytes | None):
    def act(job: Job) -> None:
        path = job.folder / file
        path.unlink() if text is None else path.write_bytes(text)

    return act


def other_machine(job: Job) -> None:
    path = job.folder / "result.json"
    result = json.loads(path.read_text())
    result["environment"]["threads"] = 99
    path.write_text(json.dumps(result))


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (damage("checkpoint.pt", None), "its checkpoint.pt is missing or damaged"),
        (damage("checkpoint.pt", b"PK"), "its checkpoint.pt is missing or damaged"),
        (damage("metrics.jsonl", b""), "its metrics.jsonl is not complete"),
        (other_machine, "it was trained with threads 99, and this is "),
    ],
    ids=["missing", "damaged", "rows", "threads"],
)
def test_what_is_left_of_a_shorter_run_is_checked(make_job: MakeJob, act: Any, why: str) -> None:
    short, _ = trained(make_job, "outputs", {"train.steps": 7})
    act(short)
    before = content(short.folder)
    _, result = trained(make_job, "outputs", {"train.steps": 9})
    assert any(why in note for note in result["notes"])
    assert "continued_from" not in result
    assert content(short.folder) == before


@pytest.mark.parametrize(
    "changes",
    [{"force": True}, {"seed": 1}, {"model.depth": 3}, {"name": "other"}],
    ids=lambda one: ",".join(one),
)
def test_other_runs_have_nothing_to_go_on_from(make_job: MakeJob, changes: dict[str, Any]) -> None:
    trained(make_job, "outputs", {"train.steps": 7})
    trained(make_job, "outputs", {"train.steps": 13})
    _, result = trained(make_job, "outputs", {"train.steps": 9, **changes})
    assert "continued_from" not in result
    assert not any("differs in length" in note for note in result["notes"])


def test_a_shorter_run_takes_nothing_from_a_longer_one(make_job: MakeJob) -> None:
    trained(make_job, "outputs", {"train.steps": 13})
    _, result = trained(make_job, "outputs", {"train.steps": 7})
    assert "continued_from" not in result


def test_stopped_on_its_way_it_resumes_and_remembers(make_job: MakeJob) -> None:
    whole, _ = trained(make_job, "whole", {"train.steps": 20})
    trained(make_job, "pieces", {"train.steps": 7})
    job = make_job("pieces", {**NET, "train.steps": 20})
    steps = iter(range(100))
    assert run(job, should_stop=lambda: next(steps) >= 3)["status"] == "interrupted"
    (job.folder / "result.json").unlink()  # as by a kill
    result = run(job)
    assert (result["status"], result["continued_from"]["steps"]) == ("finished", 7)
    assert rows(whole.folder) == rows(job.folder)


def test_killed_between_rows_and_checkpoint_it_takes_both_again(make_job: MakeJob) -> None:
    whole, _ = trained(make_job, "whole", {"train.steps": 13})
    short, _ = trained(make_job, "pieces", {"train.steps": 7})
    job = make_job("pieces", {**NET, "train.steps": 13})
    job.folder.mkdir(parents=True)
    (job.folder / "metrics.jsonl").write_bytes((short.folder / "metrics.jsonl").read_bytes())
    assert run(job)["continued_from"]["steps"] == 7
    assert rows(whole.folder) == rows(job.folder)


def test_the_sources_of_frozen_runs_are_the_same(make_job: MakeJob) -> None:
    source, _ = trained(make_job, "source", {"train.steps": 6})
    both(make_job, {"start.run": str(source.folder), "start.freeze_epochs": 1.5}, 7, 13)


def test_a_sweep_goes_on_arm_by_arm_and_seed_by_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "model.act=relu,tanh", "seed=0,1", "data.limit=100", "train.batch_size=20", "train.eval_limit=50"]
    words += ["train.pictures=0", "model.widths=[4]", "jobs=1", "name=longer", "train.device=cpu", "lint=off"]
    assert main([*words, f"out={tmp_path}/pieces", "train.epochs=1"]) == 0
    assert main([*words, f"out={tmp_path}/pieces", "train.epochs=2"]) == 0
    said = capsys.readouterr()
    assert "differs in length alone, with the numbers of one long run (4 of 4 runs)" in said.out + said.err
    assert main([*words, f"out={tmp_path}/whole", "train.epochs=2"]) == 0
    found = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").glob("*/*/seed=*")]
    assert len(found) == 4
    for folder in found:
        assert rows(tmp_path / "whole" / folder) == rows(tmp_path / "pieces" / folder)
        assert (read_result(tmp_path / "pieces" / folder) or {})["continued_from"]["steps"] == 5
    assert main(["show", str(tmp_path / "pieces" / found[0])]) == 0
    assert "went on from " in capsys.readouterr().out


def test_the_state_before_the_last_point_is_kept_only_where_it_is_of_use(make_job: MakeJob) -> None:
    for steps, has in ((6, False), (7, True)):
        job, _ = trained(make_job, "outputs", {"train.steps": steps, "force": True})
        assert ("unlogged" in state(job)) == has
    assert assemble(job.config).training.unlogged == {}
