"""Hydra's own settings are refused, each in one message with the words of the lab that do the same; none in silence."""

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
        ("hydra/launcher=submitit_slurm", "write on=slurm in place of it"),
        (
            "hydra/launcher=submitit_slurm hydra.launcher.partition=gpu hydra.launcher.timeout_min=60",
            "write on=slurm on.partition=gpu on.time=60 in place of it",
        ),
        ("hydra.launcher.partition=gpu +hydra/launcher=submitit_slurm", "write on=slurm on.partition=gpu"),
        ("hydra.launcher.partition=gpu", "write on=slurm on.partition=gpu in place of it"),
        ("hydra.launcher.mem_gb=8 hydra.launcher.cpus_per_task=2", "write on=slurm on.memory=8 on.cpus=2"),
        ("hydra/launcher=submitit_slurm hydra.launcher.qos=high", "nothing does what hydra.launcher.qos does"),
        ("hydra/launcher=submitit_local", "write on=local in place of it"),
        ("hydra/launcher=joblib", "jobs=N says how many side by side"),
        ("hydra/launcher=joblib hydra.launcher.n_jobs=4", "write jobs=4 in place of it"),
        ("hydra/launcher=basic", "write jobs=1 in place of it"),
        ("hydra/launcher=ray", "write on=ray in place of it"),
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


def test_several_are_one_message_beside_what_else_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["hydra/launcher=submitit_slurm", "hydra.launcher.account=me", "hydra.run.dir=x", "model.dept=3"]
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
    with pytest.raises(UserError, match=r"write on=slurm on\.partition=gpu"):
        all_jobs("train", spelled([{"hydra": {"launcher": {"partition": "gpu"}}}]))


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
