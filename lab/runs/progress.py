"""What a person sees of a single run: a bar on a terminal, one line a logged point elsewhere."""

import sys
from contextlib import suppress
from typing import Any, Protocol


class Progress(Protocol):
    """Shows how far a run is."""

    def start(self, title: str, steps: int, done: int) -> None: ...

    def step(self) -> None: ...

    def log(self, point: dict[str, Any], /) -> None: ...

    def close(self) -> None: ...


ASIDE = ("train/lr", "train/weight_norm", "train/near_zero")
"""Tags that are logged and not shown while a run trains."""


class Console:
    """A bar on a terminal; one line a logged point where the output goes to a file.

    Where the terminal is gone, or a pipe, nothing is shown: the run goes on, to its checkpoint at least.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._steps = 0

    def start(self, title: str, steps: int, done: int) -> None:
        """Announces a run of `steps` optimizer steps, of which `done` are done."""
        with suppress(OSError):
            print(f"{title}: {steps} steps" + (f", resumed at step {done}" if done else ""), flush=True)
        self._steps = steps
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=steps, initial=done, unit="step", dynamic_ncols=True, leave=False)

    def step(self) -> None:
        """Counts one optimizer step."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.update()

    def log(self, point: dict[str, Any]) -> None:
        """Shows a logged point."""
        words = [f"{tag} {value:.4f}" for tag, value in point.items() if "/" in tag and tag not in ASIDE]
        if self._bar is not None:
            self._bar.set_postfix_str("  ".join(words), refresh=False)
        else:
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
