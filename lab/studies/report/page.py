"""The report: one HTML file that needs no network, and beside it the table, the verdicts and the figures as files."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from lab.records.ledger import HOMES, write_ledger
from lab.records.write import write_atomically, write_json
from lab.studies.claims.flips import stable_text
from lab.studies.claims.verdict import WORDS, Verdict
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.cost import target
from lab.studies.comparison.tuned import budget_text, tuning_warnings
from lab.studies.report.done import done
from lab.studies.report.facts import commands, configuration, environment_facts, troubles
from lab.studies.report.gallery import ENDS, EXHIBITS, Hung, hang
from lab.studies.report.ownership import check_own, check_page
from lab.studies.report.predictions import PREDICTIONS, tables, why_no_images
from lab.studies.report.rows import cost_rows, effect_rows
from lab.studies.report.strip import strip
from lab.studies.report.subject import Subject
from lab.studies.report.table import (
    NUMBERS,
    cautions,
    columns,
    csv_text,
    explained,
    tested_text,
    title,
    verdict_data,
    wins_text,
)
from lab.studies.select.selectors import label
from lab.studies.statistics.numerals import center_text, count, decimals, interval_text

MEANINGS = {
    "supported": "the runs confirm the claim, its margin included",
    "refuted": "the runs show that the claim does not hold, which is not its opposite",
    "undecided": "the runs show neither, which is no evidence that nothing differs",
    "exploratory": "what was done departs from what was registered, so a false verdict is likelier than 5 %",
}
"""What the words of verdicts say."""

MOST_ANSWER = 260
"""Characters of claims that the sentence on top repeats."""


def write_report(comparison: Comparison, folder: Path, html: Path | None = None) -> Path:
    """Writes report.html, table.csv, verdict.json and the figures (.svg and .png) into `folder`, each atomically.

    Args:
        html: where the page goes instead of `<folder>/report.html`.

    Returns:
        The path of the page.

    Raises:
        UserError: a file is in the way that the lab has not written; nothing is, then.
    """
    if html:
        check_page(html)
    check_own(folder, files(html), HOMES)
    names, html = files(html), html or folder / "report.html"
    for path in (folder, html.parent):
        path.mkdir(parents=True, exist_ok=True)
    write_ledger(folder, names)  # first: what a kill leaves behind half-way is the lab's
    subject = Subject(comparison)
    figures = hang(subject, folder)
    write_atomically(folder / "table.csv", csv_text(comparison).encode())
    write_json(folder / "verdict.json", verdict_data(comparison))
    beside = quote(os.path.relpath(folder, html.parent))
    write_atomically(html, render_page(subject, figures, folder, beside).encode())
    return html


def files(html: Path | None) -> list[str]:
    """The names of all files that a report may have in its folder; the page is elsewhere if `html` is given."""
    figures = [f"{one.name}{end}" for one in EXHIBITS for end in ENDS]
    return [*(["report.html"] if html is None else []), "table.csv", "verdict.json", *figures]


def write_page(comparison: Comparison, html: Path) -> None:
    """Writes the page alone, atomically."""
    check_page(html)
    html.parent.mkdir(parents=True, exist_ok=True)
    subject = Subject(comparison)
    write_atomically(html, render_page(subject, hang(subject, None), html.parent).encode())


def render_page(subject: Subject, figures: Mapping[str, Hung], folder: Path, beside: str = "") -> str:
    """The page as HTML.

    Args:
        subject: what it is about.
        figures: result of `hang`.
        folder: what paths of runs are written relative to.
        beside: where table, verdicts and figures lie as files, as a link from the page; empty if nowhere.
    """
    import jinja2

    comparison, grid = subject.comparison, subject.grid
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(label=label, count=count, strip=strip, wins_text=wins_text)
    environment.filters.update(stable_text=stable_text)
    runs = [*comparison.runs, *comparison.failed]
    table, timed = columns(comparison), target(comparison)
    return environment.get_template("page.html.j2").render(
        comparison=comparison,
        tested_text=tested_text,
        name=", ".join(dict.fromkeys(str(run.config["name"]) for run in runs)),
        headline=headline(comparison),
        figures=figures,
        curves=[figure for figure in figures.values() if figure.exhibit.section == "training"],
        columns=[(column, column in NUMBERS or column.startswith("95 %")) for column in table],
        num_headers=max(1, len(comparison.keys)),
        rows=list(zip(comparison.arms, zip(*table.values(), strict=True), strict=True)),
        effects=effect_rows(grid) if grid else [],
        costs=cost_rows(comparison, timed),
        predictions=[(one.name, one.title) for one in PREDICTIONS],
        tables=tables(subject),
        unseen=why_no_images(subject),
        target=timed,
        budget=budget_text(comparison.tuning) if comparison.tuning else "",
        warnings=tuning_warnings(comparison.tuning) if comparison.tuning else [],
        configuration=configuration(comparison),
        commands=commands(runs),
        done=done(comparison),
        checked=comparison.checked.about({run.arm_id for run in runs}),
        files=[f"{beside}/{name}".removeprefix("./") for name in file_names(comparison, figures)] if beside else [],
        words=explained(list(table)),
        meanings=[(word, MEANINGS[word]) for word in WORDS if word in {one.verdict for one in comparison.verdicts}],
        environment=environment_facts(runs),
        cautions=cautions(comparison),
        troubles=troubles(comparison, folder),
    )


def file_names(comparison: Comparison, figures: Mapping[str, Hung]) -> list[str]:
    """The files that `write_report` leaves beside its page."""
    names = ["table.csv", "verdict.json", *["tune.json"] * (comparison.tuning is not None)]
    return [*names, *(f"{name}{end}" for name in figures for end in (".svg", ".png", "_column.svg"))]


def headline(comparison: Comparison) -> str:
    """The whole outcome in a sentence or two."""
    verdicts = comparison.verdicts
    if len(verdicts) == 1:
        return f"{verdicts[0].verdict.capitalize()}: {verdicts[0].say}."
    if verdicts:
        words = [verdict.verdict for verdict in verdicts]
        counts = [f"{words.count(word)} {word}" for word in WORDS if word in words]
        if len(counts) == 1:
            return f"{'Both' if len(words) == 2 else f'All {len(words)}'} claims are {words[0]}{named(verdicts)}."
        return f"Of {len(words)} claims, {', '.join(counts[:-1])} and {counts[-1]}{named(verdicts)}."
    scored = [arm for arm in comparison.arms if arm.score]
    if not scored:
        return "No run finished, so there is nothing to compare."
    places = decimals([arm.score for arm in scored])
    lower = comparison.metric.lower_is_better
    best = (min if lower else max)(scored, key=lambda arm: arm.score.value if arm.score else 0.0)
    bounds = f" {interval_text(best.score, places)}" if best.score and best.score.interval else ""
    part = best.num_trained < best.num_run and best.num_trained
    among = f" among the {best.num_trained} of {count(best.num_run, 'seed')} that trained" if part else ""
    return (
        f"{best.label} has the {'lowest' if lower else 'highest'} {comparison.metric}: "
        f"{center_text(best.score, places)}{bounds}{among}. No claim was written beforehand, so this is no verdict."
    )


def named(verdicts: Sequence[Verdict]) -> str:
    """` (supported: ..., and ...; undecided: ...)`, without its commonest word where it would take over three lines.

    A claim whose settings have different verdicts is named with them.
    """
    says, words = dict[str, list[str]](), dict[str, set[str]]()
    for verdict in verdicts:
        words.setdefault(verdict.say, set()).add(verdict.verdict)
    for word in WORDS:
        found = [verdict for verdict in verdicts if verdict.verdict == word]
        there = dict.fromkeys(title(verdict, with_setting=len(words[verdict.say]) > 1) for verdict in found)
        says |= {word: list(there)} if there else {}
    if len(says) == 1 and len(text := ", and ".join(*says.values())) <= MOST_ANSWER:
        return f": {text}"
    while says:
        text = "; ".join(f"{word}: {', and '.join(group)}" for word, group in says.items())
        if len(text) <= MOST_ANSWER:
            return f" ({text})"
        del says[max(says, key=lambda word: len(says[word]))]
    return ""
