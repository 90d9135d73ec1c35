"""`lab plan`, and `lab train --dry-run`: what would be trained, for how long, and what speaks against it."""

import argparse
from collections.abc import Sequence

from lab.overrides.plan import Options, all_jobs
from lab.overrides.seeds import wants_auto
from lab.records.places import Job


def plan(args: argparse.Namespace, options: Options) -> int:
    """Prints the plan of each experiment, and what lint says of its runs.

    Raises:
        UserError: an override or the study is wrong; or a configuration is, which is told after the plan.
    """
    from lab.launch.outlook import outlook

    for number, jobs in enumerate(all_jobs("plan", args.overrides, options)):
        print("\n" * (number > 0) + outlook(jobs, wants_auto(args.overrides)), flush=True)
        print("", *lint_lines(jobs), sep="\n")
    return 0


def lint_lines(jobs: Sequence[Job]) -> list[str]:
    """What lint says of the net of `jobs`, or of their comparison, worst first, a line each; or that it says nothing.

    Raises:
        UserError: a configuration is wrong.
    """
    from lab.launch.linted import count_arms, lint_jobs
    from lab.tables import read_rules

    if count_arms([jobs]) > 1 and not jobs[0].config.lint.sweeps:
        return ["lint: not asked, as lint.sweeps=false"]
    said = lint_jobs([list(jobs)], list(read_rules()))
    if not said:
        return ["lint: nothing found"]
    found = [f"{one.severity}[{one.rule.code}]: {one.finding.what}" for one in said]
    return ["lint:", *(f"  {line}" for line in dict.fromkeys(found)), "  (lab lint with the same words says why)"]
