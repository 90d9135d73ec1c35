"""What of a folder is a user's own stays as it is: `lab compare` writes into an experiment's folder alone."""

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from conftest import MakeJob
from fake_runs import write_arms
from PIL import Image

from lab.cli.lr_range import check_files
from lab.cli.main import main
from lab.data.folder import read_folder
from lab.errors import UserError
from lab.records.ledger import read_ledger, write_ledger
from lab.runs.predict import check_table
from lab.runs.run import run
from lab.studies.report.ownership import MARK, OLD_MARK, check_own, check_page


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


# Links and folders in the place of what the lab writes

OF_REPORT = ("table.csv", "report.html", "verdict.json", "looks.json", ".lab-report.json", "curves.svg", "effects.png")
OF_RUN = ("result.json", "metrics.jsonl", "config.yaml", "checkpoint.pt", "predictions.npz")


def plant(place: Path, kind: str, victim: Path) -> None:
    """Puts a link to `victim`, or what else `kind` says, at `place`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    if kind == "folder":
        place.mkdir()
        (place / "mine.txt").write_text("mine")
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "hard":
        place.hardlink_to(victim)
    else:
        place.symlink_to(victim)


@pytest.fixture
def victims(tmp_path: Path) -> Path:
    """A folder outside of all outputs with a file of a user's own."""
    (tmp_path / "victims").mkdir()
    (tmp_path / "victims/mine.txt").write_text("mine")
    return tmp_path / "victims"


@pytest.mark.parametrize("kind", ["symbolic", "hard", "fifo"])
def test_a_report_replaces_links_and_follows_none(
    project: Path, victims: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.studies.report.gallery.EXHIBITS", ())  # drawing takes long
    root = project / "outputs/acts"
    write_ledger(root, OF_REPORT)  # else all of them were refused
    for name in OF_REPORT[:3]:
        plant(root / name, kind, victims / "mine.txt")
    before = contents(victims)
    assert main(["compare", "outputs/acts"]) == 0
    assert contents(victims) == before
    assert all((root / name).stat().st_nlink == 1 and not (root / name).is_symlink() for name in OF_REPORT[:3])


@pytest.mark.parametrize("name", OF_REPORT)
def test_a_folder_in_the_place_of_a_file_is_kept(
    project: Path, capsys: pytest.CaptureFixture[str], victims: Path, name: str
) -> None:
    root = project / "outputs/acts"
    write_ledger(root, [one for one in OF_REPORT if one != ".lab-report.json"])
    plant(root / name, "folder", victims)
    claim = {"say": "s", "higher": {"model.act": "relu"}, "than": {"model.act": "tanh"}}  # which `looks.json` is for
    for folder in root.glob("*/seed=*"):
        (folder / "config.yaml").write_text(yaml.safe_dump({"study": {"claims": [claim]}}))
    assert main(["compare", "outputs/acts"]) == 2
    assert name in capsys.readouterr().err
    assert (root / name / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", [".report.lock", ".report.lock.lease"])
@pytest.mark.parametrize("kind", ["symbolic", "fifo", "folder"])
def test_a_lock_that_is_no_file_is_named(
    project: Path,
    victims: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: str,
) -> None:
    monkeypatch.setattr("lab.studies.report.gallery.EXHIBITS", ())
    plant(project / "outputs/acts" / name, kind, victims / "mine.txt")
    code, err = main(["compare", "outputs/acts"]), capsys.readouterr().err
    assert (code, "Traceback" in err) in ((0, False), (2, False))
    assert code == 0 or f"{name} is no regular file, and the lab has its lock there; remove it" in err
    assert contents(victims) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("kind", ["symbolic", "hard", "fifo"])
def test_a_run_replaces_links_and_follows_none(make_job: MakeJob, victims: Path, kind: str) -> None:
    job = make_job(changes={"train.steps": 2})
    for name in (*OF_RUN, "checkpoint.prev.pt", "events.out.tfevents.1", "result.json.tmp"):
        plant(job.folder / name, kind, victims / "mine.txt")
    if kind != "fifo":  # else there is nothing to read, and the damaged checkpoint is set aside
        (job.folder / "checkpoint.pt").unlink()
        (job.folder / "checkpoint.prev.pt").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run(job)["status"] == "finished"
    assert contents(victims) == {"mine.txt": b"mine"}
    assert all((job.folder / name).stat().st_nlink == 1 for name in OF_RUN)


@pytest.mark.parametrize("name", [*OF_RUN[:4], "events.out.tfevents.1"])
def test_a_folder_in_a_run_is_kept(make_job: MakeJob, victims: Path, name: str) -> None:
    job = make_job(changes={"train.steps": 2, "force": True})
    plant(job.folder / name, "folder", victims)
    try:
        said = run(job)["error"]
    except UserError as error:
        said = str(error)
    assert f"{name} is a folder, where the lab writes a file; move it away" in said
    assert (job.folder / name / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("part", ["run", "arm"])
def test_no_run_is_written_through_a_link(make_job: MakeJob, victims: Path, part: str) -> None:
    job = make_job(changes={"train.steps": 2})
    place = job.folder if part == "run" else job.folder.parent
    plant(place, "symbolic", victims)
    with pytest.raises(UserError, match=rf"{place.name} is a link, which the lab does not write through; remove it"):
        run(job)
    assert contents(victims) == {"mine.txt": b"mine"}


def test_force_keeps_what_a_user_has_put_beside_a_checkpoint(make_job: MakeJob) -> None:
    job = make_job(changes={"train.steps": 2, "force": True})
    job.folder.mkdir(parents=True)
    for name in ("checkpoint.best.pt", "checkpoint.pt.old"):
        (job.folder / name).write_text("mine")
    run(job)
    assert (job.folder / "checkpoint.best.pt").read_text() == (job.folder / "checkpoint.pt.old").read_text() == "mine"


@pytest.mark.parametrize("kind", ["symbolic", "hard", "fifo", "folder"])
def test_predictions_replace_nothing_but_predictions(tmp_path: Path, victims: Path, kind: str) -> None:
    out = tmp_path / "mine.csv"
    plant(out, kind, victims / "mine.txt")
    with pytest.raises(UserError, match=r"--out=.*mine\.csv is there already, and no table of predictions"):
        check_table(out)
    shutil.rmtree(out) if kind == "folder" else out.unlink()
    check_table(out)
    out.write_text("index,label,predicted,lower,upper,std\n3,4,5,,,\n")
    check_table(out)


@pytest.mark.parametrize("name", ["seed=0.csv", "seed=0.png", "seed=0.svg"])
def test_a_range_test_replaces_nothing_but_its_own(tmp_path: Path, victims: Path, name: str) -> None:
    for kind in ("symbolic", "folder"):
        folder = tmp_path / kind
        plant(folder / name, kind, victims / "mine.txt")
        with pytest.raises(UserError, match=rf"holds {name}, which the lab has not written and leaves alone"):
            check_files(folder, "seed=0")
        check_files(folder, "seed=1")
    own = tmp_path / "own"
    own.mkdir()
    (own / "seed=0.csv").write_text("step,lr,loss,smoothed\n")
    (own / "seed=0.png").write_text("of the lab")
    check_files(own, "seed=0")


@pytest.mark.parametrize("kind", ["symbolic", "hard", "fifo", "folder"])
@pytest.mark.parametrize("part", ["", "KEY.pt"])
def test_no_cache_is_written_through_a_link(tmp_path: Path, victims: Path, part: str, kind: str) -> None:
    for name in ("a", "b"):
        (tmp_path / "data/train" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "data/train" / name / "0.png")
    home = tmp_path / "data/.lab-cache"
    images = read_folder(tmp_path / "data").images
    (cache,) = home.iterdir()
    shutil.rmtree(home)
    (victims / "0123456789abcdef.pt").write_text("a net of a user's own, named like an old cache")
    before = contents(victims)
    place, target = (home / cache.name, victims / "mine.txt") if part else (home, victims)
    if kind != "hard" or part:  # no folder has hard links
        plant(place, kind, target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.equal(read_folder(tmp_path / "data").images, images)
    assert contents(victims) == before


@pytest.mark.parametrize("found", [{"a": 1}, torch.zeros(2, 1, 4, 4), torch.zeros(3, 1, 4, 4, dtype=torch.uint8)])
def test_a_cache_of_something_else_is_not_used(tmp_path: Path, found: object) -> None:
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("L", (4, 4), 7).save(tmp_path / "train" / name / "0.png")
    images = read_folder(tmp_path).images
    (cache,) = (tmp_path / ".lab-cache").iterdir()
    torch.save(found, cache)
    with pytest.warns(UserWarning, match="is damaged"):
        assert torch.equal(read_folder(tmp_path).images, images)


def test_a_record_whose_claims_are_damaged_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = project / "outputs/acts"
    entry = {"at": "2026-01-01T00:00:00Z", "claims": [{"siy": "s"}], "arms": [], "seeds": [0], "later": [], "runs": {}}
    (root / "study.json").write_text(json.dumps(entry))
    assert main(["compare", "outputs/acts"]) == 2
    err = capsys.readouterr().err
    assert "outputs/acts/study.json is damaged: a claim needs 'say', the claim in words; given: {'siy': 's'}" in err
    assert "restore it from a copy" in err
