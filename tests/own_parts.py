"""A user's own parts, which the tests name as `own_parts:half` and the like."""

from pathlib import Path

import torch
from torch import Tensor, nn

from lab.config import DataConfig
from lab.data.sources import Source


class Half(nn.Module):
    """x / 2."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


class Gain(nn.Module):
    """A learnt gain a map, which its author starts at 0.1."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.full((channels, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain


def half(shape: tuple[int, ...]) -> nn.Module:
    return Half()


def gain(shape: tuple[int, ...]) -> nn.Module:
    return Gain(shape[0])


def double_size(shape: tuple[int, ...]) -> nn.Module:
    return nn.Upsample(scale_factor=2)


def no_module(shape: tuple[int, ...]) -> int:
    return 3


def whole_net(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    c, h, w = in_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, num_outputs))


def norm_net(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    c, h, w = in_shape
    return nn.Sequential(nn.GroupNorm(1, c), nn.Conv2d(c, 4, 1), nn.Flatten(), nn.Linear(4 * h * w, num_outputs))


def tiny(root: Path) -> Source:
    """150 grey pictures of 8x8 in three classes, a bright band each; 30 more to test."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(180) % 3
    images = torch.randint(0, 128, (180, 1, 8, 8), generator=generator)
    for label in range(3):
        images[labels == label, :, 2 * label : 2 * label + 2] += 100
    images = images.to(torch.uint8)
    return Source(images[:150], labels[:150], images[150:], labels[150:], ("top", "middle", "bottom"))


def no_source(root: Path) -> str:
    return "pictures"


def nameless(root: Path) -> Source:
    """Whole-number labels without the names of their classes."""
    return Source(torch.zeros(4, 2), torch.arange(4), torch.zeros(2, 2), torch.arange(2), ())


def darker(images: Tensor, generator: torch.Generator, config: DataConfig) -> Tensor:
    """Every picture less a number of its own."""
    return images - torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device)
