"""The verbs of the command line: each parses its words and calls the library. Nothing heavy is imported up here."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from lab.errors import UserError, nearest
from lab.system.machine import is_first_process

USAGE = """lab VERB ...

Architecture choices compared, so that the comparison can be believed.

  lab train [OVERRIDES]            one run; with commas a sweep; experiment=NAME a whole experiment
  lab lr-range [OVERRIDES]         the learning-rate range test: curve, plot, suggestion
  lab compare DIR [--by KEY ...]   the table, the tests and the verdicts of the runs under DIR
  lab predict RUN [--passes 100]   a run's test images, with Monte-Carlo dropout intervals
  lab list [KIND [PREFIX]]         what can be chosen, by name; lab list keys explains the keys
  lab data fetch NAME ...          download and verify data sets ahead of time
  lab board DIR                    TensorBoard over DIR
  lab completion SHELL             the script with which bash, zsh or fish complete keys and names at TAB

  lab VERB --help                  more about a verb, with an example
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one verb and returns the exit code: 0 done, 1 a run failed, 2 wrong input, 130 interrupted."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    verb, rest = words[0], words[1:]
    try:
        if verb == "--version":
            from lab import __version__

            print(f"lab {__version__}")
            return 0
        if verb == "_complete":  # what the scripts of `lab completion` ask at TAB
            return complete(rest)
        if verb not in VERBS:
            raise UserError(f"lab has no verb '{verb}'{nearest(verb, VERBS)}; there are: {', '.join(VERBS)}")
        # A user's own parts, `module:attribute`, are looked for in the working directory, as with `python -m lab`.
        sys.path.insert(0, os.getcwd())
        return VERBS[verb](rest)
    except UserError as error:
        # Under torchrun all say so: it ends the others at the first exit code, perhaps before rank 0 has spoken.
        print(f"lab{'' if is_first_process() else ' (another process)'}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `lab list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a folder without permission
        print(f"lab: {error}", file=sys.stderr)
        return 1


def train(words: list[str]) -> int:
    """`lab train`: a Hydra application."""
    from lab.cli.train import train

    return train(words)


def lr_range(words: list[str]) -> int:
    """`lab lr-range`: which rates a configuration can be trained with."""
    parser = _parser(
        "lr-range",
        "Trains for some steps while the rate rises exponentially, until the loss blows up; suggests a rate and\n"
        "draws the curve (Smith 2017). Every other key acts as in `lab train`; the schedule is left aside.",
        "lab lr-range optimizer=sgd model.depth=5 --high 1",
    )
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help="key=value, as for lab train; no sweep")
    parser.add_argument("--low", metavar="RATE", default=1e-7, type=float, help="first rate, above 0 (1e-7)")
    parser.add_argument("--high", metavar="RATE", default=10.0, type=float, help="last rate, above --low (10)")
    parser.add_argument("--steps", metavar="N", default=200, type=int, help="steps between them, at least 10 (200)")
    args = parser.parse_intermixed_args(words)
    from lab.cli.compose import one_job

    job = one_job("lr-range", args.overrides)
    from lab.cli.lr_range import lr_range

    lr_range(job, args.low, args.high, args.steps)
    return 0


def compare(words: list[str]) -> int:
    """`lab compare`: reads runs, trains none."""
    parser = _parser(
        "compare",
        "The table, the tests and the verdicts of the runs under DIR; writes report.html, table.csv and verdict.json.",
        "lab compare outputs/xavier_vs_he --by model.init model.depth",
    )
    parser.add_argument("folders", metavar="DIR", nargs="+", type=Path, help="a folder with runs, as outputs/NAME")
    parser.add_argument("--by", metavar="KEY", nargs="+", help="the keys that make an arm (those that differ)")
    parser.add_argument(
        "--metric", metavar="NAME", help="what is compared (the study's own, else val/accuracy or val/rmse)"
    )
    parser.add_argument(
        "--where", metavar="KEY=VALUE", nargs="+", default=[], help="only these runs; the files of DIR stay as they are"
    )
    parser.add_argument(
        "--reference", metavar="KEY=VALUE", nargs="+", default=[], help="the arm to compare with (the study's own)"
    )
    parser.add_argument("--format", metavar="FORM", default="text", help="how it is printed: text, md, csv or json")
    parser.add_argument("--html", metavar="FILE", type=Path, help="where the report goes (DIR/report.html)")
    args = parser.parse_args(words)
    from lab.studies.report.publish import compare_folders

    compare_folders(args.folders, args.by, args.metric, args.html, args.where, args.format, args.reference)
    return 0


def predict(words: list[str]) -> int:
    """`lab predict`: a finished run's net on its test images."""
    parser = _parser(
        "predict",
        "Predicts the test images of a finished run, many times with its drops active, and writes a row per image:\n"
        "mean probability, interval, entropy, mutual information (Monte-Carlo dropout, Gal and Ghahramani 2016).",
        "lab predict outputs/scratch/drop_rate=0.2-6efc2e4d/seed=0 --passes 100 --noise 0.5",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="the folder of a run, or one that holds only it")
    parser.add_argument("--passes", type=int, default=100, help="passes; 1 is plain, with the drops off (100)")
    parser.add_argument("--noise", metavar="S", type=float, default=0.0, help="add N(0, S^2) to the scaled images (0)")
    parser.add_argument("--rotate", metavar="DEG", type=float, default=0.0, help="rotate counter-clockwise (0)")
    parser.add_argument("--limit", metavar="N", type=int, help="predict only N of the images (all)")
    parser.add_argument("--device", default="auto", help="as train.device (auto)")
    parser.add_argument("--out", metavar="FILE.csv", type=Path, help="where the rows go (RUN/predictions.csv)")
    args = parser.parse_args(words)
    from lab.runs.predict import Disturbance, predict

    disturbance = Disturbance(args.noise, args.rotate)
    print(predict(args.run, args.passes, disturbance, args.limit, args.device, args.out))
    return 0


def show(words: list[str]) -> int:
    """`lab list`: names, a line each."""
    from lab.cli.catalogue import KINDS, render

    parser = _parser("list", "What can be chosen, a line each; the keys with their meaning.", "lab list keys schedule")
    parser.add_argument("kind", metavar="KIND", nargs="?", help=f"one of: {', '.join(KINDS)}")
    parser.add_argument("prefix", metavar="PREFIX", nargs="?", default="", help="only what starts so, as model.init")
    args = parser.parse_args(words)
    print(render(args.kind, args.prefix), end="")
    return 0


def data(words: list[str]) -> int:
    """`lab data fetch`: torchvision downloads and checks."""
    parser = _parser("data", "Downloads and verifies data sets ahead of time.", "lab data fetch mnist --root data")
    parser.add_argument("action", choices=["fetch"])
    parser.add_argument(
        "names", metavar="NAME", nargs="+", help="mnist, cifar10, fashion_mnist, kmnist, cifar100, svhn"
    )
    parser.add_argument("--root", default=Path("data"), type=Path, help="the folder of data sets (data)")
    args = parser.parse_args(words)
    from lab.data.sources import fetch

    for name in args.names:
        print(f"{name}: {fetch(name, args.root)}")
    return 0


def board(words: list[str]) -> int:
    """`lab board`: hands over to TensorBoard."""
    from lab.records.results import TRIALS
    from lab.studies.report.board import means_query

    parser = _parser(
        "board",
        "TensorBoard over DIR; further words go to it. Trials of a tuning are left out, unless DIR is NAME/_tune.",
        "lab board outputs/xavier_vs_he",
    )
    parser.add_argument("folder", metavar="DIR", type=Path)
    args, rest = parser.parse_known_args(words)
    if not args.folder.is_dir():
        raise UserError(f"{args.folder} is not a folder; 'lab train' writes its runs under outputs/<name>")
    trials = next(args.folder.rglob(TRIALS), None)
    program = ["tensorboard.main"] if trials is None else ["lab.cli.board", "--load_fast=false"]
    command = [sys.executable, "-m", *program, "--logdir", str(args.folder), *rest]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--port", default="6006")
    port = parser.parse_known_args(rest)[0].port
    if TRIALS in args.folder.absolute().parts:
        print(f"trials of a tuning: http://localhost:{port}/#timeseries", flush=True)
    else:
        print(f"means of the arms, a colour each: http://localhost:{port}/{means_query()}", flush=True)
    if trials is not None:
        print(f"the trials of the tuning are left out; they have a board of their own: lab board {trials}", flush=True)
    os.execv(sys.executable, command)


def completion(words: list[str]) -> int:
    """`lab completion`: a script for the shell."""
    from lab.cli.completion import SCRIPTS, script

    parser = _parser(
        "completion",
        "The script with which a shell completes verbs, keys and names at TAB.",
        'eval "$(lab completion bash)"',
    )
    parser.add_argument("shell", metavar="SHELL", help=f"one of: {', '.join(SCRIPTS)}")
    print(script(parser.parse_args(words).shell), end="")
    return 0


def complete(words: list[str]) -> int:
    """`lab _complete`: a line for each way on; exit code `FILES` where a path is meant."""
    from lab.cli.completion import FILES, candidates

    found = candidates(words, VERBS)
    if found is None:
        return FILES
    print("".join(f"{one}\n" for one in found), end="")
    return 0


VERBS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "lr-range": lr_range,
    "compare": compare,
    "predict": predict,
    "list": show,
    "data": data,
    "board": board,
    "completion": completion,
}


def _parser(verb: str, description: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"lab {verb}",
        description=description,
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
