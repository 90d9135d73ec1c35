"""A study: what an experiment asks and claims, read once a command and handed on."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lab.config import StudyConfig
from lab.errors import DamagedFileError, UserError
from lab.identity import ARM
from lab.metric import REACHED, Metric, parse_metric
from lab.quantity import TAGS
from lab.records.read import read_yaml
from lab.records.results import Run
from lab.studies.claims.claim import Claim, parse_claim
from lab.studies.select.arms import beside, complete, is_group, is_identity, prefixes, values_of
from lab.studies.select.images import image_keys
from lab.studies.select.reference import check_reference
from lab.studies.select.selectors import Flat, as_selector, full_key, label, pick

AUTO = parse_metric(StudyConfig().metric)
LEFT_OUT = "study.claims=[] leaves claims out"


@dataclass(frozen=True)
class Study:
    question: str = ""
    source: str = ""
    """Where the prediction comes from."""

    metric: Metric = AUTO
    """What is compared; a claim may name its own."""

    trained: Metric | None = None
    """`trains(...)`, when a run counts as trained; None for the rule that `lab.studies.select.modes` has."""

    reference: Flat = field(default_factory=dict)
    """Selector of the arm that the others are compared with; empty for the first."""

    claims: tuple[Claim, ...] = ()

    arm_keys: tuple[str, ...] = ()
    """The keys, or groups, that named arms set."""

    def named_keys(self, config: Flat) -> list[str]:
        """The full keys, as `config` has them, that the claims name in their sides and in `where`."""
        named = [key for claim in self.claims for part in (claim.where, *claim.sides, *claim.between) for key in part]
        return list(dict.fromkeys(full_key(key, config) for key in named))

    def brought(self, config: Flat) -> tuple[str, ...]:
        """The keys that come with the name of an arm, or the beginnings of those of a group, as `config` has them."""
        return tuple(key if key in config and not is_group(key) else f"{key}." for key in self.arm_keys)

    def metrics(self) -> dict[str, Metric]:
        """Every metric that it names, by what names it."""
        named = {"study.metric": self.metric} | ({"study.trained": self.trained} if self.trained else {})
        return named | {f"claim '{claim.say}'": claim.metric for claim in self.claims if claim.metric}


def claim_id(claim: Claim, metric: Metric) -> str:
    """Eight hexadecimal digits that name what `claim` says, whatever its words: kind, sides, margin and metric.

    Args:
        claim: one of a study.
        metric: the study's, for a claim without its own.
    """
    said = {key: value for key, value in vars(claim).items() if value and key != "say"}
    text = json.dumps({**said, "metric": (claim.metric or metric).text}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def parse_study(stored: StudyConfig | Mapping[str, Any]) -> Study:
    """Reads the study of a configuration, or of the `study` mapping that a run stored, in which any key may be missing.

    Raises:
        UserError: a claim or a metric cannot be read.
    """
    found = stored if isinstance(stored, Mapping) else vars(stored)
    return Study(
        question=found.get("question") or "",
        source=found.get("source") or "",
        metric=parse_metric(str(found["metric"])) if found.get("metric") else AUTO,
        trained=parse_trained(str(found.get("trained") or "")),
        reference=as_selector(found.get("reference") or {}),
        claims=tuple(map(parse_claim, found.get("claims") or ())),
        arm_keys=tuple(dict.fromkeys(str(key) for arm in (found.get("arms") or {}).values() for key in arm)),
    )


def parse_trained(condition: str) -> Metric | None:
    """The metric of `study.trained`, None for an empty one; raises `UserError` for what is no condition."""
    if not condition.strip():
        return None
    try:
        return parse_metric(f"trains({condition.strip()})")
    except UserError:
        raise UserError(
            f"study.trained={condition} cannot be read; write a condition on a logged value, as 'val/accuracy >= 0.5', "
            f"with one of {', '.join(REACHED)}"
        ) from None


def read_study(runs: Sequence[Run]) -> Study:
    """The study that `runs` were made for; see `stored_study`."""
    return parse_study(stored_study(runs))


def stored_study(runs: Sequence[Run]) -> Mapping[str, Any]:
    """The study of `runs` as the newest of them that has claims wrote it down, or else the newest."""
    newest: Mapping[str, Any] | None = None
    for run in sorted(runs, key=lambda run: str(run.result.get("finished_at", "")), reverse=True):
        try:
            study = read_yaml(run.path / "config.yaml")["study"]
            if study.get("claims"):
                return study
        except (OSError, DamagedFileError, KeyError, TypeError, AttributeError):  # others know it as well
            continue
        newest = study if newest is None else newest
    return newest or {}


def check_metrics(study: Study, tags: Collection[str] = TAGS) -> None:
    """Raises `UserError` where a metric of `study` is none of what runs log, `tags`: before the first run, if these
    are known, as a comparison could only refuse it after the last."""
    for name, metric in study.metrics().items():
        try:
            metric.resolve(tags).check(tags)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None


def asked_claims(study: Study, arms: Sequence[Flat], whole: Sequence[Flat], typed: Collection[str] = ()) -> Study:
    """`study` without the claims, and the reference, whose arms a command leaves out.

    Args:
        study: of the experiment.
        arms: the flat configuration of each arm of the command.
        whole: those that the experiment's file asks for, where the command may leave some out; else empty.
        typed: keys of the study that were typed, which are about the arms of the command.

    Raises:
        UserError: as `check_claims`, of what fits neither these arms nor those of the file.
    """
    check_metrics(study)
    others = () if "study.claims" in typed else whole
    claims = tuple(claim for claim in study.claims if fits(replace(study, claims=(claim,), reference={}), arms, others))
    kept = fits(replace(study, claims=()), arms, () if "study.reference" in typed else whole)
    return replace(study, claims=claims, reference=study.reference if kept else {})


def fits(study: Study, arms: Sequence[Flat], whole: Sequence[Flat]) -> bool:
    """Whether `study` is about `arms`; False where it is about arms that only `whole` has."""
    try:
        check_claims(study, arms)
    except UserError:
        if not whole:
            raise
        check_claims(study, whole)
        return False
    return True


def check_claims(study: Study, arms: Sequence[Flat]) -> None:
    """Checks the reference and the claims of a study against the arms of its sweep, before a second is spent.

    Args:
        study: of the sweep.
        arms: the flat configuration of each arm.

    Raises:
        UserError: a claim names an unknown key, or picks no arm, the same arm on both sides, arms that have no
            counterpart on the other side, or sides with different test images.
    """
    check_metrics(study)
    arms = [complete(arm) for arm in arms]
    if study.reference:
        check_reference(study.reference, arms)
    for claim in study.claims:
        name = f"claim '{claim.say}'"
        inside = pick(arms, claim.where, f"{name}: where", LEFT_OUT)
        own = claim.own_keys(arms[0])
        # A group and a name bring their keys along, so they may differ between the sides as well.
        brought = (*prefixes(own), *(study.brought(arms[0]) if ARM in {*own, *claim.where} else ()))
        rest = [key for key in beside(arms[0], own) if is_identity(key) and not key.startswith(brought)]
        if claim.kind == "ordered":  # nothing is higher than itself, by way of others neither
            check_apart([(selector, pick(inside, selector, name, LEFT_OUT)) for selector in claim.sides], name)
        for selectors in claim.contrasts():
            sides = [(selector, pick(inside, selector, name, LEFT_OUT)) for selector in selectors]
            check_images(sides, [key for key in own if key in image_keys(arms[0])], name)
            check_contrast(sides, rest, name)


def check_images(sides: Sequence[tuple[Flat, Sequence[Flat]]], keys: Sequence[str], name: str) -> None:
    """Raises `UserError` where two of `sides`, (selector, arms), would be subtracted and differ in `keys`, which choose
    test images."""
    for (left, arms), (right, others) in zip(sides[::2], sides[1::2], strict=True):
        if {values_of(arm, keys) for arm in arms} != {values_of(arm, keys) for arm in others}:
            raise UserError(
                f"{name}: {label(left)} and {label(right)} are scored on different test images, so they are not "
                f"subtracted; compare within one {' and '.join(keys)} (where), or the effect of another key between "
                "them (interaction with between)"
            )


def check_apart(sides: Sequence[tuple[Flat, Sequence[Flat]]], name: str) -> None:
    """Raises `UserError` where two of `sides`, (selector, arms), have an arm in common."""
    for index, (selector, arms) in enumerate(sides):
        for other, others in sides[:index]:
            if any(arm in others for arm in arms):
                raise UserError(f"{name}: {label(other)} and {label(selector)} pick the same arm; add a key")


def check_contrast(sides: Sequence[tuple[Flat, Sequence[Flat]]], rest: Sequence[str], name: str) -> None:
    """Raises `UserError` unless the arms of all `sides`, (selector, arms), differ and some agree in the keys `rest`."""
    check_apart(sides, name)

    def shared(keys: Sequence[str]) -> set[tuple[str, ...]]:
        return set.intersection(*({values_of(arm, keys) for arm in arms} for _, arms in sides))

    if not shared(rest) and not shared([key for key in rest if key != ARM]):  # arms may be told apart by their keys
        first, *others = (label(selector) for selector, _ in sides)
        raise UserError(
            f"{name}: no arm of {first} has a counterpart in {' and '.join(others)} that differs "
            "in nothing else; name the other keys in the claim"
        )
