"""What departs from `study.json`: what is asked, claimed or run otherwise than was written before the first run.

Some departures make the chance of a false verdict larger than 5 %: a claim that was written or changed after its runs
had scores; runs that had scores and are gone, or were stopped and not carried on; runs by different code of the user's;
a record that is gone. Claims that they concern are *exploratory*, never *supported* or *refuted*. Others are told, and
the level stays true: seeds that were added (an interim analysis counts them), claims that were dropped (Holm's
correction still counts them), other words, another reference of the table.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.records.checked import NOTHING_CHECKED, Checked, joined, read_checked
from lab.records.defaults import stored_config
from lab.records.interim import Analyses, all_analyses, read_interim
from lab.records.lock import is_locked
from lab.records.registration import Entry, Registration, has_score, read_registration, run_folders
from lab.records.results import Run, read_result
from lab.studies.claims.claim import Claim
from lab.studies.claims.study import Study, claim_id, parse_study
from lab.studies.select.arms import complete, completed
from lab.studies.select.scores import counts
from lab.studies.select.selectors import Flat, label, matches
from lab.studies.statistics.numerals import count, seed_spans

NO_RECORD = "There is no study.json: what was claimed before these runs is not recorded."


@dataclass(frozen=True)
class Past:
    """What the record of an experiment says when its claims are judged again."""

    departures: tuple[str, ...] = ()
    """Sentences for people."""

    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Why the verdict on a claim, by its identity, is exploratory."""

    num_dropped: int = 0
    """Claims that were registered and are not made any more."""

    analyses: Analyses = field(default_factory=dict)
    unspecified: tuple[int, ...] = ()
    """Seeds at earlier analyses of which nothing else is known."""

    num_seeds: tuple[int, ...] = ()
    """Seeds of the experiment at all earlier analyses."""

    checked: Checked = NOTHING_CHECKED
    """What was found before the first run."""


NOTHING_PAST = Past()


@dataclass(frozen=True)
class Departure:
    """One thing that is otherwise than it was registered."""

    text: str
    claims: tuple[str, ...] = ()
    """Identities of the claims that are exploratory because of it."""
    reason: str = ""


def recall(study: Study, runs: Sequence[Run], roots: Sequence[Path]) -> Past:
    """What the records of experiments say of a study that is judged on their runs.

    Args:
        study: what is claimed now.
        runs: all of the experiments, failed ones among them.
        roots: the experiments' folders.

    Raises:
        DamagedFileError: a `study.json` cannot be read.
    """
    runs = completed(runs)
    interims = [read_interim(root) for root in roots]
    num_seeds = tuple(sorted({seeds for interim in interims for seeds in interim.num_seeds}))
    analyses = all_analyses(interim.claims or {} for interim in interims)
    unspecified = tuple(sorted({seeds for interim in interims for seeds in interim.unspecified}))
    checked = joined(map(read_checked, roots))
    if not study.claims:
        return Past(analyses=analyses, unspecified=unspecified, num_seeds=num_seeds, checked=checked)
    registrations = {root: read_registration(root) for root in roots}
    found = [*of_code(study, runs)]
    dropped: dict[str, Claim] = {}
    for root, registration in registrations.items():
        here = [run for run in runs if run.path.parent.parent.resolve() == root.resolve()]
        if registration is None:
            found += unrecorded(study, here)
            continue
        claims = registered(registration)
        dropped |= {digits: claim for digits, (_, claim) in claims.items()}
        found += [
            *of_claims(study, here, claims),
            *of_study(study, registration),
            *of_runs(study, root, registration),
        ]
    num_dropped = len(dropped.keys() - {claim_id(claim, study.metric) for claim in study.claims})
    reasons: dict[str, tuple[str, ...]] = {}
    for departure in found:
        for digits in departure.claims:
            reasons[digits] = tuple(dict.fromkeys([*reasons.get(digits, ()), departure.reason]))
    texts = tuple(dict.fromkeys(departure.text for departure in found))
    return Past(texts, reasons, num_dropped, analyses, unspecified, num_seeds, checked)


def concerned(claim: Claim, config: Flat) -> bool:
    """Whether a run of this complete flat `config` stands on a side of `claim`."""
    try:
        return matches(config, claim.where) and any(
            matches(config, side) for sides in claim.contrasts() for side in sides
        )
    except UserError:  # a key that only the selector knows: the check of the study says so
        return False


def identities(study: Study, config: Flat) -> tuple[str, ...]:
    """The identities of those claims that a run of this `config` is evidence for."""
    full = complete(config)
    return tuple(claim_id(claim, study.metric) for claim in study.claims if concerned(claim, full))


def unrecorded(study: Study, runs: Sequence[Run]) -> list[Departure]:
    """What to say where there is no record: it is gone where runs know of one."""
    knew = [run for run in runs if run.result.get("registered")]
    if not knew:
        return [Departure(NO_RECORD)] if runs else []
    claims = tuple(dict.fromkeys(digits for run in knew for digits in identities(study, run.config)))
    return [
        Departure(
            "study.json was here when these runs were made, and is gone: what was claimed before them is not known.",
            claims,
            "the record of what was claimed before the runs, study.json, is gone",
        )
    ]


def registered(registration: Registration) -> dict[str, tuple[Entry, Claim]]:
    """Each claim that was ever registered, by its identity, with the entry that had it first.

    A study that was replaced before any run had a score does not count: nobody can have chosen by what was seen.
    """
    studies, found = registration.studies, dict[str, tuple[Entry, Claim]]()
    replaced = [before for before, now in itertools.pairwise(studies) if not now.seen and not before.older_runs]
    for entry in studies:
        if entry in replaced:
            continue
        then = parse_study(entry.study or {})
        for claim in then.claims:
            found.setdefault(claim_id(claim, then.metric), (entry, claim))
    return found


def of_claims(study: Study, runs: Sequence[Run], known: Mapping[str, tuple[Entry, Claim]]) -> list[Departure]:
    """Claims that were written or changed after their runs had scores, dropped or worded otherwise.

    Args:
        study: what is claimed now.
        runs: of one experiment.
        known: its claims, from `registered`.
    """
    found: list[Departure] = []
    now = {claim_id(claim, study.metric): claim for claim in study.claims}
    dropped = {digits: claim for digits, (_, claim) in known.items() if digits not in now}
    for digits, claim in now.items():
        mine = [run for run in runs if counts(run) and concerned(claim, complete(run.config))]
        entry, before = known.get(digits, (None, claim))
        if entry is None:
            seen = {run.seed for run in mine}
        else:
            seen = {run.seed for run in mine if run.seed in entry.seen.get(run.path.parent.name[-8:], ())}
        old = next((one for one in dropped.values() if one.say == claim.say), None)
        if seen:
            what = f"{changed(old, claim)} changed" if old else "the claim was written"
            when = f" on {entry.at[:10]}" if entry else ""
            reason = f"{what} after {count(len(seen), 'seed')} had been seen"
            found.append(Departure(f"'{claim.say}': {reason}{when}.", (digits,), reason))
        if before.say != claim.say:
            found.append(Departure(f"A claim has other words now: '{before.say}' became '{claim.say}'."))
    gone = [one.say for one in dropped.values() if one.say not in {claim.say for claim in study.claims}]
    if gone:
        says = ", ".join(f"'{say}'" for say in dict.fromkeys(gone))
        number = f"{count(len(gone), 'claim')} {'is' if len(gone) == 1 else 'are'} left out that"
        verb = "was" if len(gone) == 1 else "were"
        found.append(Departure(f"{number} {verb} registered: {says}. Holm's correction still counts them."))
    return found


def changed(before: Claim, now: Claim) -> str:
    """What two claims of the same words differ in: `its margin (0.01, now 0)`."""
    if before.margin != now.margin:
        return f"its margin ({before.margin:g}, now {now.margin:g})"
    if before.where != now.where:
        return f"its 'where' ({label(before.where) or 'none'}, now {label(now.where) or 'none'})"
    if before.kind != now.kind:
        return f"its kind ({before.kind}, now {now.kind})"
    if (before.sides, before.between) != (now.sides, now.between):
        return "what it compares"
    return "its metric"


def of_study(study: Study, registration: Registration) -> list[Departure]:
    """Question, metric, reference, tuning and the rule for runs that train, which changed, and arms and seeds that were
    added later."""
    found = []
    studies = registration.studies
    for before, now in itertools.pairwise(studies):
        for key in ("question", "metric", "reference", "tune"):
            old, new = ((entry.study or {}).get(key) for entry in (before, now))
            if value(old) != value(new):
                found.append(
                    Departure(f"study.{key} changed on {now.at[:10]}: it was {value(old)} and is {value(new)}.")
                )
        if now.seen and value((before.study or {}).get("trained")) != value((now.study or {}).get("trained")):
            reason = f"study.trained changed on {now.at[:10]}, after runs had been seen"
            found.append(Departure(f"{reason}.", all_ids(study), reason))
    first = registration.entries[0]
    for entry in registration.entries[1:]:
        added = [seed_spans(entry.seeds)] if entry.seeds else []
        # Old runs have no entry, and the values that tuning picked are known only afterwards.
        if entry.arms and first.arms and not (first.study or {}).get("tune"):
            added.append(f"{'arm' if len(entry.arms) == 1 else 'arms'} {', '.join(arm['label'] for arm in entry.arms)}")
        if added and first.seeds:
            found.append(Departure(f"Added on {entry.at[:10]}: {' and '.join(added)}."))
    return found


def value(given: Any) -> str:
    return label(given) or "empty" if isinstance(given, Mapping) else str(given or "empty")


def of_runs(study: Study, root: Path, registration: Registration) -> list[Departure]:
    """Runs that had scores and are gone, or that stopped after they had logged one."""
    there: dict[str, dict[int, Path]] = {}
    for digits, seed, folder in run_folders(root):
        there.setdefault(digits, {})[seed] = folder
    found, arms = [], registration.arms
    for digits, seeds in (registration.runs or {}).items():
        folders = there.get(digits, {})
        config = arms.get(digits, {}).get("config") or first_config(folders.values())
        name = arms.get(digits, {}).get("label", digits)
        scored = {seed: seed in folders and (is_locked(folders[seed]) or has_score(folders[seed])) for seed in seeds}
        if gone := [seed for seed, here in scored.items() if not here]:
            what = f"{count(len(gone), 'run')} that had scores {'is' if len(gone) == 1 else 'are'} gone"
            claims = identities(study, config) if config is not None else all_ids(study)
            found.append(
                Departure(f"{name}: {what} ({seed_spans(gone)}).", claims, f"{what} ({name}, {seed_spans(gone)})")
            )
    for digits, folders in there.items():
        stopped = [seed for seed, folder in folders.items() if is_unfinished(folder)]
        if stopped:
            name = arms.get(digits, {}).get("label", digits)
            what = f"{count(len(stopped), 'run')} stopped after {'it' if len(stopped) == 1 else 'they'} had scores"
            text = f"{name}: {what} ({seed_spans(stopped)}); the same command carries on."
            config = first_config(folders.values()) or arms.get(digits, {}).get("config")
            claims = identities(study, config) if config is not None else all_ids(study)
            found.append(Departure(text, claims, f"{what} ({name}, {seed_spans(stopped)})"))
    return found


def first_config(folders: Iterable[Path]) -> dict[str, Any] | None:
    """The flat configuration of the first of `folders` that has one."""
    return next((config for folder in folders if (config := stored_config(folder))), None)


def all_ids(study: Study) -> tuple[str, ...]:
    return tuple(claim_id(claim, study.metric) for claim in study.claims)


def is_unfinished(folder: Path) -> bool:
    """Whether the run in `folder` has a score, did not end, and is not being trained."""
    result = read_result(folder)
    ended = result is not None and result.get("status") in ("finished", "diverged")
    return not ended and has_score(folder) and not is_locked(folder)


def of_code(study: Study, runs: Sequence[Run]) -> list[Departure]:
    """Code of the user's that differs between runs on the sides of a claim."""
    found: dict[tuple[str, ...], list[str]] = {}
    for claim in study.claims:
        mine = [run for run in runs if counts(run) and concerned(claim, complete(run.config))]
        versions: dict[str, set[str]] = {}
        for run in mine:
            for name, digest in (run.result.get("code") or {}).items():
                versions.setdefault(name, set()).add(digest)
        if names := tuple(sorted(name for name, digests in versions.items() if len(digests) > 1)):
            found.setdefault(names, []).append(claim_id(claim, study.metric))
    departures = []
    for names, claims in found.items():
        reason = f"the code of {' and '.join(names)} changed between its runs"
        text = f"The code of {' and '.join(names)} changed between the runs."
        departures.append(Departure(text, tuple(claims), reason))
    return departures
