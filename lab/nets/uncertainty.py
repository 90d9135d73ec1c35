"""Whether a net knows what it does not know: probabilities and their spread over passes, beside the truth."""

import math

import torch
from torch import Tensor

from lab.nets.monte_carlo import Prediction
from lab.quantity import SAMPLED

BINS = 15
"""Of the calibration error, as in Guo et al. 2017, table 1."""


def uncertainty(found: Prediction, labels: Tensor) -> dict[str, float]:
    """The figures of `lab.quantity.SAMPLED`, all NaN if a probability is not finite.

    With p the mean probabilities over the passes (Gal and Ghahramani 2016) and s the standard deviation over the passes
    of the predicted class's probability:

    - `mc_accuracy`: share of images whose greatest p is that of the label;
    - `mc_nll`: mean of -ln p(label), nats;
    - `mc_ece`: expected calibration error, see `calibration_error`;
    - `mc_spread`, `mc_spread_right`, `mc_spread_wrong`: mean of s over all images, those that are right, and those that
      are wrong; NaN where there are none;
    - `mc_auroc`: share of pairs of a wrong and a right image in which the wrong one has the larger s, ties counted half
      (area under the ROC curve, Hendrycks and Gimpel 2017); 0.5 is chance, NaN where all are right or all wrong.

    Args:
        found: of n images.
        labels: their classes, (n,).
    """
    if not bool(found.mean.isfinite().all()):
        return dict.fromkeys(SAMPLED, math.nan)
    confidence, predicted = found.mean.max(1)
    spread = found.std.gather(1, predicted.unsqueeze(1)).squeeze(1)
    right = predicted == labels
    own = found.mean.gather(1, labels.unsqueeze(1)).clamp_min(torch.finfo(found.mean.dtype).tiny)
    values = (
        right.double().mean(),
        -own.log().mean(),
        calibration_error(confidence, right),
        spread.mean(),
        spread[right].mean(),  # NaN of none
        spread[~right].mean(),
        auroc(spread[~right], spread[right]),
    )
    return dict(zip(SAMPLED, map(float, values), strict=True))


def calibration_error(confidence: Tensor, right: Tensor) -> Tensor:
    """Mean over images of |accuracy - mean confidence| in the image's bin, of `BINS` of equal width (Naeini et al.
    2015; Guo et al. 2017, equation 3).

    Args:
        confidence: probability of the predicted class, (n,).
        right: whether it is the label, (n,).
    """
    bins = (confidence * BINS).ceil().clamp(1, BINS).long() - 1
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, right.double() - confidence.double())
    return gaps.abs().sum() / len(confidence)


def auroc(higher: Tensor, lower: Tensor) -> Tensor:
    """Share of pairs in which the one of `higher` is larger than that of `lower`, ties counted half; NaN without."""
    order = lower.sort().values
    below = torch.searchsorted(order, higher) + torch.searchsorted(order, higher, right=True)
    return below.double().mean() / 2 / len(order) if len(order) else torch.tensor(math.nan)
