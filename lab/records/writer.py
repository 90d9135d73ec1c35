"""Writes one run's metrics during training: for each logged step a line of JSON and points for TensorBoard."""

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lab.quantity import quantity
from lab.records.events import EventFile, remove_events, watched_events
from lab.records.results import NOT_SCALARS, read_rows
from lab.records.write import finite, write_atomically


class MetricsWriter:
    """`metrics.jsonl` and the event file of a run; after a resume both hold each step once."""

    def __init__(self, folder: Path, step: int, hparams: dict[str, Any], group: str, watched: bool = False):
        """
        Args:
            folder: the run's folder.
            step: the step of the checkpoint that the run resumes from, 0 for a fresh start; later lines are dropped.
            hparams: the run's values in the HParams tab.
            group: the run's arm in the HParams tab.
            watched: whether to keep histograms and `watch_` curves, which only the event files hold.
        """
        found, damage = read_rows(folder)
        if damage:
            warnings.warn(damage, stacklevel=2)
        rows = [row for row in found if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(folder / "metrics.jsonl", text.encode())
        kept = list(watched_events(folder, step)) if watched else []
        remove_events(folder)
        self._lines = open(folder / "metrics.jsonl", "a")  # noqa: SIM115 (closed by `close`)
        self._events = EventFile(folder)
        self._events.hparams(hparams, group)
        for row in rows:
            self._scalars(row)
        for event in kept:
            self._events.again(event)

    def write(self, row: dict[str, Any]) -> None:
        """Appends one logged step, and makes it visible at once."""
        self._lines.write(json.dumps(finite(row)) + "\n")
        self._lines.flush()
        self._scalars(row)
        self._events.flush()

    def tested(self, scores: dict[str, float], step: int) -> None:
        """What the test images gave at the last `step`: points for TensorBoard, beside `result.json`."""
        self._events.scalars({tag: value for tag, value in scores.items() if math.isfinite(value)}, step)

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Points of curves that are in TensorBoard alone."""
        self._events.scalars(values, step)

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """The distribution of `values` at a step."""
        self._events.histogram(tag, values, step)

    def image(self, tag: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """An image, as the bytes of a PNG file of `size` (height, width)."""
        self._events.image(tag, png, size, step)

    def graph(self, graph_def: bytes | None) -> None:
        """The net's graph; nothing for None."""
        if graph_def:
            self._events.graph(graph_def)

    def sync(self) -> None:
        """Puts the lines on the disk, so that a checkpoint that follows is never ahead of them."""
        os.fsync(self._lines.fileno())

    def close(self, succeeded: bool) -> None:
        """Closes both files."""
        try:
            self._lines.close()
            self._events.hparams_end(succeeded)
        finally:
            self._events.close()

    def _scalars(self, row: dict[str, Any]) -> None:
        for tag, value in row.items():
            if tag not in NOT_SCALARS and value is not None:
                self._events.scalar(tag, value, row["step"])


def summarise(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Last and best value of each metric: `{"val/loss": {"last": .1, "best": .09, "best_step": 40}, ...}`.

    Best is the lowest for a loss or an error and the highest for everything else.
    """
    found: dict[str, dict[str, Any]] = {}
    for tag in dict.fromkeys(tag for row in rows for tag in row if tag not in NOT_SCALARS):
        points = [(row[tag], row["step"]) for row in rows if row.get(tag) is not None]
        best = (min if quantity(tag).lower_is_better else max)(points, key=lambda point: point[0], default=(None, None))
        found[tag] = {"last": rows[-1].get(tag), "best": best[0], "best_step": best[1]}
    return found
