"""What theory says of the result of one operation, for given examples, over all draws of the weights."""

from dataclasses import dataclass, replace

from torch import Tensor

NORMAL, SYMMETRIC, OTHER = "normal", "symmetric", "other"
"""How a value is distributed over draws of the weights, given its example: N(0, moment), symmetric about 0, or else."""


@dataclass(frozen=True)
class Signal:
    """Moments of each value, (b, ...), over draws of the weights."""

    moment: Tensor
    """E[x^2]"""
    mean: Tensor | None
    """E[x]; None where it is not known."""
    law: str = OTHER
    exact: bool = True
    """Whether `moment` is right for each example and place; else its mean over all of them alone."""
    center: float | None = None
    """Mean of all values, where it is known although `mean` is not."""
    tied: bool = False
    """Of a gradient: whether it depends on the signals at its place, as that of a loss or of max pooling does."""

    @property
    def second_moment(self) -> float:
        """Mean square of all values."""
        return float(self.moment.double().mean())

    @property
    def variance(self) -> float | None:
        """Variance of all values about their common mean; None where that mean is not known."""
        mean = self.center if self.mean is None else float(self.mean.double().mean())
        return None if mean is None else self.second_moment - mean**2

    def through(self, moment: Tensor, mean: Tensor | None, factor: float = 1.0) -> "Signal":
        """The same law with other moments; `factor` is what all values were multiplied by."""
        center = None if self.center is None else self.center * factor
        return replace(self, moment=moment, mean=mean, center=center)


@dataclass(frozen=True)
class Forecast:
    """A prediction for the result of one operation, or the reason why there is none."""

    signal: Signal
    """The prediction; where there is none, what was measured."""
    reason: str = ""
    """Why there is no prediction; empty if there is one."""
    since: tuple[str, ...] = ()
    """Places of operations behind which the prediction starts from measured values."""
    slope: Tensor | None = None
    """E[f'^2] of an activation, of the shape of `signal.moment`."""
    linear: bool = False
    """Whether it is one slope for all inputs."""


class NoTheoryError(Exception):
    """No formula is right here; the message says why."""
