"""What goes on during a call: remarks are kept, bars are drawn, and the caller's torch stays as it is."""

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab.runs.progress import ASIDE, fitting
from lab.system.display import Display, Standing, is_live, joined, run_text
from lab.system.reporter import Keeper, reporting_to

WIDE = 70
"""Characters of metrics beside a bar."""

_one_call = threading.RLock()


class Session(Keeper):
    """Keeps remarks and prints nothing; draws bars in a notebook and on a terminal, where they are wanted."""

    def __init__(self, progress: bool):
        super().__init__()
        self._shown = progress and (in_notebook() or is_live())

    def display(self) -> Display | None:
        """A bar in a notebook, the last lines of a terminal, None where they are not wanted."""
        if not self._shown:
            return None
        return RunsBar(self) if in_notebook() else self._footer

    def bar(self, total: int, unit: str, done: int = 0) -> Any:
        """A bar that goes away when it is closed; None where it is not wanted."""
        if not self._shown:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without ipywidgets it draws with letters, and warns of that
            from tqdm.auto import tqdm
        return tqdm(total=total, initial=done, unit=unit, leave=False)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the command line would have printed to standard error."""
        return tuple(line for text in self.notes for line in text.splitlines() if line.strip())


class RunsBar:
    """Shows many runs on a bar of the session (`lab.system.display.Display`)."""

    pause = 1.0

    def __init__(self, session: Session):
        self._session, self._bar = session, None

    def show(self, standing: Standing) -> None:
        """The runs that are done, on the bar, and what is known of the others beside it."""
        if self._bar is None:
            self._bar = self._session.bar(standing.total, "run")
        if self._bar is not None:
            self._bar.update(standing.done - self._bar.n)
            self._bar.set_postfix_str(joined([*standing.words, *map(run_text, standing.running)], WIDE))

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class RunBar:
    """Shows a single run on a bar of the session (`lab.runs.progress.Progress`)."""

    def __init__(self, session: Session):
        self._session, self._bar = session, None

    def start(self, title: str, steps: int, done: int) -> None:
        """At the first step."""
        self._bar = self._session.bar(steps, "step", done)
        if self._bar is not None:
            self._bar.set_description(title, refresh=False)

    def step(self) -> None:
        """After each step."""
        if self._bar is not None:
            self._bar.update()

    def log(self, point: dict[str, Any]) -> None:
        """At each logged point."""
        if self._bar is not None:
            words = [f"{tag} {value:.4f}" for tag, value in point.items() if "/" in tag and tag not in ASIDE]
            self._bar.set_postfix_str(fitting(words, WIDE), refresh=False)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config


@contextmanager
def session(progress: bool = False) -> Iterator[Session]:
    """One call: whatever the lab tells within is kept. Calls from several threads wait for one another."""
    with _one_call, reporting_to(found := Session(progress)):
        yield found


@contextmanager
def torch_untouched() -> Iterator[None]:
    """Afterwards torch's random numbers and CPU threads are what they were."""
    import torch

    threads = torch.get_num_threads()
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        torch.set_num_threads(threads)
