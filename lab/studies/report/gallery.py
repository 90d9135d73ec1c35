"""The figures of a report: for each its file, its place on the page, how it is drawn, and what it shows in words."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lab.records.results import write_atomically
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.factorial import Grid, find_grid
from lab.studies.comparison.tuned import budget_text, picked_text
from lab.studies.figures.cost import draw_cost
from lab.studies.figures.curves import Curves, draw_curves, read_curves
from lab.studies.figures.dots import draw_seeds
from lab.studies.figures.effects import draw_effects, draw_interactions
from lab.studies.figures.forest import draw_forest
from lab.studies.figures.style import inline_svg, render
from lab.studies.figures.tuning_curves import draw_tuning
from lab.studies.statistics.estimate import Estimate
from lab.studies.statistics.numerals import center_text, count, decimals, interval_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DESCRIBED = 24
"""Rows of a figure that its description reads out."""


@dataclass(frozen=True)
class Subject:
    """What figures are drawn of: a comparison, and what several of them need, found once."""

    comparison: Comparison

    @cached_property
    def grid(self) -> Grid | None:
        """The factorial design, where there is one."""
        return find_grid(self.comparison)

    @cached_property
    def curves(self) -> Curves | None:
        """The curves of the metric, where it was logged as one."""
        return read_curves(self.comparison)


@dataclass(frozen=True)
class Exhibit:
    """A figure that a report may have."""

    name: str
    """Of its files, `<name>.svg`, `<name>.png`, and `<name>_column.svg` for a phone and a column of a paper."""

    section: str
    """Of the page."""

    draw: "Callable[[Subject, bool], Figure | None]"
    """Draws it, narrow or not; None where there is nothing to draw."""

    describe: Callable[[Subject], str]
    """What it shows, with its numbers, for those who cannot see it."""

    caption: Callable[[Subject], str]

    title: str = ""
    """What tells it from others of its section, of which one is shown at a time."""


@dataclass(frozen=True)
class Hung:
    """An exhibit as the page has it."""

    name: str
    section: str
    title: str
    wide: str
    """SVG to be put in as it is."""
    narrow: str
    description: str
    caption: str


def listed(found: Iterable[tuple[str, Estimate | None, bool]]) -> str:
    """`init=he_normal 0.97 [0.96, 0.98]; ...`, the first ones."""
    rows = list(found)
    places = decimals(center for _, center, _ in rows)
    words = [
        f"{name} {center_text(center, places, sign)}"
        + (f" {interval_text(center, places, sign)}" if center and center.interval else "")
        for name, center, sign in rows[:MOST_DESCRIBED]
    ]
    rest = len(rows) - len(words)
    return "; ".join([*words, f"and {rest} more, in the table"] if rest else words) + "."


def curves_along(name: str, along: str, title: str) -> Exhibit:
    """The curves over one of the coordinates of a logged row."""

    def draw(subject: Subject, narrow: bool) -> "Figure | None":
        curves = subject.curves
        return draw_curves(curves, along, narrow) if curves and along in curves.axes else None

    def describe(subject: Subject) -> str:
        metric = subject.comparison.metric
        return f"Over {title}: Curves of {metric}; at the end: {listed_scores(subject.comparison)}"

    return Exhibit(name, "training", draw, describe, curves_caption, title)


def curves_caption(subject: Subject) -> str:
    """How to read curves."""
    along = " (over seconds at their mean time)" if subject.curves and len(subject.curves.axes) > 2 else ""
    crosses = any(run.status == "diverged" for run in subject.comparison.runs)
    return (
        f"Thick: mean over seeds{along}. Band: 95 % bootstrap interval of the mean at each step. "
        "Thin: single seeds (the first of each arm, where they are many)."
        f"{' Cross: the run diverged.' if crosses else ''}"
    )


def listed_scores(comparison: Comparison) -> str:
    return listed((arm.label, arm.score, False) for arm in comparison.arms if arm.score)


def describe_forest(subject: Subject) -> str:
    """The differences."""
    comparison = subject.comparison
    apart = listed((arm.label, arm.difference, True) for arm in comparison.arms if arm.difference)
    return f"Differences in {comparison.metric} to {comparison.reference}, with 95 % intervals: {apart}"


def describe_effects(subject: Subject) -> str:
    """The effects of a factorial design."""
    grid = subject.grid
    effects = listed((one.label, one.center, True) for one in [*grid.main, *grid.interactions]) if grid else ""
    return f"Main effects and interactions in {subject.comparison.metric}, with 95 % intervals: {effects}"


def effects_caption(subject: Subject) -> str:
    """How to read effects."""
    return (
        f"What each factor does to {subject.comparison.metric}, the others averaged over. An interaction is how much "
        "more (or less) a level does at another factor's level than at that one's reference. Dots: seeds. Diamond and "
        f"bar: mean and 95 % interval over {count(len(subject.grid.seeds) if subject.grid else 0, 'seed')}."
    )


def describe_tuning(subject: Subject) -> str:
    """The values that were picked."""
    tuning = subject.comparison.tuning
    picks = "; ".join(picked_text(tuning, arm) for arm in tuning.arms[:MOST_DESCRIBED]) if tuning else ""
    return f"{tuning and tuning.metric} over what was tuned; picked: {picks}."


def tuning_caption(subject: Subject) -> str:
    """How to read the figure of a tuning."""
    tuning = subject.comparison.tuning
    if tuning is None:
        return ""
    dots = "; dots: single runs" if len(tuning.seeds) > 1 else ""
    best = " Of each value the best point of the grid is shown." if len(tuning.keys) > 1 else ""
    return (
        f"{budget_text(tuning)} Line: mean over seeds{dots}. Ring: the value picked. "
        f"Cross: a trial that diverged or failed.{best}"
    )


EXHIBITS = (
    Exhibit(
        "forest",
        "differences",
        lambda subject, narrow: draw_forest(subject.comparison, narrow),
        describe_forest,
        lambda subject: (
            f"{subject.comparison.metric}, each arm minus {subject.comparison.reference}. Dots: pairs of runs with the "
            "same seed. Diamond and bar: mean and 95 % interval."
        ),
    ),
    curves_along("curves", "step", "steps"),
    curves_along("curves_epoch", "epoch", "epochs"),
    curves_along("curves_seconds", "seconds", "seconds"),
    Exhibit(
        "seeds",
        "seeds",
        lambda subject, narrow: draw_seeds(subject.comparison, narrow),
        lambda subject: (
            f"{subject.comparison.metric} of every run; mean and 95 % interval: {listed_scores(subject.comparison)}"
        ),
        lambda subject: "Dots: single runs. Diamond and bar: mean and 95 % interval.",
    ),
    Exhibit(
        "effects",
        "factors",
        lambda subject, narrow: subject.grid and draw_effects(subject.grid, subject.comparison.metric, narrow),
        describe_effects,
        effects_caption,
    ),
    Exhibit(
        "interactions",
        "factors",
        lambda subject, narrow: subject.grid and draw_interactions(subject.grid, subject.comparison.metric, narrow),
        lambda subject: (
            f"{subject.comparison.metric} at each pair of levels; the numbers are in the table that follows."
        ),
        lambda subject: (
            "Lines that are not parallel interact. Means over seeds and the other factors, with 95 % intervals; "
            "dots: seeds."
        ),
    ),
    Exhibit(
        "cost",
        "cost",
        lambda subject, narrow: draw_cost(subject.comparison, narrow),
        lambda subject: f"{subject.comparison.metric} over what it cost; the numbers are in the table that follows.",
        lambda subject: "Small: single runs. Large: means of an arm.",
    ),
    Exhibit(
        "tuning",
        "tuning",
        lambda subject, narrow: draw_tuning(subject.comparison, narrow),
        describe_tuning,
        tuning_caption,
    ),
)
"""All figures, in the order in which the page lists their files."""


def hang(subject: Subject, folder: Path) -> dict[str, Hung]:
    """Writes the files of all figures that there is something to draw for into `folder`, each atomically.

    Files of the others are removed: left from other runs, they would be taken for figures of these.

    Returns:
        By name what the page shows.
    """
    found = {}
    for one in EXHIBITS:
        figure, narrow = one.draw(subject, False), one.draw(subject, True)
        files = [folder / f"{one.name}{end}" for end in (".svg", ".png", "_column.svg")]
        if figure is None or narrow is None:
            for path in files:
                path.unlink(missing_ok=True)
            continue
        wide, png, column = render(figure, "svg"), render(figure, "png"), render(narrow, "svg")
        for path, data in zip(files, (wide, png, column), strict=True):
            write_atomically(path, data)
        svgs = inline_svg(wide.decode(), one.name), inline_svg(column.decode(), f"{one.name}-narrow")
        found[one.name] = Hung(one.name, one.section, one.title, *svgs, one.describe(subject), one.caption(subject))
    return found
