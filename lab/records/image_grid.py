"""Grids of images as PNG, for TensorBoard."""

import io
import math
from collections.abc import Sequence

import numpy as np

SIDE = 56
"""Minimum side of an image in a grid, in pixels: smaller ones are enlarged by a whole factor."""

CAPTION = 13
"""Height of the line of text below an image, in pixels."""


def grid_png(images: np.ndarray, captions: Sequence[str] = ()) -> tuple[bytes, tuple[int, int]]:
    """Images side by side, in rows, as one PNG.

    Args:
        images: (n, c, h, w), any float range; the smallest value becomes black and the largest white. One channel is
            grey, three are colours; of any other number the first is shown.
        captions: a line of ASCII below each; none if empty.

    Returns:
        The bytes of the PNG, and its (height, width) in pixels.
    """
    from PIL import Image, ImageDraw

    n, channels, h, w = images.shape
    shown = images if channels == 3 else images[:, :1].repeat(3, axis=1)  # (n, 3, h, w)
    finite = np.nan_to_num(shown.astype(np.float64), posinf=0.0, neginf=0.0)
    low, span = finite.min(), np.ptp(finite) or 1.0
    pixels = np.round(255 * (finite - low) / span).astype(np.uint8).transpose(0, 2, 3, 1)  # (n, h, w, 3)
    scale = max(1, math.ceil(SIDE / min(h, w)))
    cell_w, cell_h = w * scale + 4, h * scale + 4 + CAPTION * bool(captions)
    rows = math.ceil(n / max(1, math.isqrt(2 * n)))
    columns = math.ceil(n / rows)  # rows of about the same length: 16 are four by four
    sheet = Image.new("RGB", (columns * cell_w, rows * cell_h), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for i, image in enumerate(pixels):
        x, y = i % columns * cell_w + 2, i // columns * cell_h + 2
        sheet.paste(Image.fromarray(image).resize((w * scale, h * scale), Image.Resampling.NEAREST), (x, y))
        if captions:
            draw.text((x, y + h * scale), captions[i][: cell_w // 6], fill=(0, 0, 0))
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue(), (sheet.height, sheet.width)
