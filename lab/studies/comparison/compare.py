"""The comparison of a folder's runs: arms with their means, differences to a reference, and the verdicts."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.metric import Metric
from lab.records.design import Design
from lab.records.results import Run
from lab.records.tuning import Tuning
from lab.studies.claims.stages import fits
from lab.studies.claims.study import Study
from lab.studies.claims.verdict import Verdict, judge
from lab.studies.comparison.arm import Arm, distinct, find_reference, make_arm, set_against
from lab.studies.select.arms import complete, differing_keys, setting_keys, swept_keys, telling_keys, values_of
from lab.studies.select.reference import check_reference
from lab.studies.select.scores import Scores, counts, logged_tags, score_runs
from lab.studies.select.selectors import full_key, label
from lab.studies.statistics.spending import counted_analyses


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds."""

    question: str
    source: str
    scores: Scores
    """Of the runs that count, under the metric compared."""

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

    analyses: list[int]
    """Seeds at each interim analysis of the experiment, this one included."""

    where_keys: list[str]
    """The full keys by which claims restrict their runs: what a figure is best cut into panels by."""

    open_keys: list[str]
    """The full keys whose values an arm's runs differ in, and are averaged over within a seed."""

    tuning: Tuning | None = None
    """What was tuned before, of the arms that are here."""

    design: Design | None = None
    """Of `seeds=auto`, if these claims have one."""

    @property
    def metric(self) -> Metric:
        """What is compared."""
        return self.scores.metric


def compare(
    runs: Sequence[Run],
    study: Study,
    by: Sequence[str] | None = None,
    metric: Metric | None = None,
    analyses: Sequence[int] = (),
    tuning: Tuning | None = None,
    asked: Mapping[str, str] | None = None,
    design: Design | None = None,
) -> Comparison:
    """Compares arms, in the order in which `runs` has them.

    Args:
        runs: at least one run; those that failed or were interrupted are counted and left out.
        study: what is asked and claimed.
        by: configuration keys whose values make the arms; without it each configuration is an arm.
        metric: replaces the study's metric in the table and figures. Claims keep the metric they were written for.
        analyses: seeds at each earlier interim analysis of the experiment.
        tuning: of these arms; the keys tuned are no difference between them, whatever values they have.
        asked: a reference that replaces the study's.
        design: of `seeds=auto`; it is left aside where it is for other claims.

    Raises:
        UserError: an unknown key or metric, or an `asked` reference that no arm has.
    """
    everything = [replace(run, config=complete(run.config)) for run in runs]
    counted = [run for run in everything if counts(run)]
    configs = [run.config for run in everything]
    by = [full_key(key, configs[0]) for key in dict.fromkeys(by or ())]
    if asked:
        check_reference(asked, [run.config for run in counted], by, "--reference", "without it, the study's own")
    reference = asked or study.reference
    tuned = tuning.keys if tuning else []
    swept = [key for key in swept_keys(everything) if key not in tuned]
    named = [*study.named_keys(configs[0]), *(full_key(key, configs[0]) for key in reference)]
    # Where nobody said what is compared, everything that differs is.
    apart = setting_keys(configs, list(dict.fromkeys([*swept, *named, *tuned]))) if swept or named else []
    keys = by or telling_keys(configs, [*swept, *differing_keys(configs), "data.root"])
    open_keys = [key for key in [*swept, *apart] if by and key not in by]
    groups = group(everything, [values_of(run.config, by) if by else run.arm_id for run in everything])
    scores = score_runs(counted, (metric or study.metric).resolve(logged_tags(everything)))
    arms = distinct([make_arm(members, keys, scores, open_keys) for members in groups])
    references = [find_reference(arm, arms, reference, [] if by else apart) for arm in arms]
    design = fits(design, study)
    num_seeds = len({run.seed for run in counted})
    analyses = list(design.holds()) if design else counted_analyses(analyses, num_seeds)
    return Comparison(
        question=study.question,
        source=study.source,
        scores=scores,
        keys=keys,
        reference=label(reference) if len(set(map(id, references))) > 1 and reference else references[0].label,
        arms=[set_against(arm, other, scores, open_keys) for arm, other in zip(arms, references, strict=True)],
        verdicts=judge(study, counted, [scores], analyses, tuned, design),
        runs=counted,
        failed=[run for run in everything if not counts(run)],
        analyses=analyses,
        where_keys=list(dict.fromkeys(full_key(key, configs[0]) for claim in study.claims for key in claim.where)),
        open_keys=open_keys,
        tuning=tuning,
        design=design,
    )


def group(runs: Sequence[Run], classes: Sequence[Hashable]) -> list[list[Run]]:
    """Groups runs of equal class, in order of first appearance."""
    groups: dict[Hashable, list[Run]] = {}
    for run, its_class in zip(runs, classes, strict=True):
        groups.setdefault(its_class, []).append(run)
    return list(groups.values())
