"""How numbers are written: with as many decimals as their intervals deserve."""

import math
from collections.abc import Iterable

from lab.studies.statistics.estimate import Estimate


def decimals(estimates: Iterable[Estimate | None]) -> int:
    """Decimals for a column of estimates: two digits of the narrowest interval, at most four of the largest value."""
    found = [estimate for estimate in estimates if estimate]
    intervals = [estimate.interval for estimate in found if estimate.interval]
    widths = [high - low for low, high in intervals if high > low]
    sizes = [abs(estimate.value) for estimate in found if math.isfinite(estimate.value) and estimate.value]
    most = 3 - math.floor(math.log10(max(sizes))) if sizes else 3
    places = min(1 - math.floor(math.log10(min(widths))), most) if widths else most - 1
    return max(places, 0)


def fixed(value: float | None, places: int, sign: bool = False) -> str:
    """`value` with `places` decimals and thousands in groups; `-` for None, `inf` for infinity, no negative zero."""
    if value is None:
        return "-"
    return f"{round(value, places) + 0.0:{'+' if sign else ''},.{places}f}" if math.isfinite(value) else f"{value:g}"


def center_text(estimate: Estimate | None, places: int, sign: bool = False) -> str:
    """`0.971`, or `median 420` where some values are infinite."""
    if estimate is None:
        return "-"
    text = fixed(estimate.value, places, sign)
    return f"median {text}" if estimate.num_infinite else text


def interval_text(estimate: Estimate | None, places: int, sign: bool = False) -> str:
    """`[0.969, 0.974]`, or how many values are infinite."""
    if estimate is None:
        return "-"
    if estimate.num_infinite:
        return f"{estimate.num_infinite} of {estimate.n} infinite"
    if estimate.interval is None:
        return "-"
    low, high = (fixed(edge, places, sign) for edge in estimate.interval)
    return f"[{low}, {high}]"


def count(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def seed_spans(seeds: Iterable[int]) -> str:
    """`seed 3`, `seeds 0 to 4, 7 and 8`."""
    ordered, spans = sorted(set(seeds)), list[list[int]]()
    for seed in ordered:
        if spans and seed == spans[-1][-1] + 1:
            spans[-1].append(seed)
        else:
            spans.append([seed])
    parts = [part for span in spans for part in ([f"{span[0]} to {span[-1]}"] if len(span) > 2 else map(str, span))]
    words = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
    return f"{'seed' if len(ordered) == 1 else 'seeds'} {words}"


def duration(seconds: float) -> str:
    """`2.9 s`, `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.{0 if seconds >= 9.95 else 1}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
