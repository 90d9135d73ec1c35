"""The page of one experiment: its notes, and between them what the committed results say."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lab.studies.notebook.arms_table import arms_table
from lab.studies.notebook.committed import Results
from lab.studies.notebook.notes import ANSWER, LAST, Notes
from lab.studies.notebook.texts import cost_text, data_name, dates_text, effect_text, plain, versions_text, wrapped
from lab.studies.report.formats import markdown_table
from lab.studies.report.table import tested_text
from lab.studies.select.selectors import label

MARK = "<!-- made by lab page:"
"""How all files begin that the lab may render again."""

HEAD = f"{MARK} edit notes.md, not this file -->"


@dataclass(frozen=True)
class Asked:
    """What the configuration of an experiment says."""

    question: str = ""
    file: str = ""
    """Link to the configuration, from the folder of its page; empty without one."""

    planned: str = ""
    """Its line on runs, data and cost."""


def sheet(name: str, notes: Notes, results: Sequence[Results], asked: Asked) -> str:
    """The page as Markdown.

    Args:
        name: of the experiment.
        notes: what a person wrote.
        results: those committed; none before the first run.
        asked: what its configuration says.
    """
    headings = {heading_of(one): one for one in results}
    parts = [HEAD, f"# {plain(notes.title)}"]
    for heading, text in notes.sections.items():
        if text and heading not in (ANSWER, *LAST, *headings):
            parts += [f"## {heading}", text]
    if not results:
        parts += ["## Result", "Not run yet.", fenced([f"lab train experiment={name}"])]
    for heading, one in headings.items():
        answer = notes.answer if one is results[0] else ""
        parts += [f"## {heading}", *section(one, answer, notes.sections.get(heading, ""), asked)]
    for heading in LAST:
        if notes.sections.get(heading):
            parts += [f"## {heading}", notes.sections[heading]]
    return "\n\n".join(filter(None, parts)) + "\n"


def heading_of(results: Results) -> str:
    """`Result`, and for further data sets `On MNIST`."""
    return f"On {data_name(results.part)}" if results.part else "Result"


def answer_of(notes: Notes | None, results: Sequence[Results]) -> str:
    """The answer in a sentence: a person's, else the outcome of the first results."""
    if not results:
        return "not run yet"
    return (notes.answer if notes else "") or plain(results[0].facts["outcome"])


def section(results: Results, answer: str, prose: str, asked: Asked) -> Iterator[str]:
    """The parts of a section on one data set."""
    facts = results.facts
    yield wrapped(answer or facts["outcome"])
    yield fenced(facts["commands"])
    yield wrapped(done_text(facts["done"], asked.file))
    yield prose
    if len(results.rows) > 1:
        yield wrapped(f"{facts['metric']}, differences to {facts['reference']} paired by seed:")
    else:
        yield wrapped(f"{facts['metric']}:")
    yield "\n".join(arms_table(results))
    yield bullets([*facts["cautions"], *facts["tuning"], *facts["departures"]])
    yield from claims(results.verdicts)
    for figure in facts["figures"]:
        yield figure_text(figure, results.part)
    yield wrapped(
        f"Cost: {cost_text(facts['cost'])} of training. Last run: {dates_text([results])}. {made_with(results)}"
    )


def made_with(results: Results) -> str:
    """`Made with lab 0.1.0, torch 2.13.0, Python 3.11.7, device cpu.`"""
    text = versions_text([results])
    return f"Made with {text}." if text else ""


def fenced(lines: Sequence[str]) -> str:
    """Commands in a block."""
    return "\n".join(["```bash", *lines, "```"])


def done_text(done: Sequence[Sequence[str]], file: str) -> str:
    """What was done, in a paragraph."""
    said = [f"{what.capitalize()}: {how.removeprefix(f'{what} ').replace(': ', ' with ')}." for what, how in done]
    where = f" The claims are in [the configuration]({file})." if file else ""
    return " ".join(said) + where


def claims(verdicts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The table of claims, and the sentence behind each."""
    if not verdicts:
        return
    rows = [
        (
            said(one),
            f"*{one['verdict']}*",
            effect_text(one),
            p_cell(one) if one["n"] > 1 else "-",
            one["metric"],
        )
        for one in verdicts
    ]
    yield "\n".join(markdown_table(["claim", "verdict", "effect, 95 % interval", "p (Holm)", "metric"], rows))
    yield bullets([f"*{one['verdict']}*, {said(one)}: {one['explain']}" for one in verdicts])


def p_cell(verdict: Mapping[str, Any]) -> str:
    """`0.032`, `< 0.001`, `0.045 against`; results of an older version do not tell the p against a claim."""
    text = tested_text(verdict["verdict"], verdict["p"], verdict.get("p_against", verdict["p"]))
    return text.removeprefix("p ").removeprefix("= ").removesuffix(" it")


def said(verdict: Mapping[str, Any]) -> str:
    """The claim, with the setting of its runs."""
    setting = f" ({label(verdict['setting'])})" if verdict.get("setting") else ""
    return plain(f"{str(verdict['say']).rstrip('.')}{setting}")


def bullets(texts: Sequence[str]) -> str:
    """A list; empty without texts."""
    return "\n".join(wrapped(f"- {text}", "  ") for text in texts)


def figure_text(figure: Mapping[str, str], part: str) -> str:
    """A figure with its caption."""
    alt = re.sub(r"[][\n]", " ", plain(figure["alt"])).strip() or figure["file"]
    path = f"{part}/{figure['file']}" if part else figure["file"]
    return f"![{alt}]({quote(path)})\n\n{wrapped(figure['caption'])}"
