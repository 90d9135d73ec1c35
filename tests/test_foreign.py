"""Results that are damaged or of another program: a line names each, the good runs are compared, nothing hangs."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_runs import write_run

from lab.cli.main import main
from lab.errors import UserError
from lab.records.results import find_runs, read_metrics, read_result

DAMAGES: dict[str, Any] = {
    "empty": b"",
    "cut": b'{"status": "finished", "config"',
    "list": b"[1, 2]",
    "number": b"7",
    "null": b"null",
    "text": b'"finished"',
    "deep": b"[" * 100_000,
    "utf-16": '{"status": "finished"}'.encode("utf-16"),
    "mark": b"\xef\xbb\xbf{}",
    "bytes": bytes(range(256)),
    "other": b'{"loss": 0.1}',
    "status": {"status": "great"},
    "seed": {"seed": "0"},
    "config": {"config": None},
    "arm": {"arm": "relu"},
    "metrics": {"metrics": None},
    "flat": {"metrics": {"val/accuracy": 0.5}},
    "words": {"metrics": {"val/accuracy": {"last": "high"}}},
}


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """The folders of an experiment and of one of its two runs."""
    paths = [write_run(tmp_path, {"model.act": "relu"}, seed, {"val/accuracy": 0.5}).path for seed in (0, 1)]
    return tmp_path, paths[1]


@pytest.mark.parametrize("kind", [*DAMAGES, "fifo", "folder"])
def test_a_damaged_result_is_named_and_left_out(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    root, path = runs
    file = path / "result.json"
    damage = DAMAGES.get(kind)
    content = json.dumps({**json.loads(file.read_text()), **damage}).encode() if isinstance(damage, dict) else damage
    file.unlink()
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(content or b"")
    found = find_runs([root])
    assert [run.seed for run in found] == [0]
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"left out: {file} is no result of the lab: " in err
    assert len(err) < 400 + len(str(file))
    assert read_result(path) is None


def test_with_no_good_run_left_it_is_an_error(runs: tuple[Path, Path]) -> None:
    for file in runs[0].rglob("result.json"):
        file.write_bytes(b"[]")
    with pytest.raises(UserError, match="no finished run under"):
        find_runs([runs[0]])


def test_damaged_lines_take_no_others_with_them(tmp_path: Path) -> None:
    good = [json.dumps({"step": step, "val/accuracy": 0.5}).encode() for step in (1, 2, 3)]
    bad = [b"\xff\x00", b"[1]", b'{"step": "4"}', b"{}", b'{"step": true}', b"[" * 100_000, b'{"step": 5, "val']
    lines = [good[0], *bad[:3], good[1], *bad[3:6], good[2], bad[6]]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3]


def test_a_fifo_of_metrics_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize("name", ["\x1b[2J", "a\rb", "\x07", "\x9b31m", "\x7f"])
def test_control_characters_of_others_are_shown(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for act in (name, "relu"):
        for seed in (0, 1):
            folder = write_run(tmp_path / "e", {"model.act": act}, seed, {"val/accuracy": 0.9}, command=name).path
        claim = {"say": name, "higher": {"model.act": name}, "than": {"model.act": "relu"}}
        (folder / "config.yaml").write_text(yaml.safe_dump({"study": {"claims": [claim], "question": name}}))
    for form in ("text", "md", "csv", "json"):
        assert main(["compare", str(tmp_path), "--format", form]) == 0
        said = "".join(capsys.readouterr())
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)
        assert repr(name)[1:-1].replace("\\r", "\\x0d").replace("\\", "\\" * (1 + (form == "json"))) in said
