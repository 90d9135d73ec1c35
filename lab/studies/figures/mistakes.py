"""The test images that most runs misclassify, with their class and what they are taken for."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from lab.studies.comparison.mistaken import Mistaken
from lab.studies.figures.names import fit
from lab.studies.figures.sheet import sheet
from lab.studies.figures.style import NARROW, STYLE, WIDE

SIZE, LINE = 8.0, 0.135
"""Points of the lines below an image, and inches of each."""


@rc_context(STYLE)
def draw_mistakes(
    mistakes: Sequence[Mistaken], images: np.ndarray | None, classes: Sequence[str], narrow: bool = False
) -> Figure | None:
    """The images in rows, the most often misclassified first; None without images.

    Args:
        mistakes: what is told of each.
        images: (n, c, h, w) as the data set stores them.
        classes: their names.
        narrow: whether it is for a phone.
    """
    if images is None or not len(mistakes):
        return None
    total, columns = (NARROW, 4) if narrow else (WIDE, 8)
    columns = min(columns, max(len(mistakes), 4))
    wide = (total - 0.05) / (4 if narrow else 8)
    side = wide - 0.12
    names = [two_lines(classes[one.label], classes[one.guess], side) for one in mistakes]
    lines = 1 + max(name.count("\n") + 1 for name in names)
    tall = side + LINE * lines + 0.16
    rows = math.ceil(len(mistakes) / columns)
    figure, axis = sheet(rows * tall + 0.04, narrow)
    top = figure.get_figheight()
    for place, (one, image, name) in enumerate(zip(mistakes, images, names, strict=True)):
        row, column = divmod(place, columns)
        x, y = 0.05 + column * wide, top - 0.04 - row * tall - side
        axis.imshow(pixels(image), extent=(x, x + side, y, y + side), interpolation="none", aspect="auto")
        for number, line in enumerate([*name.split("\n"), f"{sum(one.wrong)} of {sum(one.runs)}"], start=1):
            axis.text(x, y - 0.02 - LINE * number, line, fontsize=SIZE)
    return figure


def two_lines(label: str, guess: str, inches: float) -> str:
    """`7 as 1` in a line, or in two where it does not fit."""
    (one,) = fit([f"{label} as {guess}"], inches, SIZE, 1)
    if one == f"{label} as {guess}":
        return one
    first, second = (fit([text], inches, SIZE, 1)[0] for text in (label, f"as {guess}"))
    return f"{first}\n{second}"


def pixels(image: np.ndarray) -> np.ndarray:
    """An image (c, h, w) as red, green and blue, (h, w, 3) bytes: one channel is grey, of other numbers the first."""
    shown = image if len(image) == 3 else np.repeat(image[:1], 3, axis=0)
    if shown.dtype != np.uint8:
        finite = shown[np.isfinite(shown)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        inside = np.nan_to_num(shown, nan=low, posinf=high, neginf=low)
        shown = np.round(255 * (inside - low) / (high - low or 1.0)).astype(np.uint8)
    return shown.transpose(1, 2, 0)
