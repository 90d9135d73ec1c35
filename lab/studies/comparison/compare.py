"""The comparison of a folder's runs: arms with their means, differences to a reference, and the verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.records.results import Run
from lab.records.tuning import Tuning
from lab.studies.claims.claim import named_keys, parse_claims
from lab.studies.claims.verdict import Verdict, judge
from lab.studies.select.arms import complete, differing_keys, pairs, setting_keys, swept_keys, telling_keys, values_of
from lab.studies.select.reference import check_reference
from lab.studies.select.scores import scores, study_metric
from lab.studies.select.selectors import full_key, label, matches
from lab.studies.statistics.paired import Estimate, difference, estimate
from lab.studies.statistics.spending import counted_looks


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
    """Mean of the scores; None without runs."""

    difference: Estimate | None
    """Mean of the paired differences, this arm minus its reference; None for a reference, and without pairs."""

    is_reference: bool
    num_diverged: int
    num_failed: int
    """Runs that failed or were interrupted; they do not count."""

    images_per_second: float | None
    """Mean over the runs."""

    num_params: int | None


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds."""

    question: str
    source: str
    metric: str
    keys: list[str]
    """The full keys that labels are made of."""

    reference: str
    """What the arms are compared with: a label."""

    arms: list[Arm]
    verdicts: list[Verdict]
    runs: list[Run]
    """The runs that count, with complete configurations."""

    failed: list[Run]
    """The runs that failed or were interrupted."""

    looks: list[int]
    """Seeds there were at each look at the experiment, this one included."""

    where_keys: list[str]
    """The full keys by which claims restrict their runs: what a figure is best cut into panels by."""

    tuning: Tuning | None = None
    """What was tuned before, of the arms that are here."""


def compare(
    runs: Sequence[Run],
    study: Mapping[str, Any],
    by: Sequence[str] | None = None,
    metric: str | None = None,
    looks: Sequence[int] = (),
    tuning: Tuning | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Comparison:
    """Compares arms, in the order in which `runs` has them.

    Args:
        runs: at least one run; those that failed or were interrupted are counted and left out.
        study: `question`, `source`, `metric`, `reference` and `claims`, any of which may be missing or empty.
        by: configuration keys whose values make the arms; without it each configuration is an arm.
        metric: replaces the study's metric in the table and figures. Claims keep the metric they were written for.
        looks: seeds there were when the experiment was looked at before.
        tuning: of these arms; the keys tuned are no difference between them, whatever values they have.
        asked: a reference that replaces the study's.

    Raises:
        UserError: an unknown key or metric, a claim that cannot be read, or an `asked` reference that no arm has.
    """
    metric = metric or study_metric(study, runs)
    everything = [replace(run, config=complete(run.config)) for run in runs]
    counted = [run for run in everything if run.status in ("finished", "diverged")]
    configs = [run.config for run in everything]
    by = list(dict.fromkeys(full_key(key, configs[0]) for key in by or ()))
    if asked:
        check_reference(asked, [run.config for run in counted], by, "--reference", "without it, the study's own")
    reference = asked or study.get("reference") or {}
    tuned = tuning.keys if tuning else []
    swept = [key for key in swept_keys(everything) if key not in tuned]
    claims = parse_claims(study)
    named = [*named_keys(claims, configs[0]), *(full_key(key, configs[0]) for key in reference)]
    # Where nobody said what is compared, everything that differs is.
    apart = setting_keys(configs, list(dict.fromkeys([*swept, *named, *tuned]))) if swept or named else []
    if by:
        keys = by
        groups = group(everything, [values_of(config, keys) for config in configs])
        pair_keys = [key for key in [*swept, *apart] if key not in keys]
        apart = []
    else:
        keys = telling_keys(configs, [*swept, *differing_keys(configs), "data.root"])
        groups = group(everything, [run.arm_id for run in everything])
        pair_keys = []
    score_of = {id(run): score for run, score in zip(counted, scores(counted, metric), strict=True)}
    arms = distinct([make_arm(members, keys, score_of) for members in groups])
    references = [find_reference(arm, arms, reference, apart) for arm in arms]
    looks = counted_looks(looks, len({run.seed for run in counted}))
    return Comparison(
        question=study.get("question") or "",
        source=study.get("source") or "",
        metric=metric,
        keys=keys,
        reference=label(reference) if len(set(map(id, references))) > 1 and reference else references[0].label,
        arms=[subtract(arm, other, pair_keys) for arm, other in zip(arms, references, strict=True)],
        verdicts=judge(study, counted, looks, tuned),
        runs=counted,
        failed=[run for run in everything if id(run) not in score_of],
        looks=looks,
        where_keys=list(dict.fromkeys(full_key(key, configs[0]) for claim in claims for key in claim.where)),
        tuning=tuning,
    )


def group(runs: Sequence[Run], classes: Sequence[Any]) -> list[list[Run]]:
    """Groups runs of equal class, in order of first appearance."""
    groups: dict[Any, list[Run]] = {}
    for run, its_class in zip(runs, classes, strict=True):
        groups.setdefault(its_class, []).append(run)
    return list(groups.values())


def make_arm(members: Sequence[Run], keys: Sequence[str], score_of: Mapping[int, float]) -> Arm:
    """The arm of `members`, without its reference; `score_of` has the scores of the runs that count, by `id`."""
    runs = [run for run in members if id(run) in score_of]
    values = [score_of[id(run)] for run in runs]
    config = members[0].config
    speeds = [run.result["images_per_second"] for run in runs if run.result.get("images_per_second")]
    return Arm(
        label=label({key: config[key] for key in keys}) or str(config["name"]),
        keys={key: config[key] for key in keys},
        arm_ids=list(dict.fromkeys(run.arm_id for run in members)),
        runs=runs,
        values=values,
        score=estimate(values),
        difference=None,
        is_reference=False,
        num_diverged=sum(run.status == "diverged" for run in runs),
        num_failed=len(members) - len(runs),
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
    """

    def config(arm: Arm) -> dict[str, Any]:
        return {**arm.runs[0].config, **arm.keys} if arm.runs else arm.keys

    near = [other for other in arms if values_of(config(other), apart) == values_of(config(arm), apart)]
    picked = [other for other in near if other.runs and reference and matches(config(other), reference)]
    named = {full_key(key, config(picked[0])) for key in reference} if picked else set()
    rest = [key for key in arm.keys if key not in named]
    alike = [other for other in picked if values_of(other.keys, rest) == values_of(arm.keys, rest)]
    return [*alike, *picked, *near][0]


def subtract(arm: Arm, reference: Arm, pair_keys: Sequence[str]) -> Arm:
    """`arm` with its difference to `reference`, paired by seed and `pair_keys`."""
    if arm is reference:
        return replace(arm, is_reference=True)
    left, right = (list(zip(side.runs, side.values, strict=True)) for side in (arm, reference))
    paired = pairs(left, right, pair_keys)
    return replace(arm, difference=difference([a for _, a, _ in paired], [b for _, _, b in paired]))
