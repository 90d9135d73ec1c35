"""What TAB offers, in the library and in a real bash."""

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli.catalogue import KINDS, names
from lab.cli.completion import candidates, values
from lab.cli.main import VERBS, main
from lab.cli.parsers import PARSERS
from lab.cli.scripts import SCRIPTS
from lab.errors import UserError
from lab.tables import TABLES, read_downloads
from lab.validation import BOOLEAN, all_keys


def offered(line: str) -> list[str] | None:
    return candidates(line.split(" "), VERBS)


@pytest.mark.parametrize("key", all_keys())
def test_all_names_that_a_key_takes_are_offered(key: str) -> None:
    knob = all_keys()[key].knob
    if knob.free == "a path":
        assert values(key) is None
        assert offered(f"train {key}=x") is None
    elif not key.startswith("study."):
        there = [*knob.choices, *(name for kind in knob.tables for name in names(kind)), *filter(None, [knob.like])]
        assert values(key) == there
        assert offered(f"train {key}=") == [f"{key}={name}" for name in there]


def test_what_keys_take_exists() -> None:
    assert {kind for key in all_keys().values() for kind in key.knob.tables} == {*TABLES, "rules"}
    assert {"recipe", "lenet", "blunder_a"} <= set(values("model.name") or [])
    assert values("model.init") == list(names("inits"))
    assert [key for key, one in all_keys().items() if one.knob == BOOLEAN] == [
        *("model.bias", "model.weight_std", "train.restore_best", "train.keep_best"),
        *("train.channels_last", "train.compile", "train.watch", "train.watch_smoothness", "lint.sweeps", "force"),
    ]


def test_the_choices_are_those_of_the_code() -> None:
    from lab.data.sources import DOWNLOADS
    from lab.nets.init import FANS
    from lab.system.devices import resolve_device
    from lab.training.precision import PRECISIONS
    from lab.training.tally import make_metrics

    assert read_downloads() == DOWNLOADS
    assert values("train.precision") == list(PRECISIONS)
    assert values("model.init_fan") == list(FANS)
    with pytest.raises(UserError) as there:
        resolve_device("tpu")
    for name in ("auto", "cpu"):
        assert name in str(there.value)
        assert name in (values("train.device") or [])
    tags = {
        f"{split}/{name}"
        for num_classes in (0, 2, 10)
        for split, metrics in zip(("train", "val"), make_metrics(num_classes, 1.0), strict=True)
        for name in ("loss", *metrics.names)
    }
    assert {*(values("schedule.metric") or [])} == {*(values("train.patience_metric") or [])} == tags


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tr", ["train"]),
        ("list ac", ["acts"]),
        ("list keys", ["keys"]),
        ("list keys sche", ["schedule."]),
        ("list keys see", ["seed"]),
        ("list keys model.ini", ["model.init", "model.init_gain", "model.init_fan"]),
        ("list acts re", ["relu"]),
        ("list acts relu ", []),
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
        ("train experiment=speed", ["experiment=speedrun"]),
        ("train model.block=conv-ac", ["model.block=conv-act"]),
        ("train model.block=conv-act,norm-ac", ["model.block=conv-act,norm-act"]),
        ("train force=", ["force=true", "force=false"]),
        ("train model.bias=f", ["model.bias=false"]),
        ("train train.clip=n", ["train.clip=none", "train.clip=norm"]),
        ("train start.load=", ["start.load=none", "start.load=body", "start.load=all"]),
        ("train start.prune=w", ["start.prune=weights"]),
        ("train schedule.interval=e", ["schedule.interval=epochs"]),
        ("train train.precision=fp", ["train.precision=fp32", "train.precision=fp16"]),
        ("train train.graph=o", ["train.graph=on", "train.graph=off"]),
        ("train train.device=cu", ["train.device=cuda", "train.device=cuda:0"]),
        ("train train.channels_last=t", ["train.channels_last=true"]),
        ("train seed=", []),
        ("train no.such=", []),
        ("train --mult", ["--multirun"]),
        ("lr-range model.norm=gr", ["model.norm=group"]),
        ("lr-range --", ["--config-dir", "--config-name", "--no-own-parts", "--low", "--high", "--steps", "--help"]),
        ("compare outputs --by optimizer.l", ["optimizer.lr"]),
        ("compare outputs --m", ["--metric"]),
        ("compare out", None),
        ("board out", None),
        ("train out=", None),
        ("train name=", []),
        ("nonsense ", []),
    ],
)
def test_what_is_offered(line: str, found: list[str] | None) -> None:
    assert offered(line) == found


def test_flags_are_those_of_the_parsers() -> None:
    assert set(PARSERS) == set(VERBS)
    for verb, parser in PARSERS.items():
        found = offered(f"{verb} --") or []
        assert len(found) == len(set(found)) > 0
        assert all(flag in parser().format_help() for flag in found)
    numbers = ["--passes", "--noise", "--rotate", "--limit"]
    assert offered("predict --") == [*numbers, "--device", "--best", "--own-parts", "--out", "--help"]
    assert {"--cfg", "--config-dir", "--multirun", "--no-own-parts", "--yes"} <= set(offered("train --") or [])


@pytest.mark.parametrize("kind", KINDS)
def test_every_verb_and_kind_is_offered(kind: str) -> None:
    assert offered("") == list(VERBS)
    assert kind in (offered("list ") or [])


def test_tab_answers_at_once() -> None:
    command = [sys.executable, "-m", "lab", "_complete", "train", "model.act=re"]
    times = []
    for _ in range(3):
        before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])  # CPU time: the machine may be busy
        answer = subprocess.check_output(command, text=True)
        times.append(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before)
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
