"""Variance of the weights that each initialisation draws, as far as they are independent and of mean zero."""

import math
from collections.abc import Callable

from torch import Tensor

from lab.config import ModelConfig
from lab.nets.init import FANS, fan_in, fan_out, parse_gain

Spread = Callable[[Tensor, float | None, int], float]
"""From a weight, its gain (None for the paper's) and its fan by `model.init_fan` to the variance."""

SPREADS: dict[str, Spread] = {
    "xavier_uniform": lambda weight, gain, fan: 2 * (gain or 1.0) ** 2 / (fan_in(weight) + fan_out(weight)),
    "xavier_normal": lambda weight, gain, fan: 2 * (gain or 1.0) ** 2 / (fan_in(weight) + fan_out(weight)),
    "he_uniform": lambda weight, gain, fan: (gain or math.sqrt(2)) ** 2 / fan,
    "he_normal": lambda weight, gain, fan: (gain or math.sqrt(2)) ** 2 / fan,
    "lecun_normal": lambda weight, gain, fan: (gain or 1.0) ** 2 / fan_in(weight),
    # Rows or columns of length 1, whichever are fewer, in directions without preference.
    "orthogonal": lambda weight, gain, fan: (gain or 1.0) ** 2 / max(len(weight), fan_in(weight)),
    "torch_default": lambda weight, gain, fan: (gain or 1.0) ** 2 / (3 * fan_in(weight)),
    "zeros": lambda weight, gain, fan: 0.0,
    "normal": lambda weight, gain, fan: (gain or 0.01) ** 2,
    "uniform": lambda weight, gain, fan: (gain or 0.01) ** 2 / 3,
}
"""By the names of `INITS`. The others have no such theory: `constant`, `dirac` and `exponential` draw no independent
weights of mean zero, `lsuv` depends on the images."""


def weight_variance(config: ModelConfig, weight: Tensor) -> float | None:
    """Mean square of what `model.init` draws for `weight`, (out, in) or (out, in, k, k); None without theory."""
    spread = SPREADS.get(config.init)
    if spread is None:
        return None
    return spread(weight, parse_gain(config.init_gain, config.act), FANS[config.init_fan](weight))
