"""The schedule that follows a metric instead of the step: it has a state, which the pure schedules have not."""

import math
import warnings
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lab.config import ScheduleConfig
from lab.quantity import quantity
from lab.training.stopping import check_tag


class Plateau:
    """A multiplier of the rate that falls by `factor` when `metric` has stalled for more than `patience` evaluations.

    This is torch's ReduceLROnPlateau with its relative threshold of 1e-4, over an optimizer of rate 1 that trains
    nothing, so that its rate is the multiplier.
    """

    def __init__(self, metric: str, factor: float, patience: int):
        self.metric = metric
        self._rate = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
        mode = "min" if quantity(metric).lower_is_better else "max"
        self._torch = ReduceLROnPlateau(self._rate, mode, factor, patience)

    @property
    def multiplier(self) -> float:
        """What the rate is multiplied with, in (0, 1]."""
        return self._rate.param_groups[0]["lr"]

    def update(self, point: dict[str, Any]) -> None:
        """Takes note of a logged point."""
        value = point[self.metric]
        self._torch.step(quantity(self.metric).unreached if math.isnan(value) else value)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {"multiplier": self.multiplier, "torch": self._torch.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes up where `state` left off."""
        self._rate.param_groups[0]["lr"] = state["multiplier"]
        self._torch.load_state_dict(state["torch"])


def make_plateau(config: ScheduleConfig, tags: list[str]) -> Plateau | None:
    """The state of `schedule=plateau`, which follows `schedule.metric`; None for the other schedules.

    Args:
        config: `metric`, `factor` and `patience`.
        tags: what every logged point holds.

    Raises:
        UserError: a metric that is not logged.
    """
    if config.name != "plateau":
        return None
    check_tag("schedule.metric", config.metric, tags)
    if config.interval != ScheduleConfig.interval:
        warnings.warn(
            f"schedule.interval={config.interval} has no effect on plateau, which acts at evaluations", stacklevel=2
        )
    return Plateau(config.metric, config.factor, config.patience)
