"""How far many runs are, as somebody who watches sees it: redrawn on a terminal, a line at intervals elsewhere."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

EVERY = 60.0
"""Seconds between two lines where nothing can be redrawn."""

BAR = 30
"""Most characters of the bar itself."""

SHORTEST = 12
"""Characters of a run's name that are kept before words about it are left out."""


@dataclass(frozen=True)
class UnderWay:
    """A run that is being trained."""

    name: str
    words: Sequence[str]
    """How far it is, the most telling first."""


@dataclass(frozen=True)
class Standing:
    """How far many runs are."""

    done: int
    total: int
    words: Sequence[str]
    """About all of them: how many failed, the time left."""
    running: Sequence[UnderWay] = ()


class Display(Protocol):
    """Shows how far many runs are."""

    pause: float
    """Seconds after which it wants to know again."""

    def show(self, standing: Standing, /) -> None: ...

    def close(self) -> None: ...


def is_live() -> bool:
    """Whether standard error is a terminal on which lines can be redrawn, and nobody has ruled that out.

    `TERM=dumb` is a terminal without control sequences; `NO_COLOR` asks for none (https://no-color.org).
    """
    if os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR"):
        return False
    return sys.stderr is not None and sys.stderr.isatty()


def size() -> tuple[int, int]:
    """Columns and rows of the terminal behind standard error."""
    with suppress(OSError, ValueError):
        found = os.get_terminal_size(sys.stderr.fileno())
        if found.columns and found.lines:
            return found.columns, found.lines
    return 80, 24


class Footer:
    """The last lines of a terminal: a bar, and a line for each run under way. What is told goes above them."""

    pause = 0.5

    def __init__(self) -> None:
        self._lines: list[str] = []
        """Those on the screen; the cursor stands behind the last."""

    def show(self, standing: Standing) -> None:
        """Draws the lines anew."""
        columns, rows = size()
        self.draw(footer_lines(standing, columns - 1, max(1, rows - 1)))

    def draw(self, lines: list[str]) -> None:
        """Puts `lines` in place of those on the screen."""
        with suppress(OSError):  # the terminal is gone, and the runs go on
            sys.stderr.write(self.erasing() + "\n".join(lines))
            self._lines = lines
            sys.stderr.flush()

    @contextmanager
    def away(self) -> Iterator[None]:
        """The lines are gone within, and there again afterwards."""
        lines = self._lines
        if lines:
            self.draw([])
        yield
        if lines:
            self.draw(lines)

    def erasing(self) -> str:
        """What takes the lines away, whatever the width of the terminal has become."""
        if not self._lines:
            return ""
        columns = size()[0]
        rows = sum(max(1, math.ceil(len(line) / columns)) for line in self._lines)
        return "\r" + f"\x1b[{rows - 1}A" * (rows > 1) + "\x1b[J"

    def forget(self) -> str:
        """`erasing`, for somebody who writes it: there are no lines afterwards."""
        text, self._lines = self.erasing(), []
        return text

    def close(self) -> None:
        """Takes the lines away."""
        if self._lines:
            self.draw([])


class Ticker:
    """A line every so many seconds, the first after as many."""

    def __init__(self, every: float, write: Callable[[str], None]):
        """
        Args:
            every: seconds between two lines, above 0.
            write: gets each.
        """
        self.pause, self._write, self._last = every, write, time.monotonic()

    def show(self, standing: Standing) -> None:
        """Writes a line if it is time."""
        if time.monotonic() - self._last >= self.pause:
            self._last = time.monotonic()
            with suppress(OSError):
                self._write(ticker_line(standing))

    def close(self) -> None:
        """Nothing remains to be done."""


def ticker_line(standing: Standing) -> str:
    """`12 of 40 runs, about 6 min left; under way: norm=batch seed=3, step 120/400, ...`."""
    text = ", ".join([f"{standing.done} of {standing.total} runs", *standing.words])
    runs = "; ".join(map(run_text, standing.running))
    return f"{text}{f'; under way: {runs}' if runs else ''}"


def run_text(run: UnderWay) -> str:
    """`norm=batch seed=3, step 120/400, val/accuracy 0.9312`."""
    return ", ".join([run.name, *run.words])


def footer_lines(standing: Standing, columns: int, rows: int) -> list[str]:
    """The bar and the runs in lines of at most `columns` characters; of runs as many as have room in `rows`."""
    runs = standing.running
    room = max(0, rows - 1)
    shown = runs if len(runs) <= room else runs[: max(0, room - 1)]
    lines = [bar_line(standing, columns), *(run_line(one, columns) for one in shown)]
    if len(shown) < len(runs) and len(lines) < rows:
        lines.append(f"  and {len(runs) - len(shown)} more under way"[:columns])
    return lines


def bar_line(standing: Standing, columns: int) -> str:
    """`[######------]  12/40 runs  about 6 min left`; without the bar where it has no room."""
    counted = f"{standing.done}/{standing.total} runs"
    text = joined([counted, *standing.words], columns)
    room = min(BAR, columns - len(text) - 4)
    if room < 8:
        return text
    full = room * standing.done // max(1, standing.total)
    return f"[{'#' * full}{'-' * (room - full)}]  {text}"


def run_line(run: UnderWay, columns: int) -> str:
    """`  act=relu seed=3  step 120/400  val/accuracy 0.9312`: whole words, as many as leave room for the name."""
    room = columns - 2 - min(len(run.name), SHORTEST)
    words = joined(["", *run.words], room)
    return f"  {shortened(run.name, columns - 2 - len(words))}{words}"[:columns]


def joined(words: Sequence[str], columns: int) -> str:
    """The first of `words`, as many whole ones as fit; at least the first, cut if need be."""
    text = words[0][: max(0, columns)]
    for word in words[1:]:
        if len(text) + 2 + len(word) > columns:
            break
        text += f"  {word}"
    return text


def shortened(text: str, columns: int) -> str:
    """`text`, without its middle where it is longer; its end has the seed."""
    if len(text) <= columns:
        return text
    tail = max(0, (columns - 2) * 2 // 3)
    return f"{text[: max(0, columns - 2 - tail)]}..{text[len(text) - tail :]}"[: max(0, columns)]
