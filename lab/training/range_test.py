"""The learning-rate range test (Smith 2017): one short run whose rate rises exponentially until the loss blows up."""

import copy
import math
from dataclasses import dataclass
from statistics import fmean, pstdev

from lab.errors import check_range
from lab.training.fit import Member, train_step

STOP = 4.0
"""The test ends where the smoothed loss is this many times its least so far, as in fastai's `lr_find`."""

SPAN = 0.05
"""Share of the test over which the loss is averaged and its slope is taken: ten of 200 steps, 0.4 of eight decades."""


@dataclass(frozen=True)
class RangeTest:
    """What the test measured, a value a step; the loss of a step is that before its update."""

    rates: list[float]
    """The rate of each step."""
    losses: list[float]
    smoothed: list[float]
    steps: int
    """How many there would have been up to the highest rate."""

    outcome: str
    """Why it ended: `blew up` (`STOP`), `not finite` (the loss), or `reached the end`."""

    @property
    def tenth(self) -> int:
        """Steps of the first tenth, where the rate does nothing yet and the mean is of few losses."""
        return max(3, round(2 * SPAN * self.steps))

    @property
    def least(self) -> int | None:
        """The step of the least smoothed loss before it first climbs back half of what it had fallen.

        None where it never falls by two standard deviations of the losses of the first tenth, which batches that
        differ may do alone. Past a first blow-up a net may fall once more, but at rates that it cannot start with.
        """
        start = self.losses[: self.tenth]
        found = None
        for step in range(self.tenth, len(self.smoothed)):
            mean = self.smoothed[step]
            if mean < min(self.smoothed[found] if found else math.inf, fmean(start) - 2 * pstdev(start)):
                found = step
            elif found and mean > (fmean(start) + self.smoothed[found]) / 2:
                break
        return found

    @property
    def steepest(self) -> int | None:
        """The step before the least where the smoothed loss falls fastest over log(rate), by the slope across `SPAN`.

        The first tenth takes no part, as in fastai; None where there is no least, or too near to that tenth.
        """
        reach = max(1, round(SPAN * self.steps / 2))
        middles = range(self.tenth + reach, (self.least or 0) - reach + 1)
        return min(middles, key=lambda i: self.smoothed[i + reach] - self.smoothed[i - reach], default=None)

    @property
    def suggestion(self) -> float | None:
        """A rate to train with: the geometric mean of the rate of the steepest descent and of a tenth of the least's.

        Either alone is a rule in use (fastai's `steep` and `minimum`, after Smith 2017), and each fails in a way of
        its own: batches that differ shift the steepest place severalfold, and a net that has learnt its data by heart
        before the rate is high finds its least too late. None where the loss did not fall.
        """
        if self.least is None or self.steepest is None:
            return None
        return math.sqrt(self.rates[self.steepest] * self.rates[self.least] / 10)


def range_test(member: Member, low: float, high: float, steps: int) -> RangeTest:
    """Trains `member` for up to `steps` steps, the rate of step i being low (high / low)^(i / (steps - 1)).

    Ends at the first loss that is not finite, or whose running mean is above `STOP` times the least so far. Afterwards
    the member is as it was before: weights, optimizer, schedule, generators and counts.

    Args:
        member: a run as `lab.runs.build.assemble` makes it; its own schedule is left aside, its clipping acts.
        low: first rate, above 0.
        high: last rate, above `low`.
        steps: most optimizer steps, at least 10; more than an epoch has go round again.

    Raises:
        UserError: a value out of range.
    """
    check_range("--low", low, 0 < low < math.inf, "above 0")
    check_range("--high", high, low < high < math.inf, f"above --low={low:g}")
    check_range("--steps", steps, steps >= 10, "at least 10")
    before, training = copy.deepcopy(member.state()), member.model.training
    given = member.lr, member.schedule, member.steps, member.graph
    member.lr, member.steps, member.step, member.graph = 1.0, steps, 0, None  # every loss is read: no need to hurry
    member.schedule = lambda progress: low * (high / low) ** (progress * steps / (steps - 1))
    member.model.train()
    weight = 1 - 2 / (max(1, round(SPAN * steps)) + 1)  # the mean age of a loss is that in a window of so many steps
    mean = 0.0
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    outcome = "reached the end"
    try:
        for step in range(1, steps + 1):
            loss = step_loss(member)
            if not math.isfinite(loss):
                outcome = "not finite"
                break
            mean = weight * mean + (1 - weight) * loss
            rates.append(member.optimizer.param_groups[0]["lr"])
            losses.append(loss)
            smoothed.append(mean / (1 - weight**step))
            if smoothed[-1] > STOP * min(smoothed):
                outcome = "blew up"
                break
    finally:
        member.lr, member.schedule, member.steps, member.graph = given
        member.load_state(before)
        member.model.train(training)
    return RangeTest(rates, losses, smoothed, steps, outcome)


def step_loss(member: Member) -> float:
    """One optimizer step; returns the mean loss of its batch, before the update. This waits for the device."""
    member.totals.zero_()
    member.num_images = 0
    train_step(member)
    return member.totals[0].item() / member.num_images
