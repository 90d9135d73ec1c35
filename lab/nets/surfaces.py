"""Nets whose only parameter is a point of a plane, and whose output is the height of a surface there.

They show how optimizers move: trained as any other net, with `data=blank` and `train.loss=value`. The start is drawn
around the surface's customary one, so that seeds differ; `model.init` has no effect.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lab.errors import UserError
from lab.nets.parts.part import Shape
from lab.surface import FORMULAS, Surface


class Point(nn.Module):
    """A point (x, y) that trains; whatever the example, the output is the height of the surface there, (b, 1)."""

    def __init__(self, surface: Surface):
        super().__init__()
        self.surface = surface
        start, spread = torch.tensor(surface.start), torch.tensor(surface.spread)
        self.point = nn.Parameter(start + spread * torch.randn(2))

    def forward(self, rows: Tensor) -> Tensor:
        x, y = self.point.unbind()
        return self.surface.height(x, y, torch.cos).expand(rows.shape[0], 1)  # `len` would be a constant in a record

    def place(self) -> dict[str, float]:
        """Where the point is; this waits for the device."""
        x, y = self.point.tolist()
        return {"x": x, "y": y}


def saddle(in_shape: Shape, num_outputs: int) -> nn.Module:
    """x^2 - y^2 + y^4 / 2 + 1 / 2: a saddle at (0, 0) between minima at (0, -1) and (0, 1); start near (-1.5, 0)."""
    return point_on("saddle", num_outputs)


def ravine(in_shape: Shape, num_outputs: int) -> nn.Module:
    """x^2 / 10 + 2 y^2, 20 times as steep across as along (Zhang et al. 2023, section 12.6); start near (-5, -2)."""
    return point_on("ravine", num_outputs)


def beale(in_shape: Shape, num_outputs: int) -> nn.Module:
    """Beale's function, a curved valley to its minimum (3, 1/2) (More et al. 1981, problem 5); start near (1, 1)."""
    return point_on("beale", num_outputs)


def many_minima(in_shape: Shape, num_outputs: int) -> nn.Module:
    """Rastrigin's function: a minimum near every pair of whole numbers, the least at (0, 0); start near (-3.5, 2.5)."""
    return point_on("many_minima", num_outputs)


SURFACES: dict[str, Callable[[Shape, int], nn.Module]] = {
    "saddle": saddle,
    "ravine": ravine,
    "beale": beale,
    "many_minima": many_minima,
}


def point_on(name: str, num_outputs: int) -> Point:
    """The net `name`; raises `UserError` where more than its height is asked for."""
    if num_outputs != 1:
        raise UserError(
            f"model.name={name} has one output, the height of a surface, and the data ask for {num_outputs}; allowed: "
            "data=blank, with train.loss=value"
        )
    return Point(FORMULAS[name])


def check_loss(name: str, loss: str) -> None:
    """Raises `UserError` where the net `name` is a surface, and `loss` another than its height."""
    if name in SURFACES and loss != "value":
        raise UserError(
            f"train.loss={loss} compares outputs with labels, which the surface model.name={name} does not have; "
            "allowed: train.loss=value"
        )
