"""Normalisations by name."""

import math

import torch
from torch import Tensor, nn

from lab.nets.parts.part import Part, Shape


class ChangingNoise(nn.Module):
    """s x + m with s and m drawn for each value, from a distribution that is another for each channel at each use.

    m ~ U(c - 0.1, c + 0.1) with c ~ U(-0.5, 0.5) and s ~ N(d, 0.1) with d ~ U(1, 1.25), c and d drawn for each channel
    (Santurkar et al. 2018, algorithm 1 of the appendix). In evaluation x itself. Each of several processes draws its
    own.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        each = (1, x.shape[1], *[1] * (x.ndim - 2))  # (1, c, 1, 1), or (1, c)
        center = x.new_empty(each).uniform_(-0.5, 0.5)
        scale = x.new_empty(each).uniform_(1.0, 1.25)
        moved = center + 0.1 * (2 * torch.rand_like(x) - 1)
        return x * (scale + 0.1 * torch.randn_like(x)) + moved


def no_norm(shape: Shape) -> nn.Module:
    """No normalisation."""
    return nn.Identity()


def batch_norm(shape: Shape) -> nn.Module:
    """Each map (or feature) across the batch; running statistics in evaluation (Ioffe and Szegedy 2015)."""
    return nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])


def layer_norm(shape: Shape) -> nn.Module:
    """All maps (or features) of one example together (Ba et al. 2016); for maps, one gain a map."""
    return nn.GroupNorm(1, shape[0]) if len(shape) == 3 else nn.LayerNorm(shape[0])


def instance_norm(shape: Shape) -> nn.Module:
    """Each map of one example by itself (Ulyanov et al. 2016); needs maps of more than one pixel."""
    if len(shape) != 3 or shape[1] * shape[2] < 2:
        raise ValueError("instance norm needs feature maps of more than one pixel")
    return nn.InstanceNorm2d(shape[0], affine=True)


def group_norm(shape: Shape) -> nn.Module:
    """Groups of maps (or features) of one example: 8 groups, or fewer where 8 does not divide (Wu and He 2018).

    A group has at least two numbers, as a single one would become zero.
    """
    fits = (groups for groups in range(8, 1, -1) if shape[0] % groups == 0 and math.prod(shape) // groups >= 2)
    return nn.GroupNorm(next(fits, 1), shape[0])


def noisy_batch_norm(shape: Shape) -> nn.Module:
    """Batch norm, then in training noise that moves and stretches each map otherwise at every step (Santurkar 2018)."""
    return nn.Sequential(batch_norm(shape), ChangingNoise())


NORMS: dict[str, Part] = {
    "none": no_norm,
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
    "noisy_batch": noisy_batch_norm,
}
