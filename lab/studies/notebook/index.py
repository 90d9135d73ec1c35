"""The index of the notebook: a row for each experiment, with question, answer, largest effect and cost."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.studies.notebook.committed import Results, read_results
from lab.studies.notebook.notes import FILE, Notes, read_notes
from lab.studies.notebook.sheet import MARK, Asked, answer_of
from lab.studies.notebook.texts import cost_text, dates_text, largest_effect, plain, total_cost, versions_text
from lab.studies.report.formats import markdown_table

INTRODUCTION = """\
A page for each experiment: question, prediction, command, table, verdicts, figures, and what surprised us. Negative
and undecided results stay. `lab page --all` renders this index, and all pages that have a `notes.md`, from the results
beside them; a cost in parentheses is what the configuration plans.
"""

HEADER = ("experiment", "question", "answer", "largest effect, 95 % interval", "data", "cost", "date", "versions")


@dataclass(frozen=True)
class Entry:
    """An experiment of the notebook."""

    name: str
    folder: Path
    asked: Asked
    notes: Notes | None
    """None for a page that is written by hand."""

    results: Sequence[Results]


def read_entry(folder: Path, asked: Asked) -> Entry:
    """The experiment in `folder`; errors as of `read_notes` and `read_results`."""
    notes = read_notes(folder) if (folder / FILE).is_file() else None
    return Entry(folder.name, folder, asked, notes, read_results(folder) if notes else [])


def find_entries(root: Path, asked: Mapping[str, Asked]) -> list[Entry]:
    """The experiments in the notebook `root`, by name: each folder with notes or a page."""
    there = [path for path in sorted(root.glob("*")) if any((path / name).is_file() for name in (FILE, "README.md"))]
    return [read_entry(path, asked.get(path.name, Asked())) for path in there]


def index(entries: Sequence[Entry], has_claims: bool) -> str:
    """The index as Markdown."""
    rows = [row(entry) if entry.notes else row_by_hand(entry) for entry in entries]
    claims = ["[claims.md](claims.md) has the claims of the sources, one by one.", ""] if has_claims else []
    head = [f"{MARK} edit the notes and results of the pages, not this file -->", "", "# The notebook", ""]
    return "\n".join([*head, INTRODUCTION, *claims, *markdown_table(HEADER, rows), ""])


def row(entry: Entry) -> list[str]:
    """The row of a page that the lab renders."""
    assert entry.notes
    results = entry.results
    question = next((str(one.facts["question"]) for one in results), "") or entry.asked.question
    question = question or entry.notes.sections.get("Question", "").partition("\n\n")[0]
    known = [
        largest_effect(results[0]) if results else "-",
        ", ".join(dict.fromkeys(str(one.facts["data"]) for one in results)),
        cost_text(total_cost(results)) if results else planned(entry.asked)[1],
        dates_text(results),
        versions_text(results, ("lab", "torch")),
    ]
    return [link(entry.name), plain(question), plain(answer_of(entry.notes, results)), *known]


def row_by_hand(entry: Entry) -> list[str]:
    """The row of a page that a person wrote: its answer is the first sentence of the paragraph `**Verdict.**`."""
    try:
        text = (entry.folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    question = entry.asked.question or paragraph(text, "Question")
    data, cost = planned(entry.asked)
    answer = first_sentence(paragraph(text, "Verdict")) or "see the page"
    return [link(entry.name), plain(question), plain(answer), "see the page", data, cost, "", ""]


def link(name: str) -> str:
    return f"[{name}]({name}/README.md)"


def paragraph(text: str, name: str) -> str:
    """The first paragraph that begins `**Name.**`, without that."""
    found = re.search(rf"^\*\*{name}\.\*\*\s+(.+?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def first_sentence(text: str) -> str:
    """`text` up to its first full stop, which is none within a number; emphasis that is left open is closed."""
    found = re.match(r".+?[.!?](?:\)|\*+)?(?=\s|$)", text)
    sentence = found[0] if found else text
    return f"{sentence}**" if sentence.count("**") % 2 else sentence


def planned(asked: Asked) -> tuple[str, str]:
    """Data and cost that the configuration plans, in its comment."""
    found = re.match(r"(\d+) .*?runs on (\w+), (about .+? (?:minutes?|hours?))", asked.planned)
    return (found[2], f"({found[1]} runs, {found[3]})") if found else ("", "")
