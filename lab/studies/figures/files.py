"""How a figure becomes a file, and SVG that stands in a page."""

import io
import re

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from lab.studies.figures.style import COLORS, OTHERS, STYLE

# The page's own colours (`report/page.html.j2`) for those of the figures, so that they follow it into the dark.
THEME = {
    "#ffffff": "var(--card)",
    "#333333": "var(--ink)",
    "#555555": "var(--ink)",
    "#8c8c8c": "var(--axis)",
    "#e4e4e4": "var(--grid)",
    "#f0f0f0": "var(--grid)",
    OTHERS.lower(): "var(--others)",
    **{color.lower(): f"var(--c{i})" for i, color in enumerate(COLORS)},
}


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as `svg` or `png` (200 dots an inch), without a date, so that the same runs give the same bytes."""
    data = io.BytesIO()
    # By the canvas itself: `savefig` draws everything twice, once to find the layout.
    with rc_context(STYLE):
        if kind == "svg":
            metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
            FigureCanvasSVG(figure).print_svg(data, metadata=metadata)
        else:
            figure.set_dpi(200)
            FigureCanvasAgg(figure).print_png(data, metadata={"Software": None}, pil_kwargs={"compress_level": 3})
    # The layout is found once: it costs as much as the drawing, and all files show the same.
    figure.set_layout_engine("none")
    return data.getvalue()


def inline_svg(text: str, prefix: str) -> str:
    """SVG ready to stand in a page: no prologue, no fixed size, the page's colours, and ids that no other figure has.

    It is made a third as long, too: coordinates keep one decimal, a tenth of a point, and the dots of a series share
    their style.
    """
    text = text[text.index("<svg") :]
    head, rest = text[: text.index(">")], text[text.index(">") :]
    text = re.sub(r'\s(xmlns(:\w+)?|width|height|version)="[^"]*"', "", head) + rest
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(url\(|xlink:href=")#', rf"\1#{prefix}-", text).replace("xlink:href", "href")
    text = re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda found: THEME.get(found[0], found[0]), text)
    text = re.sub(r' (?:d|x|y|points|transform)="[^"]*"', lambda found: re.sub(r"(\d\.\d)\d+", r"\1", found[0]), text)
    text = re.sub(r"<g([^>]*)>\s*((?:<use [^>]*/>\s*){2,})</g>", share_style, text)
    return re.sub(r"\s*\nL ", " L", re.sub(r"\n\s+<", "\n<", text))


def share_style(group: re.Match) -> str:
    """A group of markers with the style that all of them have."""
    styles = set(re.findall(r' style="([^"]*)"', group[2]))
    if len(styles) != 1 or "style=" in group[1]:
        return group[0]
    return f'<g{group[1]} style="{styles.pop()}">' + re.sub(r' style="[^"]*"', "", group[2]) + "</g>"
