"""What stands between a layer's weight and its use: standardisation, and the weights that a step leaves out.

Both are torch parametrizations, so that they combine, `print(model)` shows them, and the weight that is initialised,
trained and saved (`conv.parametrizations.weight.original`) starts the same with and without them.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization


class Standardise(nn.Module):
    """(w - mean) / sqrt(variance + 1e-5) over the weights of each filter (Qiao et al. 2019, equation 7)."""

    def forward(self, weight: Tensor) -> Tensor:
        return F.layer_norm(weight, weight.shape[1:])


def standardise(conv: nn.Conv2d) -> nn.Conv2d:
    """Makes `conv` standardise its weight at every use; returns it.

    Raises:
        ValueError: filters of a single weight, of which nothing would remain.
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
