"""An arm of a comparison: its runs, their scores, and its differences to the arm that it is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.records.results import Run
from lab.studies.select.arms import values_of
from lab.studies.select.images import may_meet
from lab.studies.select.modes import pair_trained
from lab.studies.select.scores import Scores, counts
from lab.studies.select.selectors import full_key, label, matches
from lab.studies.statistics.estimate import Estimate, estimate
from lab.studies.statistics.proportions import estimate_share, estimate_share_difference
from lab.studies.statistics.shared import Shared, find_shared


@dataclass(frozen=True)
class Arm:
    """All runs that are alike but for their seed (or, with `by`, alike in the keys asked for)."""

    label: str
    """`init=he_normal depth=30`."""

    keys: dict[str, Any]
    """The full keys of the label with their values."""

    arm_ids: list[str]
    """Hashes of the configurations behind it."""

    runs: list[Run]
    """The runs that count, finished or diverged."""

    values: list[float]
    """Their scores, in the same order."""

    score: Estimate | None
    """Mean over the seeds, each the mean of its runs; None without runs. Where some seeds did not train, of those that
    did (`lab.studies.select.modes`)."""

    num_trained: int
    """Seeds that trained, of `num_run`."""

    num_run: int
    """Seeds that ran."""

    trained: list[bool]
    """Whether each of the runs trained."""

    num_diverged: int
    num_failed: int
    num_interrupted: int
    """Runs that failed, and that were interrupted; they do not count."""

    images_per_second: float | None
    """Mean over the runs."""

    num_params: int | None

    test: Estimate | None = None
    """As `score`, on the test images; None where runs were not scored on them, or the metric is not of validation."""

    reference: str = ""
    """The label of the arm that it is compared with; its own for a reference."""

    differences: tuple[float, ...] = ()
    """This arm minus its reference, a number a seed; empty for a reference."""

    difference: Estimate | None = None
    """Their mean; None without shared seeds."""

    left_out: tuple[float, ...] = ()
    """Differences in seeds in which only one of the two trained, where others have both."""

    shared: Shared | None = None
    """What the two share over their seeds; None with fewer than three."""

    @property
    def num_seeds(self) -> int:
        """Seeds in the mean."""
        return self.score.n if self.score else 0

    @property
    def is_reference(self) -> bool:
        return self.reference == self.label


def make_arm(
    members: Sequence[Run], keys: Sequence[str], scores: Scores, open_keys: Sequence[str], test: Scores | None = None
) -> Arm:
    """The arm of `members`, of which those that count have `scores`, and `test` scores, without its reference; see
    `pair`."""
    runs = [run for run in members if counts(run)]
    found, modes, _ = pair_trained(scores, [runs], open_keys)
    (by_seed,), bounds = found.sides, scores.metric.bounds
    config = members[0].config
    speeds = [run.result["images_per_second"] for run in runs if run.result.get("images_per_second")]
    return Arm(
        label=label({key: config[key] for key in keys}) or str(config["name"]),
        keys={key: config[key] for key in keys},
        arm_ids=list(dict.fromkeys(run.arm_id for run in members)),
        runs=runs,
        values=scores.of(runs),
        score=estimate_share(by_seed) if scores.metric.is_share else estimate(by_seed, bounds),
        num_trained=sum(modes.trained),
        num_run=modes.num_seeds,
        trained=[id(run) not in scores.failed for run in runs],
        num_diverged=sum(run.status == "diverged" for run in runs),
        num_failed=sum(run.status == "failed" for run in members),
        num_interrupted=sum(run.status == "interrupted" for run in members),
        test=estimate(pair_trained(test, [runs], open_keys)[0].sides[0], test.metric.bounds) if test else None,
        images_per_second=sum(speeds) / len(speeds) if speeds else None,
        num_params=runs[0].result.get("num_params") if runs else None,
    )


def distinct(arms: Sequence[Arm]) -> list[Arm]:
    """The arms, those of equal label told apart by their hashes."""
    labels = [arm.label for arm in arms]
    return [replace(arm, label=f"{arm.label} {arm.arm_ids[0]}") if labels.count(arm.label) > 1 else arm for arm in arms]


def find_reference(arm: Arm, arms: Sequence[Arm], reference: Mapping[str, Any], apart: Sequence[str]) -> Arm:
    """The arm that `arm` is compared with: one that `reference` picks, as like to `arm` as can be, else the first.

    Args:
        reference: selector; may pick several arms, one for each depth, say.
        apart: keys in which two arms must agree to be comparable at all.

    Returns:
        `arm` itself where no other is scored on the same test images.
    """

    def config(arm: Arm) -> dict[str, Any]:
        return {**arm.runs[0].config, **arm.keys} if arm.runs else arm.keys

    near = [other for other in arms if values_of(config(other), apart) == values_of(config(arm), apart)]
    near = [other for other in near if other is arm or not other.runs or may_meet(arm.runs, other.runs)]
    picked = [other for other in near if other.runs and reference and matches(config(other), reference)]
    named = {full_key(key, config(picked[0])) for key in reference} if picked else set()
    rest = [key for key in arm.keys if key not in named]
    alike = [other for other in picked if values_of(other.keys, rest) == values_of(arm.keys, rest)]
    return [*alike, *picked, *near][0]


def set_against(arm: Arm, reference: Arm, scores: Scores, open_keys: Sequence[str]) -> Arm:
    """`arm` with its differences to `reference`, paired by seed and averaged over `open_keys`."""
    if arm is reference:
        return replace(arm, reference=arm.label)
    found, _, _ = pair_trained(scores, [arm.runs, reference.runs], open_keys)
    mean = estimate(found.differences, scores.metric.difference_bounds)
    return replace(
        arm,
        reference=reference.label,
        differences=found.differences,
        left_out=found.left_out,
        difference=estimate_share_difference(found.sides) if scores.metric.is_share else mean,
        shared=find_shared(*found.sides),
    )
