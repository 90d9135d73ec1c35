"""What figures are drawn of, and what a figure of the report is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure

from lab.studies.comparison.answers import Answers, find_answers
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.factorial import Grid, find_grid
from lab.studies.comparison.mistaken import Mistakes, find_mistakes
from lab.studies.figures.curves import Curves, read_curves
from lab.studies.figures.paths import Tracks, read_tracks


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

    @cached_property
    def tracks(self) -> Tracks | None:
        """The paths over surfaces, where runs recorded some."""
        return read_tracks(self.comparison)

    @cached_property
    def answers(self) -> Answers | None:
        """What the runs predict of the test images, where they kept it."""
        return find_answers(self.comparison)

    @cached_property
    def mistakes(self) -> Mistakes:
        """The test images that are misclassified most often; their pixels are being fetched from now on."""
        return find_mistakes(self.answers)


@dataclass(frozen=True)
class Exhibit:
    """A figure that a report may have."""

    name: str
    """Of its files: `<name>.svg`, `<name>.png`, and `<name>_column.svg` for a phone and a column of a paper."""
    section: str
    """Of the page."""
    draw: Callable[[Subject, bool], Figure | None]
    """Draws it, narrow or not; None where there is nothing to draw."""
    words: Callable[[Subject], tuple[str, str]]
    """What it shows, with its numbers, for those who cannot see it; and its caption."""
    title: str = ""
    """What tells it from others of its section, of which one is shown at a time."""
