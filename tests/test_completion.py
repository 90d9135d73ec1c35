"""What TAB offers, in the library and in a real bash."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.cli.catalogue import KINDS, names
from lab.cli.completion import (
    CHOICES,
    FREE,
    HYDRA_FLAGS,
    SCRIPTS,
    candidates,
    documented,
    downloads,
    keys,
    kinds,
    values,
)
from lab.cli.main import VERBS, main
from lab.cli.parsers import PARSERS
from lab.config import RunConfig
from lab.identity import flatten


def offered(line: str) -> list[str] | None:
    return candidates(line.split(" "), VERBS)


@pytest.mark.parametrize("key", keys())
def test_every_key_says_what_it_takes(key: str) -> None:
    assert documented()[key], f"{key} has no docstring"
    text = isinstance(flatten(RunConfig())[key], str)
    assert key in kinds() or not text or key in CHOICES or key in FREE, (
        f"{key}: say '`lab list KIND`' in its docstring, or enter it in CHOICES or FREE of lab/cli/completion.py"
    )


def test_what_keys_take_exists() -> None:
    assert {kind for there in kinds().values() for kind in there} <= set(KINDS)
    assert kinds()["model.act"] == ("acts",)
    assert {"recipe", "lenet", "blunder_a"} <= set(values("model.name") or [])
    assert {*CHOICES, *FREE} <= set(keys())
    assert not {*CHOICES} & {*FREE}
    assert values("model.init") == list(names("inits"))


def test_the_choices_are_those_of_the_code() -> None:
    from lab.config import ModelConfig
    from lab.data.sources import DOWNLOADS
    from lab.errors import UserError
    from lab.nets.init import initialise
    from lab.nets.recipe import build
    from lab.runs.build import resolve_device
    from lab.training.graph import GRAPHS
    from lab.training.precision import PRECISIONS

    assert downloads() == list(DOWNLOADS)
    assert set(CHOICES["train.precision"]) == set(PRECISIONS)
    assert set(CHOICES["train.graph"]) == set(GRAPHS)
    for gain in CHOICES["model.init_gain"]:
        for fan in CHOICES["model.init_fan"]:
            initialise(build(ModelConfig(), (1, 8, 8), 10), "he_normal", gain, "relu", 0, fan)
    with pytest.raises(UserError) as there:
        resolve_device("tpu")
    for name in ("auto", "cpu"):
        assert name in str(there.value)
        assert name in CHOICES["train.device"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tr", ["train"]),
        ("list ac", ["acts"]),
        ("data ", ["fetch"]),
        ("data fetch mn", ["mnist"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("train mod", ["model.", "model="]),
        ("train model.ac", ["model.act="]),
        ("train see", ["seed="]),
        ("train ++model.act=gel", ["++model.act=gelu"]),
        ("train model.act=relu,gel", ["model.act=relu,gelu"]),
        ("train model.act=gelu,gel", []),
        (
            "train seed=0 optimizer=ada",
            ["optimizer=adadelta", "optimizer=adagrad", "optimizer=adam", "optimizer=adamw"],
        ),
        ("train experiment=xav", ["experiment=xavier_vs_he"]),
        ("train model.block=conv-ac", ["model.block=conv-act"]),
        ("train model.block=conv-act,norm-ac", ["model.block=conv-act,norm-act"]),
        ("train force=", ["force=true", "force=false"]),
        ("train model.bias=f", ["model.bias=false"]),
        ("train train.clip=n", ["train.clip=none", "train.clip=norm"]),
        ("train seed=", []),
        ("train no.such=", []),
        ("train --mult", ["--multirun"]),
        ("lr-range model.norm=gr", ["model.norm=group"]),
        ("lr-range --", ["--low", "--high", "--steps", "--help"]),
        ("compare outputs --by optimizer.l", ["optimizer.lr"]),
        ("compare outputs --m", ["--metric"]),
        ("compare out", None),
        ("board out", None),
        ("train out=", None),
        ("nonsense ", []),
    ],
)
def test_what_is_offered(line: str, found: list[str] | None) -> None:
    assert offered(line) == found


def test_flags_are_those_of_the_parsers() -> None:
    from hydra._internal.utils import get_args_parser

    assert set(PARSERS) == set(VERBS) - {"train"}
    for verb, parser in PARSERS.items():
        found = offered(f"{verb} --") or []
        assert len(found) == len(set(found)) > 0
        assert all(flag in parser().format_help() for flag in found)
    assert offered("predict --") == ["--passes", "--noise", "--rotate", "--limit", "--device", "--out", "--help"]
    assert set(HYDRA_FLAGS) <= set(get_args_parser()._option_string_actions)


@pytest.mark.parametrize("kind", KINDS)
def test_every_verb_and_kind_is_offered(kind: str) -> None:
    assert offered("") == list(VERBS)
    assert kind in (offered("list ") or [])


def test_tab_answers_at_once() -> None:
    command = [sys.executable, "-m", "lab", "_complete", "train", "model.act=re"]
    times = []
    for _ in range(3):
        clock = time.monotonic()
        answer = subprocess.check_output(command, text=True)
        times.append(time.monotonic() - clock)
        assert answer == "model.act=relu\n"
    assert min(times) < 0.4
    code = "import sys, lab.cli.main as cli; cli.main(['_complete', 'train', 'optimizer.name=']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "hydra", "omegaconf", "numpy"} & set(done.stdout.split())


BASH_ASKS = r"""
eval "$(lab completion bash)"
COMP_LINE=$1 COMP_POINT=${#1}
complete -p lab >&2
compopt() { echo "compopt $*" >&2; }  # which works inside a completion alone
_lab lab
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """Surroundings in which `lab` is this one."""
    command = tmp_path / "lab"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lab "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("line", "found", "option"),
    [
        ("lab tr", ["train"], ""),
        ("lab list ", list(KINDS), ""),
        ("lab train model.act=relu,gel", ["relu,gelu"], "-o nospace"),
        ("lab train model.ac", ["model.act="], "-o nospace"),
        ("lab train seed=0 model.block=conv-ac", ["conv-act"], "-o nospace"),
        ("lab train force=", ["true", "false"], "-o nospace"),
        ("lab compare out", [""], "-o default"),
    ],
)
@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_bash_completes(line: str, found: list[str], option: str, shell: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", BASH_ASKS, "bash", line], capture_output=True, text=True, env=shell, check=True
    )
    assert done.stdout.splitlines() == found
    assert done.stderr.startswith("complete -F _lab lab\n")
    assert re.findall("compopt (.*)", done.stderr) == ([option] if option else [])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_shell_reads_its_script(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", name]) == 0
    out = capsys.readouterr().out
    assert "_complete" in out
    if shutil.which(name):
        subprocess.run([name, "-n"], input=out, text=True, check=True)


def test_an_unknown_shell_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsch"]) == 2
    assert "no such shell (did you mean 'zsh'?); there are: bash, zsh, fish" in capsys.readouterr().err
