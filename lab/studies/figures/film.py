"""The paths over surfaces as an animated GIF: step by step, at the pace of a viewer."""

import io
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from lab.studies.figures.paths import Tracks, stage, trace
from lab.studies.figures.style import COLORS, STYLE

FRAMES = 60
"""Most frames; the first steps have more of them than the last ones, as most happens there."""

MILLISECONDS, LAST = 80, 2500
"""For which a frame stands, and the last one."""

DPI = 90

CLEAR = 255
"""The index of what a frame leaves as it was."""

SHADES = 6
"""Of each colour towards white, so that edges are smooth."""


@rc_context(STYLE)
def film(tracks: Tracks) -> bytes:
    """The animated GIF, which begins again after its end."""
    figure, axes = stage(tracks)
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    counter = Text(0.985, 0.985, "", ha="right", va="top", figure=figure, transform=figure.transFigure)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    palette = shades()
    frames = []
    for step in frame_steps(max(len(track.points) for found in tracks.panels.values() for track in found) - 1):
        canvas.restore_region(background)
        for axis, found in zip(axes, tracks.panels.values(), strict=True):
            for track in found:
                line = trace(track, step + 1)
                axis.add_line(line)
                axis.draw_artist(line)
                line.remove()
                (head,) = axis.plot(*track.points[: step + 1][-1], "o", color=track.color, markersize=4, zorder=5)
                axis.draw_artist(head)
                head.remove()
        counter.set_text(f"step {round(step * tracks.steps / (len(longest(tracks)) - 1))}")
        counter.draw(canvas.get_renderer())
        shown = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
        frames.append(np.asarray(shown.quantize(palette=palette, dither=Image.Dither.NONE)))
    return as_gif(frames, palette)


def as_gif(frames: list[Any], palette: Image.Image) -> bytes:
    """Frames (h, w) of indices into `palette` as a GIF in which each holds what has changed, an eighth as long."""
    images = []
    for before, frame in zip([None, *frames], frames, strict=False):
        image = Image.fromarray(frame if before is None else np.where(frame == before, CLEAR, frame).astype(np.uint8))
        image.putpalette(palette.getpalette() or [])
        images.append(image)
    data, durations = io.BytesIO(), [MILLISECONDS] * (len(images) - 1) + [LAST]
    more = {"transparency": CLEAR, "disposal": 1, "optimize": False}
    images[0].save(data, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, **more)
    return data.getvalue()


def longest(tracks: Tracks) -> Any:
    """The points of the path that has most."""
    return max((track.points for found in tracks.panels.values() for track in found), key=len)


def frame_steps(last: int) -> list[int]:
    """Which points frames end at: from 0 to `last`, nearer to one another at first."""
    shares = np.linspace(0, 1, FRAMES) ** 1.6
    return sorted({round(float(share) * last) for share in shares})


def shades() -> Image.Image:
    """An image with the colours of all frames: those of lines in their shades, and greys."""
    colors = [
        tuple(round(255 * (1 - share * (1 - part))) for part in to_rgb(color))
        for color in COLORS
        for share in np.linspace(1 / SHADES, 1, SHADES)
    ]
    greys = [(level, level, level) for level in range(0, 256, 15)]
    flat = [part for color in (*greys, *colors) for part in color]
    image = Image.new("P", (1, 1))
    image.putpalette(flat + flat[:3] * (256 - len(flat) // 3))
    return image
