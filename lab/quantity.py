"""What runs measure: under which tags, which way is better, the worst value, bounds and unit, all in one place."""

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """What can be known of a number from what it measures."""

    lower_is_better: bool = False
    worst: float = -math.inf
    """What a run scores that diverged: nothing that a run can reach is worse."""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    """The least and the greatest value that can occur."""
    unit: str = ""

    @property
    def unreached(self) -> float:
        """What any number is better than, and NaN is not: where a search for the best begins."""
        return math.inf if self.lower_is_better else -math.inf

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better; never for NaN."""
        return value < than if self.lower_is_better else value > than


SHARE = Quantity(worst=0.0, bounds=(0.0, 1.0))
ERROR = Quantity(True, math.inf, (0.0, math.inf))
AMOUNT = Quantity(bounds=(0.0, math.inf))
"""A number of which neither more nor less is better; as the best one the greatest is kept."""

SPREAD = Quantity(bounds=(0.0, 1.0))
"""Of probabilities; neither more nor less of it is better."""

QUANTITIES = {
    "accuracy": SHARE,
    "top5": SHARE,
    "loss": Quantity(True, math.inf),  # not bounded: a user's own may be negative
    "error": ERROR,
    "rmse": ERROR,
    "mse": ERROR,
    "mae": ERROR,
    "r2": Quantity(bounds=(-math.inf, 1.0)),
    "lr": AMOUNT,
    "weight_norm": AMOUNT,
    "near_zero": Quantity(bounds=(0.0, 1.0)),
    "dead_units": Quantity(bounds=(0.0, 1.0)),
    "saturated": Quantity(bounds=(0.0, 1.0)),
    "gradient_norm": AMOUNT,
    "gradient_ratio": AMOUNT,
    "learning_ratio": AMOUNT,
    "gradient_change": ERROR,
    "loss_change": ERROR,
    "clipped": Quantity(bounds=(0.0, 1.0)),
    "penalty": AMOUNT,
    "skipped": AMOUNT,
    "restored_step": AMOUNT,
    "x": Quantity(),
    "y": Quantity(),
    "mc_accuracy": SHARE,
    "mc_nll": ERROR,
    "mc_ece": Quantity(True, 1.0, (0.0, 1.0)),
    "mc_spread": SPREAD,
    "mc_spread_right": SPREAD,
    "mc_spread_wrong": SPREAD,
    "mc_auroc": SHARE,
}
"""What runs log, by the last part of its tag: `val/top5` is `top5`."""

OF_TASKS = ("loss", "accuracy", "top5", "rmse", "mae", "r2")
"""What is measured of images, of classes or of numbers."""

WATCHED = ("dead_units", "saturated", "gradient_norm", "gradient_ratio", "learning_ratio")
"""What is logged of a net's layers with `train.watch`, all taken together."""

ALONG_STEP = ("gradient_change", "loss_change")
"""What is logged of the last step with `train.watch_smoothness`."""

OF_A_POINT = ("x", "y")
"""What is logged of a point on a surface (`lab list surfaces`)."""

OF_TRAINING = (
    "lr",
    "weight_norm",
    "near_zero",
    "clipped",
    "penalty",
    "skipped",
    "restored_step",
    *WATCHED,
    *ALONG_STEP,
    *OF_A_POINT,
)
"""What is logged of training besides."""

SAMPLED = ("mc_accuracy", "mc_nll", "mc_ece", "mc_spread", "mc_spread_right", "mc_spread_wrong", "mc_auroc")
"""What `train.mc_passes` measures of the test images of a classification."""

TAGS = (
    *(f"{split}/{name}" for split in ("val", "test") for name in OF_TASKS),
    *(f"test/{name}" for name in SAMPLED),
    *(f"train/{name}" for name in (*OF_TASKS, *OF_TRAINING) if name != "top5"),
)
"""Every tag that a run may log; which of them it does is known once its parts are built (`lab.runs.build`)."""

WORDS = ("loss", "error", "rmse", "mse", "mae", "accuracy")
"""Words that tell what other tags measure, the first of them that a tag has: `val/top1_error` is an error, and so is
`error/val`. Of a tag with none of them more is better."""

RESULTS = {
    "images_per_second": Quantity(bounds=(0.0, math.inf), unit="images/s"),
    "train_seconds": Quantity(True, math.inf, (0.0, math.inf), "seconds"),
    "num_params": Quantity(True, math.inf, (0.0, math.inf), "parameters"),
}
"""Figures of `result.json` that can be compared like what was logged."""

LEAST = 1.4e-45
"""The smallest number above 0 that float32 has."""


def base_name(tag: str) -> str:
    """The name in `QUANTITIES` of what is logged under `tag`: its last part, else a word of it; empty if unknown."""
    last = tag.rpartition("/")[2]
    words = re.split("[^A-Za-z]+", tag)
    return last if last in QUANTITIES else next((word for word in WORDS if word in words), "")


def quantity(tag: str) -> Quantity:
    """What is logged under `tag`; of an unknown quantity nothing is known but that more is better."""
    return QUANTITIES.get(base_name(tag), Quantity())


def decades(value: float) -> float:
    """The decadic logarithm of what a quantity is: that of `LEAST` for 0, NaN for what is negative and finite."""
    if value < 0:
        return value if math.isinf(value) else math.nan
    return value if math.isinf(value) else math.log10(max(value, LEAST))


def in_decades(found: Quantity) -> Quantity:
    """The decadic logarithm of a quantity, as a quantity."""
    low, high = (end if math.isinf(end) else decades(end) for end in found.bounds)
    return Quantity(found.lower_is_better, decades(found.worst), (low, high))
