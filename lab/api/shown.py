"""How results show in Jupyter: short HTML tables, and figures as images."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from lab.errors import UserError, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lab.studies.comparison.compare import Comparison

MOST_ROWS = 40
"""Rows of a table in a notebook; a data frame has all."""


def table_html(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table whose cells are texts; of many rows the first."""
    rows = list(rows)
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows[:MOST_ROWS])
    rest = f"<p>and {len(rows) - MOST_ROWS} more rows</p>" if len(rows) > MOST_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def line_html(text: str, strong: bool = False) -> str:
    """A paragraph."""
    return f"<p><b>{escape(text)}</b></p>" if strong else f"<p>{escape(text)}</p>"


def number(value: float | None) -> str:
    """`0.9712`, or a dash."""
    return "-" if value is None else f"{value:.4g}"


def exhibit(comparison: "Comparison", name: str) -> "Figure":
    """The figure `name` of the report.

    Raises:
        UserError: there is no such figure, or nothing to draw in it.
    """
    from lab.studies.report.gallery import EXHIBITS
    from lab.studies.report.subject import Subject

    there = {one.name: one for one in EXHIBITS}
    if name not in there:
        raise UserError(unknown(f"figure {name!r}", str(name), there))
    figure = there[name].draw(Subject(comparison), False)
    if figure is None:
        raise UserError(f"figure {name!r}: there is nothing to draw of these runs; docs/reports.md says what it shows")
    from lab.api.shown_figure import shown

    return shown(figure)
