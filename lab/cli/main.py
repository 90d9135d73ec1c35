"""The verbs of the command line: each parses its words and calls the library.

Next to nothing is imported up here: until `main` begins, Ctrl-C would print the imports that it ended.
"""

import os
import sys
from collections.abc import Callable

from lab.system.signals import INTERRUPTED, leave_on_interrupt, say_interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

USAGE = """lab VERB ...

Architecture choices compared, so that the comparison can be believed.

  lab train [OVERRIDES]            one run; with commas a sweep; experiment=NAME a whole experiment
  lab plan [OVERRIDES]             what lab train would do, for how long, and what that can decide
  lab lint [OVERRIDES]             what is wrong with a net before it trains; --module for any torch module
  lab probe [OVERRIDES]            signals and gradients at the start, layer by layer: theory beside measurement
  lab lr-range [OVERRIDES]         the learning-rate range test: curve, plot, suggestion
  lab compare DIR [--by KEY ...]   the table, the tests and the verdicts of the runs under DIR
  lab new NAME --arms "A: KEY=VALUE"  an experiment of your own: configuration, claims, notes
  lab page NAME --from DIR         its page in the notebook, from results and notes; --all, --check
  lab ls [DIR]                     experiments and runs: state, verdicts, date, size; --sort, --state, --metric
  lab show PATH                    what a run or an experiment was, how it went, how to repeat it
  lab status [DIR]                 what is being trained at this moment, how far it is, and for how long
  lab cancel [DIR]                 end the tasks that were submitted to a cluster; their runs keep what they have
  lab rm PATH ...                  remove runs or experiments, after a question; never one that is being trained
  lab archive DIR ...              pack experiments into .tar.gz files, and remove them after a question
  lab predict RUN [--passes 100]   a run's test images, with Monte-Carlo dropout intervals
  lab export RUN [--format onnx]   its net as a file for other programs, scaling inside, checked
  lab list [KIND [PREFIX]]         what can be chosen, by name; lab list keys explains the keys
  lab data fetch NAME ...          download and verify data sets ahead of time
  lab board DIR                    TensorBoard over DIR
  lab completion SHELL             the script with which bash, zsh or fish complete keys and names at TAB

  lab VERB --help                  more about a verb, with an example
"""

LONG = ("train", "lr-range", "predict")
"""Verbs that go on for long, whoever reads what they print."""


def main(argv: list[str] | None = None) -> int:
    """Runs one verb and returns the exit code: 0 done, 1 a run failed, 2 wrong input, 130 interrupted."""
    if argv is None:  # a command, and no test
        leave_on_interrupt()
    from lab.system.streams import lasting_streams

    words = sys.argv[1:] if argv is None else argv
    goes_on = words[:1] and words[0] in LONG and not {"--cfg", "--dry-run", "-n"} & set(words)
    with lasting_streams("nobody reads the output any more; the command goes on without it" if goes_on else "") as lost:
        return command(words) or lost()


def command(words: list[str]) -> int:
    """`main`, with streams that can be written."""
    from lab.errors import OF_PATHS, UserError, nearest
    from lab.system.machine import is_first_process

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
            return complete_verb(rest)
        if verb not in VERBS:
            raise UserError(f"lab has no verb '{verb[:80]}'{nearest(verb, VERBS)}; there are: {', '.join(VERBS)}")
        return VERBS[verb](rest)
    except UserError as error:
        # Under torchrun all say so: it ends the others at the first exit code, perhaps before rank 0 has spoken.
        print(f"lab{'' if is_first_process() else ' (another process)'}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        further = "; the same command goes on from the last checkpoint, or starts" if verb == "train" else ""
        say_interrupted(f"interrupted{further}")
        return INTERRUPTED
    except OSError as error:
        of_path, path = error.errno in OF_PATHS, error.filename2 or error.filename
        print(f"lab: {path}: {error.strerror}" if of_path and path else f"lab: {error}", file=sys.stderr)
        return UserError.exit_code if of_path else 1  # 1: a full disk, say


def parser(verb: str) -> "ArgumentParser":
    """What reads the words of `lab VERB`."""
    from lab.cli.parsers import PARSERS

    return PARSERS[verb]()


def train_verb(words: list[str]) -> int:
    """`lab train`: one run, or a sweep."""
    from lab.cli.train import train

    return train(words)


def plan_verb(words: list[str]) -> int:
    """`lab plan`: what `lab train` would do."""
    from lab.cli.options import read_options
    from lab.cli.plan import plan

    return plan(*read_options("plan", words))


def lint_verb(words: list[str]) -> int:
    """`lab lint`: one net, put to the rules."""
    from lab.cli.lint import lint
    from lab.cli.options import read_options

    return lint(*read_options("lint", words))


def probe_verb(words: list[str]) -> int:
    """`lab probe`: nets at their start."""
    from lab.cli.options import read_options
    from lab.cli.probe import probe

    return probe(*read_options("probe", words))


def lr_range_verb(words: list[str]) -> int:
    """`lab lr-range`: which rates a configuration can be trained with."""
    from lab.cli.options import read_options
    from lab.overrides.plan import one_job

    args, options = read_options("lr-range", words)
    job = one_job("lr-range", args.overrides, options)
    from lab.cli.lr_range import lr_range

    lr_range(job, args.low, args.high, args.steps)
    return 0


def compare_verb(words: list[str]) -> int:
    """`lab compare`: reads runs, trains none."""
    args = parser("compare").parse_args(words)
    from lab.studies.report.publish import compare_folders

    compare_folders(args.folders, args.by, args.metric, args.html, args.where, args.format, args.reference)
    return 0


def new_verb(words: list[str]) -> int:
    """`lab new`: configuration and notes of an experiment."""
    from lab.cli.new import new

    return new(parser("new").parse_args(words))


def page_verb(words: list[str]) -> int:
    """`lab page`: the notebook's pages."""
    from lab.cli.page import page

    return page(parser("page").parse_args(words))


def predict_verb(words: list[str]) -> int:
    """`lab predict`: a finished run's net on its test images."""
    args = parser("predict").parse_args(words)
    from lab.runs.predict import Disturbance, predict

    disturbance = Disturbance(args.noise, args.rotate)
    print(predict(args.run, args.passes, disturbance, args.limit, args.device, args.out, args.own_parts, args.best))
    return 0


def export_verb(words: list[str]) -> int:
    """`lab export`: a finished run's net as a file."""
    args = parser("export").parse_args(words)
    from lab.runs.export import export

    print(export(args.run, args.format, args.out, args.replace, args.own_parts, best=args.best))
    return 0


def list_verb(words: list[str]) -> int:
    """`lab list`: names, a line each."""
    from lab.cli.catalogue import render_names
    from lab.overrides.files import own_dir

    args = parser("list").parse_args(words)
    print(render_names(args.kind, args.prefix, own_dir(args.config_dir)), end="")
    return 0


def data_verb(words: list[str]) -> int:
    """`lab data fetch`: torchvision downloads and checks."""
    args = parser("data").parse_args(words)
    from lab.data.sources import fetch

    for name in args.names:
        print(f"{name}: {fetch(name, args.root)}")
    return 0


def board_verb(words: list[str]) -> int:
    """`lab board`: hands over to TensorBoard, which ends with exit code 0 at Ctrl-C, as a server does."""
    import argparse

    from lab.errors import UserError
    from lab.records.results import TRIALS
    from lab.records.tuning import trials_folder
    from lab.studies.report.board import means_query

    args, rest = parser("board").parse_known_args(words)
    if not args.folder.is_dir():
        raise UserError(f"{args.folder} is not a folder; 'lab train' writes its runs under outputs/<name>")
    command = [sys.executable, "-P", "-m", "lab.cli.board", "--logdir", str(args.folder), *rest]
    ports = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    ports.add_argument("--port", default="6006")
    port = ports.parse_known_args(rest)[0].port
    if TRIALS in args.folder.absolute().parts:
        print(f"tuning trials: http://localhost:{port}/#timeseries", flush=True)
    else:
        trials = next(args.folder.rglob(TRIALS), None)
        if trials is not None:
            print(f"the runs of {trials} are tuning trials; the run filter ^(?!.*{TRIALS}/) hides them", flush=True)
        elif trials := trials_folder(args.folder):
            print(f"its tuning trials: lab board {trials}", flush=True)
        # Last: TensorBoard's own lines follow, and whoever reads the end of them all finds it.
        print(f"means of the arms, a colour each: http://localhost:{port}/{means_query()}", flush=True)
    os.execv(sys.executable, command)


def shelf_verb(verb: str) -> Callable[[list[str]], int]:
    """`lab ls`, `show`, `status`, `cancel`, `rm` and `archive`: what lies in the outputs."""

    def run(words: list[str]) -> int:
        from lab.cli import shelf

        return getattr(shelf, f"{verb}_verb")(parser(verb).parse_args(words))

    return run


def completion_verb(words: list[str]) -> int:
    """`lab completion`: a script for the shell."""
    from lab.cli.scripts import script

    print(script(parser("completion").parse_args(words).shell), end="")
    return 0


def complete_verb(words: list[str]) -> int:
    """`lab _complete`: a line for each way on; exit code `FILES` where a path is meant."""
    from lab.cli.completion import FILES, candidates

    found = candidates(words, VERBS)
    if found is None:
        return FILES
    print("".join(f"{one}\n" for one in found), end="")
    return 0


VERBS: dict[str, Callable[[list[str]], int]] = {
    "train": train_verb,
    "plan": plan_verb,
    "lint": lint_verb,
    "probe": probe_verb,
    "lr-range": lr_range_verb,
    "compare": compare_verb,
    "new": new_verb,
    "page": page_verb,
    "predict": predict_verb,
    "export": export_verb,
    "list": list_verb,
    "data": data_verb,
    "board": board_verb,
    "ls": shelf_verb("ls"),
    "show": shelf_verb("show"),
    "status": shelf_verb("status"),
    "cancel": shelf_verb("cancel"),
    "rm": shelf_verb("rm"),
    "archive": shelf_verb("archive"),
    "completion": completion_verb,
}
