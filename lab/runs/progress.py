"""What a person sees of a single run: a bar on a terminal, one line a logged point elsewhere."""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from lab.system.display import is_live


class Progress(Protocol):
    """Shows how far a run is."""

    def start(self, title: str, steps: int, done: int) -> None: ...

    def step(self) -> None: ...

    def log(self, point: dict[str, Any], /) -> None: ...

    def close(self) -> None: ...


ASIDE = ("train/lr", "train/weight_norm", "train/near_zero")
"""Tags that are logged and not shown while a run trains."""


BAR = 60
"""Columns of a terminal that the bar itself takes, with its counts and times."""


def fitting(words: Sequence[str], width: int) -> str:
    """As many whole `words` as fit, those of validation first; none is cut."""
    kept = ""
    for word in sorted(words, key=lambda word: not word.startswith("val/")):
        longer = f"{kept}  {word}" if kept else word
        kept = longer if len(longer) <= width else kept
    return kept


class Console:
    """A bar on a terminal; one line a logged point where the output goes to a file.

    Where the terminal is gone, or a pipe, nothing is shown: the run goes on, to its checkpoint at least.
    """

    def __init__(self, every: float | None = None) -> None:
        """
        Args:
            every: least seconds between two lines; 0 for none, None for one a logged point.
        """
        self._bar: Any = None
        self._steps = 0
        self._every, self._next = every, time.monotonic() + (every or 0.0)

    def start(self, title: str, steps: int, done: int) -> None:
        """Announces a run of `steps` optimizer steps, of which `done` are done."""
        begun = f", resumed at step {done}" if done else ""
        with suppress(OSError):
            print(f"{title}: {steps} step{'s' * (steps != 1)}{begun}", flush=True)
        self._steps = steps
        if is_live():
            from tqdm import tqdm

            self._bar = tqdm(total=steps, initial=done, unit="step", dynamic_ncols=True, leave=False)

    def step(self) -> None:
        """Counts one optimizer step."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.update()

    def log(self, point: dict[str, Any]) -> None:
        """Shows a logged point."""
        shown = [tag for tag in point if "/" in tag and tag not in ASIDE]
        words = [f"{tag} {point[tag]:.4f}" for tag in shown]
        if self._bar is not None:
            self._bar.set_postfix_str(fitting(words, shutil.get_terminal_size().columns - BAR), refresh=False)
        elif self._every != 0 and time.monotonic() >= self._next:
            self._next = time.monotonic() + (self._every or 0.0)
            width = len(str(self._steps))
            head = f"step {point['step']:{width}d}/{self._steps}  epoch {point['epoch']:g}  "
            with suppress(OSError):
                print(head + "  ".join(words), flush=True)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
            self._bar = None
