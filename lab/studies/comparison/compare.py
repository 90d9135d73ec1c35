"""The comparison of a folder's runs: arms with their means, differences to a reference, and the verdicts."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.identity import ARM
from lab.metric import Metric, parse_metric
from lab.records.checked import Checked
from lab.records.design import Design
from lab.records.results import Run
from lab.records.tuning import Tuning
from lab.studies.claims.departures import NOTHING_PAST, Past
from lab.studies.claims.stages import fits
from lab.studies.claims.study import Study
from lab.studies.claims.verdict import Verdict, judge
from lab.studies.comparison.arm import Arm, distinct, find_reference, make_arm, set_against
from lab.studies.comparison.tuned import with_untrained
from lab.studies.select.arms import completed, differing_keys, setting_keys, swept_keys, telling_keys, values_of
from lab.studies.select.images import IMAGE_KEYS, image_keys, may_meet
from lab.studies.select.modes import score_trained, who_trained
from lab.studies.select.reference import check_reference
from lab.studies.select.scores import Scores, counts, held_out, logged_tags
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

    untrained: frozenset[Path]
    """The folders of the runs whose curves are of no run that trained; see `lab.studies.select.modes`."""

    tuning: Tuning | None = None
    """What was tuned before, of the arms that are here."""

    is_part: bool = False
    """Whether the verdicts rest on other runs as well, all of the experiment."""

    departures: tuple[str, ...] = ()
    """What is otherwise than it was registered before the first run, in sentences."""

    design: Design | None = None
    """Of `seeds=auto`, if these claims have one."""

    checked: Checked = field(default_factory=Checked)
    """What was found in arms and claims before the first run."""

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
    past: Past = NOTHING_PAST,
    whole: Comparison | None = None,
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
        past: what the record of the experiment says.
        whole: the comparison of the whole experiment, whose verdicts hold whatever part of it is compared.
        design: of `seeds=auto`; it is left aside where it is for other claims.

    Raises:
        UserError: an unknown key or metric, or an `asked` reference that no arm has.
    """
    everything = completed(runs)
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
    open_keys = [key for key in dict.fromkeys([*swept, *apart, *differing_images(configs)]) if by and key not in by]
    classes = [values_of(run.config, by) if by else (run.arm_id, run.config[ARM]) for run in everything]
    groups = group(everything, classes)
    scores = score_trained(counted, (metric or study.metric).resolve(logged_tags(everything)), study.trained)
    test = held_out(scores)
    arms = distinct([make_arm(members, keys, scores, open_keys, test) for members in groups])
    references = [find_reference(arm, arms, reference, [] if by else apart) for arm in arms]
    design = fits(design, study)
    so_far = counted_analyses([*analyses, *past.num_seeds], len({run.seed for run in counted}))
    before = [*analyses, *past.unspecified]
    verdicts = whole.verdicts if whole else judge(study, counted, [scores], before, tuned, past, design)
    return Comparison(
        question=study.question,
        source=study.source,
        scores=scores,
        keys=keys,
        reference=reference_name(references, reference),
        arms=[set_against(arm, other, scores, open_keys) for arm, other in zip(arms, references, strict=True)],
        verdicts=verdicts if whole else with_untrained(verdicts, study, tuning),
        runs=counted,
        failed=[run for run in everything if not counts(run)],
        analyses=whole.analyses if whole else list(design.holds()) if design else so_far,
        where_keys=list(dict.fromkeys(full_key(key, configs[0]) for claim in study.claims for key in claim.where)),
        open_keys=open_keys,
        untrained=untrained(counted, scores.metric, study.trained),
        tuning=tuning,
        is_part=whole is not None and {run.path for run in whole.runs} != {run.path for run in counted},
        departures=whole.departures if whole else past.departures,
        design=whole.design if whole else design,
        checked=whole.checked if whole else past.checked,
    )


def differing_images(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys by which `configs` are scored on different test images."""
    return [key for key in IMAGE_KEYS if len({values_of(c, [key]) for c in configs if key in image_keys(c)}) > 1]


def untrained(runs: Sequence[Run], metric: Metric, rule: Metric | None) -> frozenset[Path]:
    """The folders of those of `runs` that did not train, by the curve that shows `metric`."""
    curve = parse_metric(metric.curve_tag)
    found = who_trained(runs, curve, rule if rule and rule.tags[0] in logged_tags(runs) else None)
    return frozenset(run.path for run, trained in zip(runs, found, strict=True) if not trained)


def reference_name(references: Sequence[Arm], selector: Mapping[str, Any]) -> str:
    """What the arms are compared with, of whom each has one of `references`: one label, or words for several."""
    if len(set(map(id, references))) > 1 and selector:
        return label(selector)
    apart = any(one.runs and not may_meet(references[0].runs, one.runs) for one in references)
    return "the first arm of the same test images" if apart else references[0].label


def group(runs: Sequence[Run], classes: Sequence[Hashable]) -> list[list[Run]]:
    """Groups runs of equal class, in order of first appearance."""
    groups: dict[Hashable, list[Run]] = {}
    for run, its_class in zip(runs, classes, strict=True):
        groups.setdefault(its_class, []).append(run)
    return list(groups.values())
