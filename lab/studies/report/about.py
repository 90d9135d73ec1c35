"""What a run or an experiment was and how it went, in lines for the terminal."""

import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError
from lab.identity import NOT_IDENTITY, default_leaves
from lab.records.outcome import next_steps, outcome
from lab.records.results import Run
from lab.records.shelf import Entry, Experiment
from lab.records.tuning import read_tuning
from lab.studies.comparison.tuned import budget_text
from lab.studies.report.align import aligned
from lab.studies.select.selectors import label_full, show
from lab.studies.statistics.numerals import count, duration, fixed, seed_spans


def date_text(date: datetime) -> str:
    """`2026-11-29 17:06`, in UTC."""
    return f"{date:%Y-%m-%d %H:%M}"


def byte_text(size: float) -> str:
    """`512 B`, `15.2 MB`, in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.3g} {unit}"


def states_text(states: Mapping[str, int]) -> str:
    """`18 finished, 2 diverged`."""
    return ", ".join(f"{number} {state}" for state, number in states.items())


def about_run(entry: Entry) -> list[str]:
    """State, arm, what differs from the defaults, metrics, machine, and the command that repeats it."""
    rows = {"run": str(entry.path), "state": state_text(entry)}
    run = entry.run
    if run is None:
        return name_lines(
            rows | {"again": "the command that began it goes on; its words are not recorded before its end"}
        )
    result, default = run.result, default_leaves()
    differing = {
        key: value
        for key, value in run.config.items()
        if key in default and key not in NOT_IDENTITY and value != default[key] and key not in run.arm
    }
    metrics = {tag: one.get("last") for tag, one in result.get("metrics", {}).items()}
    told = [f"{tag} {fixed(value, 4)}" for tag, value in metrics.items() if not tag.startswith("train/")]
    environment = result.get("environment", {})
    machine = [
        f"{name} {environment[name]}"
        for name in ("lab", "torch", "python", "platform", "device")
        if environment.get(name)
    ]
    commit = str(environment.get("git_commit") or "")[:12]
    others = ", ".join(f"{key}={show(value)}" for key, value in differing.items())
    rows |= {
        "arm": label_full(run.arm) or "the only one",
        "seed": str(run.seed),
        "beside": others or "all other keys at their defaults",
        "metrics": ", ".join(told) or "none",
        "training": training_text(result),
        "from": continued_text(result.get("continued_from") or {}),
        "error": str(result.get("error", "")),
        "notes": "; ".join(map(str, result.get("notes") or [])),
        "machine": ", ".join([*machine, *([f"commit {commit}"] if commit else [])]),
        "again": again(run),
    }
    return name_lines(rows)


def again(run: Run) -> str:
    """The command that trains the same into another folder: nothing is overwritten."""
    words = [str(word) for word in run.result.get("overrides", []) if not str(word).startswith("name=")]
    alone = ["study.claims=[]", "study.tune=null"] if any(word.startswith("experiment=") for word in words) else []
    return shlex.join(["lab", "train", *dict.fromkeys([*words, *alone]), "name=again"])


def name_lines(rows: Mapping[str, str]) -> list[str]:
    """A line for each of `rows` that says something, its name before it."""
    width = max(map(len, rows))
    return [f"{name.ljust(width)}  {text}" for name, text in rows.items() if text]


def state_text(entry: Entry) -> str:
    """`finished, 2026-11-29 17:06 UTC`; of a run under way how far it is."""
    when = f"{date_text(entry.date)} UTC"
    if entry.holder:
        facts = progress(entry)
        left = f"{facts['left']} left" if facts["left"] != UNKNOWN else "time left not known yet"
        return f"running (pid {entry.holder.pid}, host {entry.holder.host}): {facts['done']}, {left}"
    if entry.run is None:
        return f"unfinished, last written to {when}"
    further = next_steps([entry.run.result])
    return "; ".join([f"{outcome(entry.run.result)}, {when}", *further])


def continued_text(source: Mapping[str, Any]) -> str:
    """`went on from outputs/x/epochs=2-1f3a9c02/seed=0 at step 30`; empty for a run from step 0."""
    return f"went on from {source['run']} at step {source['steps']:,}, its seconds included" if source else ""


def training_text(result: Mapping[str, Any]) -> str:
    """`255 steps in 2.9 s, 5,652 images/s, 17,850 parameters`."""
    parts = []
    if result.get("steps") is not None:
        seconds = result.get("train_seconds")
        parts.append(count(result["steps"], "step") + (f" in {duration(seconds)}" if seconds else ""))
    if result.get("images_per_second"):
        parts.append(f"{result['images_per_second']:,.0f} images/s")
    if result.get("num_params"):
        parts.append(count(result["num_params"], "parameter"))
    return ", ".join(parts)


UNKNOWN = "not known"
"""The time left of a run that has logged nothing yet."""


def progress(entry: Entry) -> dict[str, str]:
    """How far a run is that is being trained: `{"run": ..., "done": "40 % (step 100)", "left": "about 12 s", ...}`."""
    last = entry.rows[-1] if entry.rows else {}
    share, seconds = share_done(entry.config, last), last.get("seconds")
    step = f"step {last['step']:,}" if last else "no logged point yet"
    scores = [f"{tag} {value:.4f}" for tag, value in last.items() if tag in ("val/accuracy", "val/rmse") and value]
    left = duration(seconds * (1 - share) / share) if share and seconds else ""
    holder = entry.holder
    return {
        "run": str(entry.path),
        "process": f"{holder.pid} on {holder.host}" if holder else "-",
        "done": f"{100 * share:.0f} % ({step})" if share else step,
        "left": f"about {left}" if left else UNKNOWN,
        "metric": ", ".join(scores) or "-",
    }


def share_done(config: Mapping[str, Any], last: Mapping[str, Any]) -> float:
    """Which share of its training a run of the flat `config` is through at its logged point `last`; 0 if unknown."""
    steps, epochs = config.get("train.steps"), config.get("train.epochs")
    if not last:
        return 0.0
    if isinstance(steps, int) and steps > 0:
        return min(1.0, last["step"] / steps)
    if isinstance(epochs, int | float) and epochs > 0 and isinstance(last.get("epoch"), int | float):
        return min(1.0, last["epoch"] / epochs)
    return 0.0


def tuning_text(experiment: Path) -> str:
    """What was tuned with which budget; empty where nothing was."""
    try:
        tuning = read_tuning(experiment)
    except DamagedFileError as error:
        return str(error)
    return budget_text(tuning) if tuning else ""


def about_experiment(one: Experiment) -> list[str]:
    """Question, runs by arm, verdicts as last judged, and what to type next."""
    rows = {
        "experiment": str(one.path),
        "question": one.question,
        "tuning": tuning_text(one.path),
        "runs": f"{states_text(one.states)}; {count(one.num_arms, 'arm')}, {byte_text(one.size)}",
        "last": f"{date_text(one.date)} UTC",
    }
    header, table = ("arm", "seeds", "states"), []
    for folder in dict.fromkeys(entry.path.parent for entry in one.entries):
        of_arm = [entry for entry in one.entries if entry.path.parent == folder]
        seeds = seed_spans([entry.seed for entry in of_arm]).partition(" ")[2]
        states = Experiment(folder, tuple(of_arm)).states
        table.append((of_arm[0].arm, seeds, states_text(states)))
    verdicts = [f"{claim['verdict']:<11} {claim['say']} ({count(claim['n'], 'seed')})" for claim in one.claims]
    command = next((entry.run.result.get("command", "") for entry in one.entries if entry.run), "")
    tail = name_lines({"again": command, "report": f"lab compare {shlex.quote(str(one.path))}"})
    return [*name_lines(rows), "", *aligned(header, table), "", *verdicts, *([""] if verdicts else []), *tail]
