"""The report: one HTML file that needs no network, and beside it the table, the verdicts and the figures as files."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lab.metric import lower_is_better
from lab.records.results import Run, write_atomically
from lab.studies.claims.verdict import Verdict
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.factorial import Grid, find_grid
from lab.studies.comparison.tuned import budget_text, warnings
from lab.studies.figures.cost import draw_cost, target
from lab.studies.figures.curves import draw_curves, read_curves
from lab.studies.figures.dots import draw_seeds
from lab.studies.figures.effects import draw_effects, draw_interactions
from lab.studies.figures.forest import draw_forest
from lab.studies.figures.style import inline_svg, render
from lab.studies.figures.tuning_curves import draw_tuning
from lab.studies.report.table import NUMBERS, columns, p_text, write_csv, write_verdicts
from lab.studies.report.texts import cost_rows, descriptions, effect_rows, strip
from lab.studies.select.arms import DEFAULTS, differing_keys, is_identity, values_of
from lab.studies.select.selectors import label, show
from lab.studies.statistics.numerals import center_text, count, decimals, interval_text

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

MOST_ANSWER = 260
"""Characters of claims that the sentence on top repeats."""

CURVE_AXES = {"curves": "steps", "curves_epoch": "epochs", "curves_seconds": "seconds"}


FIGURES = ("forest", "curves", "curves_epoch", "curves_seconds", "seeds", "effects", "interactions", "cost", "tuning")
"""The files of figures, each as SVG and as PNG, and as `<name>_column.svg` for a phone and for a column of a paper; one
that there is nothing to draw for is left out."""


def write_report(comparison: Comparison, folder: Path, html: Path | None = None) -> Path:
    """Writes report.html, table.csv, verdict.json and the figures (.svg and .png) into `folder`, each atomically.

    Args:
        html: where the page goes instead of `<folder>/report.html`.

    Returns:
        The path of the page.
    """
    html = html or folder / "report.html"
    for path in (folder, html.parent):
        path.mkdir(parents=True, exist_ok=True)
    grid = find_grid(comparison)
    drawers = make_drawers(comparison, grid)
    figures = {}
    for name in FIGURES:
        figure = drawers[name](False) if name in drawers else None
        for kind in ("svg", "png"):
            path = folder / f"{name}.{kind}"
            if figure is None:
                # Left from other runs, it would be taken for a figure of these.
                path.unlink(missing_ok=True)
                continue
            data = render(figure, kind)
            write_atomically(path, data)
            if kind == "svg":
                figures[name] = {"wide": inline_svg(data.decode(), name)}
        column = folder / f"{name}_column.svg"
        if name in figures:
            narrow = drawers[name](True)
            assert narrow is not None
            data = render(narrow, "svg")
            write_atomically(column, data)
            figures[name]["narrow"] = inline_svg(data.decode(), f"{name}-narrow")
        else:
            column.unlink(missing_ok=True)
    write_csv(comparison, folder / "table.csv")
    write_verdicts(comparison, folder / "verdict.json")
    write_atomically(html, render_page(comparison, figures, folder, grid).encode())
    return html


def make_drawers(comparison: Comparison, grid: Grid | None) -> dict[str, Callable[[bool], Any]]:
    """What draws each figure that there can be, from whether it is for a phone."""
    drawers: dict[str, Callable[[bool], Any]] = {
        "forest": partial(draw_forest, comparison),
        "seeds": partial(draw_seeds, comparison),
        "cost": partial(draw_cost, comparison),
        "tuning": partial(draw_tuning, comparison),
    }
    if curves := read_curves(comparison):
        for along in curves.axes:
            drawers["curves" if along == "step" else f"curves_{along}"] = partial(draw_curves, curves, along)
    if grid:
        drawers["effects"] = partial(draw_effects, grid, comparison.metric)
        drawers["interactions"] = partial(draw_interactions, grid, comparison.metric)
    return drawers


def render_page(
    comparison: Comparison, figures: dict[str, dict[str, str]], folder: Path, grid: Grid | None = None
) -> str:
    """The page as HTML.

    Args:
        figures: by name of `FIGURES`, `wide` and `narrow` as SVG to be put in as it is; any may be missing.
        folder: what paths of runs are written relative to.
        grid: the factorial design, where there is one.
    """
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(p_text=p_text, label=label, count=count, strip=strip)
    names = dict.fromkeys(str(run.config["name"]) for run in [*comparison.runs, *comparison.failed])
    table, metric = columns(comparison), target(comparison)
    return environment.get_template("page.html.j2").render(
        comparison=comparison,
        name=", ".join(names),
        headline=headline(comparison),
        figures=figures,
        curve_axes=[(key, name) for key, name in CURVE_AXES.items() if key in figures],
        descriptions=descriptions(comparison, grid),
        columns=[(column, column in NUMBERS or column.startswith("95 %")) for column in table],
        num_headers=max(1, len(comparison.keys)),
        rows=list(zip(comparison.arms, zip(*table.values(), strict=True), strict=True)),
        grid=grid,
        effects=effect_rows(grid) if grid else [],
        costs=cost_rows(comparison, metric),
        target=metric,
        budget=budget_text(comparison.tuning) if comparison.tuning else "",
        warnings=warnings(comparison.tuning) if comparison.tuning else [],
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
            return f"{'Both' if len(words) == 2 else f'All {len(words)}'} claims are {words[0]}{named(verdicts)}."
        return f"Of {len(words)} claims, {', '.join(counts[:-1])} and {counts[-1]}{named(verdicts)}."
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


def named(verdicts: Sequence[Verdict]) -> str:
    """` (supported: ..., and ...; undecided: ...)`, without its commonest word where it would take over three lines."""
    says: dict[str, list[str]] = {}
    for word in ("supported", "refuted", "undecided"):
        there = dict.fromkeys(verdict.say.rstrip(".") for verdict in verdicts if verdict.verdict == word)
        says |= {word: list(there)} if there else {}
    if len(says) == 1 and len(text := ", and ".join(*says.values())) <= MOST_ANSWER:
        return f": {text}"
    while says:
        text = "; ".join(f"{word}: {', and '.join(group)}" for word, group in says.items())
        if len(text) <= MOST_ANSWER:
            return f" ({text})"
        del says[max(says, key=lambda word: len(says[word]))]
    return ""


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
            run.result.get("error") or f"stopped after {count(run.result.get('steps', 0), 'step')}{first_sign(run)}",
        )
        for run in [*comparison.failed, *diverged]
    ]


def first_sign(run: Run) -> str:
    """Where a run that diverged was not finite first, if it knows."""
    at = run.result.get("diverged_at") or {}
    return f"; not finite first: {at['what']} of {at['layer']} at step {at['step']}" if at.get("layer") else ""
