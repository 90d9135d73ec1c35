"""How sure nets are beside how often they are right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.records.results import Run

if TYPE_CHECKING:
    import numpy as np

BINS = 15
"""Of the calibration error, as in Guo et al. 2017, table 1."""


@dataclass(frozen=True)
class Calibration:
    """Confidence beside accuracy, in bins of equal width: the mean over the runs of each seed.

    The reliability diagram and its expected calibration error, sum over bins of (images in bin / images) times
    |accuracy - mean confidence| (Guo et al. 2017, equations 1 to 3). With few images in a bin it is too large by
    chance, also where probabilities are right.
    """

    seeds: list[int]
    counts: "np.ndarray"
    """Images, (seeds, bins)."""
    confidences: "np.ndarray"
    """Sum of their confidences."""
    rights: "np.ndarray"
    """How many of them are classified right."""

    @property
    def errors(self) -> list[float]:
        """The expected calibration error of each seed."""
        return (abs(self.rights - self.confidences).sum(1) / self.counts.sum(1)).tolist()

    @property
    def gaps(self) -> list[float]:
        """Mean confidence minus accuracy of each seed: above 0 where nets are surer than they are right."""
        return ((self.confidences.sum(1) - self.rights.sum(1)) / self.counts.sum(1)).tolist()


def measure_calibration(runs: Sequence[Run]) -> Calibration:
    """The calibration of runs, each of which kept its confidence."""
    import numpy as np

    seeds, by_seed = list(dict.fromkeys(run.seed for run in runs)), []
    for seed in seeds:
        rows = []
        for run in runs:
            if run.seed == seed and (kept := run.predictions):
                confidence = kept["confidence"].astype(np.float64)
                place = np.clip(np.ceil(confidence * BINS), 1, BINS).astype(np.int64) - 1
                right = (kept["label"] == kept["predicted"]).astype(np.float64)
                weights = (None, confidence, right)
                rows.append([np.bincount(place, weights=one, minlength=BINS) for one in weights])
        by_seed.append(np.mean(rows, axis=0))
    counts, confidences, rights = np.stack(by_seed, axis=1)
    return Calibration(seeds, counts, confidences, rights)
