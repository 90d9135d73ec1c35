"""Configurations and notebook pages are one to one, and each configuration opens as it should."""

import json
import math
import re
from pathlib import Path

import pytest
import yaml

from lab.cli.main import main
from lab.config import RunConfig
from lab.identity import flatten
from lab.launch.tunable import check_tuning
from lab.launch.tune import make_trials
from lab.overrides.files import config_dir
from lab.overrides.plan import all_jobs
from lab.runs.build import assemble
from lab.space import points
from lab.studies.claims.study import check_claims, parse_study
from lab.validation import validate

ROOT = Path(__file__).parent.parent
FILES = sorted((config_dir() / "experiment").glob("*.yaml"))
NAMES = [path.stem for path in FILES]


def test_configurations_and_pages_are_one_to_one() -> None:
    pages = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/README.md"))
    assert pages == NAMES
    index = (ROOT / "experiments" / "README.md").read_text()
    assert re.findall(r"^\| \[(\w+)\]\(", index, re.MULTILINE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_opens_with_question_command_and_cost(name: str) -> None:
    lines = (config_dir() / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    study = yaml.safe_load("\n".join(lines))["study"]
    assert lines[1] == f"# {study['question']}"
    assert lines[2] == f"# lab train experiment={name}"
    assert re.match(r"# \d+ .*runs on \w+, about .* minutes? on 2 cores", lines[3])
    assert study["claims"]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_tunes_the_rate_of_each_arm_or_says_why_not(name: str) -> None:
    study = yaml.safe_load((config_dir() / "experiment" / f"{name}.yaml").read_text())["study"]
    page = (ROOT / "experiments" / name / "README.md").read_text()
    told = re.search(r"[Nn]o\s+rate\s+(is\s+tuned|to\s+tune)|Rates\s+are\s+therefore\s+swept", page)
    assert "tune" in study or told or name in UNTUNED


UNTUNED = ("speedrun", "xavier_vs_he")
"""Experiments about one rate: a published one, and the one at which the folklore shows."""

OF_DIGITS = ("inference_dropout", "optimizer_paths", "pretrained_thaw", "transfer")
"""Experiments about classes that other data do not have, or about no data."""

CASES = [(name, "digits") for name in NAMES]
OTHERS = [pytest.param(name, "synthetic", marks=pytest.mark.slow) for name in NAMES if name not in OF_DIGITS]


@pytest.mark.parametrize(("name", "data"), [*CASES, *OTHERS])
def test_an_experiment_has_five_seeds_claims_about_its_own_arms_and_nets_that_build(name: str, data: str) -> None:
    (jobs,) = all_jobs("train", [f"experiment={name}", f"data={data}"])
    assert jobs[0].config.name == name
    seeds = {job.config.seed for job in jobs}
    assert len(seeds) >= 5
    arms = {job.folder.parent: job.config for job in jobs}
    assert len(arms) * len(seeds) == len(jobs)
    study = parse_study(jobs[0].config.study)
    check_claims(study, [flatten(config) for config in arms.values()])
    if tune := jobs[0].config.study.tune:
        check_tuning(jobs, study)
        trials = make_trials(jobs, study.metric.for_choosing(), points(jobs[0].config.study))
        assert {len(found) for found in trials.values()} == {
            math.prod(map(len, tune.values())) * jobs[0].config.study.tune_seeds
        }
        validate(*(trial.config for found in trials.values() for trial in found))
    if data == "digits":
        return  # smoke runs build these
    alike = {model_of(config): config for config in arms.values()}  # one of those that differ in their training alone
    for config in alike.values():
        assemble(config, stand_in=True)


def model_of(config: RunConfig) -> str:
    """What nets and losses are built by."""
    return str([config.model, config.train.loss, config.data])


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_its_figures_and_command(name: str) -> None:
    folder = ROOT / "experiments" / name
    text = (folder / "README.md").read_text()
    assert f"lab train experiment={name}" in text
    figures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert figures or "\n## Result\n\nNot run yet.\n" in text
    for figure in figures:
        assert (folder / figure).is_file(), figure


SMALLER = {"speedrun": ["data=digits", "model.widths=[8,16,32]", "train.batch_size=64"]}
"""What makes a smoke run of an experiment possible without its data."""

TUNED = ("drop_kinds", "norm_sigmoid", "transfer")
"""Experiments whose smoke runs are tuned first: a share, a rate, and one with sources."""


@pytest.mark.slow
@pytest.mark.usefixtures("no_workers")
@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_run_goes_from_the_command_to_the_report(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All arms and all claims, with one seed and as few steps as do; `TUNED` with all tuning trials."""
    monkeypatch.chdir(tmp_path)
    swept = "train.steps" in (config_dir() / "experiment" / f"{name}.yaml").read_text()
    fewer = [] if swept else ["train.steps=2"]
    fewer += [] if name in TUNED else ["study.tune=null"]
    words = [f"experiment={name}", "train=smoke", *fewer, "train.eval_limit=50", "seed=0", *SMALLER.get(name, [])]
    assert main(["train", *words]) == 0
    root = tmp_path / "outputs" / name
    study = json.loads((root / "study.json").read_text())
    judged = json.loads((root / "verdict.json").read_text())["claims"]
    assert {claim["say"] for claim in judged} == {claim["say"] for claim in study["claims"]}
    assert (root / "report.html").is_file()
