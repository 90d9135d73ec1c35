"""What lies in the outputs is listed, shown, removed and archived, and nothing of others is touched."""

import json
import re
import tarfile
from pathlib import Path

import pytest
from fake_runs import write_run

from lab.cli.main import main
from lab.records.lock import locked
from lab.records.predictions import CLASSES, NUMBERS, TABLE
from lab.records.shelf import entry_at, experiments


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`outputs/` with an experiment of two arms, one of a single run, and tuning trials of the first."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "outputs"
    for name in ("acts", "_tune/acts"):
        for act, score in (("relu", 0.9), ("tanh", 0.8)):
            for seed in (0, 1):
                status = "diverged" if (act, seed) == ("tanh", 1) else "finished"
                run = write_run(
                    root / name, {"model.act": act}, seed, {"val/accuracy": score + seed / 100}, status=status
                )
                (run.path / "config.yaml").write_text("seed: 0\n")
    write_run(root / "one", {"optimizer.lr": 0.1}, 0, {"val/accuracy": 0.5})
    return root


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_experiments_are_listed_a_line_each(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outputs / "acts" / "verdict.json").write_text(json.dumps({"claims": [{"say": "a", "verdict": "refuted", "n": 2}]}))
    assert main(["ls"]) == 0
    header, _, acts, one = lines(capsys)
    assert header.split() == ["experiment", "arms", "runs", "verdicts", "last", "size"]
    assert re.match(r"outputs/acts +2  3 finished, 1 diverged  1 refuted ", acts)
    assert re.match(r"outputs/one +1  1 finished +-  ", one)


def test_runs_by_state_metric_and_order(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "outputs/acts", "--metric", "val/accuracy", "--sort", "metric"]) == 0
    scores = [line.split()[3] for line in lines(capsys)[2:]]
    assert scores == ["0.8000", "0.8100", "0.9000", "0.9100"]
    assert main(["ls", "outputs", "--runs", "--state", "diverged", "--format", "json"]) == 0
    (found,) = json.loads("\n".join(lines(capsys)))
    assert (found["state"], Path(found["run"]).name) == ("diverged", "seed=1")
    assert main(["ls", "outputs", "--sort", "date", "--reverse"]) == 0
    assert len(lines(capsys)) == 4
    assert main(["ls", "outputs", "--state", "failed"]) == 0
    assert "no failed runs under outputs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ls", "output"], "output is not a folder"),
        (["ls", "--sort", "nam"], "did you mean 'name'?"),
        (["ls", "--state", "finishd"], "did you mean 'finished'?"),
        (["ls", "--format", "yaml"], "there are: text, json"),
        (["ls", "--sort", "metric"], "give the metric, --metric val/accuracy"),
        (["ls", "--runs", "--sort", "runs"], "orders experiments"),
        (["show", "nothing"], "nothing is not a folder"),
        (["status", "nothing"], "nothing is not a folder"),
        (["rm", "outputs"], "is no folder of a run, an arm or an experiment"),
        (["rm", "outputs/acts"], "--yes agrees"),
        (["archive", "outputs/one/lr=0.1"], "is not a folder"),
    ],
)
def test_wrong_words(words: list[str], message: str, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert len(experiments(outputs)[0].entries) == 4


def test_a_run_is_shown_with_what_repeats_it(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = next((outputs / "one").glob("*/seed=0"))
    result = json.loads((run / "result.json").read_text())
    result |= {"overrides": ["optimizer.lr=0.1", "seed=0", "name=one"], "environment": {"torch": "2.13.0"}, "steps": 40}
    (run / "result.json").write_text(json.dumps(result))
    assert main(["show", str(run)]) == 0
    shown = dict(line.split(None, 1) for line in lines(capsys))
    assert shown["arm"] == "optimizer.lr=0.1"
    assert shown["metrics"] == "val/accuracy 0.5000"
    assert shown["training"] == "40 steps in 30 s, 1,900 images/s, 64,810 parameters"
    assert shown["machine"] == "torch 2.13.0"
    assert shown["again"] == "lab train optimizer.lr=0.1 seed=0 name=again"


def test_an_experiment_is_shown_arm_by_arm(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outputs / "acts" / "verdict.json").write_text(json.dumps({"claims": [{"say": "a", "verdict": "refuted", "n": 2}]}))
    assert main(["show", "outputs/acts"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^act=relu  0 and 1  2 finished$", text, re.M)
    assert re.search(r"^act=tanh  0 and 1  1 finished, 1 diverged$", text, re.M)
    assert "refuted     a (2 seeds)" in text


@pytest.mark.parametrize(
    "words", [["--state", "running"], ["--runs", "--state", "failed"], ["--metric", "val/loss", "--state", "running"]]
)
def test_nothing_found_is_an_empty_list(words: list[str], outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", *words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["ls", *words]) == 0
    assert capsys.readouterr().out == ""


def test_what_is_being_trained(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert lines(capsys) == ["nothing is being trained under outputs"]
    folder = next((outputs / "acts").glob("act=relu*")) / "seed=7"
    folder.mkdir()
    (folder / "config.yaml").write_text("train:\n  steps: 100\n")
    (folder / "metrics.jsonl").write_text('{"step": 40, "epoch": 2.0, "seconds": 8.0, "val/accuracy": 0.75}\n')
    with locked(folder):
        assert main(["status", "--format", "json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert found["done"] == "40 % (step 40)"
        assert found["left"] == "about 12 s"
        assert found["metric"] == "val/accuracy 0.7500"
        assert main(["ls", "outputs/acts", "--state", "running"]) == 0
        assert "seed=7" in lines(capsys)[2]
        assert main(["show", str(folder)]) == 0
        assert "40 % (step 40), about 12 s left" in capsys.readouterr().out
        (folder / "metrics.jsonl").write_text("")
        assert main(["show", str(folder)]) == 0
        assert "no logged point yet, time left not known yet" in capsys.readouterr().out
        assert main(["rm", str(folder), "--yes"]) == 2
        assert "is being trained by another process" in capsys.readouterr().err
        assert main(["rm", "outputs/acts", "--yes"]) == 2
    assert len(experiments(outputs)[0].entries) == 5, "nothing was removed"
    entry = entry_at(folder)
    assert entry is not None
    assert entry.state == "unfinished"


def test_removing_a_run_an_arm_an_experiment(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arm = next((outputs / "acts").glob("act=relu*"))
    assert main(["rm", str(arm / "seed=0"), "--yes"]) == 0
    assert [path.name for path in arm.iterdir()] == ["seed=1"]
    assert main(["rm", str(arm), "--yes"]) == 0
    assert not arm.exists()
    (outputs / "acts" / "_mean" / "relu").mkdir(parents=True)
    (outputs / "acts" / "_mean" / "relu" / "events.out.tfevents.1").write_text("")
    (outputs / "acts" / "study.json").write_text("{}")
    assert main(["rm", "outputs/acts", "--yes"]) == 0
    assert "removed 6 runs" in capsys.readouterr().out, "tuning trials as well"
    assert not (outputs / "acts").exists()
    assert [one.path.name for one in experiments(outputs)] == ["one"]


def test_files_of_others_stay_and_are_named(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = next((outputs / "one").glob("*/seed=0"))
    (run / "notes.txt").write_text("mine")
    (outputs / "one" / "plot.png").write_text("mine")
    (outputs / "elsewhere").write_text("kept")
    (run / "result.json.bak").symlink_to(outputs / "elsewhere")
    assert main(["rm", "outputs/one", "--yes"]) == 0
    said = capsys.readouterr().err
    assert "notes.txt" in said
    assert "plot.png" in said
    assert sorted(path.name for path in run.iterdir()) == ["notes.txt", "result.json.bak"]
    assert (outputs / "elsewhere").read_text() == "kept"
    (outputs / "link").symlink_to(outputs / "acts")
    assert main(["rm", "outputs/link", "--yes"]) == 2
    assert (outputs / "acts").exists()


@pytest.mark.parametrize("columns", [CLASSES, NUMBERS, ("index", "mine")])
def test_a_table_of_predictions_goes_with_its_run(columns: tuple[str, ...], outputs: Path) -> None:
    run = next((outputs / "one").glob("*/seed=0"))
    (run / TABLE).write_text(f"{','.join(columns)}\n0,1\n")
    assert main(["rm", "outputs/one", "--yes"]) == 0
    assert (run / TABLE).exists() == ("mine" in columns)


@pytest.mark.parametrize(("answer", "gone"), [("y", True), ("", False), ("no", False)])
def test_a_question_is_asked(answer: str, gone: bool, outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    assert main(["rm", "outputs/one"]) == (0 if gone else 1)
    assert asked[0].startswith("remove 1 run (")
    assert (outputs / "one").exists() != gone


def test_an_archive_holds_all_and_is_never_written_over(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.relative_to(outputs): path.read_bytes() for path in (outputs / "acts").rglob("*") if path.is_file()}
    assert main(["archive", "outputs/acts", "--keep"]) == 0
    assert (outputs / "acts").exists()
    assert main(["archive", "outputs/acts", "--yes"]) == 2
    assert "acts.tar.gz is there already" in capsys.readouterr().err
    assert main(["archive", "outputs/acts", "--to", "store", "--yes"]) == 0
    assert not (outputs / "acts").exists()
    with tarfile.open("store/acts.tar.gz") as packed:
        packed.extractall(outputs, filter="data")
    assert {
        path.relative_to(outputs): path.read_bytes() for path in (outputs / "acts").rglob("*") if path.is_file()
    } == before


def test_damaged_folders_are_listed(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outputs / "acts" / "verdict.json").write_text('{"claims": [3]}')
    (outputs / "acts" / "study.json").write_text("[")
    for path, text in zip((outputs / "acts").glob("*/seed=*"), ("", "[1", "\0", '{"status": 3}'), strict=True):
        (path / "result.json").write_text(text)
    for words in (["ls"], ["ls", "outputs/acts", "--metric", "val/accuracy"], ["show", "outputs/acts"]):
        assert main(words) == 0
        assert "unfinished" in capsys.readouterr().out
