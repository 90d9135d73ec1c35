"""What was found in the arms of a sweep: told on the screen, and kept in `checked.json`."""

from collections.abc import Sequence
from pathlib import Path

from lab.config import RunConfig
from lab.records.checked import Checked, Remark, keep_arms
from lab.records.places import Job, by_arm
from lab.records.results import TRIALS
from lab.system.reporter import note

MOST_LINES = 8
"""Lines before a sweep; the others are in the report, and told by `lab lint`."""


def tell(remarks: Sequence[Remark]) -> None:
    """Tells remarks, a line each, the first few of them."""
    for one in remarks[:MOST_LINES]:
        note(f"{one.severity}[{one.code}]: {one.text}")
    if len(remarks) > MOST_LINES:
        rest = len(remarks) - MOST_LINES
        note(f"and {rest} more: lab lint with the same words shows all")


def tell_arms(found: Checked, jobs: Sequence[Job]) -> None:
    """Tells what was found of the arms of `jobs`, and writes it into the folder of their experiment."""
    tell(found.remarks)
    if jobs:
        keep_arms(home(jobs[0].config), found, list(by_arm(jobs)))


def home(config: RunConfig) -> Path:
    """The folder of the experiment, also of its tuning trials."""
    return Path(config.out, *(part for part in Path(config.name).parts if part != TRIALS))
