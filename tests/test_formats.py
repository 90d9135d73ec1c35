"""A comparison as Markdown, CSV and JSON, of some of the runs, and as a data frame."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from typing import Any

import pytest
from fake_runs import write_run

import lab.studies
from lab.cli.main import main
from lab.errors import UserError
from lab.records.results import without_copies
from lab.studies.report.publish import select


@pytest.fixture
def runs(tmp_path):
    found = []
    for depth in (3, 30):
        for init, top in (("he_normal", 0.9), ("xavier_normal", 0.5)):
            for seed in range(4):
                arm = {"model.depth": depth, "model.init": init}
                value = top + 0.01 * (seed * depth % 5)
                rows = [{"step": 10 * n, "val/accuracy": value * n / 2} for n in (1, 2)]
                found.append(write_run(tmp_path / "one", arm, seed, {"val/accuracy": value}, rows))
                (found[-1].path / "config.yaml").write_text("study: {}\n")
    failed = write_run(tmp_path / "two", {"model.depth": 3, "model.init": "zeros"}, 0, {}, status="failed")
    (failed.path / "config.yaml").write_text("study: {}\n")
    return found


@pytest.mark.slow
def test_markdown_csv_and_json_are_all_that_is_printed(runs, tmp_path, capsys):
    folder = str(tmp_path / "one")
    assert main(["compare", folder, "--format", "md"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| depth | init | n | mean | 95 % interval | difference |")
    assert lines[3].startswith("| --- | --- | ---: | ---: | --- | ---: |")
    assert len(lines) == 10
    assert lines[9].startswith(
        "Over 4 seeds depth=3 init=xavier_normal and its reference correlate by 1.00, so pairing"
    )
    assert main(["compare", folder, "--format", "csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["model.init"] for row in rows] == ["he_normal", "xavier_normal"] * 2
    assert float(rows[0]["iqm"]) == pytest.approx(0.92)
    assert main(["compare", folder, "--format", "json"]) == 0
    printed = capsys.readouterr()
    data = json.loads(printed.out)
    assert [arm["n"] for arm in data["arms"]] == [4, 4, 4, 4]
    assert data["arms"][1]["difference"]["value"] == pytest.approx(-0.4)
    assert "report: " in printed.err
    assert main(["compare", folder, "--format", "yaml"]) == 2
    assert "--format=yaml is unknown; there are: text, md, csv, json" in capsys.readouterr().err


def test_where_leaves_the_files_alone(runs, tmp_path, capsys):
    folder = str(tmp_path / "one")
    assert main(["compare", folder, str(tmp_path / "two"), "--where", "model.depth=30", "--by", "model.init"]) == 0
    text = capsys.readouterr().out
    assert "xavier_normal" in text
    assert "zeros" not in text
    assert not (tmp_path / "one" / "report.html").exists()
    page = tmp_path / "some" / "page.html"
    assert main(["compare", folder, "--where", "model.depth=30", "--html", str(page)]) == 0
    assert page.is_file()


CLAIM = {"say": "s", "higher": {"model.init": "he_normal"}, "than": {"model.init": "xavier_normal"}}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        ["--by", "model.init"],
        ["--metric", "best(val/accuracy)"],
        ["--reference", "model.init=xavier_normal"],
        ["--where", "model.depth=30"],
        ["two"],
    ],
)
@pytest.mark.slow
def test_another_view_leaves_the_files_alone(runs, tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    for run in runs[:-1]:
        (run.path / "config.yaml").write_text(json.dumps({"study": {"claims": [CLAIM]}}))
    assert main(["compare", "one"]) == 0
    before = files(tmp_path / "one")
    assert {"report.html", "table.csv", "verdict.json", "looks.json"} <= set(before)
    assert main(["compare", "one", *words]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert main(["compare", "one", *words, "--html", "one/page.html"]) == 0
    page = (tmp_path / "one" / "page.html").read_bytes()
    assert files(tmp_path / "one") == {**before, "page.html": page}


def test_who_sees_the_verdicts_has_looked(runs, tmp_path):
    for run in runs[:-1]:
        (run.path / "config.yaml").write_text(json.dumps({"study": {"claims": [CLAIM]}}))
    looks = tmp_path / "one" / "looks.json"
    assert main(["compare", str(tmp_path / "one"), "--where", "model.depth=30"]) == 0
    first = json.loads(looks.read_text())
    assert first["looks"] == [4]
    assert main(["compare", str(tmp_path / "one"), "--where", "data.name=digits"]) == 0
    assert json.loads(looks.read_text()) == first


@pytest.mark.slow
def test_a_run_counts_once_wherever_it_lies(runs, tmp_path, capsys):
    folder = str(tmp_path / "one")
    shutil.copytree(folder, tmp_path / "copy")
    for folders in ([folder, folder], [folder, str(tmp_path / "copy")]):
        assert main(["compare", *folders, "--format", "json"]) == 0
        printed = capsys.readouterr()
        assert [arm["n"] for arm in json.loads(printed.out)["arms"]] == [4, 4, 4, 4]
        assert "left out: 16 copies of runs that are here already (same configuration and seed)" in printed.err
    assert (tmp_path / "one" / "table.csv").exists()  # a folder named twice is one folder
    # Of a run that failed and one that did not, the latter counts, in whichever order.
    broken, *_ = [replace(run, status="failed") for run in runs[:1]]
    assert without_copies([broken, runs[0]]) == without_copies([runs[0], broken]) == ([runs[0]], 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.depth"], "--where model.depth: write KEY=VALUE, as model.depth=30"),
        (["model.dept=3"], r"'model.dept' is unknown \(did you mean 'model.depth'\?\)"),
        (["model.depth=4"], "--where depth=4: no run is like this; model.depth takes: 3, 30"),
    ],
)
def test_wrong_selections_are_refused(runs, words, message):
    with pytest.raises(UserError, match=message):
        select(runs, words)


def test_without_pandas_the_extra_is_named(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # as if it was not installed
    with pytest.raises(UserError, match=r"a data frame needs pandas.*: pip install 'architecture-lab\[notebook\]'"):
        lab.studies.load(tmp_path / "one")
    assert main(["compare", str(tmp_path / "one"), "--format", "csv"]) == 0  # nothing else needs it


def test_runs_are_a_data_frame(runs, tmp_path):
    pytest.importorskip("pandas")
    frame: Any = lab.studies.load(tmp_path / "one", str(tmp_path / "two"), metrics=["best(val/accuracy)"])
    assert len(frame) == 17
    assert frame.groupby("model.init")["val/accuracy"].mean().to_dict() == pytest.approx(
        {"he_normal": 0.915, "xavier_normal": 0.515, "zeros": float("nan")}, nan_ok=True, abs=0.01
    )
    assert (frame["best(val/accuracy)"].dropna() == frame["val/accuracy"].dropna()).all()
    steps = lab.studies.load(tmp_path / "one", history=True)
    assert len(steps) == 32
    assert list(steps.columns[-2:]) == ["step", "val/accuracy"]
    with pytest.raises(UserError, match="is not a folder"):
        lab.studies.load(tmp_path / "three")
