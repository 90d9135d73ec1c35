"""A trained net with the scaling of its data set around it."""

import torch
from torch import Tensor, nn

from lab.data.batches import Dataset


class Scaled(nn.Module):
    """Takes inputs as the data set stores them, and predicts targets in their unit; its buffers hold the scaling."""

    shift: Tensor
    factor: Tensor
    unit: Tensor
    offset: Tensor

    def __init__(self, net: nn.Module, data: Dataset):
        super().__init__()
        self.net = net
        shift = data.test.shift
        self.register_buffer("shift", shift)
        self.register_buffer("factor", data.test.factor)
        self.register_buffer("unit", torch.tensor(data.unit, device=shift.device))
        self.register_buffer("offset", torch.tensor(data.offset, device=shift.device))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (b, classes), or targets (b, 1) of a regression, for inputs (b, c, h, w) or (b, features), 0 to 255
        where images are bytes."""
        return self.net((inputs.float() - self.shift) * self.factor) * self.unit + self.offset
