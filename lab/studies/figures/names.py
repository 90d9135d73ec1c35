"""Names in figures: every text drawn as it is written, in the room there is, and no two of them alike."""

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

FONTS = ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"]
FONTS += ["Noto Sans CJK JP", "Hiragino Sans", "PingFang SC", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS"]
"""In the order in which a character is searched in them; the last ones are for scripts that the first ones lack."""

GAP = "\u2026"
"""Stands for what was cut out of a name."""


@lru_cache(maxsize=1)
def glyph_widths() -> list[tuple[Collection[int], Callable[[int], float]]]:
    """Of each font that is installed the characters that it has, and their widths as a share of the size."""
    paths = dict.fromkeys(path for name in FONTS if (path := installed(name)))

    def measure(font: FT2Font) -> Callable[[int], float]:
        return lambda code: font.load_char(code).linearHoriAdvance / 65536 / 100

    fonts = list(map(FT2Font, paths))  # not those of matplotlib, which sets their size as it draws
    for font in fonts:
        font.set_size(100, 72)
    return [(font.get_charmap(), measure(font)) for font in fonts]


def installed(name: str) -> str:
    """The file of a font; empty where it is not installed."""
    try:
        return os.fspath(findfont(FontProperties(family=name), fallback_to_default=False))
    except ValueError:
        return ""


@lru_cache(maxsize=10_000)
def glyph_width(character: str) -> float | None:
    """The width of a character as a share of the size; None where no font has it."""
    code = ord(character)
    return next((width(code) for known, width in glyph_widths() if code in known), None)


def plain(text: str) -> str:
    """`text` in one line of visible characters, escaped where they are not, or where no font has them: `a\\nb`."""

    def shown(character: str) -> str:
        # Of the categories those of controls, of text that runs the other way, of halves of characters, of line ends.
        odd = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        return character.encode("unicode_escape").decode() if odd or glyph_width(character) is None else character

    return "".join(map(shown, text))


def width(text: str, size: float) -> float:
    """Inches that a line of plain text takes at a size in points."""
    return sum(glyph_width(character) or 1.0 for character in text) * size / 72


def wrap(text: str, most: float, measure: Callable[[str], float] = len) -> str:
    """`text` in lines of at most `most` characters: broken after commas, else at spaces, else after - and _."""
    lines = [text]
    for piece in (r"[^,]+,*\s*|,+\s*", r"\S+\s*|\s+", r"[^-_]+[-_]*|[-_]+"):
        lines = [
            part
            for line in lines
            for part in (packed(re.findall(piece, line), most, measure) if measure(line) > most else [line])
        ]
    return "\n".join(lines)


def packed(parts: Sequence[str], most: float, measure: Callable[[str], float] = len) -> list[str]:
    """`parts` joined into lines of at most `most` characters each, but for parts that are longer."""
    lines = [""]
    for part in parts:
        if lines[-1] and measure((lines[-1] + part).rstrip()) > most:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def fit(names: Iterable[str], inches: float, size: float, most_lines: int = 3) -> list[str]:
    """`names` as plain text in at most `most_lines` lines of `inches` each, cut where they are longer.

    What is alike in all of the long ones goes first, then the middle of each. Names that differ stay different: where
    cutting makes two alike they are numbered.
    """
    names = list(names)
    texts = [plain(name) for name in names]

    def fits(text: str) -> bool:
        lines = wrapped(text).split("\n")
        return len(lines) <= most_lines and all(width(line, size) <= inches for line in lines)

    def wrapped(text: str) -> str:
        return wrap(text, inches, lambda line: width(line, size))

    def cut(head: float) -> list[str]:
        return [text if fits(text) else shortened(text, head, fits) for text in texts]

    def distinct(found: Sequence[str]) -> bool:
        return len(set(found)) == len(set(names))

    tries = (lambda: cut(0.5), lambda: [*map(without_shared(texts, fits), texts)], lambda: cut(0.1), lambda: cut(0.9))
    found = next((found for attempt in tries if distinct(found := attempt())), None)
    if found is None:
        numbers = {name: f"({number}) " for number, name in enumerate(dict.fromkeys(names), 1)}
        texts = [numbers[name] + text for name, text in zip(names, texts, strict=True)]
        found = cut(0.5)
    return [wrapped(text) for text in found]


def shortened(text: str, head: float, fits: Callable[[str], bool]) -> str:
    """The longest part of `text` that fits, with a gap in it: a share of `head` before it."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(with_gap(text, middle, head)) else (low, middle - 1)
    return with_gap(text, low, head)


def with_gap(text: str, kept: int, head: float) -> str:
    first = round(kept * head)
    return text[:first] + GAP + text[len(text) - (kept - first) :]


def without_shared(texts: Sequence[str], fits: Callable[[str], bool]) -> Callable[[str], str]:
    """A function that cuts from long texts what all long ones begin and end with, and then their middle if need be."""
    long = [text for text in texts if not fits(text)]
    start = num_shared(long)
    end = num_shared([text[start:][::-1] for text in long])

    def cut(text: str) -> str:
        if fits(text):
            return text
        rest = GAP * (start > 0) + text[start : len(text) - end] + GAP * (end > 0)
        return rest if fits(rest) else shortened(rest, 0.5, fits)

    return cut


def num_shared(texts: Sequence[str]) -> int:
    """How many characters all of `texts` begin with."""
    columns = enumerate(zip(*texts, strict=False))
    return next((index for index, column in columns if len(set(column)) > 1), min(map(len, texts), default=0))
