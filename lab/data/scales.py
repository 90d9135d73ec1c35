"""Input scaling by name: the shift that is subtracted from each channel (or feature), then the factor."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

PIECE = 4096
"""Images per chunk, a quarter of it for bytes: a float64 copy of all would take eight times the memory."""


def standard(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Zero mean and unit variance a channel (or feature) over the training images; a constant one is shifted only."""
    count = train.numel() * images[0, 0].numel()
    sums = torch.zeros(2, images.shape[1], dtype=torch.float64, device=images.device)
    for part in _pieces(images, train):
        values = part.double()
        sums += torch.stack([_over_all(torch.sum, values), _over_all(torch.sum, values.square_())])
    mean = sums[0] / count
    variance = sums[1] / count - mean.square()
    varied = variance > 1e-12 * mean.square()  # below is rounding: what is constant here keeps its scale elsewhere
    return mean.float(), (1 / torch.where(varied, variance, 1.0).sqrt()).float()


def zero_one(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """0 to 1: the range of bytes, or of float pixels over the training part; of each feature over its rows."""
    low, span = _range(images, train)
    return low.float(), (1 / span).float()


def minus_one_one(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """-1 to 1: `zero_one` stretched to twice the length."""
    low, span = _range(images, train)
    return (low + span / 2).float(), (2 / span).float()


def positive(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Unit variance a channel (or feature), and 0 its least value over the training images."""
    _, factor = standard(images, train)
    low = torch.stack([_over_all(torch.amin, part) for part in _pieces(images, train)]).amin(0)
    return low.float(), factor


def raw(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """As stored: 0 to 255 for images."""
    return torch.zeros(images.shape[1]), torch.ones(images.shape[1])


SCALES: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "standard": standard,
    "zero_one": zero_one,
    "minus_one_one": minus_one_one,
    "positive": positive,
    "raw": raw,
}
"""From all images (n, c, h, w) or features (n, c), and indices of the training part (k,), to shift and factor (c,)."""


def _pieces(images: Tensor, train: Tensor) -> Iterator[Tensor]:
    piece = PIECE // 4 if images.dtype == torch.uint8 else PIECE  # sums of bytes are exact in any order
    return (images[index] for index in train.split(piece))


def _over_all(reduce: Callable[..., Tensor], part: Tensor) -> Tensor:
    """`reduce` across all dimensions but the channels: (c,)."""
    return reduce(part, [0, *range(2, part.ndim)])


def _range(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Least value and distance from it to the greatest, (c,) float64; 1 if they are equal."""
    if images.ndim == 2:  # features have different units, so each gets its range
        rows = images[train].cpu().double()
        low, high = rows.amin(0), rows.amax(0)
    else:
        ends = (0.0, 255.0)
        if images.dtype != torch.uint8:
            least, most = zip(*((part.min().item(), part.max().item()) for part in _pieces(images, train)), strict=True)
            ends = min(least), max(most)
        low, high = (torch.full((images.shape[1],), end, dtype=torch.float64) for end in ends)
    return low, torch.where(high > low, high - low, 1.0)
