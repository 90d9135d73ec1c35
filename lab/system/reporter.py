"""Who is told what the lab does: the command line prints it, and Python keeps it (`lab.api`)."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from lab.system.display import EVERY, Display, Footer, Ticker, is_live


class Printer:
    """Prints answers to standard output and remarks to standard error, above the lines that a terminal shows last."""

    def __init__(self, every: float | None = None) -> None:
        """
        Args:
            every: seconds between two lines about what goes on, where nothing can be redrawn; 0 for none.
        """
        self._every, self._footer = every, Footer()

    def say(self, text: str) -> None:
        """An answer."""
        with self._footer.away():
            print(text, flush=True)

    def note(self, text: str) -> None:
        """A remark."""
        with self._footer.away():
            print(text, file=sys.stderr, flush=True)

    def alert(self, text: str) -> None:
        """A remark of a signal handler, within which Python's own streams may not be used."""
        with suppress(OSError):
            os.write(2, f"{self._footer.forget()}{text}\n".encode())

    def leave(self) -> None:
        """The process ends at once: the terminal is left without the lines; a signal handler may call it."""
        with suppress(OSError):
            os.write(2, self._footer.forget().encode())

    def display(self) -> Display | None:
        """What shows how far many runs are; None where nobody wants to see it."""
        if is_live():
            return self._footer
        every = EVERY if self._every is None else self._every
        return Ticker(every, self.say) if every else None


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

    def display(self) -> Display | None:
        """None."""


_reporter: ContextVar[Printer] = ContextVar("reporter", default=Printer())  # noqa: B039 (it holds nothing but lines)


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
