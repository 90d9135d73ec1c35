"""Hostile command lines: each has to work, or to end with one message of the lab and exit code 2.

    python benchmarks/fuzz_words.py --lines 400 --seed 0

Draws command lines from keys, values and forms that go wrong easily (brackets, quotes, commas, other alphabets,
numbers out of range, habits of Hydra, broken files of the user's), and gives each to `lab.cli.main.main` in a worker
process with a time limit. Nothing is trained: `lab train` stops where its runs would start. Prints how many
lines worked, how many ended with a message, and every other line with what it did.
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lab.validation import all_keys

LIMIT = 30
"""Seconds that a line may take."""

GROUPS = ("data", "model", "optimizer", "schedule", "train", "experiment")

VALUES = (
    *(
        "",
        " ",
        ",",
        ",,",
        "a,",
        ",a",
        "a,,b",
        "null",
        "None",
        "~",
        "true",
        "1",
        "0",
        "-1",
        "0.5",
        "1e5",
        ".001",
        "1_000",
    ),
    *(
        "0x10",
        "1e400",
        "nan",
        "-inf",
        "9" * 30,
        "9" * 5000,
        "2024_01_05",
        "2024-01-05",
        "1:30",
        "[",
        "]",
        "{",
        "}",
        "(",
    ),
    *("[]", "{}", "[[", "[1,2", "1,2]", "[1,,2]", "[1,2]x", "{a", "{a:}", "{:b}", "{a:b", "{a:b,a:c}", "[" * 200, "'"),
    *(
        '"',
        "'a",
        'a"b',
        "it's",
        "'a,b'",
        '"a","b"',
        "\\",
        "a\\",
        "\\'",
        "\u00fc",
        "\u65e5\u672c",
        "\U0001f98a",
        "\u0430",
        "\u200b",
        "a\tb",
        "a\nb",
    ),
    *("\x00", "\x1b[31m", "\ud800", "a b", "(1)", "#", "a#b", "=", "==", "a=b", "$", "$HOME", "${seed}", "${oc.env:X}"),
    *("${a", "run_${seed}", "a:b", "os:system", ":", "::", "a:", "../x", "/", ".", "..", "x" * 100_000, "range(3)"),
    *("range(0)", "range(3,3)", "range(0,10000000)", "range(0,1e30)", "range(1,2,0)", "range(a)", "range()", "range(1"),
    *("choice(a,b)", "choice()", "choice(1,choice(2,3))", "glob(*)", "glob(*elu)", "glob(zzz*)", "interval(0,1)"),
    *(
        "sort(b,a)",
        "shuffle(a,b)",
        "tag(a,b)",
        "int(3)",
        "str(3)",
        "relu,tanh",
        "relu",
        "0,1",
        "3,5",
        "!!python/name:os",
    ),
    *(
        "[8,16],[32]",
        "{model.act:tanh}",
        "{optimizer.lr:[0.1,1]}",
        "[{say: s}]",
        "[a,b]",
        "<<",
        "&a",
        "*a",
        "|",
        ">",
        "%",
    ),
    *(
        "--",
        "-m",
        "@package",
        "a@b",
        "resnet",
        "default,smoke",
        "xavier_vs_he",
        "null,speedrun",
        "twonet:Net",
        "*.yaml",
    ),
)

FORMS = ("{k}={v}",) * 8 + ("+{k}={v}", "++{k}={v}", "~{k}={v}", "~{k}", "{k}", "={v}", "{k}@x={v}", "{k}.x={v}", "{v}")

HABITS = (
    *(
        "hydra.sweeper.params={a:1}",
        "hydra/launcher=joblib",
        "hydra/sweeper=basic",
        "hydra.run.dir=x",
        "hydra.mode=MULTIRUN",
    ),
    *(
        "hydra.job.name=x",
        "hydra.searchpath=[file://x]",
        "hydra=x",
        "hydra.=x",
        "hydra/=x",
        "hydra/a/b=c",
        "+hydra.x=1",
    ),
    *("--info", "--hydra-help", "--shell-completion", "--experimental-rerun=x", "--config-path=x", "--config-name=x"),
    *(
        "--config-dir=",
        "--config-dir=nowhere",
        "--package=x",
        "--cfg=all",
        "--cfg=job",
        "--multirun",
        "-m",
        "-r",
        "--run",
    ),
    *("--resolve", "--foo", "-x", "-", "--", "--=", "experiment@_global_=null", "/model=resnet", "model/=resnet"),
    *("seeds=auto", "seeds=0", "seeds=+2", "seeds=-1", "seeds=1e3", "seeds=", "seeds=9999999", "seeds=" + "9" * 4999),
)

FILES = (
    "name: {v}\n",
    "name: !!python/object/apply:os.system [{v}]\n",
    "train:\n\tsteps: 3\n",
    "train: {{steps: {v}}}\n",
    "train:\n  steps: 1\n  steps: {v}\n",
    "{v}\n",
    "- {v}\n",
    "{v}: 3\n",
    "model:\n  act: {v}\n  widths: {v}\n",
    "defaults:\n  - {v}\nname: a\n",
    "defaults:\n  - override /model: {v}\n",
    "defaults: {v}\n",
    "hydra: {v}\n",
    "hydra: {{mode: MULTIRUN, sweeper: {{params: {{model.act: {v}}}}}}}\n",
    "hydra: {{sweeper: {{params: {v}}}}}\n",
    "study: {{claims: {v}, reference: {v}}}\n",
    "optimizer: {{lr: '{v}'}}\n",
)

FOREIGN = re.compile(
    "Traceback|omegaconf|mismatched input|token recognition|Lexer|NoViableAlt|Key '.*' (is )?not in|reference_type|"
    "full_key|object_type|ConfigComposition|Exception|Error\\b|hydra\\.cc|HYDRA_FULL|Interpolation|extraneous input|"
    "no viable alternative|could not be converted|ConfigKey|ListConfig|DictConfig|antlr"
)
"""What the libraries beneath say, and no user should read."""

NOTES = ("note: ", "  ")
"""How lines begin that may stand beside the message: notes, and the items of a message about several things."""


class Late(BaseException):
    """The time is up; no `Exception`, so that nothing takes it for its own."""


def lines(number: int, seed: int, folder: Path) -> list[list[str]]:
    """`number` command lines; files of the user's that they name are written into `folder`."""
    draw, found = random.Random(seed), list[list[str]]()
    keys = (
        *all_keys(),
        *GROUPS,
        "",
        "x",
        "model",
        "model.",
        ".",
        "data.rot",
        "study.reference.a",
        "\u00fc.\u00fc",
        "a b",
        "k" * 9999,
    )
    while len(found) < number:
        kind = draw.random()
        words = [
            draw.choice(FORMS).format(k=draw.choice(keys), v=draw.choice(VALUES)) for _ in range(draw.randint(1, 3))
        ]
        if kind < 0.2:
            words = [draw.choice(HABITS), *words[: draw.randint(0, 1)]]
        elif kind < 0.45:
            words = ["--config-dir", own_file(draw, folder, len(found)), f"experiment=own{len(found)}"]
        found.append([draw.choice(("train", "train", "plan", "lr-range")), *words])
    return found


def own_file(draw: random.Random, folder: Path, number: int) -> str:
    """The folder of one experiment's file that is wrong in one way or another."""
    path = folder / f"own{number}" / "experiment" / f"own{number}.yaml"
    path.parent.mkdir(parents=True)
    header = "# @package _global_\n" if draw.random() < 0.9 else draw.choice(("", "# @package model\n", "# @package\n"))
    content = (header + draw.choice(FILES).format(v=draw.choice(VALUES))).encode(errors="surrogatepass")
    if draw.random() < 0.1:
        content = content.decode(errors="replace").encode(draw.choice(("utf-16", "utf-8-sig", "utf-32")))
    path.write_bytes(content)
    return str(path.parent.parent)


def tried(words: list[str]) -> tuple[str, str]:
    """What a command line did: `works`, `message`, or anything else; and what it printed."""
    import lab.cli.lr_range
    import lab.cli.train
    from lab.cli.main import main

    lab.cli.train._start = lambda jobs, auto: 0
    lab.cli.lr_range.lr_range = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    except SystemExit as error:
        code = error.code
    except Late:
        return "late", ""
    except BaseException:
        return "traceback", traceback.format_exc(limit=-4)
    said = err.getvalue()
    first, *rest = [line for line in said.splitlines() if not line.startswith("note: ")] or [""]
    if FOREIGN.search(said + out.getvalue()):
        return "foreign text", said
    if code == 0 and not first:
        return "works", said
    if code == 2 and first.startswith("lab: ") and all(line.startswith(NOTES) for line in rest) and len(said) < 20_000:
        return "message", said
    return f"exit code {code}", said


def timed(words: list[str]) -> tuple[list[str], str, str]:
    """`tried` with a time limit."""

    def ring(*_: object) -> None:
        raise Late

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(LIMIT)
    try:
        kind, said = tried(words)
    except Late:
        kind, said = "late", ""
    finally:
        signal.alarm(0)
    return words, kind, said


def fuzz(number: int, seed: int, jobs: int, tell: Callable[[str], None], everything: bool) -> Counter[str]:
    """How often command lines did what; those that neither worked nor ended with a message, or all, are told."""
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        found = Counter[str]()
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            for words, kind, said in pool.imap(timed, lines(number, seed, Path(scratch)), chunksize=8):
                found[kind] += 1
                if everything or kind not in ("works", "message"):
                    tell(f"{kind}: {ascii(words)[:300]}\n    {ascii(said)[:1200]}")
        os.chdir("/")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="print every line with what it did")
    args = parser.parse_args()
    found = fuzz(args.lines, args.seed, args.jobs, lambda text: print(text, flush=True), args.all)
    good = found["works"] + found["message"]
    print(f"{args.lines} command lines, seed {args.seed}: {good} as they should; {dict(found)}")
    sys.exit(good < args.lines)


if __name__ == "__main__":
    main()
