"""What a run leaves behind: whole files, each logged step once, and a result that says how it ended."""

import itertools
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import MakeJob
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue]

from lab.config import RunConfig
from lab.data.batches import Order
from lab.errors import UserError
from lab.identity import arm_hash, flatten
from lab.records.environment import environment
from lab.records.events import write_scalars
from lab.records.places import Job, arm_folders, arm_label, run_folder
from lab.records.results import find_runs, read_metrics, read_result, read_run
from lab.records.write import write_atomically, write_json
from lab.records.writer import MetricsWriter, summarise
from lab.runs.run import run

TAGS = ["train/loss", "train/accuracy", "train/lr", "val/loss", "val/accuracy", "train/weight_norm", "train/near_zero"]
WATCHED_TAGS = [*TAGS, "train/dead_units", "train/saturated", "train/gradient_norm", "train/gradient_ratio"]
WATCHED_TAGS += ["train/learning_ratio"]


def stop_after(steps: int) -> Callable[[], bool]:
    count = itertools.count(1)
    return lambda: next(count) >= steps


def strict_json(path: Path) -> Any:
    """The content of a file that any JSON reader takes, not only Python's."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def events(folder: Path) -> EventAccumulator:
    (file,) = folder.glob("events.out.tfevents.*")
    found = EventAccumulator(str(file), size_guidance={"scalars": 0})
    found.Reload()
    return found


def hparams(folder: Path, tag: str) -> HParamsPluginData:
    metadata = events(folder).summary_metadata[f"_hparams_/{tag}"]
    assert metadata.plugin_data.plugin_name == "hparams"
    return HParamsPluginData.FromString(metadata.plugin_data.content)


class Listener:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.done, self.steps, self.rows = -1, 0, []

    def start(self, title: str, steps: int, done: int) -> None:
        self.done = done

    def step(self) -> None:
        self.steps += 1

    def log(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def close(self) -> None:
        """Nothing to close."""


# A whole run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, dict[str, Any]]:
    """One run of 20 steps that several tests look at."""
    config = RunConfig(out=str(tmp_path_factory.mktemp("outputs")), seed=3)
    config.data.name = "own_parts:tiny"
    config.model.widths, config.model.depth, config.train.watch = [4], 2, True
    config.train.steps, config.train.batch_size, config.train.eval_every = 20, 20, 0.5
    arm = {"model.init": "he_normal", "model.depth": 2, "model.bias": True}
    job = Job(config, run_folder(config, arm), arm, ["model.depth=2", "seed=3"], "lab train model.depth=2 seed=3")
    return job, run(job)


def test_result_says_all_there_is_to_say(finished: tuple[Job, dict[str, Any]]) -> None:
    job, result = finished
    assert strict_json(job.folder / "result.json") == result
    assert {key: result[key] for key in ("status", "steps", "seed", "arm", "overrides", "command")} == {
        "status": "finished",
        "steps": 20,
        "seed": 3,
        "arm": job.arm,
        "overrides": ["model.depth=2", "seed=3"],
        "command": "lab train model.depth=2 seed=3",
    }
    assert result["num_params"] == (9 * 4 + 4) + (4 * 4 * 4 * 3 + 3)
    assert result["train_seconds"] > 0
    assert result["images_per_second"] == pytest.approx(400 / result["train_seconds"], rel=0.2)
    assert result["arm_id"] == arm_hash(job.config)
    assert result["config"] == flatten(job.config)
    assert {"git_commit", "git_dirty", "lab", "python", "torch", "device", "threads"} <= result["environment"].keys()
    assert "error" not in result


def test_metrics_have_last_and_best(finished: tuple[Job, dict[str, Any]]) -> None:
    job, result = finished
    rows = read_metrics(job.folder)
    assert list(result["metrics"]) == [*WATCHED_TAGS, "test/loss", "test/accuracy"]
    assert [row["step"] for row in rows] == [3, 6, 9, 12, 15, 18, 20]
    assert rows[0].keys() == {"step", "epoch", "seconds", *WATCHED_TAGS}
    for tag, best in (("val/accuracy", max), ("train/loss", min)):
        found = result["metrics"][tag]
        assert found["last"] == rows[-1][tag]
        assert found["best"] == best(row[tag] for row in rows)
        assert found["best_step"] == next(row["step"] for row in rows if row[tag] == found["best"])


def test_config_yaml_makes_the_same_arm(finished: tuple[Job, dict[str, Any]]) -> None:
    job, _ = finished
    assert yaml.safe_load((job.folder / "config.yaml").read_text()) == asdict(job.config)


def test_folder_is_found_again(finished: tuple[Job, dict[str, Any]]) -> None:
    job, _ = finished
    out = Path(job.config.out)
    assert job.folder == out / f"scratch/init=he_normal,depth=2,bias=True-{arm_hash(job.config)}/seed=3"
    assert run_folder(job.config, {"model.width": 7}) == job.folder  # whatever label it was first given
    assert run_folder(job.config, {}, known={}).parent.name.startswith("default-")
    (found,) = find_runs([out])
    assert (found.path, found.status, found.seed, found.arm) == (job.folder, "finished", 3, job.arm)
    assert found.history == read_metrics(job.folder)
    assert job.is_terminal()


def test_tensorboard_shows_the_same_numbers(finished: tuple[Job, dict[str, Any]]) -> None:
    job, result = finished
    found, rows = events(job.folder), read_metrics(job.folder)
    tested = {tag: one["last"] for tag, one in result["metrics"].items() if tag.startswith("test/")}
    watched = [tag for tag in found.Tags()["scalars"] if tag.startswith("watch_")]  # in TensorBoard alone
    assert watched
    assert sorted({*found.Tags()["scalars"]} - {*watched}) == sorted([*WATCHED_TAGS, *tested])
    for tag, value in tested.items():
        assert [(event.step, event.value) for event in found.Scalars(tag)] == [(result["steps"], pytest.approx(value))]
    for tag in WATCHED_TAGS:
        assert [event.step for event in found.Scalars(tag)] == [row["step"] for row in rows]
        assert [event.value for event in found.Scalars(tag)] == pytest.approx([row[tag] for row in rows])
    assert "watch_weights/stage1.block1.conv.weight" in found.Tags()["tensors"]


def test_hparams_tab_has_a_row_for_the_run(finished: tuple[Job, dict[str, Any]]) -> None:
    job, _ = finished
    start = hparams(job.folder, "session_start_info").session_start_info
    assert start.group_name == arm_hash(job.config)
    assert start.hparams["model.init"].string_value == "he_normal"
    assert start.hparams["model.depth"].number_value == 2
    assert start.hparams["model.bias"].bool_value is True
    assert hparams(job.folder, "session_end_info").session_end_info.status == 1  # STATUS_SUCCESS


def test_no_scratch_file_stays(finished: tuple[Job, dict[str, Any]]) -> None:
    job, _ = finished
    names = sorted(path.name.partition(".out.")[0] for path in job.folder.iterdir())
    assert names == ["checkpoint.pt", "config.yaml", "events", "metrics.jsonl", "predictions.npz", "result.json"]


# How a run can end


def test_a_failed_run_says_why(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job, batch = make_job(), Order.batch

    def fail_at_step_8(order: Order, step: int) -> Any:
        if step == 8:
            raise RuntimeError("CUDA error: an illegal memory access")
        return batch(order, step)

    with monkeypatch.context() as patch:
        patch.setattr(Order, "batch", fail_at_step_8)
        result = run(job)
    assert result["status"] == "failed"
    assert result["error"].startswith("RuntimeError: CUDA error: an illegal memory access")
    assert strict_json(job.folder / "result.json") == result
    assert [row["step"] for row in read_metrics(job.folder)] == [3, 6]
    assert hparams(job.folder, "session_end_info").session_end_info.status == 2  # STATUS_FAILURE
    assert not job.is_terminal()
    assert run(job)["status"] == "finished"  # a second start does it again


def test_a_divergent_run_has_null_where_json_has_no_number(make_job: MakeJob) -> None:
    job = make_job(changes={"optimizer.name": "sgd", "optimizer.lr": 1e30})
    result = run(job)
    assert strict_json(job.folder / "result.json") == result
    lines = (job.folder / "metrics.jsonl").read_text().splitlines()
    assert result["status"] == "diverged"
    assert json.loads(lines[-1], parse_constant=pytest.fail)["train/loss"] is None
    assert result["metrics"]["train/loss"]["last"] is None
    assert result["metrics"]["test/loss"] == {"last": None, "best": None, "best_step": result["steps"]}
    assert hparams(job.folder, "session_end_info").session_end_info.status == 1


def test_an_interrupted_run_resumes_without_repeating_a_line(make_job: MakeJob) -> None:
    whole, parts = make_job("whole"), make_job("parts")
    run(whole)
    assert run(parts, should_stop=stop_after(7))["status"] == "interrupted"
    assert not parts.is_terminal()
    assert "test/accuracy" not in strict_json(parts.folder / "result.json")["metrics"]
    with (parts.folder / "metrics.jsonl").open("a") as file:  # as a killed run leaves it, ahead of its checkpoint
        file.write('{"step": 9, "epoch": 1.5, "train/loss": 100.0}\n{"step": 12, "train/lo')
    listener = Listener()
    run(parts, listener)
    assert (listener.done, listener.steps) == (7, 13)
    assert [row["step"] for row in listener.rows] == [9, 12, 15, 18, 20]
    clockless = [[{**row, "seconds": 0} for row in read_metrics(job.folder)] for job in (whole, parts)]
    assert clockless[0] == clockless[1]
    found = events(parts.folder)
    for tag in TAGS:
        assert [event.step for event in found.Scalars(tag)] == [3, 6, 9, 12, 15, 18, 20]
        assert [event.value for event in found.Scalars(tag)] == [e.value for e in events(whole.folder).Scalars(tag)]


@pytest.mark.parametrize("stop", [7, 20], ids=["interrupted", "finished"])
def test_force_starts_over(make_job: MakeJob, stop: int) -> None:
    job = make_job()
    run(job, should_stop=stop_after(stop))
    job.config.force = True
    assert not job.is_terminal()
    listener = Listener()
    assert run(job, listener)["status"] == "finished"
    assert (listener.done, listener.steps) == (0, 20)
    assert [row["step"] for row in read_metrics(job.folder)] == [3, 6, 9, 12, 15, 18, 20]
    assert [event.step for event in events(job.folder).Scalars("val/loss")] == [3, 6, 9, 12, 15, 18, 20]


@pytest.mark.parametrize("lr", [0.001, 1e30], ids=["finished", "diverged"])
def test_a_result_that_was_lost_is_made_again_without_training(make_job: MakeJob, lr: float) -> None:
    job = make_job(changes={"optimizer.name": "sgd", "optimizer.lr": lr})
    first = run(job)
    (job.folder / "result.json").unlink()
    listener = Listener()
    second = run(job, listener)
    assert (listener.done, listener.rows) == (first["steps"], [])
    same = ("status", "steps", "metrics")
    assert {key: second[key] for key in same} == {key: first[key] for key in same}


def test_outputs_that_cannot_be_written_are_named(make_job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file, not a folder")
    with pytest.raises(UserError, match=r"out=.*outputs: cannot write .*seed=0 \(Not a directory\)"):
        run(make_job())


# Files


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, b"old")

    def fill_the_disk(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1.5, math.nan, (math.inf, {"b": -math.inf})], "c": "NaN"})
    assert strict_json(tmp_path / "a.json") == {"a": [1.5, None, [None, {"b": None}]], "c": "NaN"}


def test_metrics_end_before_a_line_that_was_cut(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert read_metrics(tmp_path) == [{"step": 1}, {"step": 2}]


def test_writer_keeps_what_the_checkpoint_knows(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": s, "val/loss": s / 3}) + "\n" for s in (1, 2, 3))
    )
    writer = MetricsWriter(tmp_path, 2, {}, "group")
    writer.write({"step": 3, "val/loss": math.nan})
    assert read_metrics(tmp_path) == [
        {"step": 1, "val/loss": 1 / 3},
        {"step": 2, "val/loss": 2 / 3},
        {"step": 3, "val/loss": None},
    ]
    writer.close(succeeded=True)
    assert [event.step for event in events(tmp_path).Scalars("val/loss")] == [1, 2, 3]


def test_summary_of_metrics() -> None:
    rows = [
        {"step": 1, "epoch": 0.5, "seconds": 1, "val/loss": 0.5, "val/accuracy": 0.2},
        {"step": 2, "epoch": 1.0, "seconds": 2, "val/loss": 0.1, "val/accuracy": 0.9},
        {"step": 3, "epoch": 1.5, "seconds": 3, "val/loss": None, "val/accuracy": 0.9, "late": 4},
    ]
    assert summarise(rows) == {
        "val/loss": {"last": None, "best": 0.1, "best_step": 2},
        "val/accuracy": {"last": 0.9, "best": 0.9, "best_step": 2},
        "late": {"last": 4, "best": 4, "best_step": 3},
    }
    assert summarise([]) == {}


@pytest.mark.parametrize("content", [None, "", '{"status": "fin'], ids=["missing", "empty", "cut"])
def test_a_folder_without_a_whole_result_is_no_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    assert read_result(tmp_path) is None
    assert read_run(tmp_path) is None
    with pytest.raises(UserError, match="no finished run under"):
        find_runs([tmp_path])


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder"):
        find_runs([tmp_path / "nowhere"])


def test_runs_come_in_the_order_in_which_their_arms_were_typed(tmp_path: Path) -> None:
    for name, place in (("a", 1), ("b", 0)):
        for seed in (10, 9):
            folder = tmp_path / f"act={name}-{place:08x}" / f"seed={seed}"
            folder.mkdir(parents=True)
            about = {
                "config": {},
                "arm_id": name * 8,
                "arm": {},
                "seed": seed,
                "status": "finished",
                "metrics": {},
                "place": place,
            }
            write_json(folder / "result.json", about)
    assert [(run.arm_id[0], run.seed) for run in find_runs([tmp_path])] == [("b", 9), ("b", 10), ("a", 9), ("a", 10)]


# Places


@pytest.mark.parametrize(
    ("arm", "label"),
    [
        ({}, "default"),
        ({"model.init": "he_normal", "model.depth": 30}, "init=he_normal,depth=30"),
        ({"optimizer.name": "adam", "model.widths": [16, 32]}, "optimizer=adam,widths=16+32"),
        ({"model.act": "my.parts:swish/7 β"}, "act=my.parts_swish_7"),
        ({"model.block": "conv-act-pool"}, "block=conv-act-pool"),
    ],
)
def test_a_label_is_readable_and_a_legal_path(arm: dict[str, Any], label: str) -> None:
    assert arm_label(arm) == label


def test_a_long_label_is_cut_and_stays_unique(tmp_path: Path) -> None:
    configs = [RunConfig(out=str(tmp_path)) for _ in range(2)]
    for config, word in zip(configs, ("act", "norm"), strict=True):
        config.model.block = "-".join(["conv"] * 40 + [word])
    one, other = (run_folder(config, {"model.block": config.model.block}) for config in configs)
    assert one != other
    assert len(one.parent.name) < 140


def test_arms_are_known_by_their_digits(tmp_path: Path) -> None:
    for name in ("init=he-1f3a9c02", "_mean", "report-zzzzzzzz", "default-0123456"):
        (tmp_path / name).mkdir()
    (tmp_path / "file-1f3a9c03").touch()
    assert arm_folders(tmp_path) == {"1f3a9c02": tmp_path / "init=he-1f3a9c02"}
    assert arm_folders(tmp_path / "nowhere") == {}


# Events and environment


def test_scalars_replace_the_run_that_was_there(tmp_path: Path) -> None:
    write_scalars(tmp_path / "mean", {"val/loss": [(1, 0.5)]})
    write_scalars(tmp_path / "mean", {"val/accuracy": [(1, 0.25), (2, 0.75)]})
    found = events(tmp_path / "mean")
    assert found.Tags()["scalars"] == ["val/accuracy"]
    assert [(event.step, event.value) for event in found.Scalars("val/accuracy")] == [(1, 0.25), (2, 0.75)]


def test_environment_names_device_and_versions() -> None:
    import torch

    found = environment("cpu", 2)
    assert (found["device"], found["threads"], found["torch"]) == ("cpu", 2, torch.__version__)


def test_a_copied_run_is_no_run_of_another_seed(make_job: MakeJob) -> None:
    job, other = make_job(changes={"train.steps": 2}), make_job(changes={"train.steps": 2, "seed": 1})
    run(job)
    shutil.copytree(job.folder, other.folder)
    with pytest.raises(UserError, match=r"seed=1 holds a run of seed=0, which is no result of seed=1; move it away"):
        other.is_terminal()
    other.config.force = True
    assert not other.is_terminal()
