"""Early stopping: a run ends when its metric has stalled, with the weights of its best evaluation."""

import copy
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from lab.config import TrainConfig
from lab.errors import UserError, nearest
from lab.quantity import quantity


@dataclass
class Stopping:
    """Early stopping (Prechelt 1998): ends a run when `metric` has not improved for `patience` evaluations in a row.

    With `restore_best` the weights of the best evaluation come back when the run ends, also at its last step.
    """

    metric: str
    patience: int
    restore_best: bool
    best: float = field(init=False)
    best_step: int = 0
    stale: int = 0
    """Evaluations since the best one."""
    weights: dict[str, Tensor] | None = None
    """The model's state at the best evaluation, if it is to come back."""

    def __post_init__(self) -> None:
        self.best = quantity(self.metric).unreached

    def should_stop(self, point: dict[str, Any], model: nn.Module) -> bool:
        """Takes note of a logged point of `model`; whether patience is at its end."""
        value = point[self.metric]
        if quantity(self.metric).better(value, self.best):
            self.best, self.best_step, self.stale = value, point["step"], 0
            if self.restore_best:
                self.weights = copy.deepcopy(model.state_dict())
        else:
            self.stale += 1
        return self.stale >= self.patience

    def restore(self, model: nn.Module, step: int) -> bool:
        """Gives `model`, at `step`, the weights of the best evaluation; whether it had others."""
        if self.weights is None or self.best_step == step:
            return False
        model.load_state_dict(self.weights)
        return True

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {key: getattr(self, key) for key in ("best", "best_step", "stale", "weights")}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes up where `state` left off."""
        vars(self).update(state)


def make_stopping(config: TrainConfig, tags: list[str]) -> Stopping | None:
    """The early stopping of `config`; None where it is off.

    Args:
        config: `patience`, `patience_metric` and `restore_best`.
        tags: what every logged point holds.
    """
    if config.patience == 0:
        return None
    check_tag("train.patience_metric", config.patience_metric, tags)
    return Stopping(config.patience_metric, config.patience, config.restore_best)


def check_tag(key: str, tag: str, tags: list[str]) -> None:
    """Raises `UserError` unless `tag`, given for `key`, is one of `tags`."""
    if tag not in tags:
        raise UserError(f"{key}={tag} is not logged{nearest(tag, tags)}; there are: {', '.join(tags)}")
