"""An activation that takes its time, for runs that something is to happen to."""

import time

import torch
from torch import Tensor, nn


class Slow(nn.Module):
    """ReLU, 0.1 s a training batch."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            time.sleep(0.1)
        return x.relu()


def slow(shape: tuple[int, ...]) -> nn.Module:
    return Slow()
