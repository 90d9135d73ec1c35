"""Runs as tasks of a cluster: whatever becomes of a task, each run ends, or is named with its reason, and once."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeJob

import lab.launch.clusters.follow
from lab.config import OnConfig, RunConfig
from lab.errors import UserError
from lab.launch.clusters.follow import Following
from lab.launch.clusters.scheduler import AwayError, State
from lab.launch.slots import Stop
from lab.launch.train import how_to_go_on
from lab.records.batches import Batch, log_of, read_batch, read_batches, write_batch
from lab.records.lock import locked
from lab.records.places import Job
from lab.records.read import read_yaml
from lab.records.removal import remove
from lab.records.results import read_result
from lab.records.shelf import experiments
from lab.records.write import write_json

RUNNING, WAITING = State(True, "RUNNING"), State(True, "PENDING (Resources)", waits=True)

Turn = Callable[["Cluster"], object]


class Cluster:
    """A scheduler whose tasks are what a test says; at each question the next of `turns` happens."""

    patience, most_tasks = 0.0, 1000

    def __init__(self, *turns: Turn):
        self.turns = list(turns)
        self.batches: list[Batch] = []
        self.states: dict[tuple[str, int], State] = {}
        self.cancelled: list[str] = []
        self.root = Path()

    def submit(self, batch: Batch, root: Path, on: OnConfig, trusted: bool) -> str:
        self.root = root
        self.batches.append(batch)
        self.states |= {(batch.name, number): RUNNING for number in range(len(batch.tasks))}
        return f"job{len(self.batches)}"

    def tasks(self, batches: Sequence[Batch]) -> dict[tuple[str, int], State]:
        if self.turns:
            self.turns.pop(0)(self)
        names = {batch.name for batch in batches}
        return {key: state for key, state in self.states.items() if key[0] in names}

    def cancel(self, batches: Sequence[Batch], waiting: bool = False) -> None:
        self.cancelled += [batch.name for batch in batches]

    @property
    def runs(self) -> list[str]:
        """The runs that were submitted, in order."""
        return [folder for batch in self.batches for _, folder in batch.runs()]

    def becomes(self, state: State) -> None:
        """All tasks are so."""
        self.states = dict.fromkeys(self.states, state)


def nothing(cluster: Cluster) -> None:
    """A question of which nothing comes."""


def end(status: str = "finished", **more: Any) -> Turn:
    """All runs of the cluster's tasks end so, and their tasks with them."""

    def act(cluster: Cluster) -> None:
        for folder in cluster.runs:
            write_result(cluster.root / folder, status, **more)
        cluster.becomes(State(False, "COMPLETED"))

    return act


def write_result(folder: Path, status: str, **more: Any) -> None:
    base = {"config": {}, "arm": {}, "arm_id": "0" * 8, "seed": int(folder.name.removeprefix("seed="))}
    write_json(folder / "result.json", {**base, "status": status, "metrics": {}, **more})


def lose(words: str = "NODE_FAIL", **more: Any) -> Turn:
    """All tasks end without a result."""
    return lambda cluster: cluster.becomes(State(False, words, **more))


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"RECHECK": 0.001, "FASTEST": 0.001, "SLOWEST": 0.001, "GRACE": 0.0}.items():
        monkeypatch.setattr(lab.launch.clusters.follow, name, seconds)


@pytest.fixture
def stop() -> Iterator[Stop]:
    one = Stop()
    yield one
    one.close()


@pytest.fixture
def jobs(make_job: MakeJob) -> list[Job]:
    """Three seeds of one arm, for Slurm."""
    job = make_job(changes={"on.name": "slurm"})
    return [seeded(job, seed) for seed in range(3)]


def seeded(job: Job, seed: int, **more: Any) -> Job:
    return replace(job, config=replace(job.config, seed=seed, **more), folder=job.folder.parent / f"seed={seed}")


def root_of(jobs: Sequence[Job]) -> Path:
    return jobs[0].folder.parent.parent


def test_runs_are_submitted_followed_and_collected(
    jobs: list[Job], stop: Stop, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster(nothing, lambda c: c.becomes(WAITING), lambda c: c.becomes(RUNNING), end())
    assert Following(jobs, cluster, stop).run() == {}
    out = capsys.readouterr().out
    assert "submitted to slurm as job1: 3 runs in 3 tasks" in out
    assert "3 tasks waiting: PENDING (Resources)" in out
    assert "[3/3]" in out
    assert len(cluster.runs) == 3
    assert [read_yaml(job.folder / "config.yaml")["seed"] for job in jobs] == [0, 1, 2]
    assert not read_batches(root_of(jobs)), "nothing is left of what is done with"


def test_short_runs_share_a_task(jobs: list[Job], stop: Stop) -> None:
    jobs = [seeded(job, job.config.seed, on=OnConfig("slurm", runs_a_job=2)) for job in jobs]
    cluster = Cluster(nothing, end())
    assert Following(jobs, cluster, stop).run() == {}
    (batch,) = cluster.batches
    assert [len(task) for task in batch.tasks] == [2, 1]


def test_large_sweeps_are_several_batches(jobs: list[Job], stop: Stop) -> None:
    cluster = Cluster(nothing, end())
    cluster.most_tasks = 2
    assert Following(jobs, cluster, stop).run() == {}
    assert [len(batch.tasks) for batch in cluster.batches] == [2, 1]


def test_a_lost_task_is_submitted_again(jobs: list[Job], stop: Stop, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster(nothing, lose(), nothing, end())
    assert Following(jobs[:1], cluster, stop).run() == {}
    assert len(cluster.batches) == 2
    assert "seed=0: its task ended: NODE_FAIL; it is submitted again" in capsys.readouterr().out


def test_a_result_that_shows_late_is_no_loss(jobs: list[Job], stop: Stop) -> None:
    """Shared file systems may take a moment to show a file to other machines."""
    cluster = Cluster(nothing, lose("COMPLETED"), end())
    assert Following(jobs[:1], cluster, stop).run() == {}
    assert len(cluster.batches) == 1


def test_a_run_without_progress_is_named_with_its_reason(jobs: list[Job], stop: Stop) -> None:
    def oom(cluster: Cluster) -> None:
        batch = cluster.batches[-1]
        log_of(cluster.root, batch.name, 0).write_text("begin\nKilled by the kernel\n\n")
        cluster.becomes(State(False, "OUT_OF_MEMORY"))

    cluster = Cluster(nothing, *[oom, nothing] * 5)
    (error,) = Following(jobs[:1], cluster, stop).run().values()
    assert "its task ended: OUT_OF_MEMORY (Killed by the kernel), 3 times without progress; see " in error
    assert Path(error.split("see ")[1]).read_text().startswith("begin"), "what it printed is kept"
    assert len(cluster.batches) == 3


def test_a_run_that_advances_goes_on_as_often_as_it_takes(jobs: list[Job], stop: Stop) -> None:
    turn = iter(range(99))

    def timeout(cluster: Cluster) -> None:
        (jobs[0].folder / "checkpoint.pt").write_text(f"{next(turn)}")
        write_result(jobs[0].folder, "interrupted")
        cluster.becomes(State(False, "TIMEOUT"))

    cluster = Cluster(nothing, *[timeout, nothing] * 7, end())
    assert Following(jobs[:1], cluster, stop).run() == {}
    assert len(cluster.batches) == 8


def test_a_controller_that_is_away_is_waited_for(
    jobs: list[Job], stop: Stop, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(cluster: Cluster) -> None:
        raise AwayError("Unable to contact slurm controller")

    cluster = Cluster(away, nothing, away, away, away, end())
    assert Following(jobs, cluster, stop).run() == {}
    assert capsys.readouterr().out.count("slurm does not answer (Unable to contact slurm controller); waiting") == 1
    assert len(cluster.batches) == 1


def test_results_are_collected_while_the_controller_is_away(jobs: list[Job], stop: Stop) -> None:
    def away(cluster: Cluster) -> None:
        end()(cluster)
        raise AwayError("Connection refused")

    assert Following(jobs, Cluster(nothing, *[away] * 50), stop).run() == {}


def test_a_controller_that_stays_away_is_not_waited_for_without_end(
    jobs: list[Job], stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(cluster: Cluster) -> None:
        raise AwayError("Connection refused")

    monkeypatch.setattr(lab.launch.clusters.follow, "AWAY", 0.05)
    errors = Following(jobs, Cluster(nothing, *[away] * 10**4), stop).run()
    assert len(errors) == 3
    assert all("slurm has not answered for" in error for error in errors.values())


def test_an_unanswered_submission_is_found_by_its_name(jobs: list[Job], stop: Stop) -> None:
    class Slow(Cluster):
        def submit(self, batch: Batch, root: Path, on: OnConfig, trusted: bool) -> str:
            super().submit(batch, root, on, trusted)
            raise AwayError("Socket timed out on send/recv operation")

    cluster = Slow(nothing, nothing, end())
    assert Following(jobs, cluster, stop).run() == {}
    assert len(cluster.batches) == 1


def test_a_refusal_before_anything_runs_ends_the_command(jobs: list[Job], stop: Stop) -> None:
    class Strict(Cluster):
        def submit(self, batch: Batch, root: Path, on: OnConfig, trusted: bool) -> str:
            raise UserError("on=slurm: sbatch refuses: invalid partition specified: foo")

    with pytest.raises(UserError, match="invalid partition"):
        Following(jobs, Strict(), stop).run()
    assert not (root_of(jobs) / "_tasks").exists()


def test_a_refusal_in_between_names_the_runs(jobs: list[Job], stop: Stop) -> None:
    class Drained(Cluster):
        def submit(self, batch: Batch, root: Path, on: OnConfig, trusted: bool) -> str:
            if self.batches:
                raise UserError("the partition is down")
            return super().submit(batch, root, on, trusted)

    cluster = Drained(nothing, lambda c: write_result(jobs[0].folder, "finished"), lose(), nothing)
    errors = Following(jobs, cluster, stop).run()
    assert errors == {job.folder: "the partition is down" for job in jobs[1:]}


def test_a_cancelled_task_is_not_submitted_again(jobs: list[Job], stop: Stop) -> None:
    cluster = Cluster(nothing, lose("CANCELLED", cancelled=True), nothing)
    errors = Following(jobs, cluster, stop).run()
    assert set(errors.values()) == {"its task was cancelled"}
    assert len(cluster.batches) == 1


def test_what_lab_cancel_ended_is_not_submitted_again(jobs: list[Job], stop: Stop) -> None:
    def cancel(cluster: Cluster) -> None:
        (batch,) = read_batches(cluster.root)
        write_batch(cluster.root, replace(batch, cancelled=True))
        cluster.states.clear()

    cluster = Cluster(nothing, cancel, nothing)
    assert set(Following(jobs, cluster, stop).run().values()) == {"its task was cancelled"}
    again = Cluster(nothing, end())
    assert Following(jobs, again, stop).run() == {}, "a new command does its runs"


def test_a_task_that_will_never_start_is_not_waited_for(jobs: list[Job], stop: Stop) -> None:
    stuck = State(True, "PENDING (PartitionTimeLimit)", waits=True, stuck=True)
    cluster = Cluster(nothing, lambda c: c.becomes(stuck))
    errors = Following(jobs, cluster, stop).run()
    assert set(errors.values()) == {"its task would wait forever: PENDING (PartitionTimeLimit)"}
    assert set(cluster.cancelled) == {cluster.batches[0].name}


def stopped(cluster: Cluster, jobs: list[Job]) -> None:
    """A command that submits `jobs`, and is interrupted."""
    stop = Stop()
    cluster.turns = [nothing, lambda _: stop.ask()]
    assert Following(jobs, cluster, stop).run() == {}
    stop.close()


def test_the_same_command_again_follows_what_runs(
    jobs: list[Job], stop: Stop, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster()
    stopped(cluster, jobs)
    assert len(read_batches(root_of(jobs))) == 1, "the folder remembers it"
    cluster.turns = [nothing, end()]
    assert Following(jobs, cluster, stop).run() == {}
    assert len(cluster.batches) == 1
    assert "following slurm job1, submitted 20" in capsys.readouterr().out


def test_the_same_command_after_all_has_ended_submits_what_is_missing(jobs: list[Job], stop: Stop) -> None:
    cluster = Cluster()
    stopped(cluster, jobs)
    write_result(jobs[0].folder, "finished")
    cluster.turns = [lose(), end()]
    assert Following([job for job in jobs if not job.is_terminal()], cluster, stop).run() == {}
    assert [len(batch.tasks) for batch in cluster.batches] == [3, 2]


def test_a_command_killed_before_the_answer_leaves_tasks_that_are_found(jobs: list[Job], stop: Stop) -> None:
    cluster = Cluster()
    stopped(cluster, jobs)
    (batch,) = read_batches(root_of(jobs))
    write_batch(root_of(jobs), replace(batch, job=""))
    cluster.turns = [nothing, end()]
    assert Following(jobs, cluster, stop).run() == {}
    assert len(cluster.batches) == 1


def test_a_command_killed_before_the_question_is_no_loss(jobs: list[Job], stop: Stop) -> None:
    cluster = Cluster()
    stopped(cluster, jobs)
    (batch,) = read_batches(root_of(jobs))
    write_batch(root_of(jobs), replace(batch, job=""))
    cluster.states.clear()
    cluster.turns = [nothing, nothing, end()]
    assert Following(jobs, cluster, stop).run() == {}
    assert len(cluster.batches) == 2


def test_what_another_command_submits_meanwhile_is_left_to_it(jobs: list[Job], stop: Stop) -> None:
    def other(cluster: Cluster) -> None:
        rest = cluster.turns
        stopped(cluster, jobs)
        cluster.turns = rest

    cluster = Cluster(other, nothing, end())
    assert Following(jobs, cluster, stop).run() == {}
    assert len(cluster.batches) == 1


def test_a_run_that_another_process_trains_is_waited_for(jobs: list[Job], stop: Stop) -> None:
    jobs[0].folder.mkdir(parents=True)
    lock = locked(jobs[0].folder)
    lock.__enter__()

    def leave(cluster: Cluster) -> None:
        assert not any(folder.endswith("seed=0") for folder in cluster.runs)
        lock.__exit__(None, None, None)

    cluster = Cluster(nothing, nothing, leave, nothing, end())
    assert Following(jobs, cluster, stop).run() == {}
    assert sorted(folder[-6:] for folder in cluster.runs) == ["seed=0", "seed=1", "seed=2"]


def test_a_failure_of_before_is_no_result_and_a_new_one_is(jobs: list[Job], stop: Stop) -> None:
    jobs[0].folder.mkdir(parents=True)
    write_result(jobs[0].folder, "failed", error="of yesterday")
    cluster = Cluster(nothing, nothing, nothing, end("failed", error="of today"))
    assert Following(jobs[:1], cluster, stop).run() == {jobs[0].folder: "of today"}
    assert len(cluster.batches) == 1


def test_force_starts_over_once(jobs: list[Job], stop: Stop) -> None:
    job = seeded(jobs[0], 0, force=True)
    job.folder.mkdir(parents=True)
    write_result(job.folder, "finished")
    (job.folder / "metrics.jsonl").write_text("old")
    cluster = Cluster(nothing, lambda _: (job.folder / "metrics.jsonl").write_text("new"), lose(), nothing, end())
    assert Following([job], cluster, stop).run() == {}
    assert len(cluster.batches) == 2
    assert (job.folder / "metrics.jsonl").read_text() == "new", "a second turn goes on"
    assert read_yaml(job.folder / "config.yaml")["force"] is False


def test_a_stop_leaves_the_tasks_and_says_what_to_do(jobs: list[Job]) -> None:
    cluster = Cluster()
    stopped(cluster, jobs)
    assert not cluster.cancelled
    words = how_to_go_on(replace(RunConfig(), name="x", on=OnConfig("slurm")))
    assert "goes on" in words
    assert "lab status outputs/x" in words
    assert "lab cancel outputs/x" in words


def test_batches_that_are_damaged_are_left_out(jobs: list[Job], stop: Stop) -> None:
    cluster = Cluster()
    stopped(cluster, jobs)
    root = root_of(jobs)
    (batch,) = read_batches(root)
    path = root / "_tasks" / f"{batch.name}.json"
    whole = json.loads(path.read_text())
    whole["tasks"][0][0]["folder"] = "../../elsewhere-00000000/seed=0"
    for text in ("", "[]", "{}", json.dumps(whole)):
        path.write_text(text)
        assert read_batches(root) == []
        with pytest.raises(UserError, match="is damaged"):
            read_batch(root, batch.name)


def test_removing_an_experiment_removes_its_batches(jobs: list[Job]) -> None:
    cluster = Cluster()
    stopped(cluster, jobs)
    root = root_of(jobs)
    log_of(root, cluster.batches[0].name, 0).write_text("said")
    found = experiments(root)
    assert remove([entry for one in found for entry in one.entries], found) == []
    assert not root.exists()


# What a task does


def test_a_task_trains_as_a_local_sweep_does(jobs: list[Job], make_job: MakeJob) -> None:
    from lab.launch.clusters.task import ADVANCED, train_task
    from lab.runs.run import run

    whole = run(make_job("whole"))
    cluster = Cluster()
    stopped(cluster, jobs[:1])
    (batch,) = cluster.batches
    calls = iter(range(100))
    said = train_task(root_of(jobs), batch.name, 0, True, lambda: next(calls) == 7)
    assert said == {ADVANCED}
    assert (read_result(jobs[0].folder) or {})["status"] == "interrupted"
    assert train_task(root_of(jobs), batch.name, 0, True, lambda: False) == {ADVANCED}
    result = read_result(jobs[0].folder) or {}
    assert (result["status"], result["metrics"]) == ("finished", whole["metrics"])
    assert result["arm"] == jobs[0].arm
    before = (jobs[0].folder / "result.json").read_bytes()
    assert train_task(root_of(jobs), batch.name, 0, True, lambda: False) == set()
    assert (jobs[0].folder / "result.json").read_bytes() == before, "nothing is trained twice"


def test_a_task_runs_no_code_and_no_configuration_but_what_was_submitted(
    jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    from lab.launch.clusters.task import FAILED, train_task

    cluster = Cluster()
    stopped(cluster, jobs[:1])
    root, name = root_of(jobs), cluster.batches[0].name
    assert train_task(root, name, 0, False, lambda: False) == {FAILED}
    assert "names code, data.name=own_parts:tiny" in capsys.readouterr().err
    path = jobs[0].folder / "config.yaml"
    path.write_text(path.read_text().replace("act: relu", "act: tanh"))
    assert train_task(root, name, 0, True, lambda: False) == {FAILED}
    assert "is not the configuration that its folder is for" in capsys.readouterr().err
    path.unlink()
    assert train_task(root, name, 0, True, lambda: False) == {FAILED}
    assert "has no config.yaml" in capsys.readouterr().err


def test_a_task_leaves_a_run_that_another_process_has(jobs: list[Job], capsys: pytest.CaptureFixture[str]) -> None:
    from lab.launch.clusters.task import train_task

    cluster = Cluster()
    stopped(cluster, jobs[:1])
    with locked(jobs[0].folder):
        assert train_task(root_of(jobs), cluster.batches[0].name, 0, True, lambda: False) == set()
    assert "is locked by another process" in capsys.readouterr().err
