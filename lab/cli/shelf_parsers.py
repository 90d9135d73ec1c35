"""What the verbs take that list, show, remove and archive results."""

import argparse
from collections.abc import Callable
from pathlib import Path

from lab.cli.parser import parser_of

SORTS = ("name", "date", "state", "size", "runs", "metric")
"""By what `lab ls` sorts."""


def take_outputs(parser: argparse.ArgumentParser) -> None:
    """A folder of outputs, `outputs` if none is named."""
    parser.add_argument("folder", metavar="DIR", type=Path, nargs="?", default=Path("outputs"), help="(outputs)")


def ls_parser() -> argparse.ArgumentParser:
    """Of `lab ls`."""
    parser = parser_of(
        "ls",
        "Lists experiments, a line each: states of their runs, verdicts, date of the last run (UTC), size. Of the\n"
        "folder of one experiment, or with --runs, each run.",
        "lab ls outputs/xavier_vs_he --metric val/accuracy --sort metric",
    )
    parser.add_argument("folders", metavar="DIR", type=Path, nargs="*", default=[Path("outputs")], help="(outputs)")
    parser.add_argument("--runs", action="store_true", help="a line for each run")
    parser.add_argument("--sort", metavar="BY", default="name", help=f"one of: {', '.join(SORTS)} (name)")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--state", metavar="STATE", nargs="+", default=[], help="only runs in these states")
    parser.add_argument("--metric", metavar="TAG", default="", help="with runs: its last value, as val/accuracy")
    parser.add_argument("--format", metavar="FORM", default="text", help="how it is printed: text or json")
    return parser


def show_parser() -> argparse.ArgumentParser:
    """Of `lab show`."""
    parser = parser_of(
        "show",
        "What a run was and how it went: how it differs from the defaults, its end, its metrics, the machine, and the\n"
        "command that repeats it. Of an experiment: question, runs by arm, verdicts as last judged.",
        "lab show outputs/xavier_vs_he",
    )
    parser.add_argument("path", metavar="PATH", type=Path, help="folder of a run, an arm or an experiment")
    return parser


def status_parser() -> argparse.ArgumentParser:
    """Of `lab status`."""
    parser = parser_of(
        "status",
        "What is being trained at this moment anywhere under DIR, by which process, how far it is, and how long it\n"
        "will still take at its pace; and what was submitted to a cluster.",
        "lab status",
    )
    take_outputs(parser)
    parser.add_argument("--format", metavar="FORM", default="text", help="how it is printed: text or json")
    return parser


def cancel_parser() -> argparse.ArgumentParser:
    """Of `lab cancel`."""
    parser = parser_of(
        "cancel",
        "Ends the tasks of experiments in DIR that were submitted to a cluster (on=slurm, on=ray). Runs under way\n"
        "write a checkpoint, and the command that submitted them goes on from there.",
        "lab cancel outputs/xavier_vs_he",
    )
    take_outputs(parser)
    return parser


def rm_parser() -> argparse.ArgumentParser:
    """Of `lab rm`."""
    parser = parser_of(
        "rm",
        "Removes runs, arms or whole experiments with their tuning trials, after a question. Files that the lab has\n"
        "not written stay, and nothing is removed while one of the runs is being trained.",
        "lab rm outputs/scratch",
    )
    parser.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="folders of runs, arms or experiments")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    return parser


def archive_parser() -> argparse.ArgumentParser:
    """Of `lab archive`."""
    parser = parser_of(
        "archive",
        "Packs each experiment into NAME.tar.gz beside it, reads that again, and removes the experiment after a\n"
        "question. Unpacked, `tar xzf NAME.tar.gz`, it is where it was.",
        "lab archive outputs/norm_place --to archive",
    )
    parser.add_argument("folders", metavar="DIR", type=Path, nargs="+", help="folders of experiments")
    parser.add_argument("--to", metavar="FOLDER", type=Path, help="where the files go (beside the experiment)")
    parser.add_argument("--keep", action="store_true", help="pack only: do not ask, remove nothing")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask, remove what is packed")
    return parser


OF_SHELF: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "ls": ls_parser,
    "show": show_parser,
    "status": status_parser,
    "cancel": cancel_parser,
    "rm": rm_parser,
    "archive": archive_parser,
}
"""Of each of these verbs."""
