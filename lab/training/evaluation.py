"""What a net achieves on a split as it stands: loss and metrics, in evaluation mode, batch by batch."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lab.training.losses import Loss
from lab.training.parallel import ALONE, Ranks
from lab.training.tally import Metrics

MOST_IMAGES, MOST_IMAGES_GPU = 128, 1000
"""Most images in an evaluation batch; the result depends on it by rounding alone. On a CPU 1000 took up to three times
as long, as activations of more than 32 MB are mapped and cleared anew at every use."""

MOST_VALUES = 256 * 3 * 32 * 32
"""Most values of its images, so that an evaluation never needs the most memory of a run."""


def eval_batch(shape: tuple[int, ...], device: torch.device) -> int:
    """Images of `shape` in an evaluation batch on `device`."""
    most = MOST_IMAGES if device.type == "cpu" else MOST_IMAGES_GPU
    return max(1, min(most, MOST_VALUES // math.prod(shape)))


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    metrics: Metrics,
    autocast: torch.dtype | None = None,
    ranks: Ranks = ALONE,
    seen: list[tuple[Tensor, Tensor]] | None = None,
) -> dict[str, float]:
    """Mean loss and the metrics of `model`, in evaluation mode, over `batches` of images and labels.

    Each of `ranks` reads its share of them and returns the same. `seen` gets of each batch of this rank the number of
    each image's greatest output, (b,), and its share in the softmax of all, (b,). The sums are read once, at the end.
    """
    model.eval()
    totals, count = [], 0
    for images, labels in batches:
        count += len(labels)
        images, labels = ranks.share(images, labels)
        if not len(labels):  # fewer images than ranks
            totals.append(torch.zeros(1 + metrics.num_sums, dtype=torch.float64, device=images.device))
            continue
        with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
            outputs = model(images)  # (b, k)
            loss_sum = loss(outputs, labels, "sum")
        totals.append(torch.cat([loss_sum.view(1), metrics.sums(outputs, labels)]))
        if seen is not None:
            guesses = outputs.argmax(1)
            seen.append((guesses, outputs.float().softmax(1).gather(1, guesses[:, None])[:, 0]))
    loss_sum, *sums = ranks.total(torch.stack(totals).sum(0)).tolist()  # waits for the device
    return {"loss": loss_sum / count, **dict(zip(metrics.names, metrics.values(sums, count), strict=True))}
