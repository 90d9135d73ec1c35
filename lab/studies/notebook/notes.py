"""`notes.md` of an experiment: what a person writes, title and sections, beside the numbers that the lab fills in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import UserError

FILE = "notes.md"

ANSWER = "Answer"
"""The section whose first paragraph answers the question in a sentence, without a digit."""

LAST = ("What surprised us", "What would change our mind")
"""Sections that follow the results."""


@dataclass(frozen=True)
class Notes:
    title: str
    sections: Mapping[str, str]
    """Text by heading, in order."""

    @property
    def answer(self) -> str:
        """The first paragraph of `## Answer`; empty without one."""
        return " ".join(self.sections.get(ANSWER, "").partition("\n\n")[0].split())


def read_notes(folder: Path) -> Notes:
    """The notes of the experiment in `folder`.

    Raises:
        UserError: there are none, they have no title, a heading twice, or digits in the answer.
    """
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: title, question and prediction of the page; 'lab new' writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable ({type(error).__name__}); save it as UTF-8") from None
    return parse_notes(text, path)


def parse_notes(text: str, path: Path) -> Notes:
    """Title and sections of `text`; headings inside of code blocks are code. Errors as of `read_notes`."""
    text = re.sub(r"<!--.*?-->\n*", "", text, flags=re.DOTALL).strip()
    first, _, rest = text.partition("\n")
    if not re.match(r"# \S", first):
        raise UserError(f"{path}: the first line is the title of the page, as '# Batch norm before or after'")
    sections: dict[str, str] = {}
    for heading, body in split_sections(rest):
        if heading in sections:
            raise UserError(f"{path}: '## {heading}' is there twice")
        if not heading and body.strip():
            raise UserError(f"{path}: text belongs below a heading, as '## Question'")
        if heading:
            sections[heading] = body.strip()
    notes = Notes(first.removeprefix("# ").strip(), sections)
    if re.search(r"\d", notes.answer):
        raise UserError(f"{path}: '## {ANSWER}' has a digit; numbers come from the results, so say it in words")
    return notes


def split_sections(text: str) -> list[tuple[str, str]]:
    """(heading, text) of each part, the part before the first heading with an empty one."""
    found, fenced = [("", list[str]())], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and line.startswith("## "):
            found.append((line.removeprefix("## ").strip(), []))
        else:
            found[-1][1].append(line)
    return [(heading, "\n".join(lines)) for heading, lines in found]
