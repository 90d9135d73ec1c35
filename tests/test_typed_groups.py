"""A file of a group that is typed counts, whatever the experiment sets; and so does a length, in steps or epochs."""

import re
from pathlib import Path

import pytest

from lab.config import RunConfig
from lab.overrides.files import config_dir
from lab.overrides.plan import Options, all_jobs, shown_configuration

LONG = """# @package _global_
train: {steps: 62, eval_every: 0.5}
optimizer: {lr: 0.7, momentum: 0.3}
schedule: {name: cosine, warmup_frac: 0.5}
"""
SWEPT = """# @package _global_
hydra:
  mode: MULTIRUN
  sweeper: {params: {train.steps: "0,90", optimizer.lr: "0.1,0.2", optimizer.name: "adam,sgd"}}
"""
GROUPS = """# @package _global_
optimizer: {lr: 0.7}
hydra: {mode: MULTIRUN, sweeper: {params: {optimizer: "adam,sgd"}}}
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Options:
    folder = tmp_path_factory.mktemp("mine")
    for name, text in {"experiment/long": LONG, "experiment/swept": SWEPT, "experiment/groups": GROUPS}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
    (folder / "train").mkdir()
    (folder / "train" / "short.yaml").write_text("epochs: 2\n")
    (folder / "train" / "whole.yaml").write_text("# @package _global_\ntrain: {steps: 7}\n")
    return Options(config_dir=str(folder))


def configs(options: Options, *words: str) -> list[RunConfig]:
    (jobs,) = all_jobs("train", list(words), options)
    return [job.config for job in jobs]


@pytest.mark.parametrize(
    ("words", "steps", "epochs"),
    [
        ([], 62, 10),
        (["train=smoke"], 20, 10),
        (["train=smoke", "train.steps=3"], 3, 10),
        (["train=smoke", "train.epochs=3"], None, 3),
        (["train=short"], None, 2),
        (["train=whole"], 7, 10),
        (["train=default"], 62, 10),  # sets nothing
        (["train.epochs=4"], None, 4),
        (["train.steps=5"], 5, 10),
    ],
)
def test_a_length_that_is_typed_counts(mine: Options, words: list[str], steps: int | None, epochs: float) -> None:
    (config,) = configs(mine, "experiment=long", *words)
    assert (config.train.steps, config.train.epochs) == (steps, epochs)
    assert config.train.eval_every == (0.25 if "train=smoke" in words else 0.5)
    steps_text = "null" if steps is None else steps
    shown = shown_configuration(["experiment=long", *words], mine, "train", resolve=True)
    assert f"\nsteps: {steps_text}\n" in f"\n{shown}"


@pytest.mark.parametrize(
    ("words", "name", "lr", "momentum", "schedule", "warmup"),
    [
        (["optimizer=sgd"], "sgd", 0.05, 0.3, "cosine", 0.5),  # its file says nothing of the momentum
        (["optimizer=adam"], "adam", 0.001, 0.3, "cosine", 0.5),  # its rate is the default, and counts as well
        (["optimizer=adam", "optimizer.lr=3"], "adam", 3, 0.3, "cosine", 0.5),
        (["schedule=constant"], "adam", 0.7, 0.3, "constant", 0.5),
        (["schedule=warmup_cosine"], "adam", 0.7, 0.3, "warmup_cosine", 0.1),
    ],
)
def test_a_typed_file_has_its_values(
    mine: Options, words: list[str], name: str, lr: float, momentum: float, schedule: str, warmup: float
) -> None:
    (config,) = configs(mine, "experiment=long", *words)
    found = (config.optimizer.name, config.optimizer.lr, config.optimizer.momentum)
    assert (*found, config.schedule.name, config.schedule.warmup_frac) == (name, lr, momentum, schedule, warmup)


def test_a_typed_sweep_of_files_has_their_values_and_that_of_an_experiment_its_own(mine: Options) -> None:
    assert [one.optimizer.lr for one in configs(mine, "experiment=long", "optimizer=sgd,adam")] == [0.05, 0.001]
    assert [(one.optimizer.name, one.optimizer.lr) for one in configs(mine, "experiment=groups")] == [
        ("adam", 0.7),
        ("sgd", 0.7),
    ]


def test_a_sweep_of_other_keys_stays(mine: Options) -> None:
    assert len(configs(mine, "experiment=swept")) == 8
    short = configs(mine, "experiment=swept", "train=smoke")
    assert {one.train.steps for one in short} == {20}
    assert len(short) == 4
    assert {one.train.steps for one in configs(mine, "experiment=swept", "train.epochs=1")} == {None}
    assert {one.train.steps for one in configs(mine, "experiment=swept", "train=default")} == {0, 90}
    kept = configs(mine, "experiment=swept", "optimizer=momentum")
    assert {(one.optimizer.name, one.optimizer.lr) for one in kept} == {("momentum", 0.1), ("momentum", 0.2)}


SETS_STEPS = [
    path.stem
    for path in sorted((config_dir() / "experiment").glob("*.yaml"))
    if re.search(r"(^|[ .{])steps: ", Path(path).read_text(), re.MULTILINE)
]


@pytest.mark.parametrize("name", [*SETS_STEPS, "dropout"])
def test_a_smoke_run_is_short_whatever_the_experiment_sets(name: str) -> None:
    found = configs(Options(), f"experiment={name}", "train=smoke", "seed=0", "data=digits")
    assert {one.train.steps for one in found} <= {0, 20}  # an arm that is measured as it starts stays so
