"""Output that nobody reads any more, that is closed, or whose disk is full, changes nothing in what is computed."""

import errno
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.system.streams import lasting_streams


class Gone(io.StringIO):
    """A stream whose reader has left, or whose disk is full."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, "gone")


@pytest.mark.parametrize(("number", "code", "told"), [(errno.EPIPE, 0, "hint\n"), (errno.ENOSPC, 1, "hint\nlab: ")])
def test_writing_never_fails(number: int, code: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Gone(number))
    monkeypatch.setattr(sys, "stderr", err)
    with lasting_streams("hint") as lost:
        print("a")
        print("b", flush=True)
        assert lost() == code
    assert isinstance(sys.stdout, Gone)
    assert err.getvalue().startswith(told)


def test_a_stream_that_the_shell_closed_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with lasting_streams():
        print("a", file=sys.stderr)
        assert sys.stderr is not None
    assert sys.stderr is None


@pytest.mark.slow
@pytest.mark.parametrize("words", ["", "seed=0,1"])
@pytest.mark.parametrize("end", ["2>&1 | head -n 1", ">&- 2>&-", "2>&1 >/dev/full | cat"])
def test_a_run_goes_on_without_a_reader(words: str, end: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m lab train {words} train.steps=8 train.eval_every=0.06 jobs=1 {end}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=200)
    assert "BrokenPipe" not in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert [result["status"] for result in results] == ["finished"] * (2 if words else 1)
