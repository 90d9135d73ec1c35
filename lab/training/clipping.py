"""Clipping by name: what is done to the gradient between the backward pass and the optimizer's step."""

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from lab.config import TrainConfig, check_range, choose

Parameters = list[nn.Parameter]


def none(parameters: Parameters, clip_norm: float, clip_value: float) -> None:
    """The gradient as it is."""


def norm(parameters: Parameters, clip_norm: float, clip_value: float) -> None:
    """Times clip_norm / |g| where the norm |g| of the whole gradient is larger (Pascanu et al. 2013)."""
    nn.utils.clip_grad_norm_(parameters, clip_norm)


def value(parameters: Parameters, clip_norm: float, clip_value: float) -> None:
    """Each entry cut to [-clip_value, clip_value] (Mikolov 2012)."""
    nn.utils.clip_grad_value_(parameters, clip_value)


@torch.no_grad()
def sign(parameters: Parameters, clip_norm: float, clip_value: float) -> None:
    """Each entry replaced by its sign, -1, 0 or 1."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.sign_()


CLIPS: dict[str, Callable[[Parameters, float, float], None]] = {
    "none": none,
    "norm": norm,
    "value": value,
    "sign": sign,
}


def make_clip(config: TrainConfig) -> Callable[[Parameters], None] | None:
    """What `config` does to a gradient, in place; None where it is left alone.

    Raises:
        UserError: an unknown name, or a value out of range.
    """
    clip = choose("train.clip", config.clip, CLIPS)
    check_range("train.clip_norm", config.clip_norm, config.clip_norm >= 0, "0 (off) or more")
    check_range("train.clip_value", config.clip_value, config.clip_value > 0, "above 0")
    if clip is not norm and config.clip_norm:
        warnings.warn(f"train.clip_norm={config.clip_norm} has no effect with train.clip={config.clip}", stacklevel=2)
    if clip is none or (clip is norm and config.clip_norm == 0):
        return None
    return partial(clip, clip_norm=config.clip_norm, clip_value=config.clip_value)
