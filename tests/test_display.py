"""What somebody sees of a sweep that trains: lines that are redrawn on a terminal, and lines at intervals elsewhere."""

import re
import sys
import time
from pathlib import Path

import pytest
from quick_lab import QUICK_LAB
from screen import lines_of, read_all, resize, terminal, watch

from lab.cli.main import main
from lab.config import RunConfig
from lab.identity import with_values
from lab.launch.pace import Pace, UnderWay
from lab.records.places import Job
from lab.records.tail import last_point
from lab.system import display
from lab.system.display import Footer, Standing, Ticker, footer_lines, is_live
from lab.system.reporter import Printer

RUNS = [
    display.UnderWay("act=relu,norm=batch seed=3", ["step 120/400", "val/accuracy 0.9312", "about 9.0 s left"]),
    display.UnderWay("act=tanh,norm=none seed=11", ["not logged yet"]),
]
HALF = Standing(20, 40, ["about 6 min left", "2 failed"], RUNS)


@pytest.fixture(autouse=True)
def on_a_common_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize("columns", [1, 10, 20, 33, 60, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    lines = footer_lines(HALF, columns, 10)
    assert len(lines) == 3
    assert all(len(line) <= columns for line in lines)


def test_a_narrow_terminal_keeps_counts_and_the_end_of_names() -> None:
    assert footer_lines(HALF, 20, 10)[0] == "20/40 runs"
    assert footer_lines(HALF, 30, 10)[1] == "  act=..h seed=3  step 120/400"
    wide = footer_lines(HALF, 100, 10)
    assert wide[0] == f"[{'#' * 15}{'-' * 15}]  20/40 runs  about 6 min left  2 failed"
    assert wide[1] == "  act=relu,norm=batch seed=3  step 120/400  val/accuracy 0.9312  about 9.0 s left"


def test_runs_that_have_no_room_are_counted() -> None:
    many = Standing(0, 40, ["no time known"], RUNS * 10)
    lines = footer_lines(many, 80, 6)
    assert len(lines) == 6
    assert lines[-1] == "  and 16 more under way"
    assert len(footer_lines(many, 80, 1)) == 1


@pytest.mark.parametrize("width", [30, 80])
def test_what_is_told_stands_above_and_nothing_is_left_behind(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(80) as (seen, stream):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(sys, "stdout", stream)
        printer = Printer()
        shown = printer.display()
        assert isinstance(shown, Footer)
        shown.show(HALF)
        printer.say("[1/4] one")
        printer.note("note: two")
        shown.show(HALF)
        resize(seen, width)  # what is on the screen is wrapped anew before it is erased
        shown.show(Standing(21, 40, []))
        printer.say("[2/4] three")
        text = read_all(seen)
        shown.close()
        shown.close()
        assert read_all(seen) == "\r\x1b[J"
    if width == 80:
        told = lines_of(text, 80)
        assert told[:3] == ["[1/4] one", "note: two", "[2/4] three"]
        assert told[3].endswith("21/40 runs")
        assert len(told) == 4
    else:
        wrapped = sum(-(-len(line) // 30) for line in footer_lines(HALF, 79, 23))
        assert f"\r\x1b[{wrapped - 1}A\x1b[J" in text


@pytest.mark.parametrize(("key", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_a_terminal_that_redraws_nothing_gets_lines(key: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(80) as (seen, stream):
        monkeypatch.setattr(sys, "stderr", stream)
        assert is_live()
        monkeypatch.setenv(key, value)
        assert not is_live()
        assert isinstance(Printer().display(), Ticker)
        assert Printer(0).display() is None
        assert read_all(seen) == ""


def test_lines_come_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = 100.0, list[str]()
    monkeypatch.setattr("lab.system.display.time.monotonic", lambda: now)
    ticker = Ticker(60, told.append)
    for now in (130.0, 159.0, 161.0, 200.0, 222.0):  # noqa: B007 (read by the clock)
        ticker.show(HALF)
    line = "20 of 40 runs, about 6 min left, 2 failed; under way: act=relu,norm=batch seed=3, step 120/400, "
    assert told == [f"{line}val/accuracy 0.9312, about 9.0 s left; act=tanh,norm=none seed=11, not logged yet"] * 2


def job(act: str, seed: int, folder: Path) -> Job:
    config = with_values(RunConfig(), {"model.act": act, "seed": seed, "train.steps": 100})
    return Job(config, folder / f"act={act}-00000000" / f"seed={seed}", {"model.act": act}, [], "lab train")


def under_way(one: Job, begun: float, step: int = 0, seconds: float = 0.0) -> UnderWay:
    point = {"step": step, "epoch": 1.0, "seconds": seconds} if step else {}
    return UnderWay(one, time.monotonic() - begun, point=point)


def test_the_time_left_is_that_of_runs_like_these(tmp_path: Path) -> None:
    relu, tanh, gelu = (job(act, 0, tmp_path) for act in ("relu", "tanh", "gelu"))
    pace = Pace([])
    assert pace.left([relu], [], 2) is None
    assert pace.left([], [under_way(relu, 5.0)], 2) is None
    # By its own pace: 10 s for 20 of 100 steps, and as long for another.
    running = [under_way(relu, 10.0, 20, 10.0)]
    assert pace.left([], running, 2) == pytest.approx(40)
    assert pace.left([tanh], running, 1) == pytest.approx(90)
    assert pace.left([tanh], running, 2) == pytest.approx(50)
    pace.own = {"x": [7.0]}
    pace.took(under_way(tanh, 20.0))
    assert pace.left([tanh], [], 1) == pytest.approx(20, abs=0.1)
    assert pace.left([gelu], [], 1) == pytest.approx((7 + 20) / 2, abs=0.1)
    assert pace.left([], [under_way(tanh, 5.0)], 1) == pytest.approx(15, abs=0.1)
    assert pace.left([], [under_way(tanh, 50.0)], 1) == 0
    assert pace.left([tanh, tanh, tanh], [], 2) == pytest.approx(40, abs=0.1)
    assert pace.left([], [], 2) == 0


def test_a_long_queue_is_looked_through_in_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is, at each run that ends and several times a second on a terminal."""
    asked = list[str]()

    def hashed(config: RunConfig) -> str:
        asked.append(config.model.act)
        return config.model.act

    monkeypatch.setattr("lab.launch.pace.arm_hash", hashed)
    queue = [job(act, seed, tmp_path) for act in ("relu", "tanh") for seed in range(500)]
    pace = Pace([])
    pace.own = {"relu": [2.0, 4.0]}
    for _ in range(50):
        assert pace.left(queue, [], 4) == pytest.approx(750)
    assert sorted(asked) == ["relu", "tanh"]


def test_the_last_whole_line_is_the_last_point(tmp_path: Path) -> None:
    assert last_point(tmp_path) == {}
    file = tmp_path / "metrics.jsonl"
    file.write_text("")
    assert last_point(tmp_path) == {}
    file.write_text('{"step": 10, "val/loss": 1.0}\n' * 5000 + '{"step": 20}\nno JSON\n{"step": 3')
    assert last_point(tmp_path) == {"step": 20}
    file.write_text("[1]\n3\n")
    assert last_point(tmp_path) == {}


@pytest.mark.parametrize("given", ["-1", "nan", "inf"])
def test_an_interval_that_is_none_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"--progress={given}"]) == 2
    assert "--progress=" in (err := capsys.readouterr().err)
    assert "is out of range; allowed: 0 or more seconds" in err


def test_a_single_run_tells_no_more_often_than_asked(capsys: pytest.CaptureFixture[str]) -> None:
    from lab.runs.progress import Console

    for every, lines in ((None, 3), (0, 0), (1000, 0)):
        console = Console(every)
        console.start("x", 3, 0)
        for step in (1, 2, 3):
            console.log({"step": step, "epoch": 1.0, "val/loss": 1.0})
        assert capsys.readouterr().out.count("step ") == lines


SWEEP = [*QUICK_LAB, "train", "name=acts", "model.act=relu,tanh", "jobs=2", "train.eval_every=0.5"]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [44, 100])
def test_ctrl_c_leaves_a_clean_terminal(columns: int, tmp_path: Path) -> None:
    watched = watch([*SWEEP, "train.steps=4000"], columns, 120, tmp_path)
    watched.wait_for(r"step \d")
    watched.process.send_signal(2)
    lines = watched.end()
    assert watched.process.returncode == 130
    text = "\n".join(lines)
    assert text.replace("\n", " ").strip().endswith("the same command goes on where this one stopped")
    assert "runs  " not in text
    assert "not logged yet" not in text
    assert set(re.findall(r"\x1b\[\d*[A-Za-z]", watched.text)) <= {"\x1b[J", *(f"\x1b[{n}A" for n in range(1, 10))}


@pytest.mark.slow
def test_a_sweep_shows_its_runs_and_leaves_their_lines(tmp_path: Path) -> None:
    words = [*SWEEP, "seed=0,1", "train.steps=120"]
    watched = watch(words, 100, 120, tmp_path)
    lines = watched.end()
    assert watched.process.returncode == 0
    ended = [re.match(r"\[\d/4\] act=\w+-\w+ seed=\d  finished  val/accuracy", line) for line in lines[1:5]]
    assert all(ended)
    assert re.search(r"act=relu seed=0  step \d+/120  val/accuracy 0\.\d{4}", watched.text)
    assert "\x1b[J" in watched.text
    watched = watch([*words, "force=true", "--progress=0.5"], 100, 120, tmp_path, TERM="dumb")
    watched.end()
    assert "\x1b" not in watched.text
    assert re.search(r"\d of 4 runs, .*; under way: act=relu seed=0, ", watched.text)
