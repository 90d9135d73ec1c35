"""What `seeds=auto` saves, and whether its verdicts keep what they say: simulations whose truth is known.

python benchmarks/sequential.py [--spendings] [--repeats 2000]
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy import special, stats

from lab.studies.claims.claim import Claim, parse_claim
from lab.studies.claims.contrast import p_values
from lab.studies.statistics.estimate import ALPHA
from lab.studies.statistics.group_sequential import (
    FUTILE,
    crossed,
    holm_levels,
    planned_analyses,
    planned_levels,
    spend_evenly,
)

MOST = 20
"""Seeds: the default of study.max_seeds."""

EFFECTS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""In standard deviations of the paired difference."""

PATHS = 40_000
"""Experiments of normal differences that tell power and seeds."""

SPENDINGS: dict[str, Callable[[float], float]] = {
    "n/N, the lab's": spend_evenly,
    "(n/N)^1.5": lambda share: share**1.5,
    "(n/N)^0.5": lambda share: share**0.5,
    "Pocock-like": lambda share: math.log(1 + (math.e - 1) * share),
    "O'Brien-Fleming-like": lambda share: float(
        2 * stats.norm.sf(stats.norm.isf(ALPHA / 2) / math.sqrt(share)) / ALPHA
    ),
    "80 % at the first, then halves": lambda share: 1 - 0.2 * 0.5 ** planned_analyses(MOST).index(round(share * MOST)),
}

A, B, C = ({"model.act": name} for name in "abc")
HIGHER = parse_claim({"say": "higher", "higher": A, "than": B})
SAME = parse_claim({"say": "same", "same": [A, B], "within": 1.0})
ORDERED = parse_claim({"say": "ordered", "ordered": [A, B, C]})

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
SCORES: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "exponential": lambda rng, size: rng.exponential(size=size) - 1,
    "heavy-tailed (t, 3 df)": lambda rng, size: rng.standard_t(3, size=size),
    "coarse (steps of 1 sd)": lambda rng, size: np.round(rng.normal(size=size)),
    "1 of 4 seeds differs": lambda rng, size: 2 * rng.normal(size=size) * (rng.random(size) < 0.13),
}
"""Scores of one arm with mean 0."""


def t_statistics(effect: float, analyses: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Of the differences of `PATHS` experiments at each of `analyses`, (paths, analyses)."""
    values = rng.normal(effect, size=(PATHS, MOST))
    return np.stack([values[:, :n].mean(1) / values[:, :n].std(1, ddof=1) * math.sqrt(n) for n in analyses], axis=1)


def outcome(effect: float, levels: Sequence[float], analyses: Sequence[int], futile: float) -> tuple[float, float]:
    """Mean seeds, and share supported, of one claim "higher" that is analysed at `analyses`."""
    t = t_statistics(effect, analyses, np.random.default_rng(int(10 * effect)))
    seeds, going, supported = np.full(PATHS, analyses[-1]), np.ones(PATHS, bool), np.zeros(PATHS, bool)
    for place, (n, level) in enumerate(zip(analyses, levels, strict=True)):
        p = special.stdtr(n - 1, -t[:, place]), special.stdtr(n - 1, t[:, place])
        stop = (p[0] < level) | (p[1] < level)
        supported |= going & (p[0] < level)
        if n < analyses[-1]:
            stop |= sum(later(one, n, analyses[-1], levels[-1]) for one in p) < futile
        seeds[going & stop] = n
        going &= ~stop
    return float(seeds.mean()), float(supported.mean())


def later(p: np.ndarray, n: int, total: int, level: float) -> np.ndarray:
    """`chance_later` of many p-values."""
    z = -special.ndtri(np.clip(p, 1e-300, 1 - 1e-16))
    return special.ndtr((z * math.sqrt(total / n) + special.ndtri(level)) / math.sqrt((total - n) / n))


def fixed_power(effect: float, n: int) -> float:
    """Power of one t-test of `n` differences at 0.05."""
    return float(stats.nct.sf(stats.t.isf(ALPHA, n - 1), n - 1, effect * math.sqrt(n))) if effect else ALPHA


def fixed_seeds(effect: float, power: float) -> float:
    """Seeds of a fixed design with this power at an effect above 0, between whole numbers by interpolation."""
    powers = [fixed_power(effect, n) for n in range(2, 60)]
    place = next(place for place, one in enumerate(powers) if one >= power - 1e-3)
    if place == 0:
        return 2.0
    return place + 1 + min(1.0, (power - powers[place - 1]) / (powers[place] - powers[place - 1]))


def savings(spending: Callable[[float], float], futile: float) -> tuple[list[str], float]:
    """A cell of mean seeds and power for each effect, and the ratio of the mean seeds to those of the fixed design."""
    analyses = planned_analyses(MOST)
    levels = planned_levels(analyses, ALPHA, spending)
    found = [outcome(effect, levels, analyses, futile) for effect in EFFECTS]
    fixed = fixed_seeds(0.5, found[1][1])
    return [f"{seeds:.1f} ({power:.3f})" for seeds, power in found], float(np.mean([n for n, _ in found])) / fixed


def power_tables(spendings: bool) -> Iterator[str]:
    """Seeds and power of the lab's design, or of all spendings."""
    analyses = planned_analyses(MOST)
    levels = planned_levels(analyses)
    found = [outcome(effect, levels, analyses, FUTILE) for effect in EFFECTS]
    fixed = fixed_seeds(0.5, found[1][1])
    rows = []
    for effect, (seeds, power) in zip(EFFECTS, found, strict=True):
        own = f"{fixed_seeds(effect, power):.1f}" if effect else "-"
        other = fixed_power(effect, round(fixed))
        rows.append(
            [f"{effect:g}", f"{seeds:.1f}", f"{power:.3f}", f"{fixed:.1f}", f"{other:.3f}", f"{seeds / fixed:.2f}", own]
        )
    mean = float(np.mean([seeds for seeds, _ in found]))
    rows.append(["mean", f"{mean:.1f}", "", f"{fixed:.1f}", "", f"{mean / fixed:.2f}", ""])
    header = ["effect, sd", "seeds, auto", "supported", "seeds, fixed", "supported", "ratio", "fixed for this effect"]
    yield table(f"Seeds an arm of one claim 'higher', at most {MOST}, {PATHS:,} experiments each:", header, rows)
    if spendings:
        rows = []
        for name, spending in SPENDINGS.items():
            for futile in (0.0, FUTILE):
                cells, ratio = savings(spending, futile)
                rows.append([name, f"{futile:g}", *cells, f"{ratio:.2f}"])
        header = ["spent by n of N", "stops below", *(f"{effect:g} sd" for effect in EFFECTS), "ratio"]
        yield table("Seeds (and share supported) under other spendings:", header, rows)


def false_verdicts(claims: Sequence[Claim], differences: np.ndarray) -> tuple[float, float]:
    """Share of experiments in which any of `claims` is supported, and refuted, if none stops for want of a chance.

    Args:
        claims: one or more, none of which decides on the seeds of another.
        differences: (experiments, claims, contrasts of each, seeds).
    """
    analyses = planned_analyses(MOST)
    levels, found = holm_levels(analyses, len(claims)), np.zeros(2)
    for experiment in differences.tolist():
        going, rejected = set(range(len(claims))), [0, 0]
        for place, n in enumerate(analyses):
            places = sorted(going)
            each = [p_values(claims[i], [values[:n] for values in experiment[i]]) for i in places]
            for side, ps in enumerate(zip(*each, strict=True)):
                hits = crossed(ps, levels, place, rejected[side])
                rejected[side] += len(hits)
                going -= {places[hit] for hit in hits}
            if not going:
                break
        found += np.array(rejected) > 0
    supported, refuted = found / len(differences)
    return float(supported), float(refuted)


def error_table(repeats: int) -> str:
    """What it is wrong to say."""
    rows = []

    def add(name: str, claims: Sequence[Claim], said: str, values: np.ndarray) -> None:
        shares = dict(zip(("supported", "refuted"), false_verdicts(claims, values), strict=True))
        rows.append([name, claims[0].kind, *(f"{shares[word]:.1%}" if word in said else "-" for word in shares)])

    for index, (name, draw) in enumerate(SCORES.items()):
        rng = np.random.default_rng([7, index])
        arms = draw(rng, (repeats, 3, MOST))
        apart = arms[:, :-1] - arms[:, 1:]
        add(name, [HIGHER], "supported refuted", apart[:, None, :1])
        add(f"{name}, 1 apart", [SAME], "supported refuted", 1 + apart[:, None, :1])
        add(name, [ORDERED], "refuted", apart[:, None])
        add(f"{name}, one step of 10", [ORDERED], "supported", apart[:, None] + np.array([[0.0], [10.0]]))
        four = draw(rng, (repeats, 4, 2, MOST))
        add(f"{name}, any of four claims", [HIGHER] * 4, "supported refuted", (four[:, :, :1] - four[:, :, 1:]))
    rng = np.random.default_rng(8)
    rare = 0.02 * (rng.random((repeats, 1, 1, MOST)) < 0.5)
    within = parse_claim({"say": "same", "same": [A, B], "within": 0.009})
    add("half of the seeds differ by .02; within .009", [within], "supported", rare)
    never = np.where(rng.random((2, repeats, 1, 1, MOST)) < 0.3, math.inf, rng.normal(size=(2, repeats, 1, 1, MOST)))
    with np.errstate(invalid="ignore"):
        times = np.where(never[0] == never[1], 0.0, never[0] - never[1])
    add("3 of 10 runs never get there", [HIGHER], "supported refuted", times)
    skewed = 1 - rng.exponential(size=(repeats, 1, 1, MOST))
    add("differences skewed themselves, 1 - exponential", [HIGHER], "supported refuted", skewed)
    title = f"What it is wrong to say, {repeats:,} experiments each (allowed: 5 %; one standard error is 0.5 at 2,000):"
    return table(title, ["scores", "claim", "supported", "refuted"], rows)


def table(title: str, header: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table under its title."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join([f"\n{title}\n", *lines])


def main() -> None:
    """Runs all simulations and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spendings", action="store_true", help="also compare other ways to spend the 5 %%")
    parser.add_argument("--repeats", type=int, default=2000, help="experiments of each wrong verdict (2000)")
    args = parser.parse_args()
    begun = time.perf_counter()
    print(*power_tables(args.spendings), sep="\n", flush=True)
    print(error_table(args.repeats))
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
