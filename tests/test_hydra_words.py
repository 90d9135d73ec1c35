"""Launchers of Hydra act; its other settings are refused, each in one message with the lab's words; none in silence."""

import shlex
from pathlib import Path

import pytest

from lab.cli.main import main
from lab.errors import UserError
from lab.overrides.plan import Options, all_jobs
from lab.overrides.spelled import spelled


def refused(words: str) -> str:
    with pytest.raises(UserError) as raised:
        all_jobs("train", shlex.split(words))
    return str(raised.value)


WHERE = "out=FOLDER and name=NAME say where results go"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("hydra/launcher=submitit_slurm hydra.launcher.qos=high", "nothing does what hydra.launcher.qos does"),
        (
            "hydra/launcher=submitit_slurm hydra.launcher.partition=gpu hydra.launcher.qos=high",
            "write on=slurm on.partition=gpu in place of it; nothing does what hydra.launcher.qos does",
        ),
        ("hydra/launcher=ray_aws", "on=local, on=slurm and on=ray say where they run"),
        ("hydra/launcher=submitit_slrm", "(did you mean 'submitit_slurm'?); on=local, on=slurm and on=ray say"),
        ("hydra/launcher=submitit_slurm,joblib", "on=local, on=slurm and on=ray say where they run"),
        ("hydra/launcher@x=joblib", "the lab starts its runs itself"),
        ("++hydra.run.dir=x", f"{WHERE}, into <out>/<name>/<arm>/seed=<n>"),
        ("hydra.sweep.dir=x", f"{WHERE}, of a sweep into"),
        ("hydra.sweep.subdir=x", "each run has its folder in that of its arm"),
        ("hydra.output_subdir=null", "config.yaml in the folder of a run has its configuration"),
        ("hydra.job.chdir=true", "a run never changes the working folder"),
        ("hydra.job.chdir=false", "a run never changes the working folder"),
        ("hydra.job.name=x", "name=NAME names a run or a sweep"),
        ("hydra.job.env_set.OMP_NUM_THREADS=1", "set variables before the command"),
        ("hydra.job.config.override_dirname.kv_sep=-", "the folder of an arm is named by what is swept"),
        ("hydra.verbose=[a,b]", "there is no debug log"),
        ("hydra/job_logging=disabled", "messages go to the terminal"),
        ("hydra.job_logging.root.level=DEBUG", "messages go to the terminal"),
        ("hydra/hydra_logging=colorlog", "messages go to the terminal"),
        ("hydra/sweeper=optuna", "study.tune={optimizer.lr: [0.1, 0.01]} tries values on separate seeds"),
        ("hydra.sweeper.n_trials=20", "study.tune="),
        ("hydra.callbacks.x=1", "nothing is called back"),
        ("hydra.searchpath=[x]", "--config-dir FOLDER"),
        ("hydra.lancher.partition=x", "(did you mean 'hydra.launcher'?)"),
        ("hydra.nonsense=1", "the lab takes none of these settings"),
        ("hydra=x", "the lab takes none of these settings"),
    ],
)
def test_each_is_one_line_with_the_words_to_write(words: str, said: str) -> None:
    line = refused(words)
    assert said in line
    assert "\n" not in line
    assert line.startswith(words.split(" ")[0])


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ("hydra/launcher=submitit_slurm", "on=slurm"),
        (
            "hydra/launcher=submitit_slurm hydra.launcher.partition=gpu hydra.launcher.timeout_min=60",
            "on=slurm on.partition=gpu on.time=60",
        ),
        ("hydra.launcher.partition=gpu +hydra/launcher=submitit_slurm", "on=slurm on.partition=gpu"),
        ("hydra.launcher.mem_gb=8 hydra.launcher.cpus_per_task=2", "on=slurm on.memory=8 on.cpus=2"),
        ("hydra.launcher.constraint=a100:2", "on=slurm on.constraint=a100:2"),
        ("hydra/launcher=submitit_local", "on=local"),
        ("hydra/launcher=joblib", "jobs=0"),
        ("hydra/launcher=joblib hydra.launcher.n_jobs=4", "jobs=4"),
        ("hydra/launcher=basic", "jobs=1"),
        ("hydra/launcher=ray", "on=ray"),
    ],
)
def test_a_launcher_is_read_as_the_words_of_the_lab(words: str, own: str, capsys: pytest.CaptureFixture[str]) -> None:
    mine, theirs = (all_jobs("train", ["model.act=relu,tanh", *shlex.split(one)])[0] for one in (own, words))
    assert [job.config for job in theirs] == [job.config for job in mine]
    assert [job.overrides for job in theirs] == [job.overrides for job in mine]
    assert f" is read as {own}\n" in capsys.readouterr().err


def test_several_are_one_message_beside_what_else_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["hydra.launcher.account=me", "hydra.launcher.qos=high", "hydra.run.dir=x", "model.dept=3"]
    assert main(["train", *words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "lab: 3 things are wrong:"
    assert any("write on=slurm on.account=me" in line for line in said)
    assert any(line.strip().startswith("hydra.run.dir=x: out=FOLDER") for line in said)
    assert any("did you mean 'model.depth'" in line for line in said)


@pytest.mark.parametrize("verb", ["train", "plan", "lint", "probe", "lr-range"])
def test_every_verb_that_takes_overrides_refuses_them(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "hydra.run.dir=x"]) == 2
    assert WHERE in capsys.readouterr().err


def test_python_gets_the_same_words() -> None:
    (jobs,) = all_jobs("train", spelled([{"hydra": {"launcher": {"partition": "gpu"}}}]))
    assert (jobs[0].config.on.name, jobs[0].config.on.partition) == ("slurm", "gpu")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hydra: {run: {dir: x}}\n", f"hydra.run: {WHERE}"),
        ("hydra: {verbose: true}\n", "hydra.verbose: there is no debug log"),
        ("hydra: {sweeper: {n_trials: 3}}\n", "hydra.sweeper.n_trials: write a sweep as key=a,b"),
        ("defaults: [override /hydra/launcher: submitit_slurm]\n", "defaults: hydra/launcher: the lab starts its runs"),
        ("defaults: [override /hydra/job_logging: disabled]\n", "defaults: hydra/job_logging: messages go to"),
    ],
)
def test_a_file_that_sets_them_is_refused_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "experiment" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(f"# @package _global_\n{text}")
    with pytest.raises(UserError) as raised:
        all_jobs("train", ["experiment=mine"], Options(str(tmp_path)))
    line = str(raised.value)
    assert line.startswith(f"{path}, line 2: ")
    assert said in line
