"""Interim analyses of one claim: every change of its evidence is one, by whatever route it came about."""

import hashlib
import json
from collections.abc import Sequence

from lab.records.interim import Evidence
from lab.studies.claims.contrast import ClaimTest

PLACES = 12
"""Decimal places in which two differences have to differ to be other evidence."""


def evidence_of(test: ClaimTest) -> Evidence:
    """What a test rests on: the seeds, and their differences in every contrast of the claim."""
    rows = [
        sorted(zip(contrast.pairs.seeds, (round(value, PLACES) for value in contrast.differences), strict=True))
        for contrast in test.contrasts
    ]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
    seeds = sorted({seed for contrast in test.contrasts for seed in contrast.pairs.seeds})
    arms = sorted({run.arm_id for contrast in test.contrasts for cell in contrast.cells for run in cell})
    return Evidence(len(test.differences), digest, tuple(seeds), tuple(arms))


def analyses_until(
    now: Evidence, others: Sequence[Evidence], unspecified: Sequence[int], recorded: Sequence[Evidence]
) -> list[int]:
    """The seeds at each interim analysis of a claim up to this one, which counts whether it is recorded yet or not.

    Args:
        now: what the claim is judged on.
        others: what it is judged on in other settings, whose analyses are theirs.
        unspecified: seeds of the experiment at earlier analyses of which nothing else is known; they count where the
            claim has more seeds by now.
        recorded: the analyses of the claim, in order.
    """
    elsewhere = {digits for other in others for digits in other.arms} - {*now.arms}
    found = sorted({seeds for seeds in unspecified if seeds < now.n})
    for one in recorded:
        if one.digest == now.digest:
            break
        if not {*one.arms} & elsewhere or {*one.arms} & {*now.arms}:
            found.append(one.n)
    return [*found, now.n]
