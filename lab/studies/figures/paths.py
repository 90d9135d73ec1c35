"""The figure of paths over surfaces: how the parameter of `model=saddle` and its kin moves, arm beside arm."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.records.results import Run
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.means import is_finite
from lab.studies.figures.names import fit
from lab.studies.figures.path_labels import place_labels
from lab.studies.figures.scales import scale
from lab.studies.figures.style import COLORS, MOST_SERIES, NARROW, STYLE, WIDE, place_legend
from lab.studies.select.selectors import canonical, label, show
from lab.surface import FORMULAS

CONTOUR, SIGN = "#8C8C8C", "#333333"

LEAST, MOST = 0.06, 0.93
"""Root of the share of a window that is below the lowest contour line, and the highest: evenly spaced heights would
leave the valleys empty."""

NODES = 91
"""Points of the grid that contour lines are found on, each way."""

PANEL_HEIGHT = 2.75
"""Inches of a panel with its title and ticks."""

LABEL_SIZE = 8.5

Limits = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Track:
    """The path of one run."""

    name: str
    """Of its arm, without the surface."""
    color: str
    points: Any
    """x and y, (n + 1, 2): the start, then after each logged step."""


@dataclass(frozen=True)
class Tracks:
    """The paths of one seed."""

    seed: int
    steps: int
    """The last one."""
    panels: Mapping[str, Sequence[Track]]
    """By the name of the surface."""


def read_tracks(comparison: Comparison) -> Tracks | None:
    """The paths of the least seed that all arms on surfaces have; None where no run recorded one.

    Of each surface the first seven arms are taken, as many as colours tell apart.
    """
    arms = [arm for arm in comparison.arms if arm.runs and surface_of(arm.runs[0])]
    shared = set.intersection(*({run.seed for run in arm.runs} for arm in arms)) if arms else set()
    if not shared:
        return None
    seed = min(shared)
    runs = [next(run for run in arm.runs if run.seed == seed) for arm in arms]
    names = series(arms)
    colors = dict(zip(dict.fromkeys(names), COLORS, strict=False))
    panels: dict[str, list[Track]] = {}
    for run, name in zip(runs, names, strict=True):
        points = positions(run)
        if name in colors and len(points) > 1:
            panels.setdefault(surface_of(run), []).append(Track(name, colors[name], np.array(points)))
    steps = max((int(run.history[-1]["step"]) for run in runs if run.history), default=0)
    return Tracks(seed, steps, {name: found[:MOST_SERIES] for name, found in panels.items()}) if panels else None


def surface_of(run: Run) -> str:
    """The name of the surface that `run` moved on; empty where it was none."""
    name = str(run.config.get("model.name"))
    return name if name in FORMULAS else ""


def positions(run: Run) -> list[tuple[float, float]]:
    """Where the point of `run` was, from its start on."""
    rows = [run.result.get("start_point") or {}, *({"x": r.get("train/x"), "y": r.get("train/y")} for r in run.history)]
    return [(row["x"], row["y"]) for row in rows if is_finite(row.get("x")) and is_finite(row.get("y"))]


def series(arms: Sequence[Arm]) -> list[str]:
    """The name of each arm without what its surface tells already; its whole label where nothing else is left."""
    by_surface: dict[str, list[Arm]] = {}
    for arm in arms:
        by_surface.setdefault(surface_of(arm.runs[0]), []).append(arm)
    told = {
        key
        for key in arms[0].keys
        if all(len({canonical(arm.keys[key]) for arm in there}) == 1 for there in by_surface.values())
    }
    left = [{key: value for key, value in arm.keys.items() if key not in told} for arm in arms]
    if len(left[0]) == 1:
        return [show(*keys.values()) for keys in left]
    return [label(keys) if keys else arm.label for keys, arm in zip(left, arms, strict=True)]


@rc_context(STYLE)
def draw_paths(tracks: Tracks | None, narrow: bool = False) -> Figure | None:
    """A panel for each surface: contour lines of the height, and the paths with their names; None without paths."""
    if tracks is None:
        return None
    figure, axes = stage(tracks, narrow)
    for axis, found in zip(axes, tracks.panels.values(), strict=True):
        for track in found:
            axis.add_line(trace(track))
            axis.plot(*track.points[-1], "o", color=track.color, markersize=4, zorder=5)
    return figure


def stage(tracks: Tracks, narrow: bool = False) -> tuple[Figure, list[Axes]]:
    """The figure without its paths: contour lines, starts, minima, names."""
    number = len(tracks.panels)
    columns = 1 if narrow or number == 1 else 2
    rows = math.ceil(number / columns)
    inches = NARROW if narrow else WIDE
    figure = Figure(figsize=(inches, PANEL_HEIGHT * rows + 0.35), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[number:]:
        axis.set_visible(False)
    size = (inches / columns - 0.6, PANEL_HEIGHT - 0.75)
    for axis, (name, found) in zip(axes, tracks.panels.items(), strict=False):
        draw_surface(axis, name, found, size)
    signs: dict[str, dict[str, Any]] = {
        "start": {"marker": "o", "markerfacecolor": "none"},
        "last step": {"marker": "o", "markersize": 4},
        "minimum": {"marker": "*", "markersize": 8},
        "contour line": {"color": CONTOUR, "linestyle": "-", "linewidth": 0.7},
    }
    lines = [Line2D([], [], **{"color": SIGN, "linestyle": "", "markersize": 6, **sign}) for sign in signs.values()]
    legend = figure.legend(lines, [""] * len(signs), loc="outside upper left", ncols=2 if narrow else 4, handlelength=1)
    place_legend(legend, list(signs))
    return figure, axes[:number]


def draw_surface(axis: Axes, name: str, tracks: Sequence[Track], size: tuple[float, float]) -> None:
    """Contour lines, starts and minima of the surface `name`, and the names of the paths beside them.

    Args:
        axis: the panel.
        name: of the surface.
        tracks: its paths, which are not drawn.
        size: of the panel in inches, about.
    """
    surface = FORMULAS[name]
    (left, right), (low, high) = limits = limits_of(surface.window, tracks)
    x, y = np.meshgrid(np.linspace(left, right, NODES), np.linspace(low, high, NODES))
    heights = surface.height(x, y, np.cos)
    levels = np.unique(np.quantile(heights, np.linspace(LEAST, MOST, surface.lines) ** 2))
    axis.contour(x, y, heights, levels, colors=CONTOUR, linewidths=0.5, alpha=0.7, zorder=1)
    for track in tracks:
        axis.plot(*track.points[0], "o", color=SIGN, markersize=6, markerfacecolor="none", zorder=6)
    for minimum in surface.minima:
        axis.plot(*minimum, "*", color=SIGN, markersize=8, zorder=3)
    axis.set_xlim(left, right)
    axis.set_ylim(low, high)
    scale(axis, "x", False, 5)
    scale(axis, "y", False, 5)
    axis.set_title(name.replace("_", " "))
    axis.set_xlabel("x")
    axis.set_ylabel("y", rotation=0)
    names = fit([track.name for track in tracks], size[0] / 2, LABEL_SIZE, 1)
    signs = [*(tuple(track.points[0]) for track in tracks), *surface.minima]
    shown = [np.clip(track.points, (left, low), (right, high)) for track in tracks]
    places = place_labels(shown, names, limits, size, LABEL_SIZE, signs)
    for track, text, place in zip(tracks, names, places, strict=True):
        box = {"facecolor": "#FFFFFF", "edgecolor": "none", "alpha": 0.7, "pad": 0.6}
        axis.text(*place, text, color=track.color, size=LABEL_SIZE, ha="center", va="center", bbox=box, zorder=7)


def limits_of(window: Limits, tracks: Sequence[Track]) -> Limits:
    """Least and greatest x, and y: those of `window`, and at most half as much again where paths leave it."""
    found = []
    for which, (low, high) in enumerate(window):
        values, room = np.concatenate([track.points[:, which] for track in tracks]), (high - low) / 4
        margin = (high - low) / 25
        found.append(
            (
                min(low, max(low - room, float(values.min()) - margin)),
                max(high, min(high + room, float(values.max()) + margin)),
            )
        )
    return found[0], found[1]


def leaves(tracks: Tracks) -> bool:
    """Whether a path goes beyond its panel."""
    for name, found in tracks.panels.items():
        low, high = np.transpose(limits_of(FORMULAS[name].window, found))
        if any(((track.points < low) | (track.points > high)).any() for track in found):
            return True
    return False


def trace(track: Track, number: int | None = None) -> Line2D:
    """The first `number` points of a path, all if None, as a line with a dot at each."""
    x, y = track.points[:number].T
    return Line2D(x, y, color=track.color, linewidth=1.2, marker=".", markersize=3, markeredgewidth=0, zorder=4)
