"""Verdicts: what the runs say about the claims.

The rule, stated before any run: scores are paired by seed, and averaged within each seed over the values of swept keys
that the claim leaves open, so that n is a number of seeds; a seed that lacks one of the values is left out. `higher
... by` is *supported* when "the mean difference is at most `by`" is rejected, and *refuted* when "it is at least `by`"
is; `lower` mirrors it, and `interaction` puts it to the difference of two differences. `same ... within` is supported
when both "at most -within" and "at least within" are rejected (two one-sided tests, Schuirmann 1987), and refuted when
the difference lies beyond an edge (p doubled: there are two). `ordered` is supported when every step of the chain is
(the largest p: intersection-union, Berger 1982), and refuted when a step is (the smallest p, times their number).
A p-value counts below 0.04 after Holm's adjustment over all claims of the experiment, for support and for refutation
each; the rest of 5 % is for interim analyses after seeds were added (`lab.studies.statistics.spending`). Ties prove
nothing about rarer differences (`lab.studies.statistics.p_values.p_above`), unless both sides predict the same for
every test image (`lab.studies.claims.flips.predict_alike`). Anything else, and fewer than two seeds, is *undecided*.

A verdict on a score is about runs that train (`lab.studies.select.modes`). Where a side trained in some seeds only,
the effect is among the seeds in which all sides trained; it decides nothing in favour of a side that trained less
often, and `same` is undecided. Where one side trained in every seed and the other in none, p is at least that of the
exact test of shares (`lab.studies.claims.contrast.p_trained`). Claims by `trains(...)` are about how often runs train,
and tested exactly (`lab.studies.statistics.proportions`).

Sides that differ only in keys which did nothing (`lab.studies.select.idle`), or that are scored on different test
images (`lab.studies.select.images`), are *undecided*, whatever their scores. Runs that a setting, which nobody swept,
sets apart (the data set, say) are judged apart; Holm's adjustment counts each setting, and claims that were registered
and dropped. Where what was done departs from what was registered, so that the level is not true, a verdict is
*exploratory* (`lab.studies.claims.departures`). With `seeds=auto` the thresholds are those of its design
(`lab.studies.claims.stages`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.metric import Metric
from lab.records.design import Design
from lab.records.interim import Evidence
from lab.records.results import Run
from lab.studies.claims.analyses import analyses_until, evidence_of
from lab.studies.claims.contrast import ClaimTest, Contrast, p_values, put_to_test
from lab.studies.claims.departures import NOTHING_PAST, Past
from lab.studies.claims.flips import Flips, find_flips
from lab.studies.claims.more_seeds import seeds_to_decide
from lab.studies.claims.proofs import proof_text
from lab.studies.claims.sentences import explain
from lab.studies.claims.stages import Stage, repeat_analyses
from lab.studies.claims.study import Study, claim_id
from lab.studies.claims.trained import unseen_share
from lab.studies.select.arms import setting_keys, swept_keys, telling_keys, values_of
from lab.studies.select.modes import SPLIT, score_trained
from lab.studies.select.scores import Scores, logged_tags
from lab.studies.select.selectors import label
from lab.studies.statistics.estimate import improvement
from lab.studies.statistics.p_values import holm, p_above_exact
from lab.studies.statistics.shared import Shared, find_shared
from lab.studies.statistics.spending import level

WORDS = ("supported", "refuted", "undecided", "exploratory")
"""What a verdict can be; `exploratory` where a departure from what was registered makes its level untrue."""


@dataclass(frozen=True)
class Verdict:
    """What the runs of one setting say about one claim."""

    say: str
    kind: str
    """`higher`, `lower`, `same`, `ordered` or `interaction`."""

    verdict: str
    """One of `WORDS`."""

    effect: float | None
    """Left side minus right side, in the metric's unit: the mean, or the median where a value is infinite. Of a chain
    its smallest step, of an interaction the difference between the two effects."""

    interval: tuple[float, float] | None
    """95 % interval of the mean effect (`lab.studies.statistics.estimate.mean_interval`)."""

    p: float
    """Holm-adjusted p-value of the test that decided: against the claim if refuted, for it otherwise."""

    p_against: float
    """Holm-adjusted p-value of the test against the claim; where it is the smaller one, that is nearer to deciding."""

    n: int
    """Number of seeds."""

    seeds_needed: int | None
    """Further seeds that would decide it with power 0.8 at the next interim analysis, whose threshold is lower; where
    one side trained in every seed and the other in none, those that do if this goes on. 0 where it is decided, None
    where 1,000 would not, or where the runs give no ground for a number."""

    level: float
    """The threshold of `p` at this interim analysis."""

    analyses: list[int]
    """Seeds at each interim analysis so far, this one included."""

    p_exact: float
    """p of the same hypothesis by changes of sign (`p_above_exact`), which asks for symmetry alone; not adjusted."""

    iqm: float | None
    """Interquartile mean of the effect."""

    improvement: tuple[float, float, float] | None
    """Probability that a seed's difference is above 0, ties counted half, with its 95 % interval."""

    shared: Shared | None
    """What the two sides share over the seeds; None with fewer than three, and for an interaction."""

    steps: list[dict[str, Any]]
    """Of a chain, each step: `say`, `effect`, `interval`, `n`; empty for other claims."""

    flips: Flips | None
    """Which test images the two sides tell differently; None where no seed kept its predictions."""

    setting: dict[str, Any]
    """What sets these runs apart from others in the folder; empty where nothing does."""

    metric: Metric
    margin: float
    """`by` or `within`."""

    idle_keys: list[str]
    """What the sides differ in although they are one and the same: such a claim stays undecided."""

    num_diverged: int
    """Runs on either side that diverged."""

    among: str
    """`trained` where the effect is among the seeds in which all sides trained, as some did not in others; or empty."""

    trained: list[dict[str, Any]]
    """Of each side (of a chain, of its weakest step) in how many seeds it trained: `side`, `trained`, `seeds`."""

    unseen: float | None
    """Where all runs trained, the share of failures that so many seeds do not exclude (at 4 %); else None."""

    explain: str
    """The numbers in a sentence."""

    departures: list[str]
    """Why it is exploratory; empty for every other verdict."""

    claim_id: str
    evidence: Evidence
    """What it rests on, for the record of interim analyses."""

    proved: list[str] = field(default_factory=list)
    """The identities by which both sides were proved to be one function before training; empty where they were not."""

    stage: dict[str, Any] = field(default_factory=dict)
    """Where the claim stands in the design of `seeds=auto` (`Stage.as_json`); empty without one."""

    def as_json(self) -> dict[str, Any]:
        """The verdict as `verdict.json` has it."""
        fields = {**vars(self), "metric": self.metric.text, "flips": self.flips and self.flips.as_json()}
        fields["shared"] = self.shared and vars(self.shared)
        facts = {"looks" if name == "analyses" else name: value for name, value in fields.items() if name != "evidence"}
        return {**facts, "within" if self.kind == "same" else "by": self.margin}


def judge(
    study: Study,
    runs: Sequence[Run],
    known: Sequence[Scores] = (),
    analyses: Sequence[int] = (),
    tuned: Sequence[str] = (),
    past: Past = NOTHING_PAST,
    design: Design | None = None,
) -> list[Verdict]:
    """The verdicts on all claims of `study`, claim by claim, and for each claim setting by setting.

    Args:
        study: its claims, and the metric of those that name none.
        runs: finished or diverged runs, with complete configurations.
        known: score matrices of these runs that were built before; others are built here.
        analyses: seeds at each earlier interim analysis of which nothing else is known.
        tuned: keys that each arm has its own best value of, so that they set nothing apart.
        past: what the record of the experiment says.
        design: of `seeds=auto` for these claims, whose analyses are then the only ones.

    Raises:
        UserError: a metric or key is unknown.
    """
    if not study.claims or not runs:
        return []
    tags = logged_tags(runs)
    metrics = [(claim.metric or study.metric).resolve(tags) for claim in study.claims]
    scores = {matrix.metric: matrix for matrix in known}
    scores |= {
        metric: score_trained(runs, metric, study.trained) for metric in dict.fromkeys(metrics) if metric not in scores
    }
    swept = [key for key in swept_keys(runs) if key not in tuned]
    groups = settings(runs, [*swept, *study.named_keys(runs[0].config), *tuned])
    ids = [claim_id(claim, study.metric) for claim in study.claims]
    if design:
        staged = [
            (setting, repeat_analyses(study.claims, metrics, scores, members, swept, design, past.checked))
            for setting, members in groups
        ]
        return conclude_stages(staged, ids, past)
    tests: list[tuple[ClaimTest, dict[str, Any], list[int], tuple[str, Evidence]]] = []
    for claim, metric, digits in zip(study.claims, metrics, ids, strict=True):
        put = [
            (put_to_test(claim, scores[metric], members, swept, past.checked), setting) for setting, members in groups
        ]
        # A setting that says nothing about a claim is worth a line only where all are silent.
        put = [one for one in put if one[0].differences] or put[:1]
        evidence = [evidence_of(test) for test, _ in put]
        for (test, setting), own in zip(put, evidence, strict=True):
            others = [other for other in evidence if other is not own]
            tests.append(
                (test, setting, analyses_until(own, others, analyses, past.analyses.get(digits, ())), (digits, own))
            )
    # Holm's correction counts settings as well, and claims that were registered and dropped.
    dropped = [1.0] * past.num_dropped
    support = holm([*(test.p_support for test, *_ in tests), *dropped])
    refute = holm([*(test.p_refute for test, *_ in tests), *dropped])
    return [
        conclude(test, p_support, p_refute, setting, seen, len(support), named, past.reasons.get(named[0], ()))
        for (test, setting, seen, named), p_support, p_refute in zip(tests, support, refute, strict=False)
    ]


def conclude_stages(
    staged: Sequence[tuple[dict[str, Any], list[Stage]]], ids: Sequence[str], past: Past
) -> list[Verdict]:
    """The verdicts in the design of `seeds=auto`, from the stages of the claims `ids` in each setting."""
    by_claim: list[list[Verdict]] = [[] for _ in ids]
    for setting, stages in staged:
        for verdicts, stage, digits in zip(by_claim, stages, ids, strict=True):
            ps, named, why = (stage.p_support, stage.p_refute), (digits, evidence_of(stage.test)), past.reasons
            verdicts.append(
                conclude(stage.test, *ps, setting, stage.analyses, len(ids), named, why.get(digits, ()), stage)
            )
    return [verdict for verdicts in by_claim for verdict in [v for v in verdicts if v.n] or verdicts[:1]]


def settings(runs: Sequence[Run], compared: Sequence[str]) -> list[tuple[dict[str, Any], list[Run]]]:
    """Groups `runs` by what they do not share and nobody compares, each with the keys that name it."""
    configs = [run.config for run in runs]
    keys = setting_keys(configs, list(dict.fromkeys(compared)))
    telling = telling_keys(configs, keys)
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(values_of(run.config, keys), []).append(run)
    return [({key: group[0].config[key] for key in telling}, group) for group in groups.values()]


def conclude(
    test: ClaimTest,
    p_support: float,
    p_refute: float,
    setting: dict[str, Any],
    analyses: list[int],
    num_claims: int,
    named: tuple[str, Evidence],
    reasons: Sequence[str] = (),
    stage: Stage | None = None,
) -> Verdict:
    """The verdict on a claim from p-values that Holm has adjusted.

    Args:
        num_claims: what Holm's strictest level is divided by, at which the seeds still needed are enough whatever
            becomes of the other claims.
        named: the claim's identity, and what it rests on.
        reasons: why it is exploratory.
        stage: where the claim stands in the design of `seeds=auto`, which sets the threshold.
    """
    claim, threshold = test.claim, stage.level if stage else level(analyses)
    word = "supported" if p_support < threshold else "refuted" if p_refute < threshold else "undecided"
    refuted = word == "refuted"
    if reasons and test.differences:
        word = "exploratory"

    def later(further: int) -> float:
        return level([*analyses, analyses[-1] + further]) / num_claims

    needed = None if reasons else 0
    if word == "undecided":
        needed = stage.seeds_needed() if stage else seeds_to_decide(test, threshold / num_claims, later)
    cells = test.weakest.compared
    flips = find_flips(*cells) if len(cells) == 2 and test.metric.is_about_images else None
    p, ending = min(p_support, p_refute), stage and stage.sentences()
    told = explain(test, word, needed, p, analyses, threshold, flips, ending)
    caution = f"Exploratory: {'; '.join(reasons)}. " if word == "exploratory" else ""
    return Verdict(
        say=claim.say,
        kind=claim.kind,
        verdict=word,
        **effect_facts(test),
        p=p_refute if refuted else p_support,
        p_against=p_refute,
        seeds_needed=needed,
        level=threshold,
        analyses=analyses,
        p_exact=exact_p_values(test)[refuted],
        steps=[contrast_facts(contrast) for contrast in test.contrasts] if claim.kind == "ordered" else [],
        flips=flips,
        setting=setting,
        metric=test.metric,
        margin=claim.margin,
        idle_keys=test.idle_keys,
        num_diverged=test.num_diverged,
        among="trained" if test.weakest.modes.kind == "mixed" else "",
        trained=trained_facts(test),
        unseen=unseen_share(test),
        departures=list(reasons) if caution else [],
        claim_id=named[0],
        evidence=named[1],
        explain=" ".join([caution + told, *proof_text(test.proof)]),
        proved=list(test.proof.reasons) if test.proof else [],
        stage=stage.as_json() if stage else {},
    )


def exact_p_values(test: ClaimTest) -> tuple[float, float]:
    """p for and p against, by changes of sign; those of shares are exact already."""
    if test.metric.is_share:
        return test.p_support, test.p_refute
    return p_values(test.claim, [contrast.differences for contrast in test.contrasts], p_above_exact)


def effect_facts(test: ClaimTest) -> dict[str, Any]:
    """What a verdict says of the differences between the sides."""
    effect, sides = test.weakest.effect, test.weakest.pairs.sides
    return {
        "effect": effect.value if effect else None,
        "interval": effect.interval if effect else None,
        "n": len(test.differences),
        "iqm": effect.iqm if effect else None,
        "improvement": improvement(test.differences),
        "shared": find_shared(*sides) if len(sides) == 2 else None,
    }


def trained_facts(test: ClaimTest) -> list[dict[str, Any]]:
    """What `verdict.json` says of who trained; nothing of a metric that is of all runs."""
    modes, sides = test.weakest.modes, test.weakest.sides
    if test.metric.kind not in SPLIT:
        return []
    return [
        {"side": label(side), "trained": number, "seeds": modes.num_seeds}
        for side, number in zip(sides, modes.trained, strict=False)
    ]


def contrast_facts(contrast: Contrast) -> dict[str, Any]:
    """What `verdict.json` says of one step of a chain."""
    effect = contrast.effect
    return {
        "say": contrast.name,
        "effect": effect.value if effect else None,
        "interval": effect.interval if effect else None,
        "n": len(contrast.differences),
    }
