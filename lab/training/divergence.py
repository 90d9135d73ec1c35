"""Where the numbers of a diverged run first were not finite: its last steps once more, with a look at every layer.

Nothing of this acts while a run trains. Batches, masks and rates are functions of step, seed and state, so the steps
done over again are the same to the bit on a CPU.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lab.training.fit import Member, fit

Place = dict[str, Any]
"""{"layer": "stage1.block2.conv", "what": "activation"}; see `locate`."""


class Watch:
    """Remembers what first was not finite in the step under way."""

    def __init__(self, member: Member):
        self.found: Place | None = None
        self.loss_is_finite = True
        self.model = member.model
        self._batch, self._loss = member.batch, member.loss
        member.batch, member.loss = self._watched_batch, self._watched_loss
        for name, module in member.model.named_modules():
            module.register_forward_hook(partial(self._after, name))

    def see(self, value: Tensor, layer: str | None, what: str) -> bool:
        """Takes note of `value`, that of a layer by its name in the net; whether it is finite."""
        ok = bool(value.isfinite().all())
        if not ok and self.found is None:
            # The weight as a layer uses it is made by modules of its own: `conv.parametrizations.weight`.
            name, made, _ = (layer or "").partition(".parametrizations.")
            self.found = {"layer": None if layer is None else name or "net", "what": "weight" if made else what}
        return ok

    def judge(self) -> Place | None:
        """After a step: what first was not finite in it, if loss or weights no longer are.

        What came to nothing is forgotten: an infinite logit under a sigmoid, a gradient that clipping cut, a step that
        loss scaling left out.
        """
        bad = [name for name, weight in self.model.named_parameters() if not weight.isfinite().all()]
        if self.loss_is_finite and not bad:
            self.found = None
            return None
        # The sum over a batch may overflow in the gradient of a weight alone; the last layers' come first.
        for name, weight in reversed(list(self.model.named_parameters())):
            if weight.grad is not None:
                self.see(weight.grad, _layer(name), "gradient")
        return self.found or {"layer": _layer(bad[0]) if bad else None, "what": "weight"}

    def _watched_batch(self, step: int) -> tuple[Tensor, Tensor]:
        images, labels = self._batch(step)
        self.see(images, "input", "activation")
        return images, labels

    def _watched_loss(self, outputs: Tensor, labels: Tensor, reduction: str) -> Tensor:
        loss = self._loss(outputs, labels, reduction)
        self.loss_is_finite &= self.see(loss.detach(), None, "loss")
        return loss

    def _after(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not torch.is_grad_enabled():  # an evaluation
            return
        for value in _tensors(output):
            if value.is_floating_point():
                self.see(value.detach(), name, "activation")
                if value.requires_grad:
                    value.register_hook(partial(self._gradient, name))

    def _gradient(self, name: str, gradient: Tensor) -> None:
        self.see(gradient, name, "gradient")


def locate(member: Member, until: int, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """The step and the layer in which a run first had a number that is not finite, and which came to the loss.

    Args:
        member: the run as it was when all was well, at the start or at a checkpoint, not compiled; it is spent
            afterwards.
        until: the step at which the loss was seen not to be finite.
        should_stop: asked after every step.

    Returns:
        `step`, counted from 1; `layer`, by its name in the net, `input` for the pictures, None for the loss itself;
        `what`: `activation` (what the layer puts out), `gradient` (by that, or by its weights), `weight` or `loss`.
        Where the steps done over again stay finite, or are interrupted, `step` is `until` and `note` says so.
    """
    watch = Watch(member)
    place: Place | None = None

    def is_over() -> bool:
        nonlocal place
        place = watch.judge()
        return place is not None or member.step >= until or should_stop()

    member.report, member.save, member.max_seconds = lambda row: None, lambda state: None, math.inf
    fit([member], math.inf, is_over)
    if place is not None:
        return {"step": member.step, **place}
    again = "the steps done over again stayed finite" if member.step >= until else "interrupted while it was looked for"
    return {"step": until, "layer": None, "what": "loss", "note": again}


def is_well(state: dict[str, Any]) -> bool:
    """Whether the weights and sums of a checkpoint are all finite, so that the last steps can start from there."""
    values = [*state["model"].values(), state["totals"]]
    return state["status"] != "diverged" and all(bool(value.isfinite().all()) for value in values)


def _layer(name: str) -> str:
    """The layer of the parameter `name`."""
    layer, made, _ = name.partition(".parametrizations.")
    return layer if made else layer.rpartition(".")[0] or "net"


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for one in output:
            yield from _tensors(one)
