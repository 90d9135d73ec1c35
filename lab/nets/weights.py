"""Changes between a layer's stored weight and its use: standardisation, dropped weights, and pruning masks.

All are torch parametrizations, so that they combine, `print(model)` shows them, and the weight that is initialised,
trained and saved (`conv.parametrizations.weight.original`) starts the same with and without them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized, register_parametrization


class Standardise(nn.Module):
    """(w - mean) / sqrt(variance + 1e-5) of the weights of each filter (Qiao et al. 2019, equation 7)."""

    def forward(self, weight: Tensor) -> Tensor:
        return F.layer_norm(weight, weight.shape[1:])


def standardise(conv: nn.Conv2d) -> nn.Conv2d:
    """Makes `conv` standardise its weight at every use; returns it.

    Raises:
        ValueError: filters of a single weight, which would become zero.
    """
    if conv.weight[0].numel() < 2:
        raise ValueError("weight standardisation needs filters of more than one weight")
    register_parametrization(conv, "weight", Standardise())
    return conv


class DropConnect(nn.Module):
    """Drops weights instead of units: at every step each weight of one layer is zero with probability `rate`.

    The rest is scaled by 1 / (1 - rate); all act, unscaled, in evaluation. The module itself passes x on; `attach`
    names the layer whose weight is dropped, its bias excepted. One mask serves the whole batch, where Wan et al. 2013
    draw one for each example, and evaluation uses the mean weight, where they draw from a fitted normal distribution.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def attach(self, layer: nn.Conv2d | nn.Linear) -> None:
        """Drops weights of `layer` from now on."""
        register_parametrization(layer, "weight", nn.Dropout(self.rate))

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"rate={self.rate}, of the weights of the conv or linear before it"


class Masked(nn.Module):
    """mask * weight, with a mask of zeros and ones that is saved with the net: pruned weights stay zero.

    No gradient reaches them, so neither momentum nor weight decay brings them back.
    """

    mask: Tensor

    def __init__(self, mask: Tensor):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return self.mask * weight

    def extra_repr(self) -> str:
        return f"{int((self.mask == 0).sum())} of {self.mask.numel()} weights are pruned"


@torch.no_grad()
def mask_weights(layer: nn.Conv2d | nn.Linear, mask: Tensor) -> None:
    """Multiplies the weight of `layer`, as it is used, by `mask` from now on, and by the mask it may have already.

    The mask comes last, after standardisation, which would move a zero. The saved weight becomes zero as well, unless
    it is standardised: there its value still counts for the filter's mean and variance.
    """
    place = mask_place(layer)
    if place is None:
        register_parametrization(layer, "weight", Masked(mask.clone()))
    else:
        mask_of(layer).mul_(mask)
    chain = _chain(layer)
    if not any(isinstance(step, Standardise) for step in chain):
        original = chain.original
        assert isinstance(original, Tensor)
        original.mul_(mask)


def mask_of(layer: nn.Conv2d | nn.Linear) -> Tensor:
    """The mask (not a copy) of the weight of `layer`, which must have one."""
    place = mask_place(layer)
    assert place is not None, "the layer has no mask"
    return layer.get_buffer(place)


def mask_place(layer: nn.Conv2d | nn.Linear) -> str | None:
    """The name of the mask's buffer, `parametrizations.weight.0.mask`; None if the layer has none."""
    if is_parametrized(layer, "weight"):
        for number, step in enumerate(_chain(layer)):
            if isinstance(step, Masked):
                return f"parametrizations.weight.{number}.mask"
    return None


def _chain(layer: nn.Module) -> ParametrizationList:
    """The parametrizations of a layer's weight."""
    chain = layer.get_submodule("parametrizations.weight")
    assert isinstance(chain, ParametrizationList)
    return chain
