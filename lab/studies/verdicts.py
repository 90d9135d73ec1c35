"""Verdicts: what the runs say about the claims.

The rule, stated before any run: scores are paired by seed and by every swept key that the claim leaves open. `higher
... by` is *supported* when "the mean difference is at most `by`" is rejected, and *refuted* when "it is at least `by`"
is; `lower` mirrors it. `same ... within` is supported when both "at most -within" and "at least within" are rejected
(two one-sided tests, Schuirmann 1987), and refuted when the difference lies beyond an edge (p doubled: there are two).
A p-value counts below 0.05 after Holm's adjustment over all claims of the experiment, for support and for refutation
each. Anything else, and fewer than two pairs, is *undecided*. Runs that a setting nobody swept sets apart (the data
set, say) are judged apart, as experiments of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.records.results import Run
from lab.studies.arms import setting_keys, swept_keys, telling_keys, values_of
from lab.studies.claims import named_keys, parse_claims
from lab.studies.metrics import scores, study_metric
from lab.studies.sentences import explain
from lab.studies.statistics import ALPHA, estimate, holm
from lab.studies.trials import Trial, hold_trial, seeds_to_decide


@dataclass(frozen=True)
class Verdict:
    """What the runs of one setting say about one claim."""

    say: str
    kind: str
    """`higher`, `lower` or `same`."""

    verdict: str
    """`supported`, `refuted` or `undecided`."""

    effect: float | None
    """Left side minus right side, in the metric's unit: the mean, or the median where a value is infinite."""

    interval: tuple[float, float] | None
    """95 % BCa bootstrap interval of the mean effect."""

    p: float
    """Holm-adjusted p-value of the test that decided: against the claim if refuted, for it otherwise."""

    n: int
    """Number of pairs."""

    seeds_needed: int | None
    """Further seeds that would decide it with power 0.8; 0 where it is decided, None where 1,000 would not, or where
    two pairs are not there to tell."""

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
        fields = dict(vars(self))
        return {**fields, "within" if self.kind == "same" else "by": fields.pop("margin")}


def judge(study: Mapping[str, Any], runs: Sequence[Run]) -> list[Verdict]:
    """The verdicts on all claims of `study`, claim by claim, and for each claim setting by setting.

    Args:
        study: `claims`, and `metric` for those that name none.
        runs: finished or diverged runs, with complete configurations.

    Raises:
        UserError: a claim cannot be read, or a metric or key is unknown.
    """
    claims = parse_claims(study)
    if not claims or not runs:
        return []
    metrics = [claim.metric or study_metric(study, runs) for claim in claims]
    score_of = {metric: scores(runs, metric) for metric in set(metrics)}
    swept = swept_keys(runs)
    by_claim: list[list[Verdict]] = [[] for _ in claims]
    for setting, members in settings(runs, [*swept, *named_keys(claims, runs[0].config)]):
        trials = []
        for claim, metric in zip(claims, metrics, strict=True):
            scored = [(runs[index], score_of[metric][index]) for index in members]
            trials.append(hold_trial(claim, metric, scored, swept))
        support, refute = holm([trial.p_support for trial in trials]), holm([trial.p_refute for trial in trials])
        for verdicts, trial, p_support, p_refute in zip(by_claim, trials, support, refute, strict=True):
            verdicts.append(conclude(trial, p_support, p_refute, setting, ALPHA / len(claims)))
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


def conclude(trial: Trial, p_support: float, p_refute: float, setting: dict[str, Any], alpha: float) -> Verdict:
    """The verdict on a trial from p-values that Holm has adjusted.

    Args:
        alpha: Holm's strictest level, at which the seeds still needed are enough whatever becomes of the other claims.
    """
    claim, effect = trial.claim, estimate(trial.differences)
    word = "supported" if p_support < ALPHA else "refuted" if p_refute < ALPHA else "undecided"
    needed = seeds_to_decide(trial, alpha) if word == "undecided" else 0
    return Verdict(
        say=claim.say,
        kind=claim.kind,
        verdict=word,
        effect=effect.value if effect else None,
        interval=effect.interval if effect else None,
        p=p_refute if word == "refuted" else p_support,
        n=len(trial.differences),
        seeds_needed=needed,
        setting=setting,
        metric=trial.metric,
        margin=claim.margin,
        num_diverged=trial.num_diverged,
        explain=explain(trial, effect, word, needed),
    )
