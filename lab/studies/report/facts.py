"""What the report says of its runs beside their scores: configurations, commands, machines, and what went wrong."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lab.records.outcome import NEXT_STEPS
from lab.records.results import Run
from lab.studies.comparison.compare import Comparison
from lab.studies.select.arms import DEFAULTS, differing_keys, is_identity, values_of
from lab.studies.select.selectors import show
from lab.studies.statistics.numerals import count

ENVIRONMENT = {
    "git_commit": "git commit",
    "git_dirty": "uncommitted changes",
    "lab": "lab",
    "torch": "torch",
    "python": "Python",
    "device": "device",
    "threads": "threads",
    "platform": "platform",
}

MOST_COMMANDS = 20


def configuration(comparison: Comparison) -> dict[str, list[tuple[str, str]]]:
    """Keys that differ between the runs with their values, and those that all share but that are not at the default."""
    configs = [run.config for run in [*comparison.runs, *comparison.failed]]
    differing = differing_keys(configs)
    shared = [key for key in configs[0] if is_identity(key) and key not in differing]
    own = [key for key in shared if key not in DEFAULTS or values_of(configs[0], [key]) != values_of(DEFAULTS, [key])]
    return {
        "compared": [(key, distinct_text(config.get(key) for config in configs)) for key in differing],
        "shared": [(key, show(configs[0][key])) for key in own],
    }


def distinct_text(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(map(show, values)))


def commands(runs: Sequence[Run]) -> list[str]:
    """The commands behind the runs, each once; the overrides of runs that do not know theirs."""
    typed = [run.result.get("command") or " ".join(["lab train", *run.result.get("overrides", [])]) for run in runs]
    found = list(dict.fromkeys(typed))
    rest = len(found) - MOST_COMMANDS
    return found if rest <= 0 else [*found[:MOST_COMMANDS], f"# and {rest} more"]


def environment_facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Versions and machines of the runs, all there are of each."""
    facts = []
    for key, name in ENVIRONMENT.items():
        values = [run.result.get("environment", {}).get(key) for run in runs]
        text = distinct_text("yes" if value is True else "no" if value is False else value for value in values)
        if text != "null":
            facts.append((name, text))
    return facts


def troubles(comparison: Comparison, folder: Path) -> list[tuple[str, str, str]]:
    """Runs that did not end well: (path, status, what happened)."""
    diverged = [run for run in comparison.runs if run.status == "diverged"]
    return [
        (
            str(run.path.relative_to(folder) if run.path.is_relative_to(folder) else run.path),
            run.status,
            trouble(run),
        )
        for run in [*comparison.failed, *diverged]
    ]


def trouble(run: Run) -> str:
    """What happened to a run that did not end well, and what to do."""
    what = run.result.get("error") or f"stopped after {count(run.result.get('steps', 0), 'step')}{first_sign(run)}"
    return f"{what} ({NEXT_STEPS[run.status]})"


def first_sign(run: Run) -> str:
    """Where a run that diverged was not finite first, if it knows."""
    at = run.result.get("diverged_at") or {}
    return f"; not finite first: {at['what']} of {at['layer']} at step {at['step']}" if at.get("layer") else ""
