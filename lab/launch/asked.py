"""Which of an experiment's claims a command asks about: those whose arms it has."""

from collections.abc import Sequence

from lab.errors import UserError
from lab.launch.tune import compared_arms
from lab.records.places import Job
from lab.studies.claims.study import Study, asked_claims
from lab.studies.select.selectors import label_full
from lab.studies.statistics.numerals import count
from lab.system.reporter import note


def asked(jobs: Sequence[Job], study: Study, auto: bool = False) -> Study:
    """`study` without the claims that are about arms which the command of `jobs` leaves out; tells which, once.

    They stay registered, and are judged where other commands have made their runs.

    Args:
        jobs: all of the command.
        study: of the experiment.
        auto: whether seeds are added until all claims are decided.

    Raises:
        UserError: a claim fits no arms of the experiment's own either, or would never be decided.
    """
    typed = {text.partition("=")[0] for text in jobs[0].overrides}
    found = asked_claims(study, compared_arms(jobs), compared_arms(jobs[0].whole) if jobs[0].whole else [], typed)
    left = [claim.say for claim in study.claims if claim not in found.claims]
    if left and auto:
        raise UserError(
            f"seeds=auto decides all claims of an experiment, and this command leaves out arms of {say_claims(left)}; "
            "give it all arms, or a number of seeds, as seeds=5"
        )
    if left:
        note(f"not asked by this command, which leaves out their arms: {say_claims(left)}")
    if study.reference and not found.reference:
        note(f"the reference, {label_full(study.reference)}, is none of these arms; the first one takes its place")
    return found


def say_claims(says: Sequence[str]) -> str:
    """`1 claim ('a is higher')`."""
    listed = "; ".join(f"'{say}'" for say in says)
    return f"{count(len(says), 'claim')} ({listed})"
