"""`lab lint` of configurations: one net, or the arms and claims of a comparison."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from lab.launch.prelude import claims_ahead
from lab.records.places import Job, by_arm
from lab.studies.claims.study import parse_study

if TYPE_CHECKING:
    from lab.checks.lint.finding import Said


def count_arms(batches: Sequence[Sequence[Job]]) -> int:
    """How many configurations the jobs have, their seeds aside."""
    return len(by_arm(job for jobs in batches for job in jobs))


def lint_jobs(batches: Sequence[list[Job]], codes: Collection[str]) -> "list[Said]":
    """What is wrong with the net of `batches`, if they are one configuration, else with their comparison.

    Args:
        batches: the jobs of each experiment.
        codes: those of the rules to apply.

    Raises:
        UserError: anything but the net is wrong.
    """
    from lab.checks.lint.configured import lint_config
    from lab.checks.lint.linter import RULES
    from lab.checks.precheck import examine, said_of

    config = batches[0][0].config
    if count_arms(batches) == 1:
        return lint_config(config, [RULES[code] for code in RULES if code in codes and code not in config.lint.ignore])
    studies = [parse_study(jobs[0].config.study) for jobs in batches]
    found = [
        one
        for jobs, study in zip(batches, studies, strict=True)
        for one in (*claims_ahead(jobs, study), *examine(jobs, study))
    ]
    return [one for one in said_of(found) if one.rule.code in codes]
