"""Cells of CSV files that a spreadsheet shows as text, and does not run."""

from collections.abc import Iterable
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that spreadsheets take for a formula."""


def cells(row: Iterable[Any]) -> list[Any]:
    """`row` with an apostrophe before each text that would be a formula; numbers, as -0.5, stay."""
    return [
        f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) and not is_number(cell) else cell
        for cell in row
    ]


def is_number(text: str) -> bool:
    """Whether `text` is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
