"""Do the verdicts keep what they say? The lab's own statistics on synthetic results whose truth is known.

python benchmarks/calibration.py [--repeats 400]
python benchmarks/calibration.py --cells
python benchmarks/calibration.py --routes
"""

import argparse
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats

from lab.config import RunConfig
from lab.identity import flatten
from lab.metric import parse_metric
from lab.records.interim import Evidence
from lab.records.results import Run
from lab.studies.claims.analyses import analyses_until
from lab.studies.claims.contrast import p_values, put_to_test
from lab.studies.claims.study import parse_study
from lab.studies.claims.verdict import judge
from lab.studies.select.scores import Scores
from lab.studies.statistics.estimate import ALPHA, mean_interval
from lab.studies.statistics.p_values import holm, p_above
from lab.studies.statistics.power import seeds_needed
from lab.studies.statistics.spending import counted_analyses, level

SCORES: dict[str, Callable[..., np.ndarray]] = {
    # Scores of one arm with mean 0 and, but for t3, standard deviation 1.
    "normal": lambda rng, size: rng.normal(size=size),
    "exponential (skewness 2)": lambda rng, size: rng.exponential(size=size) - 1,
    "lognormal (skewness 6)": lambda rng, size: (np.exp(rng.normal(size=size)) - math.exp(0.5)) / 2.161,
    "heavy-tailed (t, 3 df)": lambda rng, size: rng.standard_t(3, size=size),
    "coarse (steps of 1 sd)": lambda rng, size: np.round(rng.normal(size=size)),
}

SIZES = (3, 5, 10, 20)
SEEDS_AT = (5, 10, 15, 20)
TOTALS = (30, 60)
"""Sizes of an effect, by the seeds that normal scores need for it."""

PREDICTIONS = 100_000
"""Experiments in which further seeds are predicted; the predictions scatter so widely that the median of 1,000 is off
by a third."""

TRUTHS = 20_000
"""Experiments that tell the power of a number of seeds."""

DEFAULTS = flatten(RunConfig())
CLAIMS = [
    {"say": "higher", "higher": {"model.act": "a0"}, "than": {"model.act": "a1"}},
    {"say": "lower", "lower": {"model.act": "a2"}, "than": {"model.act": "a3"}},
    {"say": "ordered", "ordered": [{"model.act": "a0"}, {"model.act": "a2"}, {"model.act": "a3"}]},
    {"say": "another", "higher": {"model.act": "a1"}, "than": {"model.act": "a3"}},
]
STUDY = parse_study({"metric": "score", "claims": CLAIMS})


def runs_of(scores: np.ndarray) -> list[Run]:
    """Runs as records have them, without files: a row an arm, a column a seed."""
    runs = []
    for arm, row in enumerate(scores):
        keys = {"model.act": f"a{arm}"}
        for seed, value in enumerate(row):
            result = {"metrics": {"score": {"last": float(value)}}}
            config = {**DEFAULTS, **keys, "seed": seed}
            runs.append(Run(Path("nowhere"), config, f"{arm}", keys, seed, "finished", result))
    return runs


def false_verdicts(draw: Callable[..., np.ndarray], n: int, repeats: int, rng: np.random.Generator) -> float:
    """Share of experiments of four claims over four arms that are all alike, in which any claim is supported."""
    found = 0
    for _ in range(repeats):
        scores = draw(rng, (4, n)) + draw(rng, (1, n))  # what a seed does to all arms alike
        verdicts = judge(STUDY, runs_of(scores))
        found += any(verdict.verdict == "supported" for verdict in verdicts)
    return found / repeats


def false_after_looks(draw: Callable[..., np.ndarray], repeats: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share of false support after analyses of 5, 10, 15 and 20 seeds: with the lab's thresholds, and with 0.05."""
    levels = [level(counted_analyses(SEEDS_AT[:k], n)) for k, n in enumerate(SEEDS_AT)]
    found = np.zeros(2)
    for _ in range(repeats):
        a, b = draw(rng, (2, SEEDS_AT[-1]))
        ps = [p_above((a - b)[:n].tolist(), 0.0) for n in SEEDS_AT]
        found += [any(p < bound for p, bound in zip(ps, levels, strict=True)), min(ps) < ALPHA]
    return tuple(found / repeats)


def coverage(draw: Callable[..., np.ndarray], n: int, repeats: int, rng: np.random.Generator, paired: bool) -> float:
    """Share of 95 % intervals that hold the true mean 0, of the difference of two alike arms or of one arm's scores."""
    found = 0
    for _ in range(repeats):
        values = draw(rng, n) - draw(rng, n) if paired else draw(rng, n)
        low, high = mean_interval(values.tolist()) or (math.nan, math.nan)
        found += low - 1e-12 <= 0 <= high + 1e-12
    return found / repeats


@dataclass(frozen=True)
class Prediction:
    """Further seeds that the lab predicts after a first analysis left a claim undecided, and the true number."""

    needed: int
    """The smallest number with which the second analysis, at its threshold, finds 80 of 100 effects."""

    said: float
    """The median of the numbers said; infinite where most experiments gave no ground for one."""

    silent: float
    """Share of the experiments without a number."""


def predict(draw: Callable[..., np.ndarray], n: int, total: int, repeats: int, rng: np.random.Generator) -> Prediction:
    """Further seeds after `n`, as the undecided ones of `repeats` experiments say and as is true.

    The effect is one that normal scores, tested once with the threshold 0.05, need `total` seeds for.
    """
    spread = math.sqrt(2) * (math.sqrt(3) if draw is SCORES["heavy-tailed (t, 3 df)"] else 1)
    effect, first = spread * effect_for(total), level([n])

    def later(further: int) -> float:
        return level([n, n + further])

    def experiments(number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Differences (number, size) and their t statistics (number,)."""
        values = draw(rng, (number, size)) - draw(rng, (number, size)) + effect
        return values, values.mean(1) / np.maximum(values.std(1, ddof=1), 1e-12) * math.sqrt(size)

    def enough(further: int) -> bool:
        t = experiments(TRUTHS, n + further)[1]
        return bool((t > stats.t.isf(later(further), n + further - 1)).mean() >= 0.8)

    values, t = experiments(repeats, n)
    # The number said falls with the size of t, so its median is what is said of the middle experiment.
    by_size = np.argsort(abs(t))[: (abs(t) <= stats.t.isf(first, n - 1)).sum()]

    def said(rank: int) -> float:
        return seeds_needed(values[by_size[rank]].tolist(), [0.0], first, later) or math.inf

    silent = bisect_left(range(len(by_size)), True, key=lambda rank: said(rank) < math.inf)
    needed = 1 + bisect_left(range(1, 5 * total), True, key=enough)
    return Prediction(needed, said(len(by_size) // 2), silent / len(by_size))


def effect_for(total: int) -> float:
    """The effect, in standard deviations of the difference, that a t-test at 0.05 finds with power 0.8 in `total`."""
    grid = np.linspace(0.1, 3, 3000)
    power = stats.nct.sf(stats.t.isf(ALPHA, total - 1), total - 1, grid * math.sqrt(total))
    return float(grid[np.flatnonzero(power >= 0.8)[0]])


def false_by_shape(n: int, repeats: int, rng: np.random.Generator) -> float:
    """Share of false support of one claim, "higher", where the differences are 1 - e, e exponential: mean 0, skewed."""
    found = [p_above(values, 0.0) < level([n]) for values in (1 - rng.exponential(size=(repeats, n))).tolist()]
    return sum(found) / repeats


Draw = Callable[[np.random.Generator, int, int], np.ndarray]
"""Generator, seeds and levels of a key left open to scores (2, seeds, levels): of arm a0, then of a1."""


@dataclass(frozen=True)
class Cell:
    """A claim about two arms, a way in which scores come about, and what it would be wrong to say."""

    name: str
    claim: dict[str, Any]
    draw: Draw
    wrong: tuple[str, ...]
    levels: int = 1


A, B = {"model.act": "a0"}, {"model.act": "a1"}
BOTH = ("supported", "refuted")
CELL_SIZES = (2, 3, 5, 10, 20)


def shared_luck(rho: float) -> Draw:
    """Equal arms; of each arm's variance within a seed all levels share `rho`."""

    def draw(rng: np.random.Generator, n: int, levels: int) -> np.ndarray:
        common = rng.normal(size=(2, n, 1))
        return math.sqrt(rho) * common + math.sqrt(1 - rho) * rng.normal(size=(2, n, levels))

    return draw


def rarely(share: float, usual: float, rare: float) -> Draw:
    """a0 always scores 1.0; a1 lies `usual` below it, or `rare` with probability `share`."""

    def draw(rng: np.random.Generator, n: int, levels: int) -> np.ndarray:
        below = np.where(rng.random((n, levels)) < share, rare, usual)
        return np.stack([np.ones((n, levels)), 1 - below])

    return draw


def binomial(first: float, second: float, images: int = 360) -> Draw:
    """Accuracies on so many test images, drawn separately."""
    return lambda rng, n, levels: np.stack([rng.binomial(images, p, (n, levels)) / images for p in (first, second)])


def normal(apart: float) -> Draw:
    """Scores of standard deviation 1, so that a difference has 1.41; a0 lies `apart` above a1."""
    return lambda rng, n, levels: np.stack([rng.normal(apart, size=(n, levels)), rng.normal(size=(n, levels))])


def same(within: float) -> dict[str, Any]:
    return {"say": "same", "same": [A, B], "within": within}


def higher(by: float) -> dict[str, Any]:
    return {"say": "higher", "higher": A, "than": B, "by": by}


CELLS = [
    *(
        Cell(
            f"equal arms, {levels} levels left open, share of luck {rho:g}",
            higher(0),
            shared_luck(rho),
            BOTH,
            levels,
        )
        for levels in (2, 5)
        for rho in (0.0, 0.5, 1.0)
    ),
    Cell("half of the seeds differ by .02; same within .005", same(0.005), rarely(0.5, 0, 0.02), ("supported",)),
    Cell("half of the seeds differ by .02; higher by .009", higher(0.009), rarely(0.5, 0, 0.02), ("refuted",)),
    Cell("half of the seeds differ by .02; higher by .011", higher(0.011), rarely(0.5, 0, 0.02), ("supported",)),
    Cell("ceiling, 3 of 10 are .02 below; same within .002", same(0.002), rarely(0.3, 0, 0.02), ("supported",)),
    Cell("ceiling, 3 of 10 are .02 below; higher by .0059", higher(0.0059), rarely(0.3, 0, 0.02), ("refuted",)),
    Cell("1 of 7 seeds differs by .02; same within .0028", same(0.0028), rarely(1 / 7, 0, 0.02), ("supported",)),
    Cell(
        "1 of 7 seeds does not differ by .02; higher by .0172", higher(0.0172), rarely(1 / 7, 0.02, 0), ("supported",)
    ),
    Cell("360 images, .98 and .97; same within .0099", same(0.0099), binomial(0.98, 0.97), ("supported",)),
    Cell("360 images, .98 twice; higher by 0", higher(0), binomial(0.98, 0.98), BOTH),
]
"""What it would be wrong to say, however few or many the seeds."""

POWER_CELLS = [
    Cell("normal, alike; same within 1.5", same(1.5), normal(0), ("supported",)),
    Cell("normal, 1.5 apart; higher by 0", higher(0), normal(1.5), ("supported",)),
    Cell("360 images, .97 twice; same within .02", same(0.02), binomial(0.97, 0.97), ("supported",)),
    Cell("360 images, .997 twice; same within .005", same(0.005), binomial(0.997, 0.997), ("supported",)),
    Cell("360 images, .997 and .98; higher by .005", higher(0.005), binomial(0.997, 0.98), ("supported",)),
]
"""Where it is right to say so: what exactness costs."""


def said(cell: Cell, n: int, repeats: int, rng: np.random.Generator) -> dict[str, float]:
    """Share of experiments in which the claim of a cell is `supported` and `refuted`, from runs to the test; `by t`,
    supported by the t-test alone, as it was before the lab took note of ties."""
    claim = parse_study({"metric": "score", "claims": [cell.claim]}).claims[0]
    places = [(arm, seed, depth) for arm in range(2) for seed in range(n) for depth in range(cell.levels)]
    runs = []
    for arm, seed, depth in places:
        keys = {"model.act": f"a{arm}", "model.depth": depth}
        runs.append(Run(Path("nowhere"), {**DEFAULTS, **keys, "seed": seed}, f"{arm}", keys, seed, "finished", {}))
    metric, open_keys, found = parse_metric("score"), ["model.act", "model.depth"], np.zeros(3)
    for values in cell.draw(rng, n * repeats, cell.levels).reshape(2, repeats, n, cell.levels).transpose(1, 0, 2, 3):
        scores = Scores(metric, tuple(runs), tuple(values.ravel().tolist()))
        test = put_to_test(claim, scores, runs, open_keys)
        plain, _ = p_values(claim, [test.differences], t_alone)
        found += np.array([test.p_support, test.p_refute, plain]) < level([n])
    return dict(zip(("supported", "refuted", "by t"), (found / repeats).tolist(), strict=True))


def t_alone(values: Sequence[float], margin: float) -> float:
    """p by the t-test; values without spread by their signs, and certain where all are 0."""
    apart = np.array(values) - margin
    if apart.std() < 1e-12:
        return (0.0 if max(map(abs, values)) < 1e-12 else 0.5 ** len(values)) if apart.mean() > 1e-12 else 1.0
    return float(special.stdtr(len(values) - 1, -apart.mean() / apart.std(ddof=1) * math.sqrt(len(values))))


def cell_tables(repeats: int) -> Iterator[str]:
    """The tables of what is wrong in all cells, and of the power where it is right."""
    sizes, percent = [f"{n} seeds" for n in CELL_SIZES], "{:.1%}".format
    rows = []
    for index, cell in enumerate(CELLS):
        found = [said(cell, n, repeats, np.random.default_rng([index, n])) for n in CELL_SIZES]
        rows += [[cell.name, word, *(percent(shares[word]) for shares in found)] for word in cell.wrong]
    yield table(f"What it is wrong to say, {repeats} experiments each:", ["scores and claim", "said", *sizes], rows)
    rows = []
    for index, cell in enumerate(POWER_CELLS):
        found = [said(cell, n, repeats, np.random.default_rng([99, index, n])) for n in CELL_SIZES]
        shares = [f"{percent(shares['supported'])} of {percent(shares['by t'])}" for shares in found]
        rows.append([cell.name, *shares])
    yield table(f"Supported where it is right, of what t alone supports, {repeats} each:", ["claim", *sizes], rows)


Route = Callable[[np.random.Generator], list[list[list[float]]]]
"""The analyses of one experiment in their order, each the differences of a claim in every setting; arms are alike."""


def grown(*sizes: int) -> Route:
    """Seeds that come in, however: what is analysed is the pairs that there are."""
    return lambda rng: [[part[:n]] for part in [rng.normal(size=sizes[-1]).tolist()] for n in sizes]


def replaced(n: int, times: int) -> Route:
    """The same seeds trained again and again to other results."""
    return lambda rng: [[rng.normal(size=n).tolist()] for _ in range(times)]


def folder_by_folder(rng: np.random.Generator) -> list[list[list[float]]]:
    """Four folders of five seeds, each compared alone, and then with those before it."""
    values = rng.normal(size=20).tolist()
    return [[part] for end in (5, 10, 15, 20) for part in (values[end - 5 : end], values[:end])]


ROUTES: dict[str, Route] = {
    "5, 10, 15, 20 seeds of both arms": grown(5, 10, 15, 20),
    "20 seeds of one arm, the other has 5, 10, 15, 20": grown(5, 10, 15, 20),
    "after each seed from 2 to 20": grown(*range(2, 21)),
    "5 seeds, 5 seeds again (nothing new), 10 seeds": grown(5, 5, 10),
    "the same 10 seeds trained six times": replaced(10, 6),
    "four folders of 5, each alone and with those before": folder_by_folder,
    "8 settings in parallel, 5 seeds": lambda rng: [rng.normal(size=(8, 5)).tolist()],
    "8 settings in parallel, 5, then 10 seeds": lambda rng: [
        [part[:n] for part in values] for values in [rng.normal(size=(8, 10)).tolist()] for n in (5, 10)
    ],
}


def false_by_route(route: Route, repeats: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share of experiments that ever support "higher": with the analyses counted, and with 0.04 each time."""
    found = np.zeros(2)
    for _ in range(repeats):
        recorded: list[list[Evidence]] = []
        hits = np.zeros(2, dtype=bool)
        for parts in route(rng):
            recorded = recorded or [[] for _ in parts]
            plain = [p_above(part, 0.0) for part in parts]
            for part, p, adjusted, past, arm in zip(
                parts, plain, holm(plain), recorded, range(len(parts)), strict=True
            ):
                now = Evidence(len(part), str(hash(tuple(part))), (), (str(arm),))
                hits |= [adjusted < level(analyses_until(now, [], [], past)), p < level([len(part)])]
                past += [] if now.digest in [one.digest for one in past] else [now]
        found += hits
    return tuple(found / repeats)


def route_table(repeats: int) -> str:
    """False support by every route to further analyses."""
    rows = []
    for index, (name, route) in enumerate(ROUTES.items()):
        shares = false_by_route(route, repeats, np.random.default_rng([7, index]))
        rows.append([name, *map("{:.1%}".format, shares)])
    return table(f"False support by route, {repeats} experiments each:", ["analyses", "counted", "uncounted"], rows)


def table(title: str, header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table under its title."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join([f"\n{title}\n", *lines])


def main() -> None:
    """Runs all simulations and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--cells", action="store_true", help="only the tables of cells, 2,000 experiments each")
    parser.add_argument("--routes", action="store_true", help="only the table of routes, 2,000 experiments each")
    args = parser.parse_args()
    repeats = args.repeats
    begun, rng = time.perf_counter(), np.random.default_rng(0)
    if args.routes:
        print(route_table(2000), f"\n{time.perf_counter() - begun:.0f} s", sep="\n")
        return
    if args.cells:
        print(*cell_tables(2000), f"\n{time.perf_counter() - begun:.0f} s", sep="\n")
        return
    sizes = [f"{n} seeds" for n in SIZES]
    percent = "{:.1%}".format
    rows = [[name, *(percent(false_verdicts(draw, n, repeats, rng)) for n in SIZES)] for name, draw in SCORES.items()]
    print(table(f"False support in {repeats} experiments of four claims:", ["scores", *sizes], rows), flush=True)
    rows = [[name, *map(percent, false_after_looks(draw, 10 * repeats, rng))] for name, draw in SCORES.items()]
    header = ["scores", "the lab's thresholds", "0.05 at every analysis"]
    print(table(f"False support after four analyses, {10 * repeats} claims:", header, rows), flush=True)
    for paired, what in ((True, "paired differences"), (False, "one arm's scores")):
        rows = [
            [name, *(percent(coverage(draw, n, 2 * repeats, rng, paired)) for n in SIZES)]
            for name, draw in SCORES.items()
        ]
        print(table(f"Coverage of 95 % intervals, {what}, {2 * repeats} each:", [what, *sizes], rows), flush=True)
    shape = np.random.default_rng(2)
    rows = [["1 - exponential", *(percent(false_by_shape(n, 10 * repeats, shape)) for n in SIZES)]]
    title = f"False support where the differences are skewed themselves, {10 * repeats} claims:"
    print(table(title, ["differences", *sizes], rows), flush=True)
    rng = np.random.default_rng(1)
    for total in TOTALS:
        told = {name: [predict(draw, n, total, PREDICTIONS, rng) for n in SIZES] for name, draw in SCORES.items()}
        rows = [[name, *(f"{one.said:.0f} of {one.needed}" for one in found)] for name, found in told.items()]
        title = f"Further seeds, predicted (median of {PREDICTIONS} claims' undecided ones) of needed; {total} in one:"
        print(table(title, ["scores", *sizes], rows), flush=True)
        rows = [[name, *(f"{one.silent:.0%}" for one in found)] for name, found in told.items()]
        print(table("Of these claims, without a number:", ["scores", *sizes], rows), flush=True)
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
