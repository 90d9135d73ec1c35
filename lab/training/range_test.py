"""The learning-rate range test (Smith 2017): one short run whose rate rises exponentially until the loss blows up."""

import copy
import math
from dataclasses import dataclass, replace
from statistics import fmean, pstdev

from lab.errors import check_range
from lab.training.fit import Training
from lab.training.tally import Tally

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

        Either alone is a rule in use (fastai's `steep` and `minimum`, after Smith 2017), and each can fail: batches
        that differ shift the steepest place severalfold, and a net that has learnt its data by heart before the rate is
        high finds its least too late. None where the loss did not fall.
        """
        if self.least is None or self.steepest is None:
            return None
        return math.sqrt(self.rates[self.steepest] * self.rates[self.least] / 10)


def range_test(run: Training, low: float, high: float, steps: int) -> RangeTest:
    """Trains a run for up to `steps` steps, the rate of step i being low (high / low)^(i / (steps - 1)).

    Ends at the first loss that is not finite, or whose running mean is above `STOP` times the least so far. Afterwards
    the run is as it was before: weights, optimizer, generators and counts.

    Args:
        run: as `lab.runs.build.assemble` makes it; its schedule has no effect, its clipping acts.
        low: first rate, above 0.
        high: last rate, above `low`.
        steps: most optimizer steps, at least 10; after an epoch the next one begins.
    """
    check_range("--low", low, 0 < low < math.inf, "above 0")
    check_range("--high", high, low < high < math.inf, f"above --low={low:g}")
    check_range("--steps", steps, steps >= 10, "at least 10")
    before, training = copy.deepcopy(run.state()), run.train_step.model.training
    rates = [low * (high / low) ** (i / (steps - 1)) for i in range(steps)]
    tally = Tally(run.train_step.tally.metrics, run.clock.device)
    # Every loss is read, so a recorded graph would save nothing.
    train_step = replace(run.train_step, rate=rates.__getitem__, tally=tally, graph=None)
    train_step.model.train()
    weight = 1 - 2 / (max(1, round(SPAN * steps)) + 1)  # the mean age of a loss is that in a window of so many steps
    mean = 0.0
    losses: list[float] = []
    smoothed: list[float] = []
    outcome = "reached the end"
    try:
        for step in range(steps):
            train_step(step)
            loss = tally.totals[0].item() / tally.num_images  # waits for the device; before the update
            tally.clear()
            if not math.isfinite(loss):
                outcome = "not finite"
                break
            mean = weight * mean + (1 - weight) * loss
            losses.append(loss)
            smoothed.append(mean / (1 - weight ** (step + 1)))
            if smoothed[-1] > STOP * min(smoothed):
                outcome = "blew up"
                break
    finally:
        run.load_state(before)
        run.train_step.model.train(training)
    return RangeTest(rates[: len(losses)], losses, smoothed, steps, outcome)
