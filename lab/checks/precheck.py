"""A comparison before its first run: all rules about its arms, and proofs of which of them are one function."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from lab.checks.arm_facts import ArmFacts, facts_of
from lab.checks.fairness import ARM_RULES, UNFIT, Lineup, Same, groups
from lab.checks.lint.finding import SEVERITIES, Finding, Rule, Said
from lab.checks.proof import Proof, prove
from lab.checks.prospects import CLAIM_RULES
from lab.checks.sameness import idle_notes
from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import ARM
from lab.records.checked import Checked, OneFunction, Remark
from lab.records.notes import noted
from lab.records.places import Job, arm_label, by_arm
from lab.runs.build import assemble
from lab.studies.claims.claim import Claim
from lab.studies.claims.study import Study
from lab.studies.select.arms import differing_keys, swept_keys, values_of, with_choices
from lab.studies.select.selectors import Flat, matches
from lab.studies.statistics.numerals import count

Rebuild = Callable[[ArmFacts], "tuple[nn.Module, Tensor]"]
"""The net of an arm and some of its images."""

IDLE, SAME, UNCHECKED = "arms-idle", "claim-same", "arms-unchecked"

START = ("model.init", "model.init_gain", "model.init_fan", "model.head_gain", "model.draw")
"""Keys of the net that change its first weights alone."""


def check_arms(
    arms: Sequence[ArmFacts],
    study: Study,
    rebuild: Rebuild,
    tuned: Collection[str] = (),
    ignore: Collection[str] = (),
    rushed: int = 0,
) -> Checked:
    """What the rules say about the arms of a sweep, worst first, and which are proved to be one function.

    Args:
        arms: all of them, in their order; where keys are tuned, those with one of the values.
        study: what is claimed.
        rebuild: builds the net of an arm anew, for proofs.
        tuned: keys that each arm gets its own best value of.
        ignore: codes of rules that do not apply.
        rushed: how many of the arms there was no time to check.
    """
    found = [one for one in tuned_apart(with_groups(arms), tuned) if one.fingerprint or one.form]
    keys = [key for key in swept_keys(found) if key not in tuned]
    differing = differing_keys([arm.config for arm in found]) if ARM in keys else []  # names bring keys along
    same = same_functions(found, [*keys, *differing], rebuild)
    lineup = Lineup(found, keys, list(tuned), same)
    remarks = [Remark(IDLE, "note", text) for text in idle(arms)]
    for rule in ARM_RULES if len(found) > 1 else ():
        lines = rule.check(lineup)
        remarks += [Remark(rule.code, line.severity or rule.severity, line.text, line.arms) for line in lines]
    remarks += [remark for claim in study.claims for remark in of_claim(claim, same)]
    remarks += [Remark(UNCHECKED, "note", text) for text in unchecked(rushed, len(arms))]
    stored = [OneFunction(tuple(arm.arm_id for arm in one.arms), tuple(one.reasons), one.free) for one in same]
    kept = [one for one in remarks if one.code not in ignore]
    return Checked(tuple(sorted(kept, key=lambda one: SEVERITIES.index(one.severity))), tuple(stored))


def with_groups(arms: Sequence[ArmFacts]) -> list[ArmFacts]:
    """`arms` with the choices of groups, `model`, among their configurations."""
    configs = with_choices([(arm.config, arm.arm) for arm in arms])
    return [replace(arm, config=config) for arm, config in zip(arms, configs, strict=True)]


def idle(arms: Sequence[ArmFacts]) -> list[str]:
    """Keys that do nothing.

    Arms that differ in them are built alike, first weights, rates of all steps and all, and score alike.

    Raises:
        UserError: all arms are one and the same.
    """
    return idle_notes([arm.config for arm in arms], [arm.fingerprint for arm in arms])


def unchecked(rushed: int, number: int) -> list[str]:
    """Arms for which there was no time before the sweep.

    `lab lint` of the same configurations takes as long as it needs.
    """
    rest = f"there was no time to check {count(rushed, 'arm')} of {number:,} before training"
    return [f"{rest}; lab lint of the same overrides checks all"] if rushed else []


def same_functions(arms: Sequence[ArmFacts], keys: Sequence[str], rebuild: Rebuild) -> list[Same]:
    """Groups of arms that are written in different ways and are proved to be one function."""
    forms: dict[tuple[str, ...], list[ArmFacts]] = {}
    unlike = {arm.fingerprint or arm.arm_id: arm for arm in reversed(arms)}  # of those that are built alike the first
    for arm in reversed(unlike.values()):
        if arm.form:
            written = [key for key in keys if key.partition(".")[0] == "model" and key not in START]
            rest = [key for key in arm.config if key not in (*written, ARM) and not key.startswith("model.")]
            forms.setdefault((arm.form.normal, *values_of(arm.config, [*rest, *START])), []).append(arm)
    proofs: dict[tuple[str, str], Proof | None] = {}
    found: dict[tuple[tuple[str, ...], bool, tuple[str, ...]], tuple[list[ArmFacts], list[ArmFacts]]] = {}
    for group in forms.values():
        first = group[0]
        assert first.form is not None
        members, last = [first], None
        for arm in group[1:]:
            assert arm.form is not None
            pair = (first.form.literal, arm.form.literal)
            if pair[0] == pair[1]:
                members.append(arm)
                continue
            if pair not in proofs:
                proofs[pair] = proven(first, arm, rebuild)
            if proofs[pair]:
                members.append(arm)
                last = arm
        if last is not None and last.form and (proof := proofs[first.form.literal, last.form.literal]):
            written = tuple(sorted({arm.form.literal for arm in members if arm.form}))
            whole, _ = found.setdefault((proof.reasons, proof.free, written), ([], members))
            whole += members
    return [Same(whole, example, reasons, free) for (reasons, free, _), (whole, example) in found.items()]


def proven(first: ArmFacts, second: ArmFacts, rebuild: Rebuild) -> Proof | None:
    """The proof that the nets of two arms are one function, if there is one."""
    try:
        (left, images), (right, _) = rebuild(first), rebuild(second)
    except UserError:
        return None
    return prove(left, right, images)


def of_claim(claim: Claim, same: Sequence[Same]) -> list[Remark]:
    """Claims about arms that are one function.

    That they are the same is proved and needs no test; that one is higher is about rounding, or about luck.
    """
    for group in same:
        if all(alike(claim, sides, group) for sides in claim.contrasts()):
            why = "; ".join(group.reasons)
            text = f"claim '{claim.say}': its sides are one function ({why})"
            if group.free:
                return [Remark(SAME, "note", f"{text}, which they learn in different ways")]
            what = "proved before training" if claim.kind == "same" else "no difference but rounding is to be expected"
            return [Remark(SAME, "note" if claim.kind == "same" else "warning", f"{text}: {what}")]
    return []


def alike(claim: Claim, sides: Sequence[Flat], group: Same) -> bool:
    """Whether both sides of a contrast pick arms, and none outside of `group`."""
    picked = [[arm for arm in group.arms if picks(arm, claim, side)] for side in sides]
    return (
        len(sides) == 2 and all(picked) and len({arm.form.literal for part in picked for arm in part if arm.form}) > 1
    )


def picks(arm: ArmFacts, claim: Claim, side: Flat) -> bool:
    """Whether `side` of a claim picks an arm; one that names a key that the arm lacks does not."""
    try:
        return matches(arm.config, {**claim.where, **side})
    except UserError:
        return False


def tuned_apart(arms: Sequence[ArmFacts], tuned: Collection[str]) -> list[ArmFacts]:
    """Of arms that differ in tuned keys alone the first."""
    if not tuned:
        return list(arms)
    keys = [key for key in (arms[0].config if arms else ()) if key not in tuned]
    return [group[0] for group in groups(arms, keys)]


def rebuilt(configs: Mapping[str, RunConfig]) -> Rebuild:
    """What builds the net of an arm anew, from configurations by the hashes of their arms."""

    def rebuild(arm: ArmFacts) -> tuple[nn.Module, Tensor]:
        with noted():
            parts = assemble(configs[arm.arm_id], stand_in=True)
        return parts.model, parts.data.train.take(torch.arange(min(8, len(parts.data.train))))[0]

    return rebuild


OTHER_RULES = (
    Rule(IDLE, "note", idle),
    Rule(UNCHECKED, "note", unchecked),
    Rule(SAME, "warning", of_claim),
)

SWEEP_RULES = {rule.code: rule for rule in (*ARM_RULES, *OTHER_RULES, *CLAIM_RULES)}


def examine(jobs: Sequence[Job], study: Study) -> list[Remark]:
    """What is found in the arms of one experiment; an arm that is not possible to build is an error among others.

    Args:
        jobs: all of its runs.
        study: what is claimed.
    """
    config = jobs[0].config
    facts, failed = list[ArmFacts](), list[Remark]()
    arms = first_runs(jobs)
    for digits, job in arms.items():
        try:
            with noted():
                facts.append(facts_of(job.config, job.arm, assemble(job.config, stand_in=True), config.lint.ignore))
        except UserError as error:
            failed.append(Remark(UNFIT, "error", f"{arm_label(job.arm)}: {error}", (digits,)))
    try:
        found = check_arms(facts, study, rebuilt(configs_of(arms)), config.study.tune or (), config.lint.ignore)
    except UserError as error:  # all arms are alike
        return [*failed, Remark(IDLE, "error", str(error))]
    return [*failed, *found.remarks]


def first_runs(jobs: Sequence[Job]) -> dict[str, Job]:
    """The first run of each arm, by the arm's hash."""
    return {digits: members[0] for digits, members in by_arm(jobs).items()}


def configs_of(arms: Mapping[str, Job]) -> dict[str, RunConfig]:
    return {digits: job.config for digits, job in arms.items()}


def said_of(remarks: Sequence[Remark]) -> list[Said]:
    """Remarks as `lab lint` prints findings."""
    return [Said(SWEEP_RULES[one.code], Finding(one.text, "", severity=one.severity)) for one in remarks]
