"""The clock of a run: seconds of training alone, read after the device has done all that it was given."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """Counts the seconds in which a run trains; evaluations, logged points and checkpoints are left out."""

    def __init__(self, device: torch.device, limit: float = math.inf):
        """
        Args:
            device: the run's, which is waited for before the clock is read.
            limit: the seconds after which training ends.
        """
        self.device, self.limit = device, limit
        self.seconds = 0.0
        """Training time up to the last pause, earlier starts of the run included."""
        self._since = 0.0

    def start(self) -> None:
        """Counts from now on."""
        self._since = time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stands still for the time of a `with` block; this waits for the device before it."""
        synchronise(self.device)
        self.seconds += time.monotonic() - self._since
        yield
        self.start()

    def is_up(self) -> bool:
        """Whether the limit is reached, without waiting for the device."""
        return self.seconds + time.monotonic() - self._since >= self.limit


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all that it was given, so that a clock reads the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
