"""`looks.json` of an experiment: how many seeds there were each time that its runs were compared."""

import json
from pathlib import Path
from typing import Any

from lab.records.results import write_json


def read_looks(folder: Path) -> dict[str, Any]:
    """`{"looks": [5, 10], "last_seed": 9}` of the experiment in `folder`; empty looks where nothing was compared yet.

    `last_seed` is the largest seed of a sweep that came to its end, None before the first: what `seeds=+5` adds to.
    """
    try:
        found = json.loads((folder / "looks.json").read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        found = {}
    return {"looks": list(found.get("looks", [])), "last_seed": found.get("last_seed")}


def record_look(folder: Path, num_seeds: int, last_seed: int | None = None) -> None:
    """Adds a look at `num_seeds` seeds, unless there was one at as many, and the largest seed of a finished sweep."""
    before = read_looks(folder)
    looks = sorted({*before["looks"], num_seeds})
    seeds = [seed for seed in (before["last_seed"], last_seed) if seed is not None]
    after = {"looks": looks, "last_seed": max(seeds, default=None)}
    if after != before:
        write_json(folder / "looks.json", after)
