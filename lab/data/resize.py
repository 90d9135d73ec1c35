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
        # Bytes of colour to a single pixel end in an assertion of torch (2.13): as numbers they do not.
        part = part.float() if side == 1 else part
        found = F.interpolate(part, (side, side), mode="bilinear", antialias=True)
        target.copy_(found if images.is_floating_point() or side > 1 else found.round())
    return out
