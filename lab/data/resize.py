"""Images at another size."""

import torch.nn.functional as F
from torch import Tensor

PIECE = 1024
"""Images resized at once, to bound memory."""


def resize(images: Tensor, side: int) -> Tensor:
    """Images (n, c, h, w), uint8 or float32, as (n, c, `side`, `side`), by antialiased bilinear interpolation; bytes
    stay bytes, and images of that size stay as they are."""
    if images.shape[2:] == (side, side):
        return images
    out = images.new_empty(*images.shape[:2], side, side)
    for part, target in zip(images.split(PIECE), out.split(PIECE), strict=True):
        target.copy_(F.interpolate(part, (side, side), mode="bilinear", antialias=True))
    return out
