"""What tuning tries: the full grid of the lists in `study.tune`, or points drawn from its ranges, the same for all.

Points are those of a scrambled Sobol sequence (Owen 1998), which covers the ranges more evenly than random ones; the
first of a larger budget are those of a smaller one. Optuna's samplers would give each arm other points.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.config import DRAWN, StudyConfig
from lab.ranges import Range, is_call, read_range
from lab.validation import all_keys

SEED = 0
"""Of the scrambling: every command draws the same points."""

Axis = Range | list[Any]
Edge = tuple[str, str]
"""A key, and the end of its range, `low` or `high`."""


def space(tune: Any) -> dict[str, Axis]:
    """The axis of each key of `study.tune`: a range, or the values of a list. What is neither is left out."""
    axes: dict[str, Axis] = {}
    for key, values in tune.items() if isinstance(tune, Mapping) else ():
        if isinstance(values, list):
            axes[key] = values
        elif is_call(values) and key in all_keys():
            axes[key] = read_range(values, whole=all_keys()[key].kind is int)
    return axes


def ranges(axes: Mapping[str, Axis]) -> dict[str, Range]:
    """Those of `axes` that are ranges."""
    return {key: axis for key, axis in axes.items() if isinstance(axis, Range)}


def grid_size(axes: Mapping[str, Axis]) -> float:
    """How many different points there are; infinite with a range of fractions."""
    return math.prod(axis.size if isinstance(axis, Range) else len(axis) for axis in axes.values())


def num_points(study: StudyConfig) -> int:
    """How many points each arm tries, before any range is widened."""
    axes = space(study.tune)
    every = grid_size(axes)
    return int(min(study.tune_trials or (DRAWN if ranges(axes) else every), every))


def most_points(study: StudyConfig) -> int:
    """How many points each arm tries at most, where ranges are widened as often as they may be."""
    number = num_points(study)
    return number + study.tune_widen * math.ceil(number / 2) * bool(ranges(space(study.tune)))


def points(study: StudyConfig) -> list[dict[str, Any]]:
    """The points of `study.tune`, each a value by key, in the order in which a larger budget adds to them."""
    return draw(space(study.tune), num_points(study))


def draw(axes: Mapping[str, Axis], number: int) -> list[dict[str, Any]]:
    """`number` different points, or all that there are."""
    if number >= grid_size(axes):
        values = [_all_values(axis) for axis in axes.values()]
        return [dict(zip(axes, point, strict=True)) for point in itertools.product(*values)]
    import numpy as np  # late, with scipy: most commands tune nothing
    from scipy.stats import qmc

    names, found = sorted(axes), dict[str, dict[str, Any]]()  # by name: the order in which keys are typed is no matter
    random = np.random.default_rng(SEED)
    sequence = qmc.Sobol(len(names), scramble=True, seed=random)  # pyright: ignore[reportCallIssue] (`rng` from 1.15 on)
    while len(found) < number:
        for row in sequence.random(1 << (number - 1).bit_length()):
            shares = dict(zip(names, map(float, row), strict=True))
            point = {key: _value(axis, shares[key]) for key, axis in axes.items()}
            found.setdefault(json.dumps(point), point)
    return list(found.values())[:number]


def first_point(tune: Any) -> dict[str, Any]:
    """One of the points of `study.tune`, whichever; empty without a tuning."""
    return {key: _value(axis, 0.0) for key, axis in space(tune).items()}


def _all_values(axis: Axis) -> Sequence[Any]:
    return range(int(axis.low), int(axis.high) + 1) if isinstance(axis, Range) else axis


def _value(axis: Axis, share: float) -> Any:
    return axis.value(share) if isinstance(axis, Range) else axis[int(share * len(axis))]


def widen(
    tune: Any, axes: Mapping[str, Axis], edges: Sequence[Edge], number: int
) -> tuple[dict[str, Axis], list[dict[str, Any]]]:
    """`axes` with the ranges that end at `edges` longer there, and further points in what was added.

    Each is longer by half of what `tune`, `study.tune`, has for it, but no key goes beyond its own range: an end there
    stays, and so does one of a list. Without points none could be moved.

    Args:
        number: how many points, in all; a few more where it does not divide by the ends.
    """
    wider, further = dict(axes), list[dict[str, Any]]()
    moved = {
        edge: added
        for edge in edges
        if edge[0] in ranges(axes) and (added := _beyond(ranges(space(tune)), ranges(axes), edge))
    }
    for (key, side), added in moved.items():
        further += draw({**axes, key: added}, max(2, math.ceil(number / len(moved))))
        before = wider[key]
        assert isinstance(before, Range)
        wider[key] = replace(before, **{side: getattr(added, side)})
    return wider, further


def _beyond(typed: Mapping[str, Range], now: Mapping[str, Range], edge: Edge) -> Range | None:
    """The range that follows at an end of the one there is `now`; None where nothing follows."""
    key, side = edge
    axis, knob, up = now[key], all_keys()[key].knob, side == "high"
    end, sign = (axis.high, 1) if up else (axis.low, -1)
    new = end + sign * (typed[key].high - typed[key].low) / 2
    if axis.kind == "log":
        new = end * (typed[key].high / typed[key].low) ** (sign / 2)
    closed, opened = (knob.high, knob.below) if up else (knob.low, knob.above)
    if opened is not None and sign * new >= sign * opened:
        new = (end + opened) / 2
    if closed is not None:
        new = sign * min(sign * new, sign * closed)
    new = float(round(new) if axis.whole else float(f"{new:.4g}"))
    start = end + sign if axis.whole else end
    if sign * new < sign * start or new == end or not knob.admits(int(new) if axis.whole else new):
        return None
    low, high = (start, new) if up else (new, start)
    return Range(axis.kind, low, high, axis.whole)
