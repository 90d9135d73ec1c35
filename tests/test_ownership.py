"""What of a folder is a user's own stays as it is: `lab compare` writes into an experiment's folder alone."""

import shutil
from pathlib import Path

import pytest
from fake_runs import write_arms

from lab.cli.main import main
from lab.errors import UserError
from lab.studies.report.ownership import MARK, OLD_MARK, check_own, check_page, read_ledger, write_ledger


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of a user's own, and runs of an experiment in outputs/acts."""
    write_arms(tmp_path / "outputs" / "acts", "model.act", {"relu": [0.9, 0.91], "tanh": [0.8, 0.82]})
    for name in ("report.html", "table.csv", "verdict.json", "looks.json", "_study/notes.txt", "_mean/data.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("given", [".", "outputs", "outputs/acts/ARM", "outputs/acts/ARM/seed=0"])
def test_only_the_folder_of_an_experiment_gets_a_report(
    project: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    arm = next(path.name for path in (project / "outputs/acts").iterdir())
    before = contents(project)
    assert main(["compare", given.replace("ARM", arm)]) == 0
    assert "nothing was written; --html FILE writes a page" in capsys.readouterr().out
    assert contents(project) == before
    assert main(["compare", given.replace("ARM", arm), "--html", "new/page.html"]) == 0
    assert set(contents(project)) - set(before) == {"new/page.html"}


def test_runs_that_lie_elsewhere_are_compared_and_nothing_is_written(project: Path) -> None:
    (run,) = (project / "outputs/acts").glob("*relu*/seed=0")
    shutil.copytree(run, project / "mine" / "copy")
    before = contents(project)
    assert main(["compare", "mine"]) == 0
    assert main(["compare", "mine/copy"]) == 0
    assert contents(project) == before


@pytest.mark.parametrize("name", ["report.html", "table.csv", "verdict.json", "curves.png", "_study/a.txt", "_mean/b"])
def test_a_file_in_the_way_is_kept(project: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    path = project / "outputs/acts" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    before = contents(project)
    assert main(["compare", "outputs/acts"]) == 2
    printed = capsys.readouterr()
    assert f"outputs/acts holds {name.partition('/')[0]}, which the lab has not written and leaves alone" in printed.err
    assert "tanh" in printed.out  # the table is there all the same
    assert contents(project) == before


@pytest.mark.slow
def test_a_report_of_the_lab_is_replaced(project: Path) -> None:
    root = project / "outputs/acts"
    assert main(["compare", "outputs/acts"]) == 0
    assert "table.csv" in (read_ledger(root) or ())
    (root / "notes.txt").write_text("mine")
    assert main(["compare", "outputs/acts"]) == 0
    assert (root / "notes.txt").read_text() == "mine"
    (root / ".lab-report.json").unlink()  # as in folders from before there was a ledger
    assert main(["compare", "outputs/acts"]) == 0


def test_files_beside_an_old_page_are_the_labs(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("metric\n")
    with pytest.raises(UserError, match=r"holds table\.csv, which the lab has not written"):
        check_own(tmp_path, ["table.csv"], [])
    (tmp_path / "report.html").write_text(f"<!doctype html>{OLD_MARK}acts</p>")
    check_own(tmp_path, ["table.csv"], [])
    write_ledger(tmp_path, ["report.html"])
    with pytest.raises(UserError, match=r"holds table\.csv"):
        check_own(tmp_path, ["table.csv"], [])


@pytest.mark.parametrize("name", ["thesis.tex", "outputs/acts/study.json", "link", "outputs"])
def test_a_page_replaces_nothing_but_a_page(project: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    for file in ("thesis.tex", "outputs/acts/study.json"):
        (project / file).write_text("{}")
    (project / "link").symlink_to("thesis.tex")
    before = contents(project)
    assert main(["compare", "outputs", "--html", name]) == 2
    err = capsys.readouterr().err
    assert "no page of the lab" in err or "is a folder" in err
    assert contents(project) == before


def test_pages_of_the_lab_are_known(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for text in (f"<head>{MARK}", OLD_MARK):
        page.write_text(text)
        check_page(page)
    check_page(tmp_path / "new.html")
