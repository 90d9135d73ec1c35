"""What the arguments of a call ask for: runs, and conditions on runs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.overrides.spelled import spelled

if TYPE_CHECKING:
    from lab.records.places import Job

PathLike = str | Path


def jobs_of(verb: str, words: list[str], config_dir: PathLike | None, yes: bool = False) -> "list[list[Job]]":
    """The runs that `words` stand for, one list an experiment."""
    from lab.overrides.plan import Options, all_jobs

    return all_jobs(verb, words, Options(config_dir=None if config_dir is None else str(config_dir), yes=yes))


def selecting(given: str | Mapping[str, Any] | Iterable[str]) -> list[str]:
    """Conditions as `key=value`."""
    if isinstance(given, str):
        return [given]
    return spelled(given) if isinstance(given, Mapping) else list(given)
