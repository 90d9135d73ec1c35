"""A study is read once a command, whatever wrote it down, and handed on."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_runs import write_arms

from lab.cli.main import main
from lab.config import StudyConfig
from lab.records.results import find_runs
from lab.records.write import write_json
from lab.studies.claims import study as module
from lab.studies.claims.study import Study, parse_study, read_study
from lab.studies.report.publish import compare_folders

CLAIM = {"say": "relu wins", "higher": {"model.act": "relu"}, "than": {"model.act": "tanh"}}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The claims that were parsed, each as often as it was."""
    found: list[str] = []
    parse = module.parse_claim

    def note(raw: Any) -> Any:
        found.append(raw["say"])
        return parse(raw)

    monkeypatch.setattr(module, "parse_claim", note)
    return found


@pytest.mark.slow
def test_a_sweep_parses_each_claim_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parsed: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "model.act=relu,tanh", "train=smoke", "data.limit=200", "jobs=1", "optimizer=sgd"]
    words.append("study.claims=[{say: relu wins, higher: {model.act: relu}, than: {model.act: tanh}}]")
    words.append("study.tune={optimizer.lr:[0.01,0.1]}")
    assert main(words) == 0
    assert parsed == ["relu wins", "relu wins"]  # as typed, and as study.json has it


def test_a_comparison_parses_each_claim_once(tmp_path: Path, parsed: list[str]) -> None:
    for run in write_arms(tmp_path, "model.act", {"relu": [0.9, 0.91], "tanh": [0.8, 0.82]}):
        (run.path / "config.yaml").write_text(yaml.safe_dump({"study": {"claims": [CLAIM]}}))
    compare_folders([tmp_path], None, None, None)
    assert parsed == ["relu wins"]


def test_what_a_stored_study_lacks_is_at_its_default() -> None:
    assert parse_study({}) == parse_study(StudyConfig()) == Study()
    study = parse_study({"metric": None, "claims": None, "reference": None, "question": None, "claims_of_old": 1})
    assert study == Study()
    assert parse_study({"metric": "best(val/accuracy)", "claims": [CLAIM]}).metric.kind == "best"
    (claim,) = parse_study({"claims": [{**CLAIM, "metric": "steps_to(val/loss < 1)"}]}).claims
    assert claim.metric is not None
    assert claim.metric.threshold == 1


def test_the_newest_study_counts(tmp_path: Path) -> None:
    for name, when, says in (("old", "2026-01-01", ["first"]), ("new", "2026-02-02", ["second"]), ("none", "2027", [])):
        folder = tmp_path / name
        folder.mkdir()
        study = {"question": name, "claims": [{**CLAIM, "say": say} for say in says]}
        (folder / "config.yaml").write_text(yaml.safe_dump({"study": study}))
        about = {
            "config": {},
            "arm_id": "0" * 8,
            "arm": {},
            "seed": 0,
            "status": "finished",
            "metrics": {},
            "finished_at": when,
        }
        write_json(folder / "result.json", about)
    runs = find_runs([tmp_path])
    assert [claim.say for claim in read_study(runs).claims] == ["second"]
    assert read_study([run for run in runs if run.path.name == "none"]) == Study(question="none")
