"""The report: one HTML file that needs no network, and beside it the table, the verdicts and the figures as files."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.direction import lower_is_better
from lab.records.results import Run, write_atomically
from lab.studies.arms import DEFAULTS, differing_keys, is_identity, values_of
from lab.studies.comparison import Comparison
from lab.studies.curves import draw_curves
from lab.studies.dots import draw_seeds
from lab.studies.numerals import center_text, count, decimals, interval_text
from lab.studies.plots import render
from lab.studies.selectors import label, show
from lab.studies.table import NUMBERS, columns, p_text, write_csv, write_verdicts

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


def write_report(comparison: Comparison, folder: Path, html: Path | None = None) -> Path:
    """Writes report.html, table.csv, verdict.json, curves and seeds (.svg and .png) into `folder`, each atomically.

    Args:
        html: where the page goes instead of `<folder>/report.html`.

    Returns:
        The path of the page.
    """
    html = html or folder / "report.html"
    for path in (folder, html.parent):
        path.mkdir(parents=True, exist_ok=True)
    figures = {"curves": "", "seeds": ""}
    for name, figure in (("curves", draw_curves(comparison)), ("seeds", draw_seeds(comparison))):
        for kind in ("svg", "png"):
            path = folder / f"{name}.{kind}"
            if figure is None:
                # Left from other runs, it would be taken for a figure of these.
                path.unlink(missing_ok=True)
                continue
            data = render(figure, kind)
            write_atomically(path, data)
            if kind == "svg":
                figures[name] = inline_svg(data.decode(), name)
    write_csv(comparison, folder / "table.csv")
    write_verdicts(comparison, folder / "verdict.json")
    write_atomically(html, render_page(comparison, figures, folder).encode())
    return html


def render_page(comparison: Comparison, figures: dict[str, str], folder: Path) -> str:
    """The page as HTML.

    Args:
        figures: `curves` and `seeds` as SVG to be put in as it is; either may be empty.
        folder: what paths of runs are written relative to.
    """
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(p_text=p_text, label=label, count=count)
    names = dict.fromkeys(str(run.config["name"]) for run in [*comparison.runs, *comparison.failed])
    table = columns(comparison)
    return environment.get_template("report.html.j2").render(
        comparison=comparison,
        name=", ".join(names),
        headline=headline(comparison),
        figures=figures,
        columns=[(column, column in NUMBERS or column.startswith("95 %")) for column in table],
        rows=list(zip(comparison.arms, zip(*table.values(), strict=True), strict=True)),
        configuration=configuration(comparison),
        commands=commands([*comparison.runs, *comparison.failed]),
        environment=environment_facts([*comparison.runs, *comparison.failed]),
        troubles=troubles(comparison, folder),
    )


def headline(comparison: Comparison) -> str:
    """The whole outcome in a sentence or two."""
    verdicts = comparison.verdicts
    if len(verdicts) == 1:
        return f"{verdicts[0].verdict.capitalize()}: {verdicts[0].say}."
    if verdicts:
        words = [verdict.verdict for verdict in verdicts]
        counts = [f"{words.count(word)} {word}" for word in ("supported", "refuted", "undecided") if word in words]
        if len(counts) == 1:
            return f"{'Both' if len(words) == 2 else f'All {len(words)}'} claims are {words[0]}."
        return f"Of {len(words)} claims, {', '.join(counts[:-1])} and {counts[-1]}."
    scored = [arm for arm in comparison.arms if arm.score]
    if not scored:
        return "No run finished, so there is nothing to compare."
    places = decimals([arm.score for arm in scored])
    lower = lower_is_better(comparison.metric)
    best = (min if lower else max)(scored, key=lambda arm: arm.score.value if arm.score else 0.0)
    bounds = f" {interval_text(best.score, places)}" if best.score and best.score.interval else ""
    return (
        f"{best.label} has the {'lowest' if lower else 'highest'} {comparison.metric}: "
        f"{center_text(best.score, places)}{bounds}. No claim was written beforehand, so this is no verdict."
    )


def inline_svg(text: str, prefix: str) -> str:
    """SVG ready to stand in a page: no prologue, no fixed size, and ids that no other figure has."""
    text = text[text.index("<svg") :]
    text = (
        re.sub(r'\s(xmlns(:\w+)?|width|height|version)="[^"]*"', "", text[: text.index(">")]) + text[text.index(">") :]
    )
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    return re.sub(r'(url\(|xlink:href=")#', rf"\1#{prefix}-", text).replace("xlink:href", "href")


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


def commands(runs: list[Run]) -> list[str]:
    """What was typed, each command once; the overrides of runs that do not know it."""
    typed = [run.result.get("command") or " ".join(["lab train", *run.result.get("overrides", [])]) for run in runs]
    found = list(dict.fromkeys(typed))
    rest = len(found) - MOST_COMMANDS
    return found if rest <= 0 else [*found[:MOST_COMMANDS], f"# and {rest} more"]


def environment_facts(runs: list[Run]) -> list[tuple[str, str]]:
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
            run.result.get("error") or f"stopped after {count(run.result.get('steps', 0), 'step')}",
        )
        for run in [*comparison.failed, *diverged]
    ]
