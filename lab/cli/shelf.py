"""`lab ls`, `lab show`, `lab status`, `lab cancel`, `lab rm` and `lab archive`: what lies in the outputs."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lab.cli.shelf_parsers import SORTS
from lab.errors import UserError, unknown
from lab.metric import parse_metric
from lab.records.batches import TASKS, read_batches
from lab.records.places import TERMINAL
from lab.records.removal import archive, remove
from lab.records.results import TRIALS
from lab.records.shelf import STATES, Entry, Experiment, arm_at, entry_at, experiments
from lab.records.tuning import trials_folder
from lab.studies.report.about import about_experiment, about_run, byte_text, date_text, progress, states_text
from lab.studies.report.align import aligned
from lab.studies.statistics.numerals import count, fixed

FORMS = ("text", "json")

T = TypeVar("T")


def ls_verb(args: argparse.Namespace) -> int:
    """A line for each experiment, or each run.

    Raises:
        UserError: a folder, state, form or order is none.
    """
    for given, what, names in ((args.sort, "--sort", SORTS), (args.format, "--format", FORMS)):
        check_name(given, what, names)
    for state in args.state:
        check_name(state, "--state", STATES)
    if args.metric:
        parse_metric(args.metric)
    found = [with_state(one, args.state) for folder in args.folders for one in experiments(folder)]
    found = [one for one in found if one.entries]
    if not found:
        where, states = ", ".join(map(str, args.folders)), " or ".join(args.state)
        print(f"no {f'{states} ' if states else ''}runs under {where}", file=sys.stderr)
        if args.format == "json":
            print("[]")
        return 0
    one_by_one = args.runs or args.metric or [one.path for one in found] == args.folders
    if one_by_one:
        entries = in_order([entry for one in found for entry in one.entries], run_order(args), args)
        rows = [run_facts(entry, args.metric) for entry in entries]
    else:
        rows = [experiment_facts(one) for one in in_order(found, experiment_order(args), args)]
    if args.format == "json":
        print(json.dumps(rows, indent=2))
        return 0
    texts = [{key: cell(key, value) for key, value in row.items()} for row in rows]
    print(*aligned(list(texts[0]), [list(row.values()) for row in texts], RIGHT | {args.metric}), sep="\n")
    return 0


def check_name(given: str, what: str, names: Sequence[str]) -> None:
    """Raises `UserError` unless `given` is one of `names`."""
    if given not in names:
        raise UserError(unknown(f"{what} {given}", given, names))


def with_state(experiment: Experiment, states: Sequence[str]) -> Experiment:
    """`experiment` with those of its runs that are in one of `states`; with all if there are none."""
    return Experiment(experiment.path, tuple(one for one in experiment.entries if not states or one.state in states))


RIGHT = {"arms", "seed", "step", "size"}
"""Columns of numbers."""


def experiment_facts(one: Experiment) -> dict[str, Any]:
    """What `lab ls` tells of an experiment."""
    return {
        "experiment": str(one.path),
        "arms": one.num_arms,
        "runs": one.states,
        "verdicts": one.verdicts,
        "last": date_text(one.date),
        "size": one.size,
    }


def run_facts(one: Entry, metric: str) -> dict[str, Any]:
    """What `lab ls` tells of a run."""
    step = one.run.result.get("steps") if one.run else one.rows[-1].get("step") if one.rows else None
    return {
        "run": str(one.path),
        "state": one.state,
        "step": step,
        **({metric: one.value(metric)} if metric else {}),
        "last": date_text(one.date),
        "size": one.size,
    }


def cell(key: str, value: Any) -> str:
    """A value of those facts as text."""
    if key == "size":
        return byte_text(value)
    if isinstance(value, dict):
        return states_text(value) or "-"
    if isinstance(value, float):
        return fixed(value, 4)
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def in_order(found: list[T], key: Callable[[T], Any] | None, args: argparse.Namespace) -> list[T]:
    """`found`, sorted by `key`, if there is one."""
    ordered = sorted(found, key=key) if key else found
    return ordered[::-1] if args.reverse else ordered


def experiment_order(args: argparse.Namespace) -> Callable[[Experiment], Any] | None:
    """By what experiments are sorted."""
    orders: dict[str, Callable[[Experiment], Any] | None] = {
        "name": None,
        "date": lambda one: one.date,
        "state": lambda one: [STATES.index(state) for state in one.states],
        "size": lambda one: one.size,
        "runs": lambda one: len(one.entries),
    }
    if args.sort not in orders:
        raise UserError("--sort metric: give the metric, --metric val/accuracy")
    return orders[args.sort]


def run_order(args: argparse.Namespace) -> Callable[[Entry], Any] | None:
    """By what runs are sorted; those without the metric come first."""
    if args.sort == "metric" and not args.metric:
        raise UserError("--sort metric: give the metric, --metric val/accuracy")
    if args.sort == "runs":
        raise UserError(f"--sort runs: orders experiments; runs take: {', '.join(set(SORTS) - {'runs'})}")

    def value(one: Entry) -> float:
        found = one.value(args.metric)
        return -math.inf if found is None else found

    orders: dict[str, Callable[[Entry], Any] | None] = {
        "name": None,
        "date": lambda one: one.date,
        "state": lambda one: STATES.index(one.state),
        "size": lambda one: one.size,
        "metric": value,
    }
    return orders[args.sort]


def show_verb(args: argparse.Namespace) -> int:
    """What a run or an experiment was."""
    if entry := entry_at(args.path):
        print(*about_run(entry), sep="\n")
        return 0
    found = experiments(args.path)
    if not found:
        raise UserError(f"{args.path} holds no run; 'lab ls' lists what there is")
    texts = ["\n".join(about_experiment(one)) for one in found]
    print("\n\n".join(texts))
    return 0


def status_verb(args: argparse.Namespace) -> int:
    """What is being trained."""
    check_name(args.format, "--format", FORMS)
    trials = trials_of(args.folder)
    there = [found for place in [args.folder, *trials] for found in experiments(place)]
    running = [one for found in there for one in found.entries]
    rows = [progress(entry) for entry in running if entry.holder]
    if args.format == "json":
        print(json.dumps(rows, indent=2))
    elif not rows:
        print(f"nothing is being trained under {args.folder}")
    else:
        print(*aligned(list(rows[0]), [[str(value) for value in row.values()] for row in rows]), sep="\n")
    if args.format == "text":
        print("".join(submitted_lines(there)), end="")
    return 0


def submitted_lines(found: Sequence[Experiment]) -> list[str]:
    """A line for each batch of tasks with runs that have not come to an end."""
    lines = []
    for one in found:
        states = {entry.path: entry.state for entry in one.entries}
        for batch in read_batches(one.path):
            folders = [one.path / folder for _, folder in batch.runs()]
            over = sum(states.get(folder) in TERMINAL for folder in folders)
            if over < len(folders) and not batch.cancelled:
                what = f"{count(len(folders), 'run')} submitted to {batch.scheduler} as {batch.job or batch.name}"
                lines.append(f"{one.path}: {what} at {batch.at}, {over} ended; lab cancel {one.path} ends the others")
    return [f"{line}\n" for line in lines]


def cancel_verb(args: argparse.Namespace) -> int:
    """Ends what was submitted.

    Raises:
        UserError: nothing was.
    """
    from lab.launch.clusters.cancel import cancel

    if not args.folder.is_dir():
        raise UserError(f"{args.folder} is not a folder; 'lab train' writes its runs under outputs/<name>")
    roots = sorted({path.parent for path in args.folder.glob(f"**/{TASKS}")})
    lines = [line for root in roots for line in cancel(root)]
    if not lines:
        raise UserError(f"nothing under {args.folder} was submitted to a cluster; 'lab status' shows what is trained")
    print(*lines, sep="\n")
    return 0


def trials_of(folder: Path) -> list[Path]:
    """Folders of tuning trials that `experiments(folder)` leaves out."""
    return [path for path in [folder / TRIALS, *folder.glob(f"*/{TRIALS}")] if path.is_dir()]


def rm_verb(args: argparse.Namespace) -> int:
    """Removes what is named, after a question.

    Raises:
        UserError: a path is none of a run, an arm or an experiment, or one of its runs is being trained.
    """
    entries, whole = [], list[Experiment]()
    for path in args.paths:
        its, experiment = removable(path)
        entries += its
        whole += experiment
    entries = list({entry.path: entry for entry in entries}.values())
    size = sum(entry.size for entry in entries)
    what = f"{count(len(entries), 'run')} ({byte_text(size)}) in {', '.join(map(str, args.paths))}"
    if not (args.yes or agreed(f"remove {what}?")):
        return 1
    left = remove(entries, whole)
    print(f"removed {what}")
    tell_left(left)
    return 0


def removable(path: Path) -> tuple[list[Entry], list[Experiment]]:
    """The runs in `path`, and the experiment that it is, with the one of its tuning trials."""
    if path.is_symlink():
        raise UserError(f"{path} is a link; name the folder itself")
    if entry := entry_at(path):
        return [entry], []
    if of_arm := arm_at(path):
        return of_arm, []
    found = [experiment_at(path, "a run, an arm or an experiment")]
    trials = trials_folder(path.absolute())
    if trials and trials != path.absolute():
        found += experiments(trials)
    return [entry for one in found for entry in one.entries], found


def experiment_at(path: Path, allowed: str) -> Experiment:
    """The experiment whose folder `path` is; raises `UserError`, with what is `allowed`, if it is none's."""
    found = next((one for one in experiments(path) if one.path == path), None)
    if found is None:
        raise UserError(f"{path} is no folder of {allowed}; 'lab ls' lists those")
    return found


def tell_left(left: Sequence[Path]) -> None:
    """Names what was not removed."""
    if left:
        print("not written by the lab, and left:", *left, sep="\n  ", file=sys.stderr)


def archive_verb(args: argparse.Namespace) -> int:
    """Packs experiments, and removes them after a question.

    Raises:
        UserError: a folder is no experiment's, a file is there already, or a run is being trained.
    """
    for folder in args.folders:
        experiment = experiment_at(folder, "an experiment")
        place = args.to or folder.absolute().parent
        file = archive(experiment, place / f"{folder.absolute().name}.tar.gz")
        print(f"packed {folder} ({byte_text(experiment.size)}) into {file} ({byte_text(file.stat().st_size)})")
        if args.keep or not (args.yes or agreed(f"remove {folder}?")):
            continue
        tell_left(remove(experiment.entries, [experiment]))
    return 0


def agreed(question: str) -> bool:
    """Whether the user types yes.

    Raises:
        UserError: nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise UserError(f"{question} Nobody can be asked, as the input is no terminal; --yes agrees")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
