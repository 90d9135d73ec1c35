"""Slurm's commands as the lab calls them, played by small scripts; and the words that users type and read."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_runs import write_run

from lab.cli.main import main
from lab.config import OnConfig, RunConfig
from lab.errors import UserError
from lab.identity import arm_hash, with_values
from lab.launch.clusters.on_ray import check_address
from lab.launch.clusters.scheduler import AwayError
from lab.launch.clusters.slurm import Slurm, sbatch_command, script
from lab.launch.local import card_of, cards_for
from lab.overrides.plan import Options, all_jobs
from lab.records.batches import Batch, write_batch
from lab.system.machine import gpu_cards
from lab.validation import validate

BATCH = Batch("x-00000000", "slurm", "auto", "2026-01-01T00:00:00Z", "lab train", 1, (({"folder": "a"},),) * 3, "7")

Play = Callable[[str, str], None]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """`play("squeue", "echo nothing")`: a command of Slurm as a shell script; each writes its words to `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def one(name: str, text: str) -> None:
        path = folder / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\n{text}\n')
        path.chmod(0o755)

    for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo"):
        one(name, "")
    return one


def calls(folder: Path) -> str:
    return (folder / "calls").read_text()


def test_a_batch_is_an_array(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "100")
    play("sbatch", f"cat > {tmp_path}/script\nenv > {tmp_path}/env\necho '7;cluster'")
    on = OnConfig("slurm", "gpu", "me", "a100", 30, 1.5, 4, 2.0, 16, 1, ["module load cuda"])
    assert Slurm().submit(BATCH, Path("outputs/x"), on, True) == "7"
    said = calls(tmp_path)
    for word in (
        *("--array=0-2%16", "--partition=gpu", "--account=me", "--constraint=a100", "--time=30", "--mem=1536M"),
        *("--cpus-per-task=4", "--gres=gpu:2", "--signal=B:USR2@60", "--requeue", "--job-name=x-00000000"),
        *(f"--chdir={os.getcwd()}", "--output=outputs/x/_tasks/x-00000000-%a.log"),
    ):
        assert f" {word}" in said
    lines = (tmp_path / "script").read_text().splitlines()
    assert lines[:2] == ["#!/bin/bash", "module load cuda"]
    assert any(line.startswith("exec ") for line in lines), "signals reach Python"
    assert lines[-1].endswith("outputs/x x-00000000 --own-parts")
    assert "SLURM_MEM_PER_CPU" not in (tmp_path / "env").read_text()


def test_what_is_not_given_is_left_to_slurm() -> None:
    said = " ".join(sbatch_command(BATCH, Path("o"), OnConfig("slurm")))
    assert not any(word in said for word in ("partition", "account", "constraint", "time=", "mem", "gres", "%1"))
    assert "--array=0-2 " in said
    assert "--own-parts" not in script(BATCH, Path("o"), OnConfig("slurm"), False)


def test_a_short_limit_is_warned_of_in_time() -> None:
    assert "--signal=B:USR2@15" in sbatch_command(BATCH, Path("o"), OnConfig("slurm", time=1))


def test_tasks_are_what_squeue_says(play: Play, tmp_path: Path) -> None:
    rows = ["x-00000000|0|RUNNING|None|7", "x-00000000|1|PENDING|BeginTime|7", "x-00000000|2|TIMEOUT|TimeLimit|7"]
    play("squeue", "\n".join(f"echo '{row}'" for row in [*rows, "nonsense", ""]))
    found = Slurm().tasks([BATCH])
    assert [found["x-00000000", number].alive for number in range(3)] == [True, True, False]
    assert found["x-00000000", 2].words == "TIMEOUT"
    assert "scontrol update JobId=7_1 StartTime=now" in calls(tmp_path), "a requeued task need not wait two minutes"


@pytest.mark.parametrize(
    ("state", "reason", "stuck"),
    [
        ("PENDING", "Resources", False),
        ("PENDING", "Priority", False),
        ("PENDING", "JobHeldUser", False),
        ("PENDING", "PartitionTimeLimit", True),
        ("PENDING", "launch failed requeued held", True),
        ("PENDING", "DependencyNeverSatisfied", True),
        ("PENDING", "QOSMaxCpuPerJobLimit", True),
        ("PENDING", "QOSMaxJobsPerUserLimit", False),
        ("RUNNING", "None", False),
    ],
)
def test_some_reasons_never_go_away(play: Play, state: str, reason: str, stuck: bool) -> None:
    play("squeue", f"echo 'x-00000000|0|{state}|{reason}|7'")
    found = Slurm().tasks([BATCH])["x-00000000", 0]
    assert (found.alive, found.stuck) == (True, stuck)


@pytest.mark.parametrize("name", ["squeue", "scancel"])
def test_a_controller_that_does_not_answer_is_away(play: Play, name: str) -> None:
    play(name, "echo 'error: Unable to contact slurm controller (connect failure)' >&2; exit 1")
    with pytest.raises(AwayError, match="Unable to contact slurm controller"):
        Slurm().tasks([BATCH]) if name == "squeue" else Slurm().cancel([BATCH])


def test_a_submission_without_an_answer_is_away_and_a_refusal_is_the_users(play: Play) -> None:
    play("sbatch", "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv' >&2; exit 1")
    with pytest.raises(AwayError, match="timed out"):
        Slurm().submit(BATCH, Path("o"), OnConfig("slurm"), False)
    play("sbatch", "echo 'sbatch: error: invalid partition specified: gpus' >&2; exit 1")
    play("sinfo", "printf 'gpu\\nmain\\n'")
    with pytest.raises(UserError, match=r"on.partition=gpus is unknown \(did you mean 'gpu'\?\); there are: gpu, main"):
        Slurm().submit(BATCH, Path("o"), OnConfig("slurm", "gpus"), False)
    play("sbatch", "echo 'sbatch: error: Memory specification can not be satisfied' >&2; exit 1")
    with pytest.raises(UserError, match=r"sbatch refuses: Memory specification .*\(see on.memory, in GiB\)"):
        Slurm().submit(BATCH, Path("o"), OnConfig("slurm", memory=1e4), False)


def test_the_size_of_an_array_is_the_sites(play: Play) -> None:
    play("scontrol", "echo 'MaxArraySize            = 301'")
    assert Slurm().most_tasks == 300
    play("scontrol", "exit 1")
    assert Slurm().most_tasks == 1000


def test_without_slurm_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "on=slurm", "seed=0,1", "train=smoke"]) == 2
    assert "there is no sbatch and no squeue and no scancel on this machine" in capsys.readouterr().err


def test_cancelling_and_status(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["cancel", "."]) == 2
    assert "nothing under . was submitted" in capsys.readouterr().err
    done = write_run(tmp_path / "outputs" / "x", {"model.act": "relu"}, 0, {"val/accuracy": 0.9}).path
    other = done.parent / "seed=1"
    other.mkdir()
    runs = [{"folder": f"{done.parent.name}/{path.name}"} for path in (done, other)]
    batch = replace(BATCH, tasks=tuple((one,) for one in runs))
    write_batch(tmp_path / "outputs" / "x", batch)
    assert main(["status"]) == 0
    assert "outputs/x: 2 runs submitted to slurm as 7 at 2026-01-01T00:00:00Z, 1 ended" in capsys.readouterr().out
    assert main(["cancel", "outputs"]) == 0
    assert "outputs/x: cancelled 2 tasks of slurm 7" in capsys.readouterr().out
    assert "scancel --jobname=x-00000000" in calls(tmp_path)
    assert main(["status"]) == 0
    assert "submitted" not in capsys.readouterr().out


# What is typed


def test_where_a_run_goes_is_no_part_of_what_it_is() -> None:
    for key, value in {"on.name": "slurm", "on.cpus": 4, "on.partition": "gpu", "on.time": 30}.items():
        assert arm_hash(with_values(RunConfig(), {key: value})) == arm_hash(RunConfig())
    (batch,) = all_jobs("train", ["on=slurm", "on.time=30", "on.setup=[module load cuda, ulimit -n 999]", "seed=0,1"])
    assert batch[0].config.on == OnConfig("slurm", time=30, setup=["module load cuda", "ulimit -n 999"])
    (local,) = all_jobs("train", ["seed=0,1"])
    assert [job.folder for job in batch] == [job.folder for job in local]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"on.partition": "gpu"}, "on.partition=gpu does nothing with on=local; it is for on=slurm"),
        ({"on.name": "ray", "on.time": 3}, "on.time=3 does nothing with on=ray; it is for on=slurm"),
        ({"on.name": "slurm", "on.address": "a:1"}, "on.address=a:1 does nothing with on=slurm; it is for on=ray"),
        ({"on.cpus": 2}, "on.cpus=2 does nothing with on=local; it is for on=slurm or on=ray"),
        ({"on.name": "slurm", "jobs": 4}, "jobs=4 does nothing with on=slurm; on.array_limit says"),
        ({"on.name": "slurm", "on.gpus": 0.5}, "on.gpus=0.5 is out of range; allowed: a whole number with on=slurm"),
        ({"on.name": "slurms"}, "did you mean 'slurm'"),
        ({"on.name": "slurm", "on.time": 0}, "on.time=0 is out of range; allowed: 1 to 525,600 (minutes)"),
    ],
)
def test_what_does_nothing_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as error:
        validate(with_values(RunConfig(), values))
    assert said in str(error.value)


def test_a_place_is_one_for_a_whole_sweep() -> None:
    with pytest.raises(UserError, match=r"on\.cpus makes no arms"):
        all_jobs("train", ["on=slurm", "on.cpus=1,2"])
    with pytest.raises(UserError, match="on makes no arms"):
        all_jobs("train", ["on=slurm,ray"])
    with pytest.raises(UserError, match=r"on=slrum is unknown \(did you mean 'slurm'"):
        all_jobs("train", ["on=slrum"])


def test_files_may_name_the_place(tmp_path: Path) -> None:
    """YAML takes the word `on` for true."""
    (tmp_path / "on").mkdir()
    (tmp_path / "on" / "mine.yaml").write_text("name: slurm\npartition: gpu\n")
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /on: slurm\non:\n  partition: big\n  time: 9\n"
    (tmp_path / "experiment" / "far.yaml").write_text(text)
    options = Options(config_dir=str(tmp_path))
    (jobs,) = all_jobs("train", ["on=mine", "on.time=5"], options)
    assert jobs[0].config.on == OnConfig("slurm", "gpu", time=5)
    (jobs,) = all_jobs("train", ["experiment=far"], options)
    assert jobs[0].config.on == OnConfig("slurm", "big", time=9)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere", "", "127.0.0.1:99999"])
def test_an_address_without_a_cluster_is_refused_at_once(address: str) -> None:
    with pytest.raises(UserError, match=r"on\.address=.*: no Ray cluster answers \(.+\); allowed: auto"):
        check_address(address)
    check_address("auto")


# Several GPUs in one machine


def test_each_run_has_a_gpu_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [card_of(number, ["0", "1", "2"]) for number in range(7)] == ["0", "1", "2", "0", "1", "2", "0"]
    assert card_of(3, ["0"]) is None
    assert card_of(0, []) is None
    for given, cards in {
        "2,5": ["2", "5"],
        "": [],
        "-1": [],
        "0,-1,3": ["0"],
        "GPU-a, GPU-b": ["GPU-a", "GPU-b"],
    }.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert gpu_cards() == cards
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    by_device = {"auto": ["4", "6"], "cuda": ["4", "6"], "cuda:1": [], "cpu": [], "mps": []}
    for device, cards in by_device.items():
        assert cards_for(with_values(RunConfig(), {"train.device": device})) == cards


def test_as_many_runs_side_by_side_as_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import lab.launch.local as local

    monkeypatch.setattr(local, "has_gpu", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert local.share_machine(RunConfig()) == (4, 1)
    assert local.share_machine(with_values(RunConfig(), {"jobs": 8})) == (8, 1)
    assert local.share_machine(with_values(RunConfig(), {"train.device": "cuda:2"})) == (1, 0)
    assert local.share_machine(with_values(RunConfig(), {"on.name": "slurm", "on.array_limit": 7})) == (7, 1)
