"""`design.json` of an experiment with `seeds=auto`: what was planned before its first analysis, and how far it is."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError
from lab.records.lock import locked
from lab.records.read import damaged, read_json
from lab.records.results import is_number_or_null, is_whole
from lab.records.write import write_json

REMEDY = "restore it, or use another name="


FILE = "design.json"


@dataclass(frozen=True)
class Design:
    """What `design.json` holds."""

    max_seeds: int
    analyses: tuple[int, ...]
    """Seeds at each analysis; the last is `max_seeds`."""

    levels: list[list[float]]
    """The threshold of p at each analysis, a row for each number of claims that are not rejected yet, from 1 on."""

    claims: list[dict[str, Any]]
    """The claims that the thresholds are for, as `lab.studies.claims.stages.claim_facts` has them."""

    arms: list[str]
    """Hashes of the arms."""

    held: int = 0
    """Analyses that were held: a claim is judged by these, never in between."""

    def holds(self) -> tuple[int, ...]:
        """Seeds at each analysis so far."""
        return self.analyses[: self.held]


def read_design(folder: Path) -> Design | None:
    """The design of the experiment in `folder`; None where none was begun.

    Raises:
        DamagedFileError: it cannot be read; without it nobody knows how often the claims were analysed.
    """
    path = folder / FILE
    try:
        found = read_json(path, REMEDY)
        design = Design(**{**found, "analyses": tuple(found["analyses"])})
        numbers = (design.max_seeds, design.held, *design.analyses)
        levels = [level for row in design.levels for level in row]
        if not (all(map(is_whole, numbers)) and all(map(is_number_or_null, levels)) and None not in levels):
            raise TypeError
        if not (
            all(isinstance(one, dict) for one in design.claims) and all(isinstance(one, str) for one in design.arms)
        ):
            raise TypeError
        return design
    except FileNotFoundError:
        return None
    except DamagedFileError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(path, error, REMEDY) from error


def write_design(folder: Path, design: Design) -> Design:
    """Writes `design`; of two commands that hold analyses of one experiment, the further one counts."""
    with locked(folder, ".report.lock", wait=True):
        before = read_design(folder)
        design = replace(design, held=max(design.held, before.held if before else 0))
        if design != before:
            write_json(folder / FILE, vars(design))
    return design
