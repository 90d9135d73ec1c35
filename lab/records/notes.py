"""Warnings of a run as notes in its result: a sweep says each once, instead of once a worker with a line of source."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noted() -> Iterator[list[str]]:
    """Yields a list, to which each `UserWarning` of the block is added once instead of being printed.

    Filters stay as they are: a warning that is ignored is no note, one that is an error is raised.
    """
    notes: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, UserWarning):
                show(message, category, *where, **more)
            elif str(message) not in notes:
                notes.append(str(message))

        warnings.showwarning = note
        yield notes


def notes_text(results: Iterable[dict[str, Any]]) -> list[str]:
    """A line for each note of `results`, with the number of runs that have it where there are several."""
    there = [result.get("notes", []) for result in results]
    counts = Counter(note for notes in there for note in notes)
    many = len(there) > 1
    return [f"note: {note}{f' ({count} of {len(there)} runs)' if many else ''}" for note, count in counts.items()]
