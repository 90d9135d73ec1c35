"""Which files of an experiment's folder are the lab's: nothing else is overwritten or removed."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lab.errors import UserError
from lab.records.ledger import EVENTS, read_ledger
from lab.records.places import inside
from lab.records.read import read_bytes
from lab.records.results import Run

MARK = '<meta name="generator" content="lab">'
"""In every page of the lab."""

OLD_MARK = '<p class="eyebrow">'
"""In every page from before there was `MARK`."""


def is_experiment(folder: Path, runs: Sequence[Run]) -> bool:
    """Whether `folder` is the experiment of all `runs`: each lies in it as `<arm>-<hash>/seed=<n>`."""
    return bool(runs) and all(lies_in_arm(run) and run.path.parent.parent.resolve() == folder.resolve() for run in runs)


def lies_in_arm(run: Run) -> bool:
    """Whether the folders of a run have the names that the lab gives."""
    return bool(re.search("-[0-9a-f]{8}$", run.path.parent.name) and re.fullmatch(r"seed=-?\d+", run.path.name))


def check_own(folder: Path, names: Iterable[str], homes: Iterable[str]) -> None:
    """Refuses to write files `names` and folders `homes` into `folder` where others are there already.

    A file is the lab's if `LEDGER` names it; a folder in its place is not. Without a ledger, as in folders from before
    there was one, those beside a page of the lab are; a folder is, too, if it holds nothing but event files.

    Raises:
        UserError: such a file exists; names it.
    """
    known = read_ledger(folder)
    adopted = known is None and is_page(folder / "report.html")
    own = {*(known or ())}
    there = [name for name in names if os.path.lexists(folder / name)]
    foreign = [name for name in there if (folder / name).is_dir() or not (adopted or name in own)]
    for name in homes:
        home = inside(folder, name)
        if home.exists() and any(EVENTS not in path.name for path in [home, *home.rglob("*")] if not path.is_dir()):
            foreign.append(name)
    if foreign:
        raise UserError(
            f"{folder} holds {', '.join(foreign)}, which the lab has not written and leaves alone; move that, or have "
            "the page written elsewhere: lab compare DIR --where KEY=VALUE --html FILE"
        )


def check_page(path: Path) -> None:
    """Raises `UserError` where `path` holds something else than a page of the lab."""
    if path.is_dir():
        raise UserError(f"--html {path} is a folder; give the name of a file, as {path / 'page.html'}")
    if (path.exists() or path.is_symlink()) and not is_page(path):
        raise UserError(f"--html {path} is there already, and no page of the lab; give another name, or remove it")


def is_page(path: Path) -> bool:
    """Whether the file `path` is a page of the lab."""
    try:
        text = read_bytes(path)[:200_000].decode(errors="replace")
    except OSError:
        return False
    return MARK in text or OLD_MARK in text
