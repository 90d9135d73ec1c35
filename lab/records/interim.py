"""`looks.json` of an experiment: on which evidence its claims were judged so far, an interim analysis each time."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError
from lab.records.read import damaged, read_json
from lab.records.results import is_whole
from lab.records.write import write_json

REMEDY = "restore it from a copy: it says how often the claims were analysed"


FILE = "looks.json"


@dataclass(frozen=True)
class Evidence:
    """What a claim was judged on: a change of any of it is another interim analysis."""

    n: int
    """Number of seeds."""

    digest: str
    """Of the differences, seed by seed."""

    seeds: tuple[int, ...]

    arms: tuple[str, ...]
    """Hashes of the arms on its sides."""


Analyses = Mapping[str, tuple[Evidence, ...]]
"""The interim analyses of each claim, by its identity, in order."""


@dataclass(frozen=True)
class Interim:
    """What `looks.json` holds."""

    num_seeds: tuple[int, ...] = ()
    """Seeds of the experiment at each interim analysis, in increasing order."""

    last_seed: int | None = None
    """The largest seed of a sweep that ended, which `seeds=+5` adds to; None before the first."""

    claims: Analyses | None = None
    """None in a file that knows only `num_seeds`."""

    before: tuple[int, ...] = ()
    """Seeds of the experiment at those analyses that were made when the file knew only these."""

    @property
    def unspecified(self) -> tuple[int, ...]:
        """Seeds at those analyses of which nothing else is known: they count for every claim."""
        return self.num_seeds if self.claims is None else self.before


def read_interim(folder: Path) -> Interim:
    """The interim analyses of the experiment in `folder`; none where nothing was compared yet.

    Raises:
        DamagedFileError: the file cannot be read; without it nobody knows how often the claims were analysed.
    """
    path = folder / FILE
    try:
        found = read_json(path, REMEDY)
        claims = {
            digits: tuple(evidence_from(one) for one in analyses)
            for digits, analyses in found.get("claims", {}).items()
        }
        looks, before = whole(found.get("looks", ())), whole(found.get("before", ()))
        (last,) = whole([found["last_seed"]]) if found.get("last_seed") is not None else (None,)
        return Interim(looks, last, claims if "claims" in found else None, before)
    except FileNotFoundError:
        return Interim()
    except DamagedFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error, REMEDY) from error


def evidence_from(found: Mapping[str, Any]) -> Evidence:
    """The evidence that `found`, a part of `looks.json`, stands for."""
    (n,), digest, arms = whole([found["n"]]), found["digest"], tuple(found["arms"])
    if not all(isinstance(text, str) for text in (digest, *arms)):
        raise TypeError("a digest is text")
    return Evidence(n, digest, whole(found["seeds"]), arms)


def whole(values: Iterable[Any]) -> tuple[int, ...]:
    """`values`, whole numbers all."""
    found = tuple(values)
    if not all(map(is_whole, found)):
        raise TypeError("a seed is a whole number")
    return found


def record_interim(
    folder: Path, num_seeds: int | None, last_seed: int | None = None, judged: Iterable[tuple[str, Evidence]] = ()
) -> None:
    """Adds an analysis, and the largest seed of an ended sweep.

    Args:
        folder: the experiment's.
        num_seeds: of the experiment, if the folder is that of one.
        last_seed: of a sweep that ended.
        judged: claims, by their identity, with the evidence that they were judged on; what is known is not added again.
    """
    before = read_interim(folder)
    seeds = [seed for seed in (before.last_seed, last_seed) if seed is not None]
    claims = all_analyses([before.claims or {}, *({digits: (evidence,)} for digits, evidence in judged)])
    known = claims or before.claims is not None
    looks = tuple(sorted({*before.num_seeds} if num_seeds is None else {*before.num_seeds, num_seeds}))
    after = Interim(looks, max(seeds, default=None), claims if known else None, before.unspecified if known else ())
    if after != before:
        write_json(folder / FILE, as_json(after))


def as_json(interim: Interim) -> dict[str, object]:
    """The content of `looks.json`."""
    found: dict[str, object] = {"looks": interim.num_seeds, "last_seed": interim.last_seed}
    if interim.before:
        found["before"] = interim.before
    if interim.claims is not None:
        found["claims"] = {digits: [asdict(one) for one in analyses] for digits, analyses in interim.claims.items()}
    return found


def all_analyses(parts: Iterable[Analyses]) -> dict[str, tuple[Evidence, ...]]:
    """The analyses of all `parts`, those of the same evidence once."""
    found: dict[str, dict[str, Evidence]] = {}
    for part in parts:
        for digits, analyses in part.items():
            for one in analyses:
                found.setdefault(digits, {}).setdefault(one.digest, one)
    return {digits: tuple(there.values()) for digits, there in found.items()}
