"""What machines do to files: a full disk, a read-only folder, a cut file, a process killed for memory."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeJob, rows
from PIL import Image
from quick_lab import QUICK_LAB
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lab.data.folder import read_folder
from lab.records.events import EventFile
from lab.records.places import Job
from lab.records.results import read_metrics, read_result, read_run
from lab.records.write import write_atomically
from lab.runs.run import run
from lab.training.checkpoint import load_checkpoint, pack, previous

CPU = torch.device("cpu")


def stop_at(step: int) -> Callable[[], bool]:
    steps = iter(range(1, 10**6))
    return lambda: next(steps) >= step


def lab(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*QUICK_LAB, "train", "train.threads=1", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


# Checkpoints


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One bit of a weight: torch itself reads that without a word."""
    content = bytearray(path.read_bytes())
    weight = torch.load(path, weights_only=True)["model"]["classifier.weight"]
    content[content.index(weight.numpy().tobytes()) + 5] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)["model"]["classifier.weight"], weight)


def interrupted(job: Job) -> Path:
    """A run with two checkpoints, of steps 7 and 11."""
    run(job, should_stop=stop_at(7))
    run(job, should_stop=stop_at(4))
    path = job.folder / "checkpoint.pt"
    steps = [torch.load(file, weights_only=True)["step"] for file in (previous(path), path)]
    assert steps == [7, 11]
    return path


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.write_bytes(b"")], ids=["cut", "flip", "empty"])
def test_the_checkpoint_before_a_damaged_one_is_used(make_job: MakeJob, damage: Callable[[Path], None]) -> None:
    whole, broken = make_job("whole"), make_job("broken")
    run(whole)
    path = interrupted(broken)
    damage(path)
    damaged = path.read_bytes()
    words = r"checkpoint\.pt is damaged .*; set aside as checkpoint\.pt\.damaged, going on from checkpoint\.prev\.pt"
    result = run(broken)
    assert result["status"] == "finished"
    (note,) = result["notes"]
    assert re.search(words, note)
    assert rows(whole.folder) == rows(broken.folder)  # what the damaged one had seen is cut back, and there once
    states = [load_checkpoint(job.folder / "checkpoint.pt", CPU) or {} for job in (whole, broken)]
    assert all(torch.equal(value, states[1]["model"][key]) for key, value in states[0]["model"].items())
    assert (path.parent / "checkpoint.pt.damaged").read_bytes() == damaged
    assert not previous(path).exists()  # the run is over


@pytest.mark.filterwarnings("default::UserWarning")
def test_two_damaged_checkpoints_start_the_run_over(make_job: MakeJob) -> None:
    whole, broken = make_job("whole"), make_job("broken")
    run(whole)
    path = interrupted(broken)
    cut(path)
    cut(previous(path))
    said = run(broken)["notes"]
    assert [line.count("is damaged") for line in said] == [1, 1]
    assert "going on from checkpoint.prev.pt" in said[0]
    assert "set aside as checkpoint.prev.pt.damaged, starting over" in said[1]
    assert rows(whole.folder) == rows(broken.folder)


def test_the_moment_between_two_names(make_job: MakeJob) -> None:
    """Killed when the old checkpoint has its new name already, and the new one not yet its own."""
    whole, killed = make_job("whole"), make_job("killed")
    run(whole)
    path = interrupted(killed)
    scratch = path.rename(path.with_name(".0123456789abcdef.lab-tmp"))
    assert run(killed)["status"] == "finished"
    assert rows(whole.folder) == rows(killed.folder)
    assert not scratch.exists()


def test_force_removes_all_checkpoints(make_job: MakeJob) -> None:
    job = make_job()
    path = interrupted(job)
    shutil.copy(path, path.with_name("checkpoint.pt.damaged"))
    job.config.force = True
    run(job, should_stop=stop_at(3))
    assert [file.name for file in job.folder.glob("checkpoint*")] == ["checkpoint.pt"]
    assert torch.load(path, weights_only=True)["step"] == 3


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    write_atomically(path, pack({"model": {}, "step": 1}), previous(path))
    write_atomically(path, pack({"model": {}, "step": 2}), previous(path))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, pack({"model": {}, "step": 3}), previous(path))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint.prev.pt", "checkpoint.pt"]
    assert [torch.load(file, weights_only=True)["step"] for file in (previous(path), path)] == [1, 2]


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe", b'{"status": "fini'])
def test_a_damaged_result_counts_as_none(make_job: MakeJob, junk: bytes) -> None:
    job = make_job()
    result = run(job)
    (job.folder / "result.json").write_bytes(junk)
    assert not job.is_terminal()
    again = run(job)
    assert {**again, "finished_at": 0, "images_per_second": 0} == {**result, "finished_at": 0, "images_per_second": 0}


def test_a_damaged_last_line_of_metrics_is_left_out(make_job: MakeJob) -> None:
    job = make_job()
    run(job)
    path = job.folder / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-20] + b"\xff\xff")
    assert [row["step"] for row in read_metrics(job.folder)] == [3, 6, 9, 12, 15, 18]


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize("place", [0, 2, -1], ids=["first", "middle", "last"])
@pytest.mark.parametrize(
    "damaged",
    [
        lambda line: bytes(len(line)),
        lambda line: line[:-20],
        lambda line: b"\xff\xfe" + line,
        lambda line: line.replace(b'"val/loss": ', b'"val/loss": "x", "a": '),
    ],
    ids=["nul", "cut", "junk", "a_word"],
)
def test_a_damaged_line_is_lost_alone_and_told(
    make_job: MakeJob, damaged: Callable[[bytes], bytes], place: int
) -> None:
    job = make_job()
    run(job, should_stop=stop_at(13))
    path = job.folder / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    step = json.loads(lines[place])["step"]
    lines[place] = damaged(lines[place][:-1]) + b"\n"
    path.write_bytes(b"".join(lines))
    result = run(job)
    assert result["status"] == "finished"
    assert [row["step"] for row in read_metrics(job.folder)] == [s for s in (3, 6, 9, 12, 15, 18, 20) if s != step]
    (note,) = result["notes"]
    assert f"metrics.jsonl: line {place % 4 + 1} is damaged and left out; the other 3 are kept" in note


def test_a_run_whose_metrics_are_damaged_is_compared_with_a_note(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job()
    run(job)
    path = job.folder / "metrics.jsonl"
    path.write_bytes(b"\0" * 40 + b"\n" + path.read_bytes())
    found = read_run(job.folder)
    assert found is not None
    assert len(found.history) == 7
    assert "line 1 is damaged and left out" in capsys.readouterr().err


# Histograms


def histogram_steps(folder: Path) -> list[int]:
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    return [event.step for event in found.Tensors("watch_weights/classifier.weight")]


def test_a_resume_keeps_the_histograms(make_job: MakeJob) -> None:
    job = make_job(changes={"train.watch": True})
    run(job, should_stop=stop_at(7))
    assert histogram_steps(job.folder) == [3, 6]
    (events,) = job.folder.glob("events*")
    events.write_bytes(events.read_bytes()[:-30])  # a kill may cut the last record
    run(job)
    assert histogram_steps(job.folder)[0] == 3
    assert histogram_steps(job.folder)[-5:] == [9, 12, 15, 18, 20]
    assert len(list(job.folder.glob("events*"))) == 1


def test_an_event_file_tells_of_a_full_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    events = EventFile(tmp_path)
    events.close()
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(events._writer, "_writer", full)
        with pytest.raises(OSError, match="No space left"):
            events.scalar("train/loss", 1.0, 1)


# Data


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for part in ("good", "cut"):
        for name in ("a", "b"):
            folder = tmp_path / part / "train" / name
            folder.mkdir(parents=True)
            for number in range(20):
                Image.effect_noise((16, 16), 60).save(folder / f"{number}.png")
    cut(tmp_path / "cut" / "train" / "b" / "7.png")
    return tmp_path


SMALL = ["data=folder", "train.steps=3", "train.batch_size=8", "model.depth=2", "model.widths=[4]"]


@pytest.mark.slow
def test_a_sweep_goes_on_without_the_runs_whose_data_are_cut(pictures: Path) -> None:
    done = lab(pictures, *SMALL, "data.root=good,cut", "seed=0,1")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "2 of 4 runs failed:" in done.stderr
    assert done.stderr.count("7.png is not a readable image") == 2
    results = [json.loads(path.read_text()) for path in pictures.rglob("result.json")]
    assert sorted(result["status"] for result in results) == ["failed", "failed", "finished", "finished"]
    assert "7.png is not a readable image" in next(
        result["error"] for result in results if result["status"] == "failed"
    )


@pytest.mark.slow
def test_where_all_data_are_cut_nothing_starts(pictures: Path) -> None:
    done = lab(pictures, *SMALL, "data.root=cut", "seed=0,1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "7.png is not a readable image" in done.stderr
    assert not list(pictures.rglob("result.json"))


def test_pictures_that_cannot_be_kept_are_decoded_all_the_same(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        args[1].write(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos")  # how torch says it

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match="could not cache"):
        images, *_ = read_folder(pictures / "good")
    assert len(images) == 40
    assert list((pictures / "good" / ".lab-cache").iterdir()) == []


# Disks and processes


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up(tmp_path: Path, disk: Path) -> None:
    """What was written before is whole; with room again the same command ends as if nothing had been."""
    words = ["train.epochs=2", "train.checkpoint_every=0", "model.depth=3", "model.widths=[8,16]", "seed=0,1", "jobs=1"]
    small = ["train.epochs=1", *words[1:-2]]
    first = lab(tmp_path, f"out={disk}", *small)
    assert first.returncode == 0, first.stderr
    before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    with open(disk / "filler", "wb", buffering=0) as filler:
        filler.write(bytes(shutil.disk_usage(disk).free - 60_000))
    done = lab(tmp_path, f"out={disk}", *words)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "2 of 2 runs failed:" in done.stderr
    assert "[Errno 28] No space left on device" in done.stderr
    assert all(path.read_bytes() == content for path, content in before.items())
    (disk / "filler").unlink()
    done = lab(tmp_path, f"out={disk}", *words)
    assert done.returncode == 0, done.stderr
    whole = lab(tmp_path, "out=whole", *words)
    assert whole.returncode == 0, whole.stderr
    for folder in (tmp_path / "whole").rglob("seed=?"):
        assert rows(folder) == rows(disk / folder.relative_to(tmp_path / "whole"))


@pytest.mark.slow
def test_a_folder_that_becomes_read_only(tmp_path: Path, disk: Path) -> None:
    words = ["train.epochs=2000", "train.checkpoint_every=0.2", "model.depth=2", "model.widths=[4]", f"out={disk}"]
    command = [sys.executable, "-m", "lab", "train", "train.threads=1", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(disk.rglob("checkpoint.prev.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # The disk itself stays as it is for those who have files open; names are looked up in the one above it.
    subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
    try:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, out + err
        assert "failed: OSError: [Errno 30] Read-only file system" in err
        assert "Traceback" not in err
        (path,) = disk.rglob("checkpoint.pt")
        state = load_checkpoint(path, CPU)
        assert state is not None
        assert not list(disk.rglob("result.json"))
        again = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert again.returncode == 2
        assert "cannot write" in again.stderr
        assert "Read-only file system" in again.stderr
        assert again.stderr.count("\n") == 1
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert read_result(path.parent) is None
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "resumed at step" in process.stdout.readline()
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130


DYING = """
import os, signal
from torch import nn

class Net(nn.Sequential):
    def forward(self, x):
        if self.training:
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)

def dying(in_shape, num_outputs):
    c, h, w = in_shape
    return Net(nn.Flatten(), nn.Linear(c * h * w, num_outputs))

def well(in_shape, num_outputs):
    c, h, w = in_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, num_outputs))
"""


@pytest.mark.slow
def test_a_sweep_goes_on_without_a_worker_that_was_killed(tmp_path: Path) -> None:
    """As the kernel kills what has taken all memory."""
    (tmp_path / "own.py").write_text(DYING)
    done = lab(tmp_path, "model.name=own:dying,own:well", "train.steps=20", "seed=0,1")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "2 of 4 runs failed:" in done.stderr
    assert done.stderr.count("the run's process died (killed, or out of memory)") == 2
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert sorted(result["status"] for result in results) == ["failed", "failed", "finished", "finished"]
    assert not list(tmp_path.rglob("*.lock"))
