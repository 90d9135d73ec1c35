"""Activations as functions of one number: whether a layer is one, what it leaves of normal inputs, where it is flat."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
"""From values (n, ...) to as many, each from its own; the sizes behind n are the layer's, or 1."""

FLAT = 0.05
"""Share of an activation's steepest slope below which a value counts as saturated."""

OFF = 1e-3
"""The same for the one flat side of a rectifier, where a unit gets no gradient: a leaky one, of slope 0.01, does."""

REACH, STEP = 8.0, 0.008
"""Standard deviations up to which normal inputs are integrated, and the distance of two nodes. The trapezoid rule on
even nodes is as exact as Gauss-Hermite's for smooth functions, and keeps 0.1 % at kinks and jumps (slopes of hard tanh)
where Gauss-Hermite's wide nodes miss by several per cent."""

DRAWS = 256
"""Times that a random activation is evaluated at each node."""


@dataclass(frozen=True)
class Moments:
    """What is left of inputs g sqrt(q), g ~ N(0, 1), of the shape of q."""

    mean: Tensor
    """E[f]"""
    square: Tensor
    """E[f^2]"""
    slope: Tensor
    """E[f'^2]"""


@dataclass(frozen=True)
class Pointwise:
    """A layer that maps each number by itself."""

    function: Function
    sizes: tuple[int, ...]
    """Sizes behind the first that `function` takes: (1,), or (channels, 1, 1) where it has parameters a channel."""

    def values(self, x: Tensor) -> Tensor:
        """f at x (n,), one column for each channel: (n, c)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            with torch.no_grad():
                return self.function(self.shaped(x).clone()).reshape(len(x), -1)

    def shaped(self, x: Tensor) -> Tensor:
        """x (n,) at each channel, (n, *sizes)."""
        return x.reshape(-1, *[1] * len(self.sizes)).expand(-1, *self.sizes)

    @cached_property
    def is_alike(self) -> bool:
        """Whether all channels have the same function, as they do at the start."""
        f = self.values(torch.tensor([-2.0, -0.3, 0.7, 1.9]))
        return bool((f == f[:, :1]).all()) and not self.is_random

    @cached_property
    def is_homogeneous(self) -> bool:
        """Whether f(a x) = a f(x) for all a > 0: ReLU and its leaky kin, and linear maps."""
        x = torch.tensor([-2.0, -0.3, 0.7, 1.9])
        f = self.values(x)
        return all(torch.allclose(self.values(a * x), a * f, rtol=1e-4, atol=1e-7) for a in (0.03, 40.0))

    @cached_property
    def factor(self) -> float | None:
        """a where f(x) = a x; None of other functions."""
        f = self.values(torch.tensor([-1.0, 1.0, 0.0]))
        linear = self.is_homogeneous and bool((f[0] == -f[1]).all()) and bool((f == f[:, :1]).all())
        return float(f[1, 0]) if linear else None

    def moments(self, q: Tensor) -> Moments:
        """E[f], E[f^2] and E[f'^2] at normal inputs of mean 0 and variances q >= 0, of any shape.

        Between some values of q, evenly spaced by their ratios, they are interpolated.
        """
        if self.is_homogeneous:
            mean, square, slope = (float(one) for one in self.integrals(torch.ones(1, dtype=torch.float64)))
            return Moments(mean * q.sqrt(), square * q, torch.full_like(q, slope))
        flat = q.reshape(-1).double()
        positive = flat[flat > 0]
        if not len(positive):
            grid = torch.ones(1, dtype=torch.float64)
        else:
            low, high = float(positive.min()), float(positive.max())
            number = 8 if self.is_random else 64
            grid = torch.logspace(math.log10(low), math.log10(high), number if high > low * 1.0001 else 1).double()
        table = [*self.integrals(grid), *self.integrals(torch.zeros(1, dtype=torch.float64))]
        found = []
        for here, at_zero in zip(table[:3], table[3:], strict=True):
            found.append(torch.where(flat > 0, between(flat, grid, here), at_zero).reshape(q.shape).float())
        return Moments(*found)

    def integrals(self, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """E[f], E[f^2] and E[f'^2] at each of q (k,)."""
        half = torch.arange(STEP / 2, REACH, STEP, dtype=torch.float64)
        nodes = torch.cat([-half.flip(0), half])  # none at 0, where kinks are
        weights = torch.exp(-nodes.square() / 2)
        weights /= weights.sum()
        x = (q.sqrt()[:, None] * nodes).float().reshape(-1)
        sums = [torch.zeros(len(q), dtype=torch.float64) for _ in range(3)]
        rounds = DRAWS if self.is_random else 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for _ in range(rounds):
                f, slope = self.with_slope(x)
                for total, value in zip(sums, (f, f.square(), slope.square()), strict=True):
                    total += (value.reshape(len(q), -1) * weights).sum(1) / rounds
        return sums[0], sums[1], sums[2]

    def with_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f and its derivative at x (n,) in double precision, (n,) each.

        Of channels that differ the mean of squares is what layers behind see: roots of it, with the mean's sign.
        """
        channels = math.prod(self.sizes)
        packed = channels > 1 and self.is_alike  # numbers side by side, instead of each at all channels
        more = -len(x) % channels
        given = torch.cat([x, x.new_zeros(more)]).reshape(-1, *self.sizes) if packed else self.shaped(x)
        with torch.enable_grad():
            inputs = given.detach().clone().requires_grad_()
            f = self.function(inputs.clone())  # a copy, as some work in place
            (slope,) = torch.autograd.grad(f.sum(), inputs)
        if packed or channels == 1:
            return f.detach().flatten()[: len(x)].double(), slope.flatten()[: len(x)].double()
        return signed_root(f.detach().flatten(1).double()), signed_root(slope.flatten(1).double())

    @cached_property
    def is_random(self) -> bool:
        """Whether two evaluations differ."""
        x = self.shaped(torch.linspace(-2, 2, 41))
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return not torch.equal(self.function(x.clone()), self.function(x.clone()))

    @cached_property
    def flat_beyond(self) -> tuple[float, float]:
        """Below and above which input the slope is under `FLAT` of the steepest, or under `OFF` where that happens on
        one side alone; infinite where it is never."""
        both = self.slope_below(FLAT)
        return self.slope_below(OFF) if any(map(math.isinf, both)) else both

    def slope_below(self, share: float) -> tuple[float, float]:
        """Below and above which input the slope is under `share` of the steepest; infinite where it is never."""
        x = (torch.arange(-3000, 3000) + 0.5) / 100  # none at 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            slope = self.with_slope(x)[1].abs()
        steep = (slope >= share * slope.max()).nonzero().flatten()
        if not len(steep) or not float(slope.max()):
            return -math.inf, math.inf
        low, high = int(steep[0]), int(steep[-1])
        return self.edge(x[low - 1 : low + 1], low > 0), -self.edge(-x[high : high + 2], high < len(x) - 1)

    def edge(self, around: Tensor, there: bool) -> float:
        """Half-way between two inputs, which is 0 for kinks at 0; minus infinity where there is no edge."""
        return round(float(around.mean()), 6) if there else -math.inf

    @property
    def kind(self) -> str:
        """`rectifier`, flat on one side; `bounded`, on both; empty of others."""
        low, high = self.flat_beyond
        if math.isinf(low) and math.isinf(high):
            return ""
        return "bounded" if math.isfinite(low) and math.isfinite(high) else "rectifier"

    def idle(self, inputs: Tensor) -> float | None:
        """Share of dead units of a rectifier, or of saturated values of a bounded activation; None of others.

        Dead is a unit (a feature, or a whole map) whose every input, over all examples and places, lies where the slope
        is under `OFF` of the steepest: for ReLU, one that is never positive. Saturated is a value where it is under
        `FLAT`.

        Args:
            inputs: what reaches the activation, (b, c, ...).
        """
        low, high = self.flat_beyond
        flat = (inputs <= low) | (inputs >= high)
        if not self.kind or not flat.numel():
            return None
        if self.kind == "rectifier" and inputs.ndim > 1:
            flat = flat.transpose(0, 1).flatten(1).all(1)
        return float(flat.float().mean())


def signed_root(values: Tensor) -> Tensor:
    """Root of the mean square of each row, with the sign of its mean."""
    return values.square().mean(1).sqrt() * values.mean(1).sign()


def between(q: Tensor, grid: Tensor, values: Tensor) -> Tensor:
    """Interpolates `values` at `grid` linearly in the logarithm of q, and of the values where they are positive."""
    if len(grid) == 1:
        return values.expand(len(q))
    log, rises = grid.log(), bool((values > 0).all())
    values = values.log() if rises else values
    x = q.clamp(min=grid[0], max=grid[-1]).log()
    right = torch.searchsorted(log, x).clamp(1, len(grid) - 1)
    share = (x - log[right - 1]) / (log[right] - log[right - 1])
    found = values[right - 1] + share * (values[right] - values[right - 1])
    return found.exp() if rises else found


def pointwise(function: Function, shape: tuple[int, ...]) -> Pointwise | None:
    """`function` as a map of single numbers; None if it is none, as softmax, dropout in maps or a norm.

    Args:
        function: of a batch (n, *shape); in the mode in which it is used.
        shape: of one example.
    """
    for sizes in dict.fromkeys([(*[1] * len(shape),), (*shape[:1], *[1] * len(shape[1:]))]):
        if maps_numbers(function, sizes) and maps_numbers(function, shape):
            return Pointwise(function, sizes)
    return None


@torch.no_grad()
def maps_numbers(function: Function, shape: tuple[int, ...]) -> bool:
    """Whether a change of some numbers of (n, *shape), their signs kept, changes the results at their places alone."""
    with torch.random.fork_rng(devices=[]):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(max(4, 64 // math.prod(shape)), *shape, generator=generator)
        changed = torch.rand(x.shape, generator=generator) < 0.5
        changed.view(-1)[0], changed.view(-1)[-1] = True, False
        results = []
        for one in (x, torch.where(changed, 1.5 * x, x)):
            torch.manual_seed(0)
            try:
                result = function(one.clone())
            except Exception:  # whatever it wants, it takes no such numbers
                return False
            if not isinstance(result, Tensor) or result.shape != x.shape:
                return False
            results.append(result)
    return torch.equal(results[0][~changed], results[1][~changed]) and not torch.equal(*results)
