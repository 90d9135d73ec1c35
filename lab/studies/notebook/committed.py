"""The results that a page is made from, as they are committed: `verdict.json`, `table.csv`, `results.json`, figures."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError
from lab.records.cells import FORMULA
from lab.records.read import read_bytes, read_json
from lab.studies.claims.verdict import WORDS
from lab.studies.statistics.estimate import Estimate

FACTS, VERDICTS, TABLE = "results.json", "verdict.json", "table.csv"

REMEDY = "'lab page NAME --from FOLDER' copies it again"

NEEDED = {
    "question": str,
    "outcome": str,
    "metric": str,
    "reference": str,
    "keys": list,
    "tuned": list,
    "labels": list,
    "commands": list,
    "data": str,
    "done": list,
    "cost": dict,
    "date": str,
    "versions": dict,
    "cautions": list,
    "tuning": list,
    "departures": list,
    "figures": list,
}
"""What `results.json` holds."""


@dataclass(frozen=True)
class Results:
    """Of one experiment on one data set."""

    part: str
    """The folder below the experiment's, as `mnist`; empty for its own."""

    facts: Mapping[str, Any]
    verdicts: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, str]]
    """Of `table.csv`, the apostrophes of spreadsheets aside."""


def read_results(folder: Path) -> list[Results]:
    """The results of the experiment in `folder`: its own first, then those of further data sets by name.

    Raises:
        DamagedFileError: a file is missing, or none of the lab's.
    """
    parts = sorted(path.parent.name for path in folder.glob(f"*/{FACTS}"))
    there = [*([""] if (folder / FACTS).exists() else []), *parts]
    return [read_part(folder, part) for part in there]


def read_part(folder: Path, part: str) -> Results:
    """The results in `folder`/`part`; errors as of `read_results`."""
    place = folder / part
    try:
        facts, verdicts = read_json(place / FACTS, REMEDY), read_json(place / VERDICTS, REMEDY)
        rows = list(csv.DictReader(io.StringIO(read_bytes(place / TABLE).decode(), newline="")))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedFileError(f"{error.filename or error} is missing; {REMEDY}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DamagedFileError(f"{place / TABLE} is damaged ({type(error).__name__}); {REMEDY}") from None
    known = facts if isinstance(facts, dict) else {}
    if missing := [key for key, kind in NEEDED.items() if not isinstance(known.get(key), kind)]:
        raise DamagedFileError(f"{place / FACTS} is damaged ({', '.join(missing)}); {REMEDY}")
    claims = verdicts.get("claims") if isinstance(verdicts, dict) else None
    if not isinstance(claims, list) or not all(isinstance(one, dict) and one.get("verdict") in WORDS for one in claims):
        raise DamagedFileError(f"{place / VERDICTS} is damaged (claims); {REMEDY}")
    plain = [{key: bare(cell) for key, cell in row.items()} for row in rows]
    return Results(part, facts, claims, plain)


def bare(cell: str | None) -> str:
    """A cell without the apostrophe that keeps spreadsheets from running it."""
    text = cell or ""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def estimate_of(row: Mapping[str, str], name: str) -> Estimate | None:
    """The columns `name`, `name_low` and `name_high` of a row of `table.csv`; None for empty ones."""
    value, low, high = (number(row.get(key)) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return None
    num_infinite = sum(math.isinf(float(one)) for one in row.get("scores", "").split())
    interval = None if low is None or high is None else (low, high)
    return Estimate(value, interval, int(row["n"]), 0 if interval else num_infinite)


def effect_of(verdict: Mapping[str, Any]) -> Estimate | None:
    """The effect of a claim with its interval; None where there is none."""
    value, interval = verdict.get("effect"), verdict.get("interval")
    if value is None:
        return None
    return Estimate(float(value), (interval[0], interval[1]) if interval else None, int(verdict.get("n") or 0), 0)


def number(text: str | None) -> float | None:
    """The number in a cell; None for an empty one."""
    try:
        return float(text) if text else None
    except ValueError:
        return None
