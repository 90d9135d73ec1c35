"""README and docs do what they say: each page's commands compose, survive every shell, and run here with few steps."""

import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from lab.cli.main import VERBS, main
from lab.cli.options import read_options
from lab.cli.parsers import PARSERS
from lab.identity import flatten
from lab.overrides.plan import all_jobs, one_job
from lab.studies.claims.study import asked_claims, parse_study

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]
EXPERIMENTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "experiments").glob("*/README.md"))
SHORT = ["train.steps=2", "train.eval_limit=50", "jobs=2"]
WITH_COMMANDS = [page for page in PAGES if "```bash" in (ROOT / page).read_text()]


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Language, text and file of each code block; the file is named as in "In `mine.py`:", else empty."""
    text = (ROOT / page).read_text()
    for fence in re.finditer(r"^```(bash|python|yaml)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        sentence = text[: fence.start()].strip().rpartition("\n\n")[2]
        named = re.search(r"\b[Ii]n\s+`([\w/]+\.(?:py|yaml))`", sentence)
        yield fence[1], fence[2], named[1] if named and fence[1] != "bash" else ""


def lines(page: str) -> list[str]:
    return [line for language, text, _ in blocks(page) if language == "bash" for line in joined(text)]


def joined(text: str) -> list[str]:
    """The lines of a block, those that go on after a backslash in one."""
    return re.sub(r"\\\n\s*", "", text).splitlines()


def commands(page: str) -> list[list[str]]:
    return [shlex.split(line) for line in lines(page)]


def write_files(page: str, folder: Path) -> None:
    for _, text, file in blocks(page):
        if file:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)


def test_the_readme_is_short_and_has_two_set_up_commands_that_ci_runs() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120
    made = [command for command in commands("README.md") if command[0] == "make"]
    assert made == [["make", "demo"], ["make", "test"]]
    gate = (ROOT / ".ci" / "run").read_text()
    assert all(" ".join(command) in gate for command in made)


def test_the_readme_has_ten_things_to_type_and_the_pages_show_every_verb() -> None:
    assert len([command for command in commands("README.md") if command[0] == "lab"]) == 10
    shown = {command[1] for page in PAGES for command in commands(page) if command[0] == "lab"}
    assert shown == set(VERBS) - {"completion"}


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_composes(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(page, tmp_path)
    for command in commands(page):
        if command[0] == "make":
            continue
        assert command[0] in ("lab", "torchrun"), command
        rest = command[command.index("lab") + 1 :]
        if rest[0] == "new":  # which writes the experiment that others name
            assert main(rest) == 0
        elif rest[0] == "lr-range":
            one_job("lr-range", rest[1:])
        elif rest[0] == "train":
            args, options = read_options("train", rest[1:])
            jobs = [job for batch in all_jobs("train", args.overrides, options) for job in batch]
            whole = [flatten(job.config) for job in jobs[0].whole]
            asked_claims(parse_study(jobs[0].config.study), [flatten(job.config) for job in jobs], whole)


def unquoted(line: str) -> str:
    """What a shell may expand in `line`, bash or zsh, and what it would cut off: all that is in no quotes."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", line.removesuffix("\\"))
    return "".join(re.findall(r"[][{}()*?~#$!&|;<>`^\\]|(?<!\S)=\S*", bare))


@pytest.mark.parametrize("page", [*WITH_COMMANDS, *EXPERIMENTS])
def test_no_shell_expands_or_drops_a_word(page: str) -> None:
    for line in lines(page):
        if line.startswith(("lab ", "make ", "torchrun ")):
            assert not unquoted(line), f"quote it, and say it outside the block: {line}"


TOLD = [*PAGES, *EXPERIMENTS, "CONTRIBUTING.md", "CHANGELOG.md", "experiments/README.md", "benchmarks/README.md"]


@pytest.mark.parametrize("page", TOLD)
def test_no_command_within_a_sentence_needs_quotes(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    for command in re.findall(r"(?<!`)`(lab [a-z-]+ [^`]*)`(?!`)", text):
        bare = re.sub(r"\[[A-Z]+\]|\.\.\.", "", " ".join(command.split())).replace(" | head", "")
        assert not unquoted(bare), f"{page}: quote it: {command}"


def test_examples_elsewhere_need_no_quotes() -> None:
    told = {one.stem: one.read_text() for one in (ROOT / "configs" / "experiment").glob("*.yaml")}
    commands = [line[2:] for text in told.values() for line in text.splitlines() if line.startswith("# lab ")]
    commands += [(parser().epilog or "").removeprefix("example: ") for parser in PARSERS.values()]
    for command in commands:
        assert command.startswith("eval ") or not unquoted(command), command


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_shells_pass_each_word_on_as_written(page: str, shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    script = 'show() { printf "%s\\n" "$@"; }\n' + "\n".join(f"show {line}" for line in lines(page))
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == [word for command in commands(page) for word in command]


@pytest.mark.parametrize(
    "page", [*PAGES, *EXPERIMENTS, "CONTRIBUTING.md", "experiments/README.md", "benchmarks/README.md"]
)
def test_links_lead_somewhere(page: str) -> None:
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#?)([^)\s]*)\)", (ROOT / page).read_text()):
        path = (ROOT / page).parent / unquote(target) if target else ROOT / page
        assert path.exists(), f"{page}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
            known = [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads]
            assert anchor in known, f"{page}: {target}#{anchor}"


@pytest.mark.slow
@pytest.mark.usefixtures("no_workers")
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_of_a_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(page, tmp_path)
    for language, text, file in blocks(page):
        if language == "python" and not file:
            run([sys.executable, "-c", text])
        for line in joined(text) if language == "bash" else ():
            command = shlex.split(line)
            if command[0] == "torchrun":
                run([sys.executable, "-m", "torch.distributed.run", *command[1:], *SHORT])
            elif command[0] == "lab":
                run_verb(command[1:])
    if page == "README.md":
        assert re.search(r"^init +depth +n +(trained +)?mean", capsys.readouterr().out, re.MULTILINE)


def run_verb(words: list[str]) -> None:
    if words[0] == "cancel" or {"on=slurm", "on=ray"} & set(words):
        return  # tests/test_real_slurm.py and tests/test_real_ray.py have a cluster
    if words[0] == "board":
        assert_board_answers(words[1:])
    elif words[0] == "data":
        assert words[1] == "fetch"  # tests/test_data.py downloads, from a local server
    else:
        short = SHORT if words[0] == "train" and "--cfg" not in words else []
        assert main([*words, *short]) == 0, shlex.join(words)


def run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"


def assert_board_answers(words: list[str]) -> None:
    """TensorBoard comes up with the folder's runs, and with their means unless the folder holds tuning trials."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "lab", "board", *words, "--port", str(port)]
    board = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wanted = "seed=" if "_tune" in Path(words[0]).parts else "_mean/"
    try:
        for _ in range(120):
            time.sleep(0.5)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs", timeout=10) as answer:
                    runs = answer.read().decode()
                if wanted in runs:
                    return
            except OSError:
                assert board.poll() is None, "TensorBoard ended"
        raise AssertionError("TensorBoard did not answer within a minute")
    finally:
        board.send_signal(signal.SIGTERM)
        board.wait(20)
