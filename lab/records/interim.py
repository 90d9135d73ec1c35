"""`looks.json` of an experiment: with how many seeds its claims were judged so far, an interim analysis each time."""

import json
from dataclasses import dataclass
from pathlib import Path

from lab.records.results import write_json


@dataclass(frozen=True)
class Interim:
    """What `looks.json` holds."""

    num_seeds: tuple[int, ...] = ()
    """At each interim analysis, in increasing order."""

    last_seed: int | None = None
    """The largest seed of a sweep that ended, which `seeds=+5` adds to; None before the first."""


def read_interim(folder: Path) -> Interim:
    """The interim analyses of the experiment in `folder`; none where nothing was compared yet."""
    try:
        found = json.loads((folder / "looks.json").read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return Interim()
    return Interim(tuple(found.get("looks", ())), found.get("last_seed"))


def record_interim(folder: Path, num_seeds: int, last_seed: int | None = None) -> None:
    """Adds an analysis of `num_seeds` seeds, unless there is one of as many, and the largest seed of an ended sweep."""
    before = read_interim(folder)
    seeds = [seed for seed in (before.last_seed, last_seed) if seed is not None]
    after = Interim(tuple(sorted({*before.num_seeds, num_seeds})), max(seeds, default=None))
    if after != before:
        write_json(folder / "looks.json", {"looks": after.num_seeds, "last_seed": after.last_seed})
