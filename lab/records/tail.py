"""The last logged point of a run that is being trained, read without the rest of its file."""

import os
from pathlib import Path
from typing import Any

from lab.records.read import parse_json

ENOUGH = 1 << 14
"""Bytes at the end of `metrics.jsonl` that hold more than a line."""


def last_point(folder: Path) -> dict[str, Any]:
    """The last whole line of `metrics.jsonl` in `folder`, `{"step": 40, ...}`; empty where there is none."""
    path = folder / "metrics.jsonl"
    try:
        if not path.is_file():  # nothing is read from a fifo, which would wait
            return {}
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - ENOUGH))
            lines = file.read().split(b"\n")
    except OSError:
        return {}
    for line in reversed(lines[:-1]):  # what follows the last end of a line is being written
        try:
            found = parse_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("step"), int):
            return found
    return {}
