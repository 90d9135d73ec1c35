"""Who is told what the lab does: the command line prints it, and Python keeps it (`lab.api`)."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any


class Printer:
    """Prints answers to standard output and remarks to standard error; on a terminal it shows a bar."""

    def __init__(self) -> None:
        self._bar: Any = None

    def say(self, text: str) -> None:
        """An answer, above the bar if there is one."""
        if self._bar is None or self._bar.disable:
            print(text, flush=True)
        else:
            self._bar.write(text)

    def note(self, text: str) -> None:
        """A remark."""
        print(text, file=sys.stderr, flush=True)

    def alert(self, text: str) -> None:
        """A remark of a signal handler, within which Python's own streams may not be used."""
        with suppress(OSError):
            os.write(2, f"{text}\n".encode())

    def bar(self, total: int, unit: str, done: int = 0) -> Any:
        """A bar (a `tqdm`) of `total` units, of which some are `done`; None where nobody would see it."""
        if not sys.stderr.isatty():
            return None
        from tqdm import tqdm

        self._bar = tqdm(total=total, initial=done, unit=unit, dynamic_ncols=True, leave=False)
        return self._bar


class Keeper(Printer):
    """Prints nothing, and keeps remarks."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def say(self, text: str) -> None:
        """Dropped: a result holds the answer."""

    def note(self, text: str) -> None:
        """Kept."""
        self.notes.append(text)

    def alert(self, text: str) -> None:
        """Dropped."""

    def bar(self, total: int, unit: str, done: int = 0) -> Any:
        """None."""


_reporter: ContextVar[Printer] = ContextVar("reporter", default=Printer())  # noqa: B039 (it holds nothing but its bar)


def reporter() -> Printer:
    """Who listens now."""
    return _reporter.get()


def say(text: str) -> None:
    """Tells an answer."""
    reporter().say(text)


def note(text: str) -> None:
    """Tells a remark."""
    reporter().note(text)


@contextmanager
def reporting_to(listener: Printer) -> Iterator[None]:
    """Within, `listener` is told everything."""
    before = _reporter.set(listener)
    try:
        yield
    finally:
        _reporter.reset(before)
