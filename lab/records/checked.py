"""`checked.json` of an experiment: what was found in its arms and claims before they trained."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError
from lab.records.lock import locked
from lab.records.read import read_json
from lab.records.write import write_json

FILE = "checked.json"


@dataclass(frozen=True)
class Remark:
    """What a rule says about a comparison."""

    code: str
    severity: str
    """`error`, `warning` or `note`."""
    text: str
    arms: tuple[str, ...] = ()
    """Hashes of the arms that it is about; empty for all."""


@dataclass(frozen=True)
class OneFunction:
    """Arms that were proved to be one function of their weights."""

    arms: tuple[str, ...]
    """Their hashes."""
    reasons: tuple[str, ...]
    """The identities that make them so."""
    free: bool
    """Whether that holds for some weights only, so that they train otherwise."""


@dataclass(frozen=True)
class Checked:
    """What `checked.json` holds."""

    remarks: tuple[Remark, ...] = ()
    """About arms."""
    same: tuple[OneFunction, ...] = ()
    prospects: tuple[Remark, ...] = ()
    """About what the seeds of the last command could decide."""

    def about(self, arms: Collection[str]) -> list[Remark]:
        """All that concerns one of `arms`, hashes, worst first."""
        found = [*self.prospects, *(one for one in self.remarks if not one.arms or set(one.arms) & set(arms))]
        order = ("error", "warning", "note")
        return sorted(found, key=lambda one: order.index(one.severity) if one.severity in order else len(order))

    def proof(self, arms: Collection[str]) -> OneFunction | None:
        """The proof that two or more `arms`, hashes, are one function, if there is one."""
        several = len(set(arms)) > 1
        return next((one for one in self.same if several and set(arms) <= set(one.arms)), None)


NOTHING_CHECKED = Checked()


def read_checked(folder: Path) -> Checked:
    """What was found before the experiment in `folder` trained; nothing where it is not recorded.

    A damaged file counts as none: ties that a proof explains are then undecided.
    """
    try:
        found = read_json(folder / FILE)
        remarks, prospects = (tuple(map(as_remark, found[key])) for key in ("remarks", "prospects"))
        same = tuple(OneFunction(texts(one["arms"]), texts(one["reasons"]), bool(one["free"])) for one in found["same"])
    except (FileNotFoundError, DamagedFileError, KeyError, TypeError, ValueError, AttributeError):
        return NOTHING_CHECKED
    return Checked(remarks, same, prospects)


def joined(found: Iterable[Checked]) -> Checked:
    """What was found in several experiments."""
    found = list(found)
    parts = [[one for checked in found for one in getattr(checked, name)] for name in ("remarks", "same", "prospects")]
    return Checked(*(tuple(dict.fromkeys(part)) for part in parts))


def as_remark(stored: Any) -> Remark:
    """A remark as it was stored; raises `TypeError` or `KeyError` for anything else."""
    code, severity, text = texts([stored[key] for key in ("code", "severity", "text")])
    return Remark(code, severity, text, texts(stored["arms"]))


def texts(values: Any) -> tuple[str, ...]:
    """Texts as they were stored; raises `TypeError` for anything else."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{values!r} is no list of texts")
    return tuple(values)


def keep_arms(folder: Path, found: Checked, arms: Sequence[str]) -> None:
    """Writes what was found of `arms`, hashes; what an earlier command found of others stays."""
    with locked(folder, ".report.lock", wait=True):
        before = read_checked(folder)
        others = [one for one in before.remarks if one.arms and not set(one.arms) <= set(arms)]
        remarks = tuple(dict.fromkeys([*found.remarks, *others]))
        same = tuple(dict.fromkeys([*found.same, *(one for one in before.same if not set(one.arms) <= set(arms))]))
        write(folder, before, replace(before, remarks=remarks, same=same))


def keep_prospects(folder: Path, prospects: Sequence[Remark]) -> None:
    """Writes what the seeds of a command can decide."""
    with locked(folder, ".report.lock", wait=True):
        before = read_checked(folder)
        write(folder, before, replace(before, prospects=tuple(prospects)))


def write(folder: Path, before: Checked, after: Checked) -> None:
    """Writes `after`, unless it says what `before` says."""
    if after != before:
        write_json(folder / FILE, asdict(after))
