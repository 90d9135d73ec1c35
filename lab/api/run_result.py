"""One run as an object."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.api.shown import exhibit, line_html, number, table_html
from lab.records.notes import notes_text
from lab.records.outcome import outcome
from lab.records.results import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from torch import nn


@dataclass(frozen=True, eq=False, repr=False)
class RunResult:
    """A run that ended, as its folder has it."""

    path: Path
    """Its folder, `<out>/<name>/<arm>/seed=<n>`."""

    config: dict[str, Any]
    """The whole configuration, flat: `{"model.depth": 30, ...}`."""

    arm: dict[str, Any]
    """The keys that were swept, or given, with their values."""

    seed: int

    status: str
    """`finished`, `diverged`, `failed` or `interrupted`."""

    metrics: dict[str, float | None]
    """The last value of each metric, `{"val/accuracy": 0.97, "test/accuracy": 0.96, ...}`; None if it is not finite."""

    result: dict[str, Any]
    """All of `result.json`: best values with their steps, seconds, environment, overrides."""

    notes: tuple[str, ...] = ()
    """What the command line would have printed to standard error."""

    run: Run = field(kw_only=True)
    """The record behind it."""

    @property
    def error(self) -> str:
        """What went wrong in a run that failed; else empty."""
        return self.result.get("error", "")

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """The logged steps: `[{"step": 40, "epoch": 2.0, "train/loss": 0.31, ...}, ...]`."""
        from lab.api.session import session

        with session():
            return self.run.history

    def frame(self) -> "DataFrame":
        """The logged steps as a pandas data frame, a row a step.

        Raises:
            UserError: pandas is not installed.
        """
        from lab.studies.select.frame import as_frame

        return as_frame(self.history)

    def model(
        self, device: str = "cpu", scaled: bool = False, own_parts: bool = False, best: bool = False
    ) -> "nn.Module":
        """The trained net: `lab.load_model(run, ...)`."""
        from lab.api.net_calls import load_model

        return load_model(self, device, scaled, own_parts, best)

    def figure(self, name: str = "curves") -> "Figure":
        """A figure of the report, of this run alone: `curves`, `curves_epoch` or `curves_seconds`.

        Raises:
            UserError: there is no such figure, or nothing to draw in it.
        """
        from lab.api.session import session
        from lab.studies.claims.study import Study
        from lab.studies.comparison.compare import compare

        with session():
            return exhibit(compare([self.run], Study()), name)

    def __repr__(self) -> str:
        said = ", ".join(f"{tag}={number(value)}" for tag, value in self.shown().items())
        return f"<run {self.path}: {outcome(self.result)}{', ' * bool(said)}{said}>"

    def _repr_html_(self) -> str:
        rows = [(tag, number(value)) for tag, value in self.metrics.items()]
        table = table_html(["metric", "last"], rows) if rows else ""
        return line_html(f"{self.path}: {outcome(self.result)}") + table + line_html(self.error) * bool(self.error)

    def shown(self) -> dict[str, float | None]:
        """The metrics of validation and test."""
        return {tag: value for tag, value in self.metrics.items() if not tag.startswith("train/")}


def as_result(run: Run, notes: tuple[str, ...] | None = None) -> RunResult:
    """The record `run` as an object; `notes` of the call that trained it, else those of the record."""
    return RunResult(
        path=run.path,
        config=run.config,
        arm=run.arm,
        seed=run.seed,
        status=run.status,
        metrics={tag: one["last"] for tag, one in run.result.get("metrics", {}).items()},
        result=run.result,
        notes=tuple(notes_text([run.result])) if notes is None else notes,
        run=run,
    )
