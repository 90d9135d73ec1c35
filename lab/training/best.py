"""The weights of a run's best logged point, kept beside those that it ends with."""

import copy
import warnings
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from lab.config import TrainConfig
from lab.quantity import quantity
from lab.training.stopping import check_tag


@dataclass
class Best:
    """The best logged point so far by `metric`, the first of several that are alike, with its weights."""

    metric: str
    value: float = field(init=False)
    step: int | None = None
    weights: dict[str, Tensor] | None = None
    since: int = 0
    """Steps done when it began to be kept: points up to there are not known."""

    def __post_init__(self) -> None:
        self.value = quantity(self.metric).unreached

    def update(self, point: dict[str, Any], model: nn.Module) -> None:
        """Takes note of a logged point of `model`."""
        if quantity(self.metric).better(point[self.metric], self.value):
            self.value, self.step = point[self.metric], point["step"]
            self.weights = copy.deepcopy(model.state_dict())

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {key: getattr(self, key) for key in ("value", "step", "weights", "since")}

    def load_state(self, state: dict[str, Any] | None, step: int) -> None:
        """Takes up where `state` left off at `step`; None of a run that kept nothing until then."""
        if state is not None:
            vars(self).update(state)
        elif step:
            self.since = step
            warnings.warn(
                f"train.keep_best=true is new in a run that goes on, which had not kept its best weights: best.pt has "
                f"those of the best point after step {step}",
                stacklevel=2,
            )

    def about(self) -> dict[str, Any]:
        """What `result.json` says of it."""
        return {"metric": self.metric, "value": self.value, "step": self.step, "since": self.since}


def make_best(config: TrainConfig, tags: list[str]) -> Best | None:
    """What keeps the best weights of a run; None where nothing does.

    Args:
        config: `keep_best` and `patience_metric`.
        tags: what every logged point holds.

    Raises:
        UserError: a metric that is not logged.
    """
    if not config.keep_best:
        return None
    check_tag("train.patience_metric", config.patience_metric, tags)
    return Best(config.patience_metric)
