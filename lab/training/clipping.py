"""Clipping by name: changes to the gradient between the backward pass and the optimizer's step.

Further arguments of a clipping have the names of their fields in `TrainConfig`; a user's own gets `clip_norm` and
`clip_value`.
"""

import inspect
import math
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from lab.config import TrainConfig
from lab.errors import choose

Parameters = list[nn.Parameter]

Clip = Callable[[Parameters], Tensor]
"""Clips the gradients of parameters in place; returns whether it changed any, (), on the device or the CPU."""


def none(parameters: Parameters) -> Tensor:
    """The gradient as it is."""
    return torch.tensor(False)


def norm(parameters: Parameters, clip_norm: float) -> Tensor:
    """Times clip_norm / |g| where the norm |g| of the whole gradient is larger (Pascanu et al. 2013)."""
    return nn.utils.clip_grad_norm_(parameters, clip_norm) > clip_norm


def value(parameters: Parameters, clip_value: float) -> Tensor:
    """Each entry cut to [-clip_value, clip_value] (Mikolov 2012)."""
    largest = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], math.inf)
    nn.utils.clip_grad_value_(parameters, clip_value)
    return largest > clip_value


@torch.no_grad()
def sign(parameters: Parameters) -> Tensor:
    """Each entry replaced by its sign, -1, 0 or 1."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.sign_()
    return torch.ones((), dtype=torch.bool, device=parameters[0].device)  # a CPU tensor would make the step wait


CLIPS: dict[str, Callable[..., Tensor]] = {
    "none": none,
    "norm": norm,
    "value": value,
    "sign": sign,
}


def make_clip(config: TrainConfig) -> Clip | None:
    """The clipping of `config`, in place; None if it leaves gradients as they are."""
    clip = choose("train.clip", config.clip, CLIPS)
    if clip is not norm and config.clip_norm:
        warnings.warn(f"train.clip_norm={config.clip_norm} has no effect with train.clip={config.clip}", stacklevel=2)
    if clip is none or (clip is norm and config.clip_norm == 0):
        return None
    knobs = {"clip_norm": config.clip_norm, "clip_value": config.clip_value}
    known = inspect.signature(clip).parameters if config.clip in CLIPS else knobs
    return partial(clip, **{key: value for key, value in knobs.items() if key in known})
