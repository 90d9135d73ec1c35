"""The strip under a verdict: its effect and interval beside what the claim asks for."""

import math
from dataclasses import dataclass

from lab.studies.claims.verdict import Verdict


@dataclass(frozen=True)
class Strip:
    """A verdict as a drawing 100 wide: where its claim holds, zero, the effect and its interval."""

    zero: float
    effect: float
    interval: tuple[float, float] | None
    holds: tuple[float, float] | None
    """The effects of which the claim is true; None for a kind that has no such range."""
    edges: list[float]
    """Where that range begins or ends."""


def strip(verdict: Verdict) -> Strip | None:
    """The strip of a verdict, or None without a finite effect."""
    if verdict.effect is None or not math.isfinite(verdict.effect):
        return None
    margin = abs(verdict.margin)
    ranges = {
        "higher": (margin, math.inf),
        "interaction": (margin, math.inf),
        "lower": (-math.inf, -margin),
        "same": (-margin, margin),
    }
    holds = ranges.get(verdict.kind)
    edges = [edge for edge in holds or () if math.isfinite(edge)]
    shown = [0.0, verdict.effect, *(verdict.interval or ()), *edges]
    low, high = min(shown), max(shown)
    room = 0.12 * (high - low) or 1.0

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - low + room) / (high - low + 2 * room))), 2)

    return Strip(
        zero=place(0.0),
        effect=place(verdict.effect),
        interval=(place(verdict.interval[0]), place(verdict.interval[1])) if verdict.interval else None,
        holds=(place(holds[0]), place(holds[1])) if holds else None,
        edges=list(map(place, edges)),
    )
