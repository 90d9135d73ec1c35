"""`.lab-report.json`: which files of an experiment's folder the lab has written for a report."""

import json
from collections.abc import Iterable
from pathlib import Path

from lab.records.read import read_bytes
from lab.records.write import write_json

LEDGER = ".lab-report.json"
"""Names the files and folders that the lab has written for a report."""

EVENTS = "events.out.tfevents."
"""Begins the names of event files."""

HOMES = ("_mean", "_study")
"""Folders of an experiment that hold event files alone."""


def read_ledger(folder: Path) -> list[str] | None:
    """The names in the ledger of `folder`; None where there is none, or a damaged one."""
    try:
        names = json.loads(read_bytes(folder / LEDGER))["files"]
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write_ledger(folder: Path, names: Iterable[str]) -> None:
    """Notes that files `names` of `folder` are the lab's."""
    before = read_ledger(folder)
    after = sorted({*(before or ()), *names})
    if after != before:
        write_json(folder / LEDGER, {"files": after})
