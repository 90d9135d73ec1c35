"""How the layers of a run are while it trains: idle units, gradients, updates; and a note, once, when one dies."""

import copy
import math
import warnings
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from lab.nets.pointwise import Pointwise, pointwise

DEAD = 0.9
"""Share of dead units above which a layer counts as dying, as for `lab lint`: a unit that is off for all images gets no
gradient and stays off (Maas et al. 2013)."""

VANISHED = 1e-8
"""Gradient norm over weight norm, as a share of the layer's where it is largest, up to which a layer stands still: at a
rate at which that layer moves by its own size in a step, this one moves by less than float32 can tell (2^-24 = 6e-8 of
the weight), so that rounding leaves it as it is."""

STILL = 1e-2
"""Update over weight, as a share of the fastest layer's, above which a layer moves all the same: Adam and its kin
divide by the gradient's size."""


TINY = 1e-12
"""Norm of a gradient below which it is measured anew in float64, as float32 takes the squares of 1e-23 for 0."""


class Health:
    """Measures a net's layers at some steps of its training. Nothing is kept of a step that is not measured."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.before: dict[str, Tensor] = {}
        self.acts: dict[str, Pointwise | None] = {}
        self.totals: dict[str, float] = {}
        """Of the last measure: see `taken_together`."""
        self.said = False

    def weights(self) -> dict[str, Tensor]:
        """Weights of layers by the layer's name, biases and gains of norms aside."""
        found = {}
        for name, parameter in self.model.named_parameters():
            if parameter.ndim > 1:
                layer = name.removesuffix(".parametrizations.weight.original").removesuffix(".weight")
                found[layer] = parameter
        return found

    @torch.no_grad()
    def keep(self) -> None:
        """Before a step that will be measured: copies the weights."""
        self.before = {name: one.clone() for name, one in self.weights().items()}

    def meet(self, seen: Mapping[str, tuple[nn.Module, Tensor, Tensor]]) -> None:
        """Before the training: finds out what each layer of `seen` is, which takes a while."""
        for name, given in seen.items():
            self.idle(name, *given[:2])

    def forget(self) -> None:
        """The weights are replaced, so that the next measure has no update."""
        self.before = {}

    @torch.no_grad()
    def measure(self, step: int, seen: Mapping[str, tuple[nn.Module, Tensor, Tensor]]) -> dict[str, float]:
        """After a step: `watch_dead/LAYER`, `watch_saturated/...`, `watch_gradient_norm/...`, `watch_update_ratio/...`.

        Args:
            step: for the note.
            seen: by name layers that hold no others, with what reached and what left them in evaluation mode.
        """
        idle = {name: share for name, given in seen.items() if (share := self.idle(name, *given[:2])) is not None}
        kinds = {name: "dead" if act.kind == "rectifier" else "saturated" for name, act in self.acts.items() if act}
        found = {f"watch_{kinds[name]}/{name}": share for name, share in idle.items()}
        sizes, gradients, updates = self.norms()
        found |= {f"watch_gradient_norm/{name}": value for name, value in gradients.items()}
        ratios = {name: value / sizes[name] for name, value in updates.items() if sizes[name]}
        found |= {f"watch_update_ratio/{name}": value for name, value in ratios.items()}
        dead = {name: share for name, share in idle.items() if kinds[name] == "dead" and share > DEAD}
        if dead:
            worst = max(dead, key=dead.__getitem__)
            self.say(dead, f"at step {step} {dead[worst]:.0%} of the units of {worst} are dead", worst)
        self.check_gradients(
            step, {name: value / sizes[name] for name, value in gradients.items() if sizes[name]}, ratios
        )
        self.before = {}
        dead, saturated = (
            mean_of(share for name, share in idle.items() if kinds[name] == kind) for kind in ("dead", "saturated")
        )
        self.totals = {"train/dead_units": dead, "train/saturated": saturated}
        self.totals |= taken_together(gradients, ratios, self.ends(seen, gradients))
        return {tag: value for tag, value in found.items() if math.isfinite(value)}

    def idle(self, name: str, layer: nn.Module, inputs: Tensor) -> float | None:
        """Share of dead units or saturated values behind `layer`; None where it is no such activation."""
        if name not in self.acts:
            single = copy.deepcopy(layer).cpu().float()
            act = None if weighted(layer) else pointwise(single, tuple(inputs.shape[1:]))
            self.acts[name] = act if act and act.kind else None
        act = self.acts[name]
        return act.idle(inputs) if act else None

    def norms(self) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
        """Norms of the weights, of their last gradients and of their last update; read from the device at once."""
        weights = self.weights()
        rows = [
            torch.stack([norm_of(part, one) for part in (one, one.grad, self.moved(name, one))])
            for name, one in weights.items()
        ]
        values = torch.stack(rows).tolist() if rows else []
        for row, one in zip(values, weights.values(), strict=True):
            if one.grad is not None and row[1] < TINY:
                row[1] = float(one.grad.cpu().double().norm())
        columns: list[dict[str, float]] = []
        for place in range(3):
            column = {name: row[place] for name, row in zip(weights, values, strict=True)}
            columns.append({name: value for name, value in column.items() if not math.isnan(value)})
        return columns[0], columns[1], columns[2]

    def ends(self, seen: Iterable[str], weighted: Iterable[str]) -> tuple[str, str]:
        """The first and the last layer of `weighted` in the order in which signals reach them; empty if there is none.

        Args:
            seen: names of layers that hold no others, in that order; what is called in training alone is not there.
            weighted: names as those of `weights`.
        """
        modules, owned = dict(self.model.named_modules()), dict[str, list[str]]()
        for name in weighted:
            owned.setdefault(name if name in modules else name.rpartition(".")[0], []).append(name)
        reached = [one for name in seen for one in owned.get(holder(name, owned), ())]
        reached = reached or [one for names in owned.values() for one in names]
        return (reached[0], reached[-1]) if reached else ("", "")

    def moved(self, name: str, weight: Tensor) -> Tensor | None:
        """The last update of a weight; None where it is not known."""
        return weight - self.before[name] if name in self.before else None

    def check_gradients(self, step: int, gradients: Mapping[str, float], updates: Mapping[str, float]) -> None:
        """Notes layers whose gradient has vanished, as `VANISHED` and `STILL` say."""
        most, fastest = max(gradients.values(), default=0.0), max(updates.values(), default=0.0)
        gone = {
            name: value
            for name, value in gradients.items()
            if value <= VANISHED * most and updates.get(name, 0.0) <= STILL * fastest
        }
        if gone and math.isfinite(most):
            worst = next(iter(gone))
            size = f"{gone[worst] / most:.0e} of the largest, relative to the weights" if gone[worst] else "0"
            self.say(gone, f"at step {step} the gradient of {worst} is {size}", worst)

    def say(self, layers: Mapping[str, float], what: str, worst: str) -> None:
        """A note of the run, once in all."""
        if not self.said:
            self.said = True
            others = len(layers) - 1
            more = f" (and {others} more layer{'s' * (others != 1)} like it)" if others else ""
            warnings.warn(f"the net is dying: {what}{more}", stacklevel=2)


def norm_of(tensor: Tensor | None, beside: Tensor) -> Tensor:
    """Norm of `tensor`, (); NaN on the device of `beside` for None."""
    return torch.full((), math.nan, device=beside.device) if tensor is None else tensor.float().norm()


def taken_together(
    gradients: Mapping[str, float], ratios: Mapping[str, float], layers: tuple[str, str]
) -> dict[str, float]:
    """`train/gradient_norm`, of all weights; `train/gradient_ratio`, of the first of `layers` over the last, NaN where
    there is no gradient; and `train/learning_ratio`, the same of update over weight, where updates are known."""
    first, last = layers
    found = {"train/gradient_norm": math.hypot(*gradients.values())}
    found["train/gradient_ratio"] = over(gradients.get(first, math.nan), gradients.get(last, math.nan))
    return found | ({"train/learning_ratio": over(ratios[first], ratios[last])} if {first, last} <= {*ratios} else {})


def holder(name: str, owners: Collection[str]) -> str:
    """The name among `owners` of a layer itself, or of what holds it, as a convolution what computes its weight."""
    while name and name not in owners:
        name = name.rpartition(".")[0]
    return name


def over(value: float, other: float) -> float:
    """`value` / `other`; NaN for 0 / 0."""
    return value / other if other else math.nan if not value else math.inf


def mean_of(shares: Iterable[float]) -> float:
    """The mean over layers; 0 without any."""
    found = list(shares)
    return math.fsum(found) / len(found) if found else 0.0


def weighted(layer: nn.Module) -> bool:
    """Whether it is no activation, as it has a weight of several dimensions."""
    return any(one.ndim > 1 for one in layer.parameters())
