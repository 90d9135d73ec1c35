"""Every command of the README does what it says: run here in the order of the page, with few steps."""

import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from lab.cli.main import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
SHORT = ["train.steps=2", "train.eval_limit=50", "jobs=2"]


def test_the_readme_has_two_set_up_commands_that_ci_runs() -> None:
    made = [command for command in COMMANDS if command[0] == "make"]
    assert made == [["make", "demo"], ["make", "test"]]
    gate = (ROOT / ".ci" / "run").read_text()
    assert all(" ".join(command) in gate for command in made)


@pytest.mark.slow
def test_every_command_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "mine.py").write_text(code)
    verbs = set()
    for command in COMMANDS:
        if command[0] == "make":
            continue
        assert command[0] == "lab", command
        verbs.add(command[1])
        if command[1] == "train" and "--cfg" not in command:
            words = [sys.executable, "-m", "lab", *command[1:], *SHORT]
            done = subprocess.run(words, capture_output=True, text=True, timeout=200)
            assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
        elif command[1] == "board":
            assert_board_answers(command[2:])
        elif command[1] == "data":
            assert command[2] == "fetch"  # tests/test_data.py downloads, from a server of its own
        else:
            assert main(command[1:]) == 0, shlex.join(command)
    assert verbs == {"train", "lr-range", "compare", "predict", "board", "list", "data"}
    assert re.search(r"^init +depth +n +mean", capsys.readouterr().out, re.MULTILINE)


def assert_board_answers(words: list[str]) -> None:
    """TensorBoard comes up over the folder and shows its page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "lab", "board", *words, "--port", str(port)]
    board = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            time.sleep(0.5)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs", timeout=10) as answer:
                    runs = answer.read().decode()
                if "_mean/" in runs:
                    return
            except OSError:
                assert board.poll() is None, "TensorBoard ended"
        raise AssertionError("TensorBoard did not answer within a minute")
    finally:
        board.send_signal(signal.SIGTERM)
        board.wait(20)
