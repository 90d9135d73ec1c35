"""The claims of the sources, `claims.yaml`, each beside what was found here: `claims.md`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import UserError, nearest
from lab.records.read import read_yaml
from lab.studies.notebook.committed import Results, number
from lab.studies.notebook.index import Entry
from lab.studies.notebook.sheet import MARK, said
from lab.studies.notebook.texts import data_name, effect_text, plain
from lab.studies.report.formats import markdown_table
from lab.studies.statistics.numerals import count

FILE = "claims.yaml"

KEYS = ("claim", "source", "figure", "answered_by", "proved")
ANSWERS = ("experiment", "say", "against")

HERE = {"supported": "confirmed", "refuted": "contradicted"}
"""What a verdict on a claim that agrees with the source says of it; other words stay."""

THERE = {"supported": "contradicted", "refuted": "not contradicted"}
"""The same of a claim that is against the source."""

INTRODUCTION = """\
What lecture notes, a seminar sheet, a question-and-answer thread and papers say, in our words, and what the experiments
of this notebook say to it. Figures of a source are its own, obtained on other data. *Confirmed* and *contradicted*
stand for the verdicts *supported* and *refuted* of the claims that an experiment tests, at its size and on its data and
nowhere else. `claims.yaml` has the list.
"""

HEADER = ("claim", "source", "here", "effect, 95 % interval", "at", "data", "answered by")


@dataclass(frozen=True)
class Answer:
    """What answers a claim of a source."""

    experiment: str
    say: tuple[str, ...] = ()
    """Claims of the experiment that agree with the source, by their words."""

    against: tuple[str, ...] = ()
    """Those that say the opposite."""


@dataclass(frozen=True)
class SourceClaim:
    claim: str
    source: str
    figure: str = ""
    """The source's own number, if it gives one."""

    answers: tuple[Answer, ...] = ()
    proved: str = ""
    """Where the theory proves it."""


def read_claims(root: Path) -> list[SourceClaim]:
    """The claims of the notebook `root`; none without a `claims.yaml`.

    Raises:
        UserError: an entry is wrong; tells its number.
    """
    path = root / FILE
    try:
        found = read_yaml(path)
    except FileNotFoundError:
        return []
    if not isinstance(found, list):
        raise UserError(f"{path}: allowed: a list of entries with {', '.join(KEYS)}")
    return [parse_entry(one, f"{path}, entry {place}") for place, one in enumerate(found, 1)]


def parse_entry(raw: Any, place: str) -> SourceClaim:
    """One entry; raises `UserError`, which begins with `place`."""
    check_keys(raw, KEYS, place)
    for key in ("claim", "source"):
        if not isinstance(raw.get(key), str):
            raise UserError(f"{place}: '{key}' is missing; each entry has claim and source")
    given = raw.get("answered_by") or []
    answers = [parse_answer(one, place) for one in (given if isinstance(given, list) else [given])]
    if not answers and not raw.get("proved"):
        raise UserError(f"{place}: needs 'answered_by' or 'proved'")
    figure, proved = (" ".join(str(raw.get(key) or "").split()) for key in ("figure", "proved"))
    return SourceClaim(raw["claim"], raw["source"], figure, tuple(answers), proved)


def parse_answer(raw: Any, place: str) -> Answer:
    """One experiment of `answered_by`: its name, or a mapping with the words of its claims."""
    raw = {"experiment": raw} if isinstance(raw, str) else raw
    check_keys(raw, ANSWERS, f"{place}: answered_by")
    if not isinstance(raw.get("experiment"), str):
        raise UserError(f"{place}: answered_by: 'experiment' is missing")
    lists = {key: raw.get(key) or [] for key in ("say", "against")}
    lists = {key: [value] if isinstance(value, str) else value for key, value in lists.items()}
    for key, value in lists.items():
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise UserError(f"{place}: answered_by: '{key}' is a list of claims, as their configuration says them")
    return Answer(raw["experiment"], tuple(lists["say"]), tuple(lists["against"]))


def check_keys(raw: Any, known: Sequence[str], place: str) -> None:
    if not isinstance(raw, Mapping):
        raise UserError(f"{place}: allowed: {', '.join(known)}")
    for key in raw:
        if key not in known:
            raise UserError(f"{place}: '{key}' is unknown{nearest(str(key), known)}; there are: {', '.join(known)}")


def claims_page(claims: Sequence[SourceClaim], entries: Sequence[Entry]) -> str:
    """`claims.md`."""
    there = {entry.name: entry for entry in entries}
    rows = [claim_row(one, there) for one in claims]
    head = [f"{MARK} edit claims.yaml, not this file -->", "", "# The claims of the sources", ""]
    return "\n".join([*head, INTRODUCTION, *markdown_table(HEADER, rows), ""])


def claim_row(claim: SourceClaim, entries: Mapping[str, Entry]) -> list[str]:
    """The cells of one claim; several answers are lines of a cell."""
    lines = [line for answer in claim.answers for line in answer_lines(answer, entries)]
    if claim.proved:
        lines.insert(0, ["proved", "", claim.proved, "any", "theory"])
    source = f"{claim.source}: {claim.figure}" if claim.figure else claim.source
    cells = [[plain(cell) or "-" for cell in column] for column in zip(*lines, strict=True)]
    return [plain(claim.claim), plain(source), *(cell_text(column) for column in cells)]


def cell_text(lines: Sequence[str]) -> str:
    """Lines of a cell, once where all are alike."""
    return lines[0] if len({*lines}) == 1 else "<br />".join(lines)


def answer_lines(answer: Answer, entries: Mapping[str, Entry]) -> Iterator[list[str]]:
    """[here, effect, at, data, answered by] for each claim of the experiment and each data set."""
    entry = entries.get(answer.experiment)
    link = f"[{answer.experiment}]({answer.experiment}/README.md)" if entry else answer.experiment
    if entry is None or (entry.notes and not entry.results):
        yield ["not run yet", "", "", "", link]
        return
    if not entry.notes or not (answer.say or answer.against):
        yield ["see the page", "", "", "", link]
        return
    found = False
    for results in entry.results:
        for words, names in ((answer.say, HERE), (answer.against, THERE)):
            for verdict in results.verdicts:
                if verdict["say"] in words:
                    found = True
                    word = names.get(verdict["verdict"], str(verdict["verdict"]))
                    data = data_name(str(results.facts["data"]))
                    yield [word, effect_text(verdict), size_text(verdict, results), data, f"{link}: {said(verdict)}"]
    if not found:
        yield ["not run yet", "", "", "", link]


def size_text(verdict: Mapping[str, Any], results: Results) -> str:
    """`5 seeds, 47,210 to 65,770 parameters`."""
    sizes = sorted({int(size) for row in results.rows if (size := number(row.get("num_params"))) is not None})
    words = " to ".join(dict.fromkeys(f"{size:,}" for size in (sizes[:1] + sizes[-1:])))
    return ", ".join([count(verdict["n"], "seed"), *([f"{words} parameters"] if words else [])])
