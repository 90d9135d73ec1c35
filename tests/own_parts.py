"""A user's own parts, which the tests name as `own_parts:half` and the like."""

import math
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


class NormReLU(nn.BatchNorm2d):
    """A batch norm that ends in ReLU."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


class OwnNorm(nn.BatchNorm2d):
    """A batch norm that works out its statistics by itself."""

    def forward(self, input: Tensor) -> Tensor:
        return input - input.mean((0, 2, 3), keepdim=True)


class NormNet(nn.Module):
    """A norm that ends in ReLU, one held under two names, and one with a cumulative mean."""

    def __init__(self, in_shape: tuple[int, ...], num_outputs: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(in_shape[0], 6, 3), nn.Conv2d(6, 6, 3)
        self.first = NormReLU(6)
        self.again = self.norm = nn.BatchNorm2d(6)
        self.last = nn.ModuleList([nn.BatchNorm1d(6, momentum=None), self.norm])
        self.classifier = nn.Linear(6, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.norm(self.conv2(self.first(self.conv1(x)))))
        return self.classifier(self.last[0](self.last[1](x).mean((2, 3))))


class Peculiar(nn.Module):
    """A net whose code is of the kind that `way` says."""

    def __init__(self, way: str, inputs: int, num_outputs: int):
        super().__init__()
        self.way, self.linear = way, nn.Linear(inputs, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.linear(x.flatten(1))
        if self.way == "branches":
            return outputs if bool(outputs.detach().sum() > 0) else -outputs
        if self.way == "draws":
            return outputs + torch.rand_like(outputs)
        if self.way == "counts":
            return outputs + sum(1.0 for _ in x)
        return outputs + torch.from_numpy(outputs.detach().numpy() * 0)


def peculiar(way: str):
    return lambda in_shape, num_outputs: Peculiar(way, math.prod(in_shape), num_outputs)


branches, draws, counts, through_numpy = map(peculiar, ("branches", "draws", "counts", "through_numpy"))


def tiny(root: Path) -> Source:
    """150 grey pictures of 8x8 in three classes, a bright band each; 30 more to test."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(180) % 3
    images = torch.randint(0, 128, (180, 1, 8, 8), generator=generator)
    for label in range(3):
        images[labels == label, :, 2 * label : 2 * label + 2] += 100
    images = images.to(torch.uint8)
    return Source(images[:150], labels[:150], images[150:], labels[150:], ("top", "middle", "bottom"))


def noise(count: int, *shape: int) -> Source:
    """`count` images of noise in ten classes, and 20 more to test."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(count + 20) % 10
    images = torch.randn(count + 20, *shape, generator=generator)
    return Source(images[:count], labels[:count], images[count:], labels[count:], tuple("abcdefghij"))


def features39(root: Path) -> Source:
    """1,000 rows of 39 numbers, and one to predict."""
    rows = torch.randn(1020, 39, generator=torch.Generator().manual_seed(5))
    return Source(rows[:1000], rows[:1000].sum(1), rows[1000:], rows[1000:].sum(1), ())


def grey28(root: Path) -> Source:
    """1,000 images of the shape of MNIST's."""
    return noise(1000, 1, 28, 28)


def colour32(root: Path) -> Source:
    """1,000 images of the shape of CIFAR-10's."""
    return noise(1000, 3, 32, 32)


def colour100(root: Path) -> Source:
    """100 colour images of 100x100."""
    return noise(100, 3, 100, 100)


def colour241(root: Path) -> Source:
    """20 colour images of the least size that model.name=blunder_c takes."""
    return noise(20, 3, 241, 241)


def no_source(root: Path) -> str:
    return "pictures"


def nameless(root: Path) -> Source:
    """Whole-number labels without the names of their classes."""
    return Source(torch.zeros(4, 2), torch.arange(4), torch.zeros(2, 2), torch.arange(2), ())


def darker(images: Tensor, generator: torch.Generator, config: DataConfig) -> Tensor:
    """Every picture less a number of its own."""
    return images - torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device)
