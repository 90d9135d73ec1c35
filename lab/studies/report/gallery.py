"""The figures of a report: for each its file, its place on the page, how it is drawn, and what it shows in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from lab.records.write import remove_file, write_atomically
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.cost import shared_machine
from lab.studies.comparison.tuned import budget_text, picked_text
from lab.studies.figures.cost import draw_cost
from lab.studies.figures.curves import draw_curves
from lab.studies.figures.dots import draw_seeds
from lab.studies.figures.effects import draw_effects, draw_interactions, factor_pairs
from lab.studies.figures.files import figure_bytes, inline_svg
from lab.studies.figures.forest import draw_forest
from lab.studies.figures.paths import draw_paths, leaves
from lab.studies.figures.style import MOST_ROWS, MOST_SERIES, cut
from lab.studies.figures.tuning_curves import draw_tuning, is_ordered
from lab.studies.report.predictions import PREDICTIONS
from lab.studies.report.subject import Exhibit, Subject
from lab.studies.statistics.estimate import Estimate
from lab.studies.statistics.numerals import center_text, count, decimals, interval_text

MOST_DESCRIBED = 24
"""Rows of a figure that its description reads out."""


@dataclass(frozen=True)
class Hung:
    """An exhibit as the page has it."""

    exhibit: Exhibit
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


def listed_scores(comparison: Comparison) -> str:
    return listed((arm.label, arm.score, False) for arm in comparison.arms if arm.score)


FEW_SEEDS = 5
"""Seeds below which a caption calls intervals unreliable."""


def few_seeds(comparison: Comparison) -> str:
    """What a caption adds where an arm has an interval of so few seeds."""
    few = any(arm.score and arm.score.interval and arm.num_seeds < FEW_SEEDS for arm in comparison.arms)
    return f" With fewer than {FEW_SEEDS} seeds these intervals are unreliable." * few


def if_failed(comparison: Comparison, what: str) -> str:
    """What a caption adds where some runs did not train."""
    return f" {what}" * any(arm.num_trained < arm.num_run for arm in comparison.arms)


def first_of(comparison: Comparison, what: str = "arms", number: int | None = None) -> str:
    """What a caption adds where there is no room for all rows or panels."""
    number = len(comparison.arms) if number is None else number
    return f" Shown are the first {MOST_ROWS} of {number} {what}." * (number > MOST_ROWS)


def forest_words(subject: Subject) -> tuple[str, str]:
    metric, reference = subject.comparison.metric, subject.comparison.reference
    apart = listed((arm.label, arm.difference, True) for arm in subject.comparison.arms if arm.difference)
    return (
        f"Differences in {metric} to {reference}, with 95 % intervals: {apart}",
        f"{metric}, each arm minus {reference}. Dots: seeds. Diamond and bar: mean and 95 % interval."
        + few_seeds(subject.comparison)
        + " Rings: seeds in which only one of the two trained, left out of the mean."
        * any(arm.left_out for arm in subject.comparison.arms)
        + first_of(
            subject.comparison, "differences", sum(arm.difference is not None for arm in subject.comparison.arms)
        ),
    )


def curves_words(subject: Subject) -> tuple[str, str]:
    comparison = subject.comparison
    along = " (over seconds at their mean time)" if subject.curves and len(subject.curves.axes) > 2 else ""
    crowded = cut(comparison).crowded
    alone = " Grey: the mean of its reference." if crowded else " Lines that agree everywhere take turns."
    diverged = any(run.status == "diverged" for run in comparison.runs)
    return (
        f"Curves of {comparison.metric}; at the end: {listed_scores(comparison)}",
        f"Thick: mean over seeds{along}. Band: 95 % interval of the mean at each step. "
        "Thin: single seeds (the first of each arm, where they are many)."
        f"{' Cross: the run diverged.' * diverged}"
        f"{' Triangle: exactly 0, which has no logarithm.' * bool(subject.curves and subject.curves.zero)}"
        f"{' Dotted: runs that did not train, left out of the mean where others did.' * bool(comparison.untrained)}"
        f"{alone * (len(comparison.arms) > 1)}{few_seeds(comparison)}{first_of(comparison) * crowded}",
    )


def curves_along(name: str, along: str, title: str) -> Exhibit:
    """The curves over one of the coordinates of a logged row."""

    def draw(subject: Subject, narrow: bool) -> Figure | None:
        there = subject.curves is not None and along in subject.curves.axes
        return draw_curves(subject.curves, along, narrow) if subject.curves and there else None

    return Exhibit(name, "training", draw, curves_words, title)


def paths_words(subject: Subject) -> tuple[str, str]:
    tracks = subject.tracks
    assert tracks
    names = dict.fromkeys(track.name for found in tracks.panels.values() for track in found)
    surfaces = ", ".join(name.replace("_", " ") for name in tracks.panels)
    crowded = len(names) == MOST_SERIES and len(subject.comparison.arms) > MOST_SERIES * len(tracks.panels)
    return (
        f"Paths of {', '.join(names)} over {surfaces}; the numbers are in the table that follows.",
        f"{count(tracks.steps, 'step')} at seed {tracks.seed}, a dot for each that was logged. Contour lines are dense "
        "where the height is low."
        + " Some paths leave their panel." * leaves(tracks)
        + f" Shown are the first {MOST_SERIES} arms of each surface." * crowded,
    )


def seeds_words(subject: Subject) -> tuple[str, str]:
    return (
        f"{subject.comparison.metric} of every run; mean and 95 % interval: {listed_scores(subject.comparison)}",
        "Dots: single runs. Diamond and bar: mean and 95 % interval."
        + if_failed(subject.comparison, "Rings: runs that did not train, left out of the mean where others did.")
        + few_seeds(subject.comparison)
        + first_of(subject.comparison),
    )


def effects_words(subject: Subject) -> tuple[str, str]:
    assert subject.grid
    effects = [*subject.grid.main, *subject.grid.interactions]
    return (
        f"Main effects and interactions in {subject.comparison.metric}, with 95 % intervals: "
        f"{listed((effect.label, effect.center, True) for effect in effects)}",
        f"What each factor does to {subject.comparison.metric}, the others averaged over. An interaction is how much "
        "more (or less) a level does at another factor's level than at that one's reference. Dots: seeds. "
        f"Diamond and bar: mean and 95 % interval over {count(len(subject.grid.seeds), 'seed')}."
        + if_failed(subject.comparison, "Only seeds in which all arms trained.")
        + first_of(subject.comparison, "effects", len(effects)),
    )


def interactions_words(subject: Subject) -> tuple[str, str]:
    assert subject.grid
    drawn, number = len({frozenset(pair) for pair in factor_pairs(subject.grid)}), len(subject.grid.factors)
    pairs = number * (number - 1) // 2
    lines = "Factors interact where their levels are not the same distance apart everywhere"
    lines += ", so that lines are not parallel. " if any(map(is_ordered, subject.grid.factors.values())) else ". "
    return (
        f"{subject.comparison.metric} at each pair of levels; the numbers are in the table that follows.",
        f"{lines}Means over seeds and the other factors, with 95 % intervals. "
        f"Small: seeds.{f' Shown are {drawn} of {pairs} pairs of factors.' * (drawn < pairs)}"
        + if_failed(subject.comparison, "Only seeds in which all arms trained."),
    )


def cost_symbols(comparison: Comparison) -> str:
    """What the figure of costs draws with."""
    if cut(comparison).crowded:
        return f"Dots: single runs. Diamond and bar: mean and 95 % interval.{first_of(comparison)}"
    return "Small: single runs. Large: means of an arm, side by side where they would hide one another."


def cost_words(subject: Subject) -> tuple[str, str]:
    shared = shared_machine(subject.comparison.runs)
    return (
        f"{subject.comparison.metric} over what it cost; the numbers are in the table that follows.",
        f"{cost_symbols(subject.comparison)}{f' {shared}' * bool(shared)}"
        + if_failed(subject.comparison, "Runs that did not train are left out of the means where others did."),
    )


def tuning_words(subject: Subject) -> tuple[str, str]:
    tuning = subject.comparison.tuning
    assert tuning
    picks = "; ".join(picked_text(tuning, arm) for arm in tuning.arms[:MOST_DESCRIBED])
    dots = "; dots: single runs" if len(tuning.seeds) > 1 else ""
    best = " Of each value the best point is shown; the other keys differ as well." if len(tuning.keys) > 1 else ""
    return (
        f"{tuning.metric} over what was tuned; picked: {picks}.",
        f"{budget_text(tuning)} Symbols: means over seeds{dots}. Ring: the value picked. "
        f"Cross: a tuning trial that diverged or failed.{best}"
        + first_of(subject.comparison)
        * cut(subject.comparison).crowded,
    )


EXHIBITS = (
    Exhibit("forest", "differences", lambda one, narrow: draw_forest(one.comparison, narrow), forest_words),
    curves_along("curves", "step", "steps"),
    curves_along("curves_epoch", "epoch", "epochs"),
    curves_along("curves_seconds", "seconds", "seconds"),
    Exhibit("paths", "paths", lambda one, narrow: draw_paths(one.tracks, narrow), paths_words),
    Exhibit("seeds", "seeds", lambda one, narrow: draw_seeds(one.comparison, narrow), seeds_words),
    Exhibit(
        "effects",
        "factors",
        lambda one, narrow: one.grid and draw_effects(one.grid, one.comparison.metric, narrow),
        effects_words,
    ),
    Exhibit(
        "interactions",
        "factors",
        lambda one, narrow: one.grid and draw_interactions(one.grid, one.comparison.metric, narrow),
        interactions_words,
    ),
    Exhibit("cost", "cost", lambda one, narrow: draw_cost(one.comparison, narrow), cost_words),
    Exhibit("tuning", "tuning", lambda one, narrow: draw_tuning(one.comparison, narrow), tuning_words),
    *PREDICTIONS,
)
"""All figures, in the order in which the page lists their files."""


ENDS = (".svg", ".png", "_column.svg")
"""Of the files of an exhibit."""


def hang(subject: Subject, folder: Path | None) -> dict[str, Hung]:
    """Draws all figures that there is something to draw for, and writes their files into `folder`, each atomically.

    Files of the others are removed: left from other runs, they would be taken for figures of these.

    Returns:
        By name what the page shows.
    """
    found = {}
    _ = subject.mistakes  # whose pixels come while the others are drawn
    for one in EXHIBITS:
        figure, column = one.draw(subject, False), one.draw(subject, True)
        files = [folder / f"{one.name}{end}" for end in ENDS] if folder else []
        if figure is None or column is None:
            for path in files:
                remove_file(path)
            continue
        svg, column_svg = figure_bytes(figure, "svg"), figure_bytes(column, "svg")
        if files:
            for path, data in zip(files, (svg, figure_bytes(figure, "png"), column_svg), strict=True):
                write_atomically(path, data)
        wide, narrow = inline_svg(svg.decode(), one.name), inline_svg(column_svg.decode(), f"{one.name}-narrow")
        found[one.name] = Hung(one, wide, narrow, *one.words(subject))
    return found
