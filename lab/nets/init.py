"""Initialisation as one function of the built net: every parameter is set exactly once, from one generator."""

import math
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from lab.config import ModelConfig
from lab.errors import UserError, choose
from lab.nets.lsuv import scale_to_unit_variance
from lab.nets.transfer import check_head, is_head

Scheme = Callable[[Tensor, float | None, Generator], object]
"""Fills a weight, (out, in) or (out, in, k, k), in place. A gain of None means the one of the scheme's paper."""

Fan = Callable[[Tensor], int]
"""Connections of a unit, counted from its weight."""


def xavier_uniform(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)), gain 1 (Glorot and Bengio 2010)."""
    nn.init.xavier_uniform_(weight, gain or 1.0, generator)


def xavier_normal(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """N(0, s^2) with s = gain sqrt(2 / (fan_in + fan_out)), gain 1 (Glorot and Bengio 2010)."""
    nn.init.xavier_normal_(weight, gain or 1.0, generator)


def he_uniform(weight: Tensor, gain: float | None, generator: Generator, fan: Fan) -> None:
    """U(-a, a) with a = gain sqrt(3 / fan), gain sqrt(2), fan by `model.init_fan` (He et al. 2015)."""
    bound = (gain or math.sqrt(2)) * math.sqrt(3 / fan(weight))
    nn.init.uniform_(weight, -bound, bound, generator)


def he_normal(weight: Tensor, gain: float | None, generator: Generator, fan: Fan) -> None:
    """N(0, s^2) with s = gain / sqrt(fan), gain sqrt(2), fan by `model.init_fan` (He et al. 2015)."""
    nn.init.normal_(weight, 0.0, (gain or math.sqrt(2)) / math.sqrt(fan(weight)), generator)


def lecun_normal(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """N(0, s^2) with s = gain / sqrt(fan_in), gain 1 (LeCun et al. 1998)."""
    nn.init.normal_(weight, 0.0, (gain or 1.0) / math.sqrt(fan_in(weight)), generator)


def orthogonal(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """Orthonormal rows or columns of the flattened weight, times gain, 1 (Saxe et al. 2014)."""
    nn.init.orthogonal_(weight, gain or 1.0, generator)


def lsuv(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """Orthogonal, then each layer scaled to outputs of variance 1 on the first batch (Mishkin and Matas 2016)."""
    nn.init.orthogonal_(weight, 1.0, generator)


def torch_default(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """U(-a, a) with a = gain / sqrt(fan_in), gain 1: what torch gives to Conv2d and Linear."""
    bound = (gain or 1.0) / math.sqrt(fan_in(weight))
    nn.init.uniform_(weight, -bound, bound, generator)


def dirac(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """The identity times gain, 1: unit i is its input i, units beyond the inputs are zero (Zagoruyko 2017)."""
    nn.init.dirac_(weight) if weight.ndim > 2 else nn.init.eye_(weight)
    weight.mul_(gain or 1.0)


def zeros(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """All weights zero: every unit of a layer stays equal forever."""
    nn.init.zeros_(weight)


def constant(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """All weights equal to the gain, 0.01: every unit of a layer stays equal forever."""
    nn.init.constant_(weight, gain or 0.01)


def normal(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """N(0, s^2) with s the gain, 0.01, whatever the size of the layer (Krizhevsky et al. 2012)."""
    nn.init.normal_(weight, 0.0, gain or 0.01, generator)


def uniform(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """U(-a, a) with a the gain, 0.01, whatever the size of the layer."""
    bound = gain or 0.01
    nn.init.uniform_(weight, -bound, bound, generator)


def exponential(weight: Tensor, gain: float | None, generator: Generator) -> None:
    """Exponential with mean the gain, 0.01: all weights positive, so that signals grow with depth."""
    weight.exponential_(1 / (gain or 0.01), generator=generator)


INITS: dict[str, Scheme | Callable[[Tensor, float | None, Generator, Fan], object]] = {
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "lecun_normal": lecun_normal,
    "orthogonal": orthogonal,
    "dirac": dirac,
    "lsuv": lsuv,
    "torch_default": torch_default,
    "zeros": zeros,
    "constant": constant,
    "normal": normal,
    "uniform": uniform,
    "exponential": exponential,
}

BY_FAN = (he_uniform, he_normal)
"""The schemes on which `model.init_fan` acts."""

BY_NUMBER = (constant, normal, uniform, exponential)
"""The schemes whose gain is the value, spread, bound or mean itself; the activation's gain does not apply there."""

# Arguments of nn.init.calculate_gain for each activation; all others take ReLU's gain, as is usual.
_GAINS: dict[str, tuple[str, float | None]] = {
    "identity": ("linear", None),
    "leaky_relu": ("leaky_relu", 0.01),
    "prelu": ("leaky_relu", 0.25),
    "rrelu": ("leaky_relu", (1 / 8 + 1 / 3) / 2),
    "selu": ("selu", None),
    "sigmoid": ("sigmoid", None),
    "hard_sigmoid": ("sigmoid", None),
    "tanh": ("tanh", None),
    "tanh_linear": ("tanh", None),
    "hard_tanh": ("tanh", None),
    "scaled_tanh": ("linear", None),  # 1.7159 already is its gain
}


def fan_in(weight: Tensor) -> int:
    """Inputs of one unit: the columns of a linear layer's weight, channels times kernel area of a convolution's."""
    return weight[0].numel()


def fan_out(weight: Tensor) -> int:
    """Units that one input reaches: the rows of a linear layer's weight, times kernel area for a convolution's."""
    return weight[:, 0].numel()


FANS: dict[str, Fan] = {"in": fan_in, "out": fan_out}


@torch.no_grad()
def initialise(
    model: nn.Module,
    name: str,
    gain: str,
    act: str,
    seed: int,
    fan: str = ModelConfig.init_fan,
    images: Tensor | None = None,
) -> None:
    """Sets every parameter of `model`: weights by the scheme `name`, biases to zero, the rest by `reset_parameters`.

    That method is torch's convention: norms become the identity, PReLU starts at 0.25, a highway's gate nearly shut.
    Random numbers are drawn on the CPU, so that a seed gives the same weights on every device.

    Args:
        model: any net of conv, linear and norm layers.
        name: a key of `INITS`, or a user's own `package.module:attribute` with the signature of `Scheme`.
        gain: `paper`, `auto` (from the activation `act`, `nn.init.calculate_gain`) or a positive number.
        act: the activation's name, for `auto`.
        seed: seed of the generator.
        fan: `in` or `out`, for the schemes of `BY_FAN`.
        images: a batch of training images (n, c, h, w) on the model's device, for `lsuv`.

    Raises:
        UserError: an unknown name, a gain that the scheme does not use, or `lsuv` without images.
    """
    scheme = choose_scheme(name, gain, fan)
    factor = parse_gain(gain, act)
    if scheme is lsuv and images is None:
        raise UserError("model.init=lsuv needs a batch of training images, but none was given")
    generator = torch.Generator().manual_seed(seed)
    done: set[Tensor] = set()
    for module in model.modules():
        own = dict(module.named_parameters(recurse=False))
        assert done.isdisjoint(own.values()), f"{type(module).__name__} shares a parameter with another layer"
        done.update(own.values())
        if isinstance(module, nn.Conv2d | nn.Linear | ParametrizationList):  # the last holds a raw weight
            for key, parameter in own.items():
                if key == "bias":
                    nn.init.zeros_(parameter)
                elif key in ("weight", "original"):
                    fresh = torch.empty(parameter.shape, device="cpu")
                    scheme(fresh, factor, generator)
                    parameter.copy_(fresh)
        elif own and hasattr(module, "reset_parameters"):
            module.reset_parameters()  # pyright: ignore[reportCallIssue]
        # Parameters of a user's own layers that neither rule reaches keep the values their author gave them.
    assert done == set(model.parameters())
    if scheme is lsuv and images is not None:
        scale_to_unit_variance(model, images)


@torch.no_grad()
def scale_head(model: nn.Module, gain: float) -> None:
    """Multiplies the weights of the classifier and of auxiliary ones by `gain`; does nothing for 1.

    Raises:
        UserError: no module is named `classifier`.
    """
    if gain == 1:
        return
    check_head(model, f"model.head_gain={gain:g}")
    for name, parameter in model.named_parameters():
        if is_head(name) and parameter.ndim > 1:
            parameter.mul_(gain)


def choose_scheme(name: str, gain: str, fan: str) -> Scheme:
    """The scheme `name`, with the fan that it counts; see `initialise`."""
    scheme = choose("model.init", name, INITS)
    count = choose("model.init_fan", fan, FANS)
    if scheme not in BY_FAN and fan != ModelConfig.init_fan:
        warnings.warn(f"model.init_fan={fan} has no effect on model.init={name}", stacklevel=3)
    if scheme in BY_NUMBER and gain == "auto":
        raise UserError(
            f"model.init_gain=auto is not supported by model.init={name}; allowed: paper, or a number above 0"
        )
    if scheme is lsuv and gain != ModelConfig.init_gain:
        warnings.warn(f"model.init_gain={gain} has no effect on model.init={name}", stacklevel=3)
    return partial(scheme, fan=count) if scheme in BY_FAN else scheme


def parse_gain(gain: str, act: str) -> float | None:
    """The number that `model.init_gain` stands for; None for the paper's."""
    if gain == "paper":
        return None
    if gain == "auto":
        return nn.init.calculate_gain(*_GAINS.get(act, ("relu", None)))  # pyright: ignore[reportArgumentType]
    return float(gain)
