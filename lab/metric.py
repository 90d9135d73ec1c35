"""What a metric is: how the score of a run is read from the quantities that it logged.

A run logs quantities (`lab.quantity`) under tags, `val/accuracy`; a metric is the last value of one, a summary of its
curve, the time to reach a threshold, or a figure of the result: `parse_metric` reads all of them.
"""

import math
import operator
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache

from lab.errors import UserError, nearest
from lab.quantity import ERROR, RESULTS, SAMPLED, SHARE, Quantity, base_name, decades, in_decades, quantity

SUGGESTED = ("val/accuracy", "val/rmse", "val/loss")
"""What `auto` may be: the first of them that runs log."""

COORDINATES = {"steps_to": "step", "seconds_to": "seconds"}
"""Times to a threshold, and what of a logged row they are."""

REACHED = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}

TIME_TO = re.compile(r"(steps|seconds)_to\(\s*(\S+?)\s*(>=|<=|>|<)\s*([^\s)]+)\s*\)")
TRAINS = re.compile(r"trains\(\s*(\S+?)\s*(>=|<=|>|<)\s*([^\s)]+)\s*\)")
SUMMARY = re.compile(r"(best|first|mean|auc|gap|turns|rise)\(\s*([^\s,()]+)\s*(?:,\s*(\S+?)\s*)?\)")
LOGARITHM = re.compile(r"log10\((.*)\)")
FORMS = (
    "best(val/accuracy), mean(val/accuracy, 5), first(val/accuracy), auc(val/accuracy), gap(accuracy), "
    "turns(val/loss), rise(val/loss), log10(train/weight_norm), trains(val/accuracy >= 0.8), "
    "steps_to(val/accuracy >= 0.8)"
)


def apart(bounds: tuple[float, float]) -> tuple[float, float]:
    """The least and the greatest difference between two numbers within `bounds`."""
    low, high = bounds
    return low - high, high - low


@dataclass(frozen=True)
class Metric:
    """What runs are compared by: see `parse_metric`."""

    text: str
    """As it was written."""
    kind: str
    """`last`, `best`, `first`, `mean`, `auc`, `gap`, `turns`, `rise`, `trains`, `steps_to`, `seconds_to`, `result`, or
    `auto`."""
    tags: tuple[str, ...]
    """What it is made of, the one whose curve shows it first; empty for `auto`."""
    count: int = 1
    """How many of the last values a `mean` is of."""
    sign: str = ""
    """`>=`, `<=`, `>` or `<`, of a time to a threshold, and of `trains`."""
    threshold: float | None = None
    in_decades: bool = False
    """Whether it is the decadic logarithm of what the rest says."""

    def __str__(self) -> str:
        return self.text

    @property
    def is_time_to(self) -> bool:
        """Whether it is the time until a threshold was reached."""
        return self.kind in COORDINATES

    @property
    def is_share(self) -> bool:
        """Whether it is 1 for a run that fulfils a condition and 0 for others, so that its mean is a share of runs."""
        return self.kind == "trains"

    @property
    def condition(self) -> str:
        """`val/accuracy >= 0.8`, of `trains`."""
        return f"{self.tags[0]} {self.sign} {self.threshold:g}"

    @property
    def quantity(self) -> Quantity:
        """Direction, worst value, bounds and unit."""
        if self.is_time_to:
            return Quantity(True, math.inf, (0.0, math.inf), self.kind.removesuffix("_to"))
        if self.kind == "result":
            return in_decades(RESULTS[self.tags[0]]) if self.in_decades else RESULTS[self.tags[0]]
        if self.is_share:
            return SHARE
        if self.kind in ("turns", "rise"):
            return ERROR
        found = quantity(self.tags[0])
        if self.kind == "gap":
            return Quantity(True, math.inf, apart(found.bounds))
        return in_decades(found) if self.in_decades else found

    @property
    def lower_is_better(self) -> bool:
        """Whether a good run has a low score."""
        return self.quantity.lower_is_better

    @property
    def worst(self) -> float:
        """The worst value it can take."""
        return self.quantity.worst

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value it can take."""
        return self.quantity.bounds

    @property
    def difference_bounds(self) -> tuple[float, float]:
        """The least and the greatest difference between two values of it."""
        return apart(self.bounds)

    @property
    def unit(self) -> str:
        """`steps`, `seconds`, `images/s` or `parameters`; empty for a number without unit."""
        return self.quantity.unit

    @property
    def is_about_images(self) -> bool:
        """Whether the images that are classified right in the end explain it; not how soon that happened."""
        plain = self.kind in ("last", "best", "mean") and not self.in_decades
        return plain and base_name(self.tags[0]) == "accuracy"

    @property
    def curve_tag(self) -> str:
        """The tag whose curve shows it; of the test set, which is scored at the end only, that of validation."""
        twin = f"val/{self.tags[0].removeprefix('test/')}"
        return twin if self.tags[0].startswith("test/") and base_name(twin) not in SAMPLED else self.tags[0]

    def scaled(self, value: float) -> float:
        """`value`, or its logarithm if `in_decades`."""
        return decades(value) if self.in_decades else value

    def reached(self, value: float | None) -> bool:
        """Whether `value` is beyond the threshold; None never is."""
        return value is not None and self.threshold is not None and REACHED[self.sign](value, self.threshold)

    def resolve(self, tags: Collection[str]) -> "Metric":
        """The metric itself; for `auto`, of runs that logged `tags`, what their task suggests: the root mean squared
        error where it is among them and accuracy is not, the loss where it is and neither of them is, else accuracy."""
        if self.kind != "auto":
            return self
        return parse_metric(next((tag for tag in SUGGESTED if tag in tags), SUGGESTED[0]))

    def for_choosing(self) -> "Metric":
        """What values are picked by: the metric of validation where it is one of the test; else the task's own, as
        nobody tunes for a small gap, or for many images a second; of `trains`, of which a seed or two tell no share,
        the value that the condition is about."""
        found = parse_metric(re.sub(r"\btest/", "val/", self.tags[0] if self.is_share else self.text))
        chooses = found.kind not in ("gap", "first") and all(
            tag.startswith("val/") and base_name(tag) not in SAMPLED for tag in found.tags
        )
        return found if chooses else parse_metric("auto")

    def check(self, tags: Collection[str]) -> None:
        """Raises `UserError` unless all that it is made of is among `tags` (anything goes if there are none)."""
        for tag in self.tags if tags and self.kind != "result" else ():
            if tag not in tags:
                names = [*sorted(tags), *RESULTS]
                raise UserError(
                    f"metric '{tag}' is unknown{nearest(tag, names)}; there are: {', '.join(names)}, and {FORMS}"
                )


@lru_cache(1000)
def parse_metric(text: str) -> Metric:
    """Reads a metric.

    `val/accuracy` and other tags are the last value logged, `best(val/accuracy)` the best, `first(val/accuracy)` the
    first, `mean(val/accuracy, 5)` the mean of the last five, `auc(val/accuracy)` the area under the curve over the
    steps, divided by their range, and `gap(accuracy)` by how much the last validation value is worse than the last
    training value (for an accuracy train minus val, for a loss val minus train). `turns(train/x)` is how often the
    logged values turned round, swings below a hundredth of their range aside, and `rise(val/loss)` the sum of all their
    rises. `steps_to(val/accuracy >= 0.8)` is the first logged step at which the condition held, `seconds_to(...)` the
    seconds of training until then, and `trains(val/accuracy >= 0.8)` whether it held at the end: 1 or 0, so that the
    mean is the share of runs that train. `images_per_second`, `train_seconds` and `num_params` are figures of the
    result, and `auto` is what the task suggests. `log10(...)` is the decadic logarithm, for what differs by factors, of
    a value, a figure, or the best, the first, the mean or the area.

    Raises:
        UserError: it has a parenthesis and is none of these.
    """
    if inner := LOGARITHM.fullmatch(text.strip()):
        found = parse_metric(inner[1].strip())
        if found.kind not in ("last", "best", "first", "mean", "auc", "result") or found.in_decades:
            raise UserError(
                f"metric '{text}' cannot be read; log10(...) takes a logged value or its best(...), first(...), "
                "mean(...) or auc(...), as log10(first(train/gradient_norm))"
            )
        return replace(found, text=text, in_decades=True)
    if text.strip().startswith(("best(", "first(", "mean(", "auc(", "gap(", "turns(", "rise(")):
        match = SUMMARY.fullmatch(text.strip())
        kind, tag, count = match.groups() if match else ("", "", None)
        # A number belongs to a mean, and to nothing else.
        counted = count is not None and count.isdecimal() and int(count) > 0
        good = counted if kind == "mean" else kind and count is None
        if not good or (kind == "gap" and "/" in tag):
            raise UserError(f"metric '{text}' cannot be read; there are: {FORMS} and seconds_to(...)")
        return Metric(text, kind, (f"val/{tag}", f"train/{tag}") if kind == "gap" else (tag,), int(count or 1))
    if "(" in text:
        match, trains = TIME_TO.fullmatch(text.strip()), TRAINS.fullmatch(text.strip())
        try:
            if trains:
                return Metric(text, "trains", (trains[1],), sign=trains[2], threshold=float(trains[3]))
            unit, tag, sign, threshold = match.groups() if match else ("", "", "", "")
            return Metric(text, f"{unit}_to", (tag,), sign=sign, threshold=float(threshold))
        except ValueError:
            raise UserError(
                f"metric '{text}' cannot be read; write steps_to(val/accuracy >= 0.8) or seconds_to(...), "
                f"with one of {', '.join(REACHED)}; there are also {FORMS.rpartition(', ')[0]}"
            ) from None
    if text == "auto":
        return Metric(text, "auto", ())
    return Metric(text, "result" if text in RESULTS else "last", (text,))
