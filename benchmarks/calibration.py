"""Do the verdicts keep what they say? The lab's own statistics on synthetic results whose truth is known.

python benchmarks/calibration.py [--repeats 400]
python benchmarks/calibration.py --cells
python benchmarks/calibration.py --modes [--repeats 500] [--keep modes.json]
python benchmarks/calibration.py --coverage
python benchmarks/calibration.py --routes
python benchmarks/calibration.py --exact
"""

import argparse
import itertools
import json
import math
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from lab.studies.claims.contrast import contrast_of, p_contrasts, p_values, put_to_test
from lab.studies.claims.study import parse_study
from lab.studies.claims.verdict import judge
from lab.studies.select.scores import Scores
from lab.studies.statistics.estimate import ALPHA, mean_interval, mean_intervals
from lab.studies.statistics.p_values import holm, p_above, p_above_exact
from lab.studies.statistics.power import seeds_needed
from lab.studies.statistics.proportions import p_difference
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


RULE = parse_metric("trains(score >= 0.5)")
"""When a run of the cells of modes has trained: it scores .95 then, else .1, each with a deviation of .01."""

THIRD = {"model.act": "a2"}
CLAIM_KINDS: dict[str, dict[str, Any]] = {
    "higher": {"higher": A, "than": B},
    "higher by .05": {"higher": A, "than": B, "by": 0.05},
    "lower": {"lower": A, "than": B},
    "same within .05": {"same": [A, B], "within": 0.05},
    "ordered": {"ordered": [A, B, THIRD]},
    "interaction": {"interaction": [A, B], "between": [{"model.depth": 0}, {"model.depth": 1}]},
    "trains: higher": {"higher": A, "than": B, "metric": RULE.text},
    "trains: higher by .2": {"higher": A, "than": B, "by": 0.2, "metric": RULE.text},
    "trains: same within .3": {"same": [A, B], "within": 0.3, "metric": RULE.text},
    "trains: ordered": {"ordered": [A, B, THIRD], "metric": RULE.text},
    "trains: interaction": {
        "interaction": [A, B],
        "between": [{"model.depth": 0}, {"model.depth": 1}],
        "metric": RULE.text,
    },
}


@dataclass(frozen=True)
class ModeCell:
    """How often the runs of three arms train, at each of two depths, and how much better they score that do."""

    name: str
    shares: tuple[float, float, float]
    higher: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How much higher a run scores that trained."""
    shared: float = 0.0
    """Chance of a seed in which all arms take the same luck, which decides whether they train."""
    diverged: bool = False
    """Whether runs that do not train diverge."""

    def true_of(self, kind: str, apart: Sequence[bool] = (False, False)) -> set[str]:
        """What is right to say of a claim: of shares, of scores of runs that train, and of scores of all runs for each
        contrast in which one side trained in every seed and the other in none (`apart`)."""
        low, margin = 0.0 if self.diverged else 0.1, CLAIM_KINDS[kind].get("by", CLAIM_KINDS[kind].get("within", 0.0))
        means = [
            share * (0.95 + more) + (1 - share) * low for share, more in zip(self.shares, self.higher, strict=True)
        ]
        arms = [means if whole else self.higher for whole in (*apart, False)]
        arms = [self.shares] * 3 if kind.startswith("trains") else arms
        gaps = [one[step] - one[step + 1] for step, one in enumerate(arms[: 2 if "ordered" in kind else 1])]
        gap = 0.0 if "interaction" in kind else -gaps[0] if kind == "lower" else min(gaps)
        gap, margin = (-abs(gap), -margin) if "same" in kind else (gap, margin)
        return {"supported"} if gap > margin + 1e-9 else {"refuted"} if gap < margin - 1e-9 else set()


MODE_CELLS = [
    *(ModeCell(f"both train in {share:g}", (share, share, share)) for share in (0.5, 0.8, 0.95)),
    ModeCell("both train in .5, half of the luck shared", (0.5, 0.5, 0.5), shared=0.5),
    ModeCell("both train in .8, half of the luck shared", (0.8, 0.8, 0.8), shared=0.5),
    ModeCell("1 against .6", (1.0, 0.6, 0.6)),
    ModeCell("1 against .8", (1.0, 0.8, 0.8)),
    ModeCell("1 against .8, which are .05 better", (1.0, 0.8, 0.8), (0.0, 0.05, 0.05)),
    ModeCell("1 against .8 that are .05 lower", (1.0, 0.8, 0.8), (0.05, 0.0, 0.0)),
    ModeCell("steady against lapses in 5 %", (1.0, 0.95, 0.95)),
    ModeCell("the others diverge in 20 %", (1.0, 0.8, 0.8), diverged=True),
    ModeCell("all but a few diverge", (0.2, 0.2, 0.2), diverged=True),
]
"""What the cells of `modes_table` draw; at .2 and .05 the margins of some claims are met exactly."""


def wrong_about_modes(cell: ModeCell, n: int, repeats: int) -> dict[tuple[str, str], float]:
    """For each kind of claim and verdict the share of experiments in which it is said and not true."""
    rng = np.random.default_rng([MODE_CELLS.index(cell), n])
    claims = {kind: parse_study({"claims": [{"say": kind, **claim}]}).claims[0] for kind, claim in CLAIM_KINDS.items()}
    runs = {}
    for arm, depth, seed in itertools.product(range(3), range(2), range(n)):
        keys = {"model.act": f"a{arm}", "model.depth": depth}
        runs[arm, depth, seed] = Run(
            Path("nowhere"), {**DEFAULTS, **keys, "seed": seed}, f"{arm}", keys, seed, "finished", {}
        )
    every = tuple(runs.values())
    sides = {
        kind: [(one, [[run for run in every if fits(run, side)] for side in one]) for one in claim.contrasts()]
        for kind, claim in claims.items()
    }
    luck = rng.random((repeats, 3, 2, n))
    luck = np.where(rng.random((repeats, 1, 1, n)) < cell.shared, luck[:, :1, :1], luck)
    trained = luck < np.array(cell.shares)[:, None, None]
    scores = np.where(trained, 0.95 + np.array(cell.higher)[:, None, None], 0.0 if cell.diverged else 0.1)
    scores += np.where(trained | (not cell.diverged), rng.normal(0, 0.01, scores.shape), 0)
    accuracy, found = parse_metric("val/accuracy"), dict.fromkeys(itertools.product(CLAIM_KINDS, BOTH), 0)
    for one, did in zip(scores.reshape(repeats, -1).tolist(), trained.reshape(repeats, -1).tolist(), strict=True):
        by_score = Scores(accuracy, every, tuple(one), tuple(did))
        by_share = Scores(RULE, every, tuple(map(float, did)))
        for kind, claim in claims.items():
            matrix = by_share if kind.startswith("trains") else by_score
            contrasts = [contrast_of(selectors, matrix, cells) for selectors, cells in sides[kind]]
            true = cell.true_of(kind, [contrast.modes.kind == "apart" for contrast in contrasts])
            for word, p in zip(BOTH, p_contrasts(claim, contrasts, matrix.metric), strict=True):
                found[kind, word] += p < level([n]) and word not in true
    return {key: number / repeats for key, number in found.items()}


def fits(run: Run, selector: Mapping[str, Any]) -> bool:
    """Whether `run` has the values of `selector`; where that names no depth, it is the first."""
    return all(run.arm[key] == value for key, value in {"model.depth": 0, **selector}.items())


def kept_about_modes(cell: ModeCell, n: int, repeats: int, keep: Path | None) -> dict[tuple[str, str], float]:
    """`wrong_about_modes`, from `keep` if a command before found it there, else noted there for the next."""
    known = json.loads(keep.read_text()) if keep and keep.exists() else {}
    name = f"{cell.name}, {n} seeds, {repeats} experiments"
    if name not in known:
        found = wrong_about_modes(cell, n, repeats)
        known[name] = [[*key, share] for key, share in found.items()]
        if keep:
            keep.write_text(json.dumps(known, indent=1))
            print(f"{len(known)} of {len(MODE_CELLS) * len(CELL_SIZES)}: {name}", file=sys.stderr, flush=True)
    return {(kind, word): share for kind, word, share in known[name]}


def modes_tables(repeats: int, keep: Path | None) -> Iterator[str]:
    """What is wrong about runs that train or do not, and the power of claims about how many do."""
    rows = []
    for cell in MODE_CELLS:
        found = [kept_about_modes(cell, n, repeats, keep) for n in CELL_SIZES]
        rows += [
            [cell.name, *key, *(f"{shares[key]:.1%}" for shares in found)]
            for key in itertools.product(CLAIM_KINDS, BOTH)
            if key[1] not in cell.true_of(key[0])
        ]
    header = ["runs train", "claim", "said", *(f"{n} seeds" for n in CELL_SIZES)]
    yield table(f"What it is wrong to say, {repeats} each:", header, rows)
    yield share_power_table()


def share_power_table() -> str:
    """The power of "trains more often" at the level of 0.04, exactly, beside Fisher's and Boschloo's exact tests."""
    header = ["shares", *(f"{n} seeds" for n in CELL_SIZES)]
    rows = []
    for first, second in ((1.0, 0.6), (1.0, 0.4), (0.9, 0.3), (0.8, 0.5)):
        cells = []
        for n in CELL_SIZES:
            chances = [stats.binom.pmf(range(n + 1), n, share) for share in (first, second)]
            power = np.zeros(3)
            for a in range(n + 1):
                for b in range(n + 1):
                    if (chance := chances[0][a] * chances[1][b]) < 1e-9:
                        continue
                    counts = [[a, b], [n - a, n - b]]  # Fisher's p is that of the hypergeometric distribution
                    ps = [p_difference(a, n, b, n, 0.0), stats.hypergeom.sf(a - 1, 2 * n, a + b, n)]
                    boschloo = 1.0 if a <= b else stats.boschloo_exact(counts, alternative="greater", n=32).pvalue
                    power += chance * (np.array([*ps, boschloo]) < level([n]))
            cells.append(" / ".join(f"{share:.1%}" for share in power))
        rows.append([f"{first:g} against {second:g}", *cells])
    return table("Power of the lab's / Fisher's / Boschloo's test:", header, rows)


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


BOUNDED: dict[str, tuple[float, Callable[..., np.ndarray]]] = {
    "Beta of mean .99, skewness 2": (0.99, lambda rng, size: rng.beta(99, 1, size)),
    "Beta of mean .99, skewness 2.8": (0.99, lambda rng, size: rng.beta(49.5, 0.5, size)),
    "Beta of mean .995, skewness 2": (0.995, lambda rng, size: rng.beta(199, 1, size)),
    "Beta of mean .995, skewness 1.2": (0.995, lambda rng, size: rng.beta(597, 3, size)),
    "288 images at .99": (0.99, lambda rng, size: rng.binomial(288, 0.99, size) / 288),
    "288 images at .995": (0.995, lambda rng, size: rng.binomial(288, 0.995, size) / 288),
    "normal, .8 with deviation .02": (0.8, lambda rng, size: rng.normal(0.8, 0.02, size)),
}
"""Accuracies of one arm: their mean, and how a seed's is drawn."""


def coverage_table(repeats: int) -> str:
    """Coverage and mean width of one arm's 95 % interval within [0, 1], before and after it knows its bounds."""
    rows = []
    for index, (name, (mean, draw)) in enumerate(BOUNDED.items()):
        cells = [name]
        for n in SIZES:
            values = draw(np.random.default_rng([index, n]), (n, repeats))
            edges = [np.clip(mean_intervals(values), 0, 1), np.array(mean_intervals(values, (0.0, 1.0)))]
            before, after = ((low <= mean + 1e-12) & (mean - 1e-12 <= high) for low, high in edges)
            wider = np.mean(edges[1][1] - edges[1][0]) / np.mean(edges[0][1] - edges[0][0])
            cells.append(f"{after.mean():.1%} ({before.mean():.1%}, x {wider:.2f})")
        rows.append(cells)
    title = f"Coverage of one arm's interval, {repeats} each (without the bounds, and how much wider it is with them):"
    return table(title, ["accuracies", *(f"{n} seeds" for n in SIZES)], rows)


def exact_table(repeats: int) -> str:
    """What a verdict would lose and gain if it needed the exact p by changes of sign below the threshold as well.

    "higher", where nothing differs in the mean: differences of two alike arms, and differences that are skewed
    themselves; and its power where arms of normal scores differ by one standard deviation of their difference.
    """
    pairs = {name: lambda rng, size, draw=draw: draw(rng, size) - draw(rng, size) for name, draw in SCORES.items()}
    skewed = {"1 - exponential": lambda rng, size: 1 - rng.exponential(size=size)}
    power = {"power, normal, 1 apart": lambda rng, size: 1 + rng.normal(size=size)}
    rows = []
    for index, (name, draw) in enumerate({**pairs, **skewed, **power}.items()):
        cells = [name]
        for n in CELL_SIZES:
            values = draw(np.random.default_rng([11, index, n]), (repeats, n)).tolist()
            plain = [p_above(one, 0.0) < level([n]) for one in values]
            both = [passed and p_above_exact(one, 0.0) < level([n]) for passed, one in zip(plain, values, strict=True)]
            cells.append(f"{sum(plain) / repeats:.1%} / {sum(both) / repeats:.1%}")
        rows.append(cells)
    title = f"Supported by p / by p and the exact p, {repeats} claims each:"
    return table(title, ["differences", *(f"{n} seeds" for n in CELL_SIZES)], rows)


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
    parser.add_argument("--modes", action="store_true", help="only runs that train or do not")
    parser.add_argument("--coverage", action="store_true", help="only the coverage of accuracies near 1")
    parser.add_argument("--exact", action="store_true", help="only whether the exact p should count as well")
    parser.add_argument("--routes", action="store_true", help="only the table of routes, 2,000 experiments each")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where --modes notes what it has, to go on from")
    args = parser.parse_args()
    repeats = args.repeats
    begun, rng = time.perf_counter(), np.random.default_rng(0)
    if args.coverage:
        print(coverage_table(2000))
        return
    if args.exact:
        print(exact_table(2000))
        return
    if args.routes:
        print(route_table(2000), f"\n{time.perf_counter() - begun:.0f} s", sep="\n")
        return
    if args.modes:
        print(*modes_tables(repeats, args.keep), f"\n{time.perf_counter() - begun:.0f} s", sep="\n")
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
