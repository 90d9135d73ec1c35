"""From the folder of an experiment to what the notebook commits of it: verdicts, table, figures, and `results.json`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.errors import UserError, nearest
from lab.records.named import in_all_names
from lab.records.read import read_bytes, read_json
from lab.records.results import SOURCES, Run, find_runs, read_run, without_copies
from lab.records.tuning import trials_folder
from lab.studies.claims.study import read_study
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.tuned import find_tuning, picked_text, tuning_texts
from lab.studies.notebook.committed import FACTS, TABLE, VERDICTS
from lab.studies.notebook.scrub import plain_command, without_places
from lab.studies.report.done import done
from lab.studies.report.facts import commands
from lab.studies.report.ownership import is_experiment
from lab.studies.report.publish import experiments, judged, registered_study
from lab.studies.report.table import cautions, verdict_data

VERSIONS = ("lab", "torch", "python", "device")

FILM = "paths.gif"

MOST_ROWS = 16
"""Differences that the forest shows on a page; with more arms the scores of all seeds do."""


def collect(folder: Path, name: str) -> dict[str, Any]:
    """By name what the notebook keeps of the experiment in `folder`: bytes of figures, text, and values for JSON.

    Args:
        folder: as `lab train` left it.
        name: the experiment that its runs have to be of.

    Raises:
        UserError: it is no experiment's folder, its report is missing or older than its runs, or it is of another
            experiment.
    """
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        raise UserError(f"{folder} is not a folder{nearest(folder.name, beside)}; 'lab train' writes outputs/<name>")
    found = in_all_names(without_copies(find_runs([folder]))[0])
    if not is_experiment(folder, found):
        raise UserError(f"{folder} is not the folder of one experiment, with its arms right below it")
    check_experiment(found, folder, name)
    _, runs = find_tuning(found)
    comparison = judged(runs, registered_study(experiments(runs)) or read_study(runs), folder)
    check_report(comparison, folder)
    figures = find_figures(comparison, folder)
    kept: dict[str, Any] = {
        VERDICTS: without_places(read_json(folder / VERDICTS)),
        TABLE: without_places(read_bytes(folder / TABLE).decode()),
        FACTS: facts(comparison, folder) | {"outcome": outcome(comparison), "figures": figures},
    }
    kept |= {one["file"]: read_bytes(folder / one["file"]) for one in figures}
    return kept | find_film(comparison, kept[FACTS])


def check_experiment(runs: Sequence[Run], folder: Path, name: str) -> None:
    """Raises `UserError` where the commands of `runs` name another experiment than `name`."""
    named = {one for command in commands(runs) for one in re.findall(r"(?:^| )experiment=([\w/-]+)", command)}
    if named and name not in named:
        raise UserError(f"{folder} has runs of experiment={', '.join(sorted(named))}, and the page is of {name}")


def check_report(comparison: Comparison, folder: Path) -> None:
    """Raises `UserError` where `folder` has no report, or one of other runs than it holds."""
    remedy = f"'lab compare {folder}' writes it"
    if missing := [name for name in (VERDICTS, TABLE) if not (folder / name).is_file()]:
        raise UserError(f"{folder} has no {' and no '.join(missing)}; {remedy}")
    stored = read_json(folder / VERDICTS, remedy)
    now = [(one["say"], one["verdict"], one["n"]) for one in verdict_data(comparison)["claims"]]
    there = stored.get("claims") if isinstance(stored, dict) else None
    rows = read_bytes(folder / TABLE).decode(errors="replace").splitlines()
    before = [(one.get("say"), one.get("verdict"), one.get("n")) for one in there or ()]
    if now != before or len(rows) != 1 + len(comparison.arms):
        raise UserError(f"{folder}/{VERDICTS} is of other runs than the folder holds now; {remedy} anew")


def facts(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """What a page needs besides verdicts and table."""
    runs = [*comparison.runs, *comparison.failed]
    tuning = comparison.tuning
    tuned = [key for key in tuning.keys if key not in comparison.keys] if tuning else []
    picked = [picked_text(tuning, arm) for arm in tuning.arms] if tuning else []
    found = {
        "question": comparison.question,
        "metric": comparison.metric.text,
        "reference": comparison.reference,
        "keys": comparison.keys,
        "tuned": tuned,
        "labels": [arm.label for arm in comparison.arms],
        "commands": list(dict.fromkeys(map(plain_command, commands(runs)))),
        "data": ", ".join(dict.fromkeys(str(run.config["data.name"]) for run in runs)),
        "done": [list(pair) for pair in done(comparison)],
        "cost": cost(runs, trials_folder(folder)),
        "date": max((str(run.result.get("finished_at", "")) for run in runs), default="")[:10],
        "versions": {key: versions(runs, key) for key in VERSIONS},
        "cautions": cautions(comparison),
        "tuning": [*tuning_texts(tuning), *picked],
        "departures": list(comparison.departures),
    }
    return without_places(found)


def outcome(comparison: Comparison) -> str:
    """The sentence on top of the report."""
    from lab.studies.report.page import headline  # late: it imports matplotlib

    return without_places(headline(comparison))


def versions(runs: Sequence[Run], key: str) -> str:
    """All there are of one version."""
    there = (run.result.get("environment", {}).get(key) for run in runs)
    return ", ".join(dict.fromkeys(str(one) for one in there if one is not None))


def cost(runs: Sequence[Run], trials: Path | None) -> dict[str, Any]:
    """Runs and their training seconds, those of tuning trials, and those of the sources that they were started from."""
    once = {run.path: run for run in runs}
    tried = [run for path in trials.rglob("result.json") if (run := read_run(path.parent))] if trials else []
    starts = (run.result.get("started_from", {}) for run in [*once.values(), *tried])
    sources = {str(start["run"]): start.get("train_seconds") or 0.0 for start in starts if start.get("name") == SOURCES}
    return {
        "runs": len(once),
        "train_seconds": round(seconds(list(once.values())), 1),
        "tuning_trials": len(tried),
        "tuning_seconds": round(seconds(tried), 1),
        "sources": len(sources),
        "source_seconds": round(sum(sources.values()), 1),
    }


def seconds(runs: Sequence[Run]) -> float:
    return sum(run.result.get("train_seconds", 0.0) for run in runs)


def find_film(comparison: Comparison, facts: dict[str, Any]) -> dict[str, bytes]:
    """The animated paths over surfaces by the name of their file, which joins the figures of `facts`; else nothing."""
    from lab.studies.figures.film import film  # late: it imports matplotlib
    from lab.studies.figures.paths import read_tracks

    tracks = read_tracks(comparison)
    if tracks is None:
        return {}
    caption = "The same paths, step by step; the pace rises towards the end."
    facts["figures"].insert(1, {"file": FILM, "alt": "The same paths, animated", "caption": caption})
    return {FILM: film(tracks)}


def find_figures(comparison: Comparison, folder: Path) -> list[dict[str, str]]:
    """File, description and caption of each figure of the report that a page shows."""
    from lab.studies.report.gallery import EXHIBITS, Subject  # late: it imports matplotlib

    one_reference = len({arm.reference for arm in comparison.arms if not arm.is_reference}) == 1
    forest = one_reference and len(comparison.arms) <= MOST_ROWS and (folder / "forest.png").is_file()
    shown = ("paths", "curves", "forest" if forest else "seeds", "effects", "interactions", "tuning")
    exhibits, subject = {one.name: one for one in EXHIBITS}, Subject(comparison)
    if subject.tracks and len(subject.tracks.panels) > 1:
        shown = ("paths", "tuning")  # heights of several surfaces have no common scale
    found = []
    for name in shown:
        if not (folder / f"{name}.png").is_file():
            continue
        description, caption = exhibits[name].words(subject)
        alt = re.split(r"; at the end: |; mean and|: |; the numbers", description)[0]
        found.append({"file": f"{name}.png", "alt": without_places(alt), "caption": without_places(caption)})
    return found
