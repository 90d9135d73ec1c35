"""Penalties by name, which are added to the loss to keep weights small, and the bound on a unit's weights.

They act on weights of two dimensions or more, as weight decay does, not on biases and norms.
"""

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lab.config import TrainConfig
from lab.errors import choose

NEAR_ZERO = 1e-3
"""Below this absolute value a weight counts as near zero in `train/near_zero`."""


def none(weight: Tensor) -> Tensor:
    """No penalty."""
    return weight.new_zeros(())


def l1(weight: Tensor) -> Tensor:
    """Sum of |w|, times `train.penalty_weight`: drives weights to zero (Tibshirani 1996)."""
    return weight.abs().sum()


def l2(weight: Tensor) -> Tensor:
    """Half the sum of w^2, times `train.penalty_weight`: coupled weight decay (Krogh and Hertz 1992)."""
    return 0.5 * weight.square().sum()


def elastic(weight: Tensor, penalty_l1_share: float) -> Tensor:
    """`l1` and `l2` mixed by `train.penalty_l1_share` (Zou and Hastie 2005; scikit-learn's l1_ratio)."""
    return penalty_l1_share * l1(weight) + (1 - penalty_l1_share) * l2(weight)


PENALTIES: dict[str, Callable[..., Tensor]] = {"none": none, "l1": l1, "l2": l2, "elastic": elastic}


def make_penalty(config: TrainConfig, model: nn.Module) -> Callable[[], Tensor] | None:
    """A function that returns the penalty of `model`'s current weights; None without a penalty."""
    penalty = choose("train.penalty", config.penalty, PENALTIES, Tensor)
    strength, share = config.penalty_weight, config.penalty_l1_share
    if penalty is none or strength == 0:
        return None
    known = inspect.signature(penalty).parameters
    knobs = {"penalty_l1_share": share} if "penalty_l1_share" in known else {}
    weights = decayed(model)
    return lambda: strength * torch.stack([penalty(weight, **knobs) for weight in weights]).sum()


def make_bound(config: TrainConfig, model: nn.Module) -> Callable[[], None] | None:
    """Max-norm: after a step, the weights into each unit are scaled down to a norm of at most `train.max_norm`.

    Srivastava et al. 2014, section 5.1, who take 3 to 4; a unit is a row of a linear layer, a filter of a convolution.
    None if it is off.
    """
    if config.max_norm == 0:
        return None
    weights, max_norm = decayed(model), config.max_norm

    @torch.no_grad()
    def bound() -> None:
        for weight in (weight for weight in weights if weight.requires_grad):  # frozen ones stay
            weight.copy_(torch.renorm(weight, 2, 0, max_norm))

    return bound


def decayed(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that penalties and weight decay act on."""
    return [parameter for parameter in model.parameters() if parameter.ndim >= 2]


@torch.no_grad()
def weight_figures(model: nn.Module) -> Tensor:
    """Norm of all weights of convolutions and linear layers together, and the share below `NEAR_ZERO`: (2,).

    Measured on weights as the layers use them, standardised or masked; in evaluation mode, where no mask is drawn.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)]
    weights = [layer.weight.detach() for layer in layers]
    if not weights:
        return torch.zeros(2)
    squares = torch.stack([weight.square().sum() for weight in weights]).sum()
    near_zero = torch.stack([(weight.abs() < NEAR_ZERO).sum() for weight in weights]).sum()
    return torch.stack([squares.sqrt(), near_zero / sum(weight.numel() for weight in weights)])
