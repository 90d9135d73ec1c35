"""A comparison as an object: its runs, its table, its verdicts, its figures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.api.run_result import RunResult, as_result
from lab.api.session import session
from lab.api.shown import exhibit, line_html, number, table_html
from lab.errors import UserError, unknown
from lab.studies.claims.verdict import Verdict
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.report.table import columns, table_text, tested_text, three_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True)
class ClaimVerdict:
    """What the runs say about one claim."""

    claim: str
    """The claim in words."""

    verdict: str
    """`supported`, `refuted`, `undecided` or `exploratory`."""

    estimate: float | None
    """Left side minus right side, in the metric's unit; None without seeds on both sides."""

    interval: tuple[float, float] | None
    """95 % interval of the estimate; None with fewer than two seeds."""

    p: float
    """Adjusted for all claims of the experiment."""

    p_against: float
    """That of the test against the claim; where it is the smaller one, that is nearer to deciding."""

    threshold: float
    """What `p` has to fall below at this interim analysis."""

    n: int
    """Number of seeds."""

    seeds_needed: int | None
    """Further seeds that should decide it; 0 where it is decided, None where nobody knows."""

    metric: str
    explain: str
    """The numbers in a sentence."""

    def __str__(self) -> str:
        low, high = self.interval or (None, None)
        apart = f", estimate {number(self.estimate)} [{number(low)}, {number(high)}]" if self.interval else ""
        tested = tested_text(self.verdict, self.p, self.p_against)
        return f"{self.verdict}: {self.claim} ({self.metric}{apart}, {tested}, n={self.n})"


def as_verdict(verdict: Verdict) -> ClaimVerdict:
    """A verdict of the report as an object."""
    return ClaimVerdict(
        claim=verdict.say,
        verdict=verdict.verdict,
        estimate=verdict.effect,
        interval=verdict.interval,
        p=verdict.p,
        p_against=verdict.p_against,
        threshold=verdict.level,
        n=verdict.n,
        seeds_needed=verdict.seeds_needed,
        metric=verdict.metric.text,
        explain=verdict.explain,
    )


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonResult:
    """Arms compared: what `lab.sweep`, `lab.compare` and `lab.load` return."""

    folder: Path
    """Of the experiment."""

    report: Path | None
    """The page; None where none was written."""

    comparison: Comparison
    """What the report is made of."""

    notes: tuple[str, ...] = ()
    """What the command line would have printed to standard error, failed runs among it."""

    remember: Callable[[], object] = field(default=lambda: None, kw_only=True)
    """Counts an interim analysis when verdicts are read that no command has counted."""

    @property
    def question(self) -> str:
        """What the experiment asks; empty where it asks nothing."""
        return self.comparison.question

    @property
    def metric(self) -> str:
        """What is compared."""
        return self.comparison.metric.text

    @cached_property
    def runs(self) -> list[RunResult]:
        """The runs that count, finished or diverged."""
        return [as_result(run) for run in self.comparison.runs]

    @cached_property
    def failed(self) -> list[RunResult]:
        """The runs that failed or were interrupted; `.error` says why."""
        return [as_result(run) for run in self.comparison.failed]

    @cached_property
    def verdicts(self) -> list[ClaimVerdict]:
        """A verdict for each claim; empty without claims. Reading them is an interim analysis, as the report is."""
        if self.comparison.verdicts:
            with session():
                self.remember()
        return [as_verdict(verdict) for verdict in self.comparison.verdicts]

    @property
    def table(self) -> str:
        """The table of arms with the verdicts, as `lab compare` prints it."""
        _ = self.verdicts
        return table_text(self.comparison)

    def frame(self, rows: str = "arms") -> "DataFrame":
        """A pandas data frame.

        Args:
            rows: what a row is: `arms`, with means, intervals and differences; `runs`, with last values; or `steps`,
                every logged step of every run.

        Raises:
            UserError: there are no such rows, or pandas is not installed.
        """
        from lab.studies.select.frame import as_frame, records

        runs = [*self.comparison.runs, *self.comparison.failed]
        kinds: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "arms": lambda: [arm_row(arm) for arm in self.comparison.arms],
            "runs": lambda: records(runs),
            "steps": lambda: records(runs, history=True),
        }
        if rows not in kinds:
            raise UserError(unknown(f"rows={rows}", str(rows), kinds))
        with session():
            return as_frame(kinds[rows]())

    def figure(self, name: str = "curves") -> "Figure":
        """A figure of the report, by the name of its files there: `curves`, `forest`, `seeds`, `effects`, ...

        Raises:
            UserError: there is no such figure, or nothing to draw in it.
        """
        with session():
            return exhibit(self.comparison, name)

    def __repr__(self) -> str:
        said = "".join(f"\n  {verdict}" for verdict in self.verdicts)
        arms, runs = len(self.comparison.arms), len(self.comparison.runs)
        return f"<comparison {self.folder}: {arms} arms, {runs} runs, {len(self.failed)} failed, {self.metric}{said}>"

    def _repr_html_(self) -> str:
        cells = columns(self.comparison)
        lines = [f"{len(self.failed)} runs failed or were interrupted"] * bool(self.failed)
        lines += [str(verdict) for verdict in self.verdicts]
        lines += [f"report: {self.report}"] * bool(self.report)
        return "".join(
            [
                line_html(self.question or self.metric, strong=True),
                table_html(list(cells), zip(*cells.values(), strict=True)),
                *map(line_html, lines),
            ]
        )


def arm_row(arm: Arm) -> dict[str, Any]:
    """One arm as a row of numbers."""
    row: dict[str, Any] = {**arm.keys} or {"arm": arm.label}
    row |= {"n": arm.num_seeds, "trained": arm.num_trained, "failed": arm.num_failed + arm.num_interrupted}
    for name, found in (("mean", arm.score), ("test", arm.test), ("difference", arm.difference)):
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), three_numbers(found), strict=True))
    return {**row, "is_reference": arm.is_reference, "num_params": arm.num_params}
