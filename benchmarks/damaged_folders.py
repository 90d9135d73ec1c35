"""Damaged, foreign and odd files in an experiment's folder: every verb ends with one line, and loses nothing.

    python benchmarks/damaged_folders.py [--count 150] [--first 0] [--seed 0] [--only KIND ...]

A small experiment is trained once. Each case copies it, damages one file (cut, empty, a list, a number, nested 100,000
deep, UTF-16, a BOM, keys missing or of other types, huge numbers, a fifo, a folder, a link to a device, no
permission) and runs `lab compare`, `lab train` again, `lab plan`, `lab predict` and what `lab board` prepares, each in
limited time. What may not happen: a traceback, a hang, an exit code other than 0, 1 and 2, or a changed byte in the
files of the other runs. Exit code 1 if it does.

Permissions mean nothing to root, whose cases without permission are left out; root can do without its privilege:
`setpriv --bounding-set=-dac_override,-dac_read_search python benchmarks/damaged_folders.py`.
"""

import argparse
import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

SMALL = [
    *("train.steps=4", "data.limit=60", "train.batch_size=8", "train.eval_every=0.3", "train.eval_limit=20"),
    *("model.depth=2", "model.widths=[4]", "train.pictures=0", "train.threads=1", "name=e", "train.checkpoint_every=0"),
]
CLAIMS = "study.claims=[{say: relu wins, higher: {model.act: relu}, than: {model.act: tanh}}]"

OF_RUN = ("result.json", "metrics.jsonl", "config.yaml", "checkpoint.pt", "predictions.npz", "events")
OF_EXPERIMENT = (
    "study.json",
    "looks.json",
    "tune.json",
    "checked.json",
    "design.json",
    "verdict.json",
    "table.csv",
    ".lab-report.json",
)

VALUES: list[Any] = [
    None,
    7,
    -1,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "text",
    "",
    [],
    [[]],
    {},
    True,
    {"a": {"b": 1}},
]


def whole(content: bytes, rng: random.Random) -> bytes:
    """A file of another kind altogether."""
    return rng.choice(
        [
            *(b"", b"\n", b"[1, 2]", b"7", b"null", b'"finished"', b"{}", b"[" * 100_000, b"{" + b'"a":{' * 100_000),
            *(
                b"- " * 100_000 + b"a",
                b"a: &a [*a]",
                b"!!python/object/apply:os.system ['true']",
                bytes(range(256)) * 40,
            ),
            *(b"\xef\xbb\xbf" + content, content.decode(errors="replace").encode("utf-16"), b'{"loss": 0.1}\n' * 3),
            *(b"NaN", b"1e999", b"9" * 5000, b"step,loss\n1,2\n", b"PK\x03\x04 no archive"),
        ]
    )


def cut(content: bytes, rng: random.Random) -> bytes:
    """The first part alone."""
    return content[: rng.randrange(max(1, len(content)))]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed."""
    found = bytearray(content)
    for _ in range(min(len(found), rng.choice([1, 5, 50]))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def altered(content: bytes, rng: random.Random) -> bytes:
    """JSON, or lines of it, with keys missing, or values of other types and sizes somewhere inside."""
    lines = (
        content.decode(errors="replace").splitlines() if content.count(b"\n{") else [content.decode(errors="replace")]
    )
    try:
        found = [json.loads(line) for line in lines]
    except ValueError:
        return flipped(content, rng)
    for _ in range(rng.choice([1, 1, 2, 4])):
        holder: Any = rng.choice(found)
        while isinstance(holder, dict) and holder:
            key = rng.choice(list(holder))
            if isinstance(holder[key], dict) and holder[key] and rng.random() < 0.6:
                holder = holder[key]
            elif rng.random() < 0.3:
                del holder[key]
                break
            else:
                holder[key] = rng.choice(VALUES)
                break
    return "\n".join(json.dumps(one) for one in found).encode()


DAMAGES: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    "whole": whole,
    "cut": cut,
    "flipped": flipped,
    "altered": altered,
}

PLACES: Mapping[str, Callable[[Path], Any]] = {
    "fifo": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
    "loop": lambda path: path.symlink_to(path.name),
    "gone": lambda path: None,
}
"""What may stand in a file's place."""


MODES = {"sealed": 0, "read-only": 0o400}
"""Permissions of a file."""

MODES_OF_FOLDERS = {"in a sealed folder": 0, "in a read-only folder": 0o500, "in an unlisted folder": 0o300}
"""Permissions of the folder that it is in."""


def permissions_count(folder: Path) -> bool:
    """Whether this process is refused what the permissions of a file do not allow."""
    probe = folder / "probe"
    probe.touch(0)
    return not os.access(probe, os.R_OK)


def open_again(folder: Path) -> None:
    """Gives back all permissions under `folder`, its own first."""
    for parent, names, files in os.walk(folder):
        for name in (*names, *files):
            if not os.path.islink(path := os.path.join(parent, name)):
                os.chmod(path, 0o700)


def damage(path: Path, kind: str, rng: random.Random) -> None:
    """Does to the file `path` what `kind` says."""
    content = path.read_bytes() if path.exists() else b"{}"
    if kind in MODES or kind in MODES_OF_FOLDERS:
        path.write_bytes(content)
        (path if kind in MODES else path.parent).chmod((MODES | MODES_OF_FOLDERS)[kind])
        return
    path.unlink(missing_ok=True)
    if kind in PLACES:
        PLACES[kind](path)
    else:
        path.write_bytes(DAMAGES[kind](content, rng))


def make(root: Path) -> None:
    """The experiment in `root`/outputs/e: two arms with two seeds, compared, and with a tuning and a design beside."""
    import lab.runs.preload
    import lab.runs.run
    import lab.studies.report.page  # noqa: F401
    from lab.records.design import Design, write_design
    from lab.records.tuning import Tuning, write_tuning

    with working_in(root):
        code, said = call("train", [*SMALL, "model.act=relu,tanh", "seed=0,1", "jobs=1", CLAIMS], 300)
        assert code == 0, said
        experiment = root / "outputs" / "e"
        write_tuning(experiment, Tuning(["optimizer.lr"], "val/accuracy", [1_000_000], [], []))
        write_design(experiment, Design(20, (3, 20), [[0.01, 0.04]], [], []))
        (experiment / "design.json").rename(experiment / "design.json.kept")  # a design would change all other cases


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Works in `folder`."""
    with contextlib.chdir(folder):
        yield


class TooLongError(BaseException):
    """A verb did not end in time."""


def call(verb: str, words: list[str], seconds: int = 100) -> tuple[int | str, str]:
    """(exit code, or what else came), and all that was printed."""
    from lab.cli.main import main

    def late(*args: object) -> None:
        raise TooLongError

    said = io.StringIO()
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), mock.patch("os.execv"):
            code: int | str = main([verb, *words]) or 0
    except TooLongError:
        code = "hang"
    except BaseException:
        code = "traceback"
        said.write(traceback.format_exc())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return code, said.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    """All regular files under `folder` that no report writes."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def verbs(experiment: Path, run: Path) -> dict[str, list[str]]:
    """What is tried on each damaged folder."""
    again = [
        *SMALL,
        f"model.act={'relu' if 'relu' in str(run) else 'tanh'}",
        f"seed={run.name[-1]}",
        f"out={experiment.parent}",
    ]
    return {
        "compare": [str(experiment)],
        "plan": again,
        "predict": [str(run), "--passes", "1", "--device", "cpu"],
        "board": [str(experiment)],
        "train": again,
    }


def case(template: Path, folder: Path, seed: int, number: int, kinds: Sequence[str]) -> tuple[str, list[str]]:
    """Which damage of `kinds` was done, and what went wrong: nothing, as a rule."""
    rng = random.Random(f"{seed}/{number}")
    shutil.copytree(template, folder)
    experiment = folder / "outputs" / "e"
    runs = sorted(experiment.glob("*/seed=*"))
    run = rng.choice(runs)
    name = rng.choice([*OF_RUN, *OF_RUN, *OF_EXPERIMENT])
    path = run / name if name in OF_RUN else experiment / name
    if name == "events":
        path = next(run.glob("events*"))
    if name == "design.json":
        (experiment / "design.json.kept").rename(path)
    kind = rng.choice(kinds)
    named = str(path.parent) if kind in MODES_OF_FOLDERS else path.name
    others = {str(one): contents(one) for one in runs if one != run}
    damage(path, kind, rng)
    wrong = []
    for verb, words in verbs(experiment, run).items():
        with working_in(folder):
            code, said = call(verb, words)
        if code not in (0, 1, 2) or "Traceback" in said:
            wrong.append(f"{verb}: {code}: {said[-700:]}")
        elif code and named not in said and str(run) not in said and "no finished run" not in said:
            wrong.append(f"{verb}: {code}, without the file's name: {said[-300:]}")
        elif code == 1:
            wrong.append(f"{verb}: exit code 1: {said[-300:]}")
        if re.search(r"ConstructorError|could not determine a constructor|object at 0x", said):
            wrong.append(f"{verb}: internals: {said[-300:]}")
    open_again(folder)
    if {place: contents(Path(place)) for place in others} != others:
        wrong.append("another run's files have changed")
    return f"{name} {kind}", wrong


def main() -> int:
    """Exit code 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=150, help="damaged folders (150)")
    parser.add_argument("--first", type=int, default=0, help="number of the first (0)")
    parser.add_argument("--seed", type=int, default=0)
    everything = [*DAMAGES, *DAMAGES, *DAMAGES, *PLACES, *MODES, *MODES_OF_FOLDERS]
    parser.add_argument("--only", nargs="+", choices=list(dict.fromkeys(everything)), default=everything)
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        kinds = list(args.only)
        if not permissions_count(root):
            kinds = [kind for kind in kinds if kind not in MODES and kind not in MODES_OF_FOLDERS]
            print("cases without permission are left out: this process may read and write everything", flush=True)
        (root / "template").mkdir()
        make(root / "template")
        for number in range(args.first, args.first + args.count):
            name, wrong = case(root / "template", root / str(number), args.seed, number, kinds)
            shutil.rmtree(root / str(number))
            counts["wrong" if wrong else "well"] += 1
            for line in wrong:
                print(f"{number} ({name}): {line}", flush=True)
    print(f"{args.count} damaged folders, five verbs each: {counts['well']} well, {counts['wrong']} not")
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
