"""What the seeds of a sweep can decide of its claims, before the first run: no run of the sweep is tested for it."""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.checks.lint.finding import Rule
from lab.errors import UserError
from lab.identity import flatten
from lab.metric import Metric
from lab.records.checked import Remark
from lab.records.places import Job
from lab.records.results import Run, read_run
from lab.studies.claims.claim import Claim
from lab.studies.claims.contrast import ClaimTest, p_values
from lab.studies.select.arms import completed, values_of
from lab.studies.select.scores import counts, score_runs
from lab.studies.statistics.estimate import spread
from lab.studies.statistics.numerals import count
from lab.studies.statistics.power import MOST_SEEDS, POWER, least_effect, seeds_needed
from lab.studies.statistics.proportions import share_above, share_below

FEW, NEVER = "claim-seeds", "claim-never"

MOST_READ = 400
"""Runs of other experiments that are read for their spread."""

FEWEST = 3
"""Seeds from which a spread is worth a number."""

MOST_SCANNED = 100
"""Seeds up to which the fewest are searched for with which a test can reject."""


def best_p(claim: Claim, metric: Metric, num_seeds: int) -> float | None:
    """The smallest p that `claim` can have with so many seeds, of the outcome that suits it best; None if unknown."""
    if metric.is_share:
        return best_share_p(claim, num_seeds)
    low, high = metric.bounds
    width, steps = high - low, len(claim.contrasts())
    if math.isinf(width):
        width = steps * (10 * abs(claim.margin) + 1)
    apart = {"same": 0.0, "interaction": 2 * width, "ordered": width / steps, "lower": -width}.get(claim.kind, width)
    rounding = 1e-7 * (1 + abs(apart))
    differences = [apart - math.copysign(rounding * (1 + seed % 2), apart) for seed in range(num_seeds)]
    if claim.kind == "same":
        differences = [rounding * (-1) ** seed for seed in range(num_seeds)]
    return p_values(claim, [differences] * steps)[0]


def best_share_p(claim: Claim, num_seeds: int) -> float | None:
    """The same of a claim about how often runs train: every run of one side does, and none of the other."""
    all_of, none = [1.0] * num_seeds, [0.0] * num_seeds
    if claim.kind == "higher":
        return share_above((all_of, none), claim.margin)
    if claim.kind == "lower":
        return share_below((none, all_of), -claim.margin)
    if claim.kind == "same":
        return max(share_above((all_of, all_of), -claim.margin), share_below((all_of, all_of), claim.margin))
    return None


def impossible(claim: Claim, metric: Metric, num_seeds: int, threshold: float) -> Iterator[Remark]:
    """Claims that no outcome could support.

    An accuracy of at most 1 is never higher by 1.2, and a test of shares over three seeds rejects nothing.

    Args:
        claim: of the sweep.
        metric: what it is about.
        num_seeds: of the sweep.
        threshold: of p.
    """
    p = best_p(claim, metric, num_seeds)
    if p is None or p < threshold:
        return
    fewest = next((n for n in range(num_seeds + 1, MOST_SCANNED) if (best_p(claim, metric, n) or 0) < threshold), 0)
    if fewest or (metric.is_share and claim.margin < 1):  # that of shares shrinks with every seed
        can = f"{fewest} seeds can" if fewest else f"not with {MOST_SCANNED - 1} seeds either"
        text = (
            f"claim '{claim.say}': {count(num_seeds, 'seed')} cannot support it, whatever comes out: the smallest "
            f"p is {p:.2g}, the threshold {threshold:.2g}; {can}"
        )
        yield Remark(FEW, "warning", text)
    else:
        yield Remark(NEVER, "warning", f"claim '{claim.say}': no outcome supports it: {limit(claim, metric)}")


def limit(claim: Claim, metric: Metric) -> str:
    """What stands in the way of a claim."""
    low, high = metric.bounds
    if claim.kind == "same":
        return f"differences are never within {claim.margin:g} for certain"
    steps = f" in each of {len(claim.contrasts())} steps" if claim.kind == "ordered" else ""
    return f"{metric} lies between {low:g} and {high:g}, and it asks for a difference above {claim.margin:g}{steps}"


def too_few(
    claim: Claim, metric: Metric, test: ClaimTest | None, others: Sequence[Run], num_seeds: int, threshold: float
) -> Iterator[Remark]:
    """Claims that the seeds are too few for.

    At the spread of earlier runs, of these arms or of other experiments on the same data and nets, the test has power
    0.8 for larger differences only.

    Args:
        claim: of the sweep.
        metric: what it is about.
        test: the differences of earlier runs of these arms; None without any.
        others: runs of other experiments on the same data and nets.
        num_seeds: of the sweep.
        threshold: of p.
    """
    if found := known_spread(test, others, metric):
        values, source = found
        if text := shortfall(claim, metric, values, num_seeds, threshold):
            yield Remark(FEW, "warning", f"claim '{claim.say}': {text}, at the spread of {source}")


def known_spread(test: ClaimTest | None, others: Sequence[Run], metric: Metric) -> tuple[list[float], str] | None:
    """Differences as earlier runs show them, about 0, and where they come from; None where too few are known."""
    values = list(test.differences) if test else []
    if len(values) >= FEWEST and all(map(math.isfinite, values)) and spread(values) > 0:
        mean = math.fsum(values) / len(values)
        return [value - mean for value in values], f"{len(values)} seeds of these arms"
    arms: dict[str, list[float]] = {}
    for run in others:
        try:
            value = score_runs([run], metric).values[0]
        except UserError:
            continue
        if math.isfinite(value):
            arms.setdefault(run.arm_id, []).append(value)
    known = [scores for scores in arms.values() if len(scores) >= FEWEST and spread(scores) > 0]
    if not known:
        return None
    # Seeds of one arm in pairs: the difference of two runs that do not share their luck.
    apart = [right - left for scores in known for left, right in itertools.pairwise(scores)]
    seeds = sum(map(len, known))
    return apart, f"{count(seeds, 'run')} of other experiments on these data and nets"


def shortfall(claim: Claim, metric: Metric, values: Sequence[float], num_seeds: int, threshold: float) -> str:
    """What `num_seeds` will not show; empty where they suffice, or where nothing can be said."""
    if claim.kind == "same":
        needed = seeds_needed(values, [-claim.margin, claim.margin], threshold)
        total = None if needed is None else len(values) + needed
        if total is not None and total <= num_seeds:
            return ""
        how_many = f"more than {MOST_SEEDS:,}" if total is None else f"about {total}"
        return f"{how_many} seeds show it if nothing differs, and there are {num_seeds} (power {POWER:g})"
    least = least_effect(num_seeds, threshold) * spread(values) if num_seeds > 1 else math.inf
    if claim.margin <= 0 or least <= claim.margin or math.isinf(least):
        return ""
    unit = f" {metric.unit}" if metric.unit else ""
    beyond = f"{abs(claim.margin) + least:.2g}{unit}"
    return f"{count(num_seeds, 'seed')} show a difference above {claim.margin:g} only if it is about {beyond}"


def alike_elsewhere(jobs: Sequence[Job], root: Path) -> list[Run]:
    """Runs of other experiments beside `root` on the data and the net of one of `jobs`, at most so many."""
    wanted = [flatten(job.config) for job in {job.folder.parent: job for job in jobs}.values()]
    keys = [key for key in wanted[0] if key.startswith(("data.", "model.", "train.")) and key != "data.root"]
    keys = [
        key
        for key in keys
        if key
        not in ("train.checkpoint_every", "train.threads", "train.watch", "train.watch_smoothness", "train.keep_best")
    ]
    same = {values_of(config, keys) for config in wanted}
    paths = itertools.islice(root.parent.glob("*/*/seed=*/result.json"), MOST_READ)
    runs = [run for path in paths if root not in path.parents and (run := read_run(path.parent)) and counts(run)]
    return [run for run in completed(runs) if values_of(run.config, keys) in same]


CLAIM_RULES = (
    Rule("claim-never", "warning", impossible),
    Rule("claim-seeds", "warning", too_few),
)
