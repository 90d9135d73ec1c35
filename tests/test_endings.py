"""Every way in which a run or a sweep ends has a line that one understands, and a next step."""

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeJob
from fake_runs import compare, write_run

import lab.cli.main
import lab.launch.sweep
from lab.cli.main import main
from lab.cli.train import is_already
from lab.config import RunConfig
from lab.launch.sweep import compare_jobs, interrupted
from lab.launch.sweep_log import SweepLog
from lab.metric import parse_metric
from lab.records.outcome import next_steps, outcome
from lab.records.write import write_json
from lab.runs.progress import Console, fitting
from lab.studies.claims.study import parse_study
from lab.studies.report.facts import troubles
from lab.studies.report.foot import early, not_ended
from lab.studies.report.table import columns

CONFIG = {"train.patience": 3, "train.max_seconds": 5.0}
RAN: dict[str, Any] = {"steps": 1040, "steps_planned": 2000, "config": CONFIG}

ENDINGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "to its last step": ({"status": "finished", "stopped_by": "steps", **RAN, "steps": 2000}, "finished", ""),
    "by early stopping": (
        {"status": "finished", "stopped_by": "patience", **RAN},
        "finished early at step 1,040 of 2,000 (train.patience=3)",
        "a larger train.patience trains longer, and train.patience=0 to the last step",
    ),
    "by its clock": (
        {"status": "finished", "stopped_by": "seconds", **RAN},
        "finished early at step 1,040 of 2,000 (train.max_seconds=5.0)",
        "a larger train.max_seconds trains longer",
    ),
    "by diverging": (
        {"status": "diverged", **RAN, "diverged_at": {"step": 7, "what": "loss", "layer": None}},
        "diverged at step 7 (loss not finite)",
        "a lower optimizer.lr (lab lr-range suggests one) or train.clip_norm=1 may keep it finite",
    ),
    "by diverging in a layer": (
        {"status": "diverged", **RAN, "diverged_at": {"step": 7, "what": "gradient", "layer": "stage1.conv"}},
        "diverged at step 7 (gradient of stage1.conv not finite)",
        "a lower optimizer.lr (lab lr-range suggests one) or train.clip_norm=1 may keep it finite",
    ),
    "by Ctrl-C": (
        {"status": "interrupted", "stopped_by": "", **RAN},
        "interrupted at step 1,040 of 2,000",
        "the same command goes on from its checkpoint",
    ),
    "by an error": (
        {"status": "failed", "error": "RuntimeError: out of memory"},
        "failed",
        "mend the cause, and the same command trains what is missing",
    ),
    "in an earlier version": (
        {"status": "interrupted", "steps": 40},
        "interrupted at step 40",
        "the same command goes on from its checkpoint",
    ),
}


@pytest.mark.parametrize("way", ENDINGS)
def test_every_ending_of_a_run_has_its_line_and_its_next_step(way: str) -> None:
    result, line, step = ENDINGS[way]
    assert outcome(result) == line
    assert next_steps([result]) == ([step] if step else [])


def test_a_sweep_tells_each_next_step_once_with_the_number_of_runs() -> None:
    results = [ENDINGS[way][0] for way in ("by its clock", "by diverging", "by its clock", "to its last step")]
    assert next_steps(results) == [
        "2 of 4 runs finished early (train.max_seconds): a larger train.max_seconds trains longer",
        f"1 of 4 runs diverged: {ENDINGS['by diverging'][2]}",
    ]


@pytest.mark.parametrize(
    ("way", "line"),
    [
        ("to its last step", "is finished already"),
        ("by its clock", "is finished early at step 1,040 of 2,000 (train.max_seconds=5.0) already"),
        ("by diverging", "diverged at step 7 (loss not finite) already"),
    ],
)
def test_a_second_start_says_how_the_run_ended(way: str, line: str) -> None:
    assert is_already(ENDINGS[way][0]) == line


SMALL = ["data.limit=100", "train.eval_limit=50", "train.pictures=0", "model.block=linear-act", "model.widths=[4]"]
SMALL += ["model.depth=2", "train.device=cpu"]

SINGLE = {
    "train.steps=1": ("finished after 1 step, ", "", 0),
    "train.steps=4 train.max_seconds=1e-9": (
        "finished early at step 1 of 4 (train.max_seconds=1e-09), ",
        "a larger train.max_seconds trains longer",
        0,
    ),
    "train.steps=4 optimizer=sgd optimizer.lr=1e30": ("diverged at step ", "a lower optimizer.lr", 0),
}


@pytest.mark.parametrize("words", SINGLE)
def test_a_single_run_ends_with_its_line_and_its_next_step(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, step, code = SINGLE[words]
    assert main(["train", *SMALL, *words.split(), f"out={tmp_path}"]) == code
    said = capsys.readouterr().out
    assert any(one.startswith(line) for one in said.splitlines()), said
    assert step in said
    assert main(["train", *SMALL, *words.split(), f"out={tmp_path}"]) == code
    assert "already; force=true starts over" in capsys.readouterr().out


def test_a_line_a_run_as_a_sweep_goes_on(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    log = SweepLog([make_job()] * 3, parse_metric("val/accuracy"), slots=1)
    for way in ("by early stopping", "by Ctrl-C", "by an error"):
        log.show(make_job(), ENDINGS[way][0])
    log.close()
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [re.search(r"seed=\d  (\S+( early)?)", line)[1] for line in lines] == [  # pyright: ignore[reportOptionalSubscript]
        "finished early",
        "interrupted",
        "failed",
    ]
    assert lines[2].endswith("RuntimeError: out of memory")
    assert printed.err == "1 of 3 runs finished early (train.patience): " + ENDINGS["by early stopping"][2] + "\n"


def test_an_interrupted_sweep_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert interrupted(RunConfig()).code == 130
    assert "the same command goes on where this one stopped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model.act=relu,tanh"], "model.act: 2 runs, 2 arms, seed 0"),
        (["seed=0,1"], "seed: 2 runs, 1 arm, seeds 0 and 1"),
        (["seed=3", "study.claims=[{say: s, higher: {model.act: relu}, than: {model.act: tanh}}]"], ""),
    ],
)
def test_a_sweep_begins_with_numbers_that_agree(
    words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.launch.sweep, "train_runs", lambda *_: (True, {}))
    code = main(["train", *SMALL, *words, f"out={tmp_path}"])
    assert code == (130 if line else 2)  # a claim about one arm is refused
    assert not line or capsys.readouterr().out.splitlines()[0] == line


def test_failed_runs_come_last_with_what_to_do(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job()
    job.folder.mkdir(parents=True)
    write_json(job.folder / "result.json", {**job.record(), "status": "failed", "error": "boom", "metrics": {}})
    assert compare_jobs([job], parse_study({}), job.folder.parent.parent, {}, False).code == 1
    said = capsys.readouterr().err.splitlines()
    assert said[1] == "1 of 1 run failed:"
    assert said[-1] == "mend the cause, and the same command trains what is missing"


def test_table_and_report_tell_who_did_not_end_and_who_ended_early(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, {"model.act": "relu"}, seed, {"val/accuracy": 0.9}) for seed in range(2)]
    early_run = write_run(tmp_path, {"model.act": "relu"}, 2, {"val/accuracy": 0.9}, stopped_by="seconds")
    failed = write_run(tmp_path, {"model.act": "relu"}, 3, {}, status="failed", error="RuntimeError: no luck")
    stopped = write_run(tmp_path, {"model.act": "relu"}, 4, {}, status="interrupted", steps=1)
    found = compare([*runs, early_run, failed, stopped], {})
    table = columns(found)
    assert (table["n"], table["failed"], table["interrupted"]) == (["3"], ["1"], ["1"])
    assert early(found.runs) == ["1 of 3 runs ended before the last step: 1 by train.max_seconds."]
    assert not_ended(found) == [
        "1 run failed and 1 run stopped before the end, and do not count: the same 'lab train' makes what is missing."
    ]
    told = {status: text for _, status, text in troubles(found, tmp_path)}
    assert told == {
        "failed": "RuntimeError: no luck (mend the cause, and the same command trains what is missing)",
        "interrupted": "stopped after 1 step (the same command goes on from its checkpoint)",
    }
    assert not_ended(compare([*runs, stopped], {})) == [
        "1 run stopped before the end, and does not count: the same 'lab train' makes what is missing."
    ]


WORDS = ["train/loss 0.1234", "train/accuracy 0.9000", "val/loss 0.2000", "val/accuracy 0.9100"]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (0, ""),
        (14, ""),
        (15, "val/loss 0.2000"),
        (30, "val/loss 0.2000"),
        (36, "val/loss 0.2000  val/accuracy 0.9100"),
        (200, "val/loss 0.2000  val/accuracy 0.9100  train/loss 0.1234  train/accuracy 0.9000"),
    ],
)
def test_a_narrow_terminal_shows_whole_words_beside_the_bar(width: int, shown: str) -> None:
    assert fitting(WORDS, width) == shown


@pytest.mark.parametrize("columns_there", [1, 40, 80, 200])
def test_a_bar_is_never_wider_than_its_terminal(columns_there: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    bar = type("Bar", (), {"set_postfix_str": lambda self, text, refresh: written.append(text)})()
    console = Console()
    console._bar, console._steps = bar, 100
    monkeypatch.setenv("COLUMNS", str(columns_there))
    console.log({"step": 5, "epoch": 1.0, "train/loss": 0.5, "val/loss": 0.25, "val/accuracy": 0.75, "train/lr": 0.1})
    assert len(written[0]) <= max(0, columns_there - 60)


def test_without_a_terminal_a_logged_point_is_a_whole_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.start("scratch/default/seed=0", 100, 40)
    console.log({"step": 50, "epoch": 1.5, "train/loss": 0.5, "val/accuracy": 0.75})
    assert capsys.readouterr().out.splitlines() == [
        "scratch/default/seed=0: 100 steps, resumed at step 40",
        "step  50/100  epoch 1.5  train/loss 0.5000  val/accuracy 0.7500",
    ]


@pytest.mark.parametrize(("verb", "says"), [("train", "; the same command goes on"), ("list", "")])
def test_ctrl_c_before_the_first_step_says_how_to_go_on(
    verb: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(lab.cli.main.VERBS, verb, stop)
    assert main([verb]) == 130
    assert capsys.readouterr().err.startswith(f"interrupted{says}")
