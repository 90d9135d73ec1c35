"""Verdicts: what the runs say about the claims.

The rule, stated before any run: scores are paired by seed and by every swept key that the claim leaves open. `higher
... by` is *supported* when "the mean difference is at most `by`" is rejected, and *refuted* when "it is at least `by`"
is; `lower` mirrors it, and `interaction` puts it to the difference of two differences. `same ... within` is supported
when both "at most -within" and "at least within" are rejected (two one-sided tests, Schuirmann 1987), and refuted when
the difference lies beyond an edge (p doubled: there are two). `ordered` is supported when every step of the chain is
(the largest p: intersection-union, Berger 1982), and refuted when a step is (the smallest p, times their number).
A p-value counts below 0.04 after Holm's adjustment over all claims of the experiment, for support and for refutation
each; what is left of 5 % is for the looks after seeds were added (`lab.studies.statistics.spending`). Anything else,
and fewer than two pairs, is *undecided*. Runs that a setting nobody swept sets apart (the data set, say) are judged
apart, as experiments of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.records.results import Run
from lab.studies.claims.claim import named_keys, parse_claims
from lab.studies.claims.contrast import Step, Trial, hold_trial, p_values, seeds_to_decide
from lab.studies.claims.flips import Flips, find_flips
from lab.studies.claims.sentences import explain
from lab.studies.select.arms import setting_keys, swept_keys, telling_keys, values_of
from lab.studies.select.scores import scores, study_metric
from lab.studies.statistics.paired import holm, improvement, p_above_exact
from lab.studies.statistics.spending import level


@dataclass(frozen=True)
class Verdict:
    """What the runs of one setting say about one claim."""

    say: str
    kind: str
    """`higher`, `lower`, `same`, `ordered` or `interaction`."""

    verdict: str
    """`supported`, `refuted` or `undecided`."""

    effect: float | None
    """Left side minus right side, in the metric's unit: the mean, or the median where a value is infinite. Of a chain
    its smallest step, of an interaction the difference between the two effects."""

    interval: tuple[float, float] | None
    """95 % interval of the mean effect (`lab.studies.statistics.paired.mean_interval`)."""

    p: float
    """Holm-adjusted p-value of the test that decided: against the claim if refuted, for it otherwise."""

    n: int
    """Number of pairs."""

    seeds_needed: int | None
    """Further seeds that would decide it with power 0.8 at the next look, at which p has to be smaller; 0 where it is
    decided, None where 1,000 would not, or where what is there gives no ground for a number."""

    level: float
    """What `p` had to be below at this look."""

    looks: list[int]
    """Seeds there were at each look so far, this one included."""

    p_exact: float
    """p of the same hypothesis by changes of sign (`p_above_exact`), which asks for symmetry alone; not adjusted."""

    iqm: float | None
    """Interquartile mean of the effect."""

    improvement: tuple[float, float, float] | None
    """Probability that a pair's difference is above 0, ties counted half, with its 95 % interval."""

    steps: list[dict[str, Any]]
    """Of a chain, each step: `say`, `effect`, `interval`, `n`; empty for other claims."""

    flips: Flips | None
    """Which test pictures the two sides tell differently; None where no pair kept its predictions."""

    setting: dict[str, Any]
    """What sets these runs apart from others in the folder; empty where nothing does."""

    metric: str
    margin: float
    """`by` or `within`."""

    num_diverged: int
    """Runs on either side that diverged, and count at their worst."""

    explain: str
    """The numbers in a sentence."""

    def as_json(self) -> dict[str, Any]:
        """The verdict as `verdict.json` has it."""
        fields = {**vars(self), "flips": self.flips and self.flips.as_json()}
        return {**fields, "within" if self.kind == "same" else "by": fields.pop("margin")}


def judge(
    study: Mapping[str, Any], runs: Sequence[Run], looks: Sequence[int] = (), tuned: Sequence[str] = ()
) -> list[Verdict]:
    """The verdicts on all claims of `study`, claim by claim, and for each claim setting by setting.

    Args:
        study: `claims`, and `metric` for those that name none.
        runs: finished or diverged runs, with complete configurations.
        looks: seeds there were when these runs were looked at, this look included; one look if empty.
        tuned: keys that each arm has its own best value of, so that they set nothing apart.

    Raises:
        UserError: a claim cannot be read, or a metric or key is unknown.
    """
    claims = parse_claims(study)
    if not claims or not runs:
        return []
    metrics = [claim.metric or study_metric(study, runs) for claim in claims]
    score_of = {metric: scores(runs, metric) for metric in set(metrics)}
    swept = [key for key in swept_keys(runs) if key not in tuned]
    looks = list(looks) or [len({run.seed for run in runs})]
    by_claim: list[list[Verdict]] = [[] for _ in claims]
    for setting, members in settings(runs, [*swept, *named_keys(claims, runs[0].config), *tuned]):
        trials = []
        for claim, metric in zip(claims, metrics, strict=True):
            scored = [(runs[index], score_of[metric][index]) for index in members]
            trials.append(hold_trial(claim, metric, scored, swept))
        support, refute = holm([trial.p_support for trial in trials]), holm([trial.p_refute for trial in trials])
        for verdicts, trial, p_support, p_refute in zip(by_claim, trials, support, refute, strict=True):
            verdicts.append(conclude(trial, p_support, p_refute, setting, looks, len(claims)))
    # A setting that says nothing about a claim is worth a line only where all are silent.
    return [verdict for verdicts in by_claim for verdict in [v for v in verdicts if v.n] or verdicts[:1]]


def settings(runs: Sequence[Run], compared: Sequence[str]) -> list[tuple[dict[str, Any], list[int]]]:
    """Groups the indices of `runs` by what they do not share and nobody compares, each with the keys that name it."""
    configs = [run.config for run in runs]
    keys = setting_keys(configs, list(dict.fromkeys(compared)))
    telling = telling_keys(configs, keys)
    groups: dict[tuple, list[int]] = {}
    for index, config in enumerate(configs):
        groups.setdefault(values_of(config, keys), []).append(index)
    return [({key: configs[group[0]][key] for key in telling}, group) for group in groups.values()]


def conclude(
    trial: Trial, p_support: float, p_refute: float, setting: dict[str, Any], looks: list[int], num_claims: int
) -> Verdict:
    """The verdict on a trial from p-values that Holm has adjusted.

    Args:
        num_claims: what Holm's strictest level is divided by, at which the seeds still needed are enough whatever
            becomes of the other claims.
    """
    claim, effect, threshold = trial.claim, trial.weakest.effect, level(looks)
    word = "supported" if p_support < threshold else "refuted" if p_refute < threshold else "undecided"

    def later(further: int) -> float:
        return level([*looks, looks[-1] + further]) / num_claims

    needed = seeds_to_decide(trial, threshold / num_claims, later) if word == "undecided" else 0
    exact = p_values(claim, [step.differences for step in trial.steps], p_above_exact)
    flips = find_flips(*trial.weakest.cells) if len(trial.weakest.cells) == 2 and "accuracy" in trial.metric else None
    p = p_refute if word == "refuted" else p_support
    return Verdict(
        say=claim.say,
        kind=claim.kind,
        verdict=word,
        effect=effect.value if effect else None,
        interval=effect.interval if effect else None,
        p=p,
        n=len(trial.differences),
        seeds_needed=needed,
        level=threshold,
        looks=looks,
        p_exact=exact[word == "refuted"],
        iqm=effect.iqm if effect else None,
        improvement=improvement(trial.differences),
        steps=[step_facts(step) for step in trial.steps] if claim.kind == "ordered" else [],
        flips=flips,
        setting=setting,
        metric=trial.metric,
        margin=claim.margin,
        num_diverged=trial.num_diverged,
        explain=explain(trial, word, needed, min(p_support, p_refute), looks, threshold, flips),
    )


def step_facts(step: Step) -> dict[str, Any]:
    """What `verdict.json` says of one step of a chain."""
    effect = step.effect
    return {
        "say": step.name,
        "effect": effect.value if effect else None,
        "interval": effect.interval if effect else None,
        "n": len(step.differences),
    }
