"""Claims in the design of `seeds=auto`: which are decided at which of its analyses, and which arms need more seeds.

Every analysis that was held is repeated from its own seeds: one of 5 seeds sees the seeds 0 to 4, whatever other claims
brought in later. So a verdict stays, and a command that was interrupted goes on to the same ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.metric import Metric
from lab.records.checked import NOTHING_CHECKED, Checked
from lab.records.design import Design
from lab.records.results import Run
from lab.studies.claims.claim import Claim
from lab.studies.claims.contrast import ClaimTest, measure, put_to_test
from lab.studies.claims.more_seeds import seeds_to_decide
from lab.studies.claims.study import Study
from lab.studies.select.scores import Scores
from lab.studies.statistics.estimate import spread
from lab.studies.statistics.group_sequential import FUTILE, chance_later, crossed
from lab.studies.statistics.numerals import count
from lab.studies.statistics.spending import FIRST


@dataclass(frozen=True)
class Stage:
    """Where one claim stands after the analyses that were held."""

    test: ClaimTest
    """At the analysis that decided it, or at the last one that had new seeds for it."""

    p_support: float
    p_refute: float
    """Adjusted: below `level` where Holm's procedure rejects."""

    level: float
    """The threshold at that analysis for a single claim."""

    analysis: int
    """Its number, from 1; 0 before the first."""

    status: str
    """`decided`, `maximum` (all seeds are used), `futile` (a verdict is unlikely with all of them) or `open`."""

    design: Design

    @property
    def analyses(self) -> list[int]:
        """Seeds at each analysis up to this one."""
        return list(self.design.analyses[: self.analysis])

    def sentences(self) -> list[str]:
        """What `explain` ends with: the analysis, the threshold, and why there were no more seeds."""
        design, seeds = self.design, count(self.analyses[-1], "seed") if self.analysis else ""
        if not self.analysis:
            return [f"Not analysed yet; the first analysis has {count(design.analyses[0], 'seed')}."]
        maximum = ", the maximum" if self.status == "maximum" else ""
        found = [f"Analysis {self.analysis} of {len(design.analyses)} ({seeds}{maximum}): threshold {self.level:.2g}."]
        if self.status == "open":
            found.append(f"The same command adds seeds, up to {design.max_seeds}.")
        if self.status == "futile":
            found.append(
                f"No more seeds: the chance of a verdict with {design.max_seeds} is below {100 * FUTILE:.0f} %."
            )
        if self.status in ("maximum", "futile") and (number := self.seeds_afresh()) is not None:
            found.append(f"A new experiment would need about {count(number, 'seed')}.")
        return found

    def seeds_needed(self) -> int | None:
        """Further seeds that would decide an open claim; None where none are added, or where there is no number."""
        if self.status != "open" or not self.analysis:
            return None
        levels = self.design.levels[-1]
        further = seeds_to_decide(self.test, levels[self.analysis - 1], lambda _: levels[-1])
        return further if further is not None and further + self.analyses[-1] <= self.design.max_seeds else None

    def seeds_afresh(self) -> int | None:
        """Seeds of a new experiment, with one analysis, that would decide the claim."""
        level = FIRST / len(self.design.levels)
        further = seeds_to_decide(self.test, self.design.levels[-1][self.analysis - 1], lambda _: level)
        return None if further is None else further + len(self.test.differences)

    def as_json(self) -> dict[str, Any]:
        """The stage as `verdict.json` has it."""
        cells = [cell for contrast in self.test.contrasts for cell in contrast.cells]
        return {
            "status": self.status,
            "analysis": self.analysis,
            "analyses": list(self.design.analyses),
            "arms": sorted({run.arm_id for cell in cells for run in cell}),
        }


def claim_facts(study: Study) -> list[dict[str, Any]]:
    """The claims of a study as `design.json` has them."""
    return [
        {
            "say": claim.say,
            "kind": claim.kind,
            "where": claim.where,
            "sides": list(claim.sides),
            "between": list(claim.between),
            "margin": claim.margin,
            "metric": (claim.metric or study.metric).text,
        }
        for claim in study.claims
    ]


def fits(design: Design | None, study: Study) -> Design | None:
    """`design`, if it is for the claims of `study`."""
    return design if design and design.claims == claim_facts(study) else None


def repeat_analyses(
    claims: Sequence[Claim],
    metrics: Sequence[Metric],
    scores: Mapping[Metric, Scores],
    runs: Sequence[Run],
    swept: Sequence[str],
    design: Design,
    checked: Checked = NOTHING_CHECKED,
) -> list[Stage]:
    """Where each of `claims` stands after the analyses that `design` says were held.

    Args:
        claims: those of the design.
        metrics: what each compares.
        scores: of `runs`, by metric.
        runs: one or more of one setting.
        swept: full keys that sweeps named.
        design: of `seeds=auto`.
        checked: which arms were proved to be one function before they trained.
    """
    stages = [
        Stage(
            untested(claim, scores[metric], runs, swept, design.held > 0, checked),
            1.0,
            1.0,
            design.levels[0][0],
            0,
            "open",
            design,
        )
        for claim, metric in zip(claims, metrics, strict=True)
    ]
    rejected = {"support": 0, "refute": 0}
    for place, seeds in enumerate(design.holds()):
        inside = [run for run in runs if run.seed < seeds]
        tested: dict[int, ClaimTest] = {}
        for index, stage in enumerate(stages):
            if stage.status != "decided" and inside:
                test = put_to_test(claims[index], scores[metrics[index]], inside, swept, checked)
                if len(test.differences) > len(stage.test.differences):
                    tested[index] = test
        decided: set[int] = set()
        adjusted: dict[str, dict[int, float]] = {}
        for direction in rejected:
            ps = {index: getattr(test, f"p_{direction}") for index, test in tested.items()}
            among = list(ps)
            hits = [among[hit] for hit in crossed(list(ps.values()), design.levels, place, rejected[direction])]
            adjusted[direction] = adjust(ps, hits, design.levels, place, rejected[direction])
            decided.update(hits)
            rejected[direction] += len(hits)
        for index, test in tested.items():
            stages[index] = replace(
                stages[index],
                test=test,
                p_support=adjusted["support"][index],
                p_refute=adjusted["refute"][index],
                level=design.levels[0][place],
                analysis=place + 1,
                status="decided" if index in decided else "open",
            )
    return [judge_outlook(stage, rejected) for stage in stages]


def adjust(
    ps: Mapping[int, float], hits: Sequence[int], levels: Sequence[Sequence[float]], place: int, before: int
) -> dict[int, float]:
    """p-values in units of a single claim's threshold: below it for the `hits` that Holm's procedure rejects alone.

    Args:
        before: claims that earlier analyses rejected.
    """
    rows = {index: len(levels) - before - rank - 1 for rank, index in enumerate(hits)}
    rest = len(levels) - before - len(hits) - 1  # below 0 where all are rejected
    return {
        index: min(1.0, p * levels[0][place] / levels[rows.get(index, max(rest, 0))][place]) for index, p in ps.items()
    }


def judge_outlook(stage: Stage, rejected: Mapping[str, int]) -> Stage:
    """`stage`, with why it gets no more seeds if it is undecided and gets none.

    Not to go on where a verdict is unlikely makes no verdict wrong: the thresholds do not count on it (non-binding).
    """
    design, test = stage.design, stage.test
    if stage.status == "decided" or not stage.analysis:
        return stage
    if design.held == len(design.analyses):
        return replace(stage, status="maximum" if stage.analysis == design.held else "futile")
    if not all(contrast.effect and not contrast.effect.num_infinite for contrast in test.contrasts):
        return stage
    if any(spread(contrast.differences) == 0 for contrast in test.contrasts):
        return stage  # nobody knows what the first seed that does not tie will bring
    seeds = stage.analyses[-1]
    chance = sum(
        chance_later(p, seeds, design.max_seeds, design.levels[len(design.levels) - rejected[direction] - 1][-1])
        for direction, p in (("support", test.p_support), ("refute", test.p_refute))
    )
    return replace(stage, status="futile") if chance < FUTILE else stage


def untested(
    claim: Claim, scores: Scores, runs: Sequence[Run], swept: Sequence[str], held: bool, checked: Checked
) -> ClaimTest:
    """The test of a claim that no analysis had seeds for; after one was `held`, with who trained, as that is why."""
    test = put_to_test(claim, scores, runs, swept, checked)
    empty = [measure(sides, scores, [], []) for sides in claim.contrasts()]
    if held:
        empty = [replace(none, modes=one.modes) for none, one in zip(empty, test.contrasts, strict=True)]
    return replace(test, contrasts=empty, weakest=empty[0], num_runs=0, num_diverged=0, p_support=1.0, p_refute=1.0)
