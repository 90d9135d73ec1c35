"""Where the numbers of a diverged run first were not finite: its last steps once more, every layer observed.

Nothing of this acts while a run trains. Batches, masks and rates are functions of step, seed and state, so the repeated
steps are the same to the bit on a CPU.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lab.training.clock import Clock
from lab.training.fit import Training, fit
from lab.training.step import TrainStep

Place = dict[str, Any]
"""{"layer": "stage1.block2.conv", "what": "activation"}; see `locate`."""


class Tracer:
    """Remembers what first was not finite in the current step."""

    def __init__(self, step: TrainStep):
        self.found: Place | None = None
        self.loss_is_finite = True
        self.evaluating = False
        self.model = step.model
        self._batch, self._loss = step.batch, step.loss
        self.step = replace(step, batch=self._traced_batch, loss=self._traced_loss)
        """The same step, observed."""
        for name, module in step.model.named_modules():
            module.register_forward_hook(partial(self._after, name))

    def see(self, value: Tensor, layer: str | None, what: str) -> bool:
        """Records `value`, which the layer of that name in the net made; returns whether it is finite."""
        ok = bool(value.isfinite().all())
        if not ok and self.found is None:
            # Other modules make the weight that a layer uses: `conv.parametrizations.weight`.
            name, made, _ = (layer or "").partition(".parametrizations.")
            self.found = {"layer": None if layer is None else name or "net", "what": "weight" if made else what}
        return ok

    def judge(self) -> Place | None:
        """After a step: what first was not finite in it, if loss or weights no longer are finite.

        What did no harm is forgotten: an infinite logit under a sigmoid, a gradient that clipping cut, a step that loss
        scaling left out.
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

    def _traced_batch(self, step: int) -> tuple[Tensor, Tensor]:
        images, labels = self._batch(step)
        self.see(images, "input", "activation")
        return images, labels

    def _traced_loss(self, outputs: Tensor, labels: Tensor, reduction: str) -> Tensor:
        loss = self._loss(outputs, labels, reduction)
        self.loss_is_finite &= self.see(loss.detach(), None, "loss")
        return loss

    def _after(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not torch.is_grad_enabled() and not self.evaluating:  # what an evaluation on the way sees does no harm
            return
        for value in _tensors(output):
            if value.is_floating_point():
                self.see(value.detach(), name, "activation")
                if value.requires_grad:
                    value.register_hook(partial(self._gradient, name))

    def _gradient(self, name: str, gradient: Tensor) -> None:
        self.see(gradient, name, "gradient")


def locate(
    run: Training, until: int, should_stop: Callable[[], bool], evaluations: Sequence[Callable[[], object]] = ()
) -> dict[str, Any]:
    """The step and the layer in which a run first had a number that is not finite, and that reached the loss.

    Args:
        run: as it was when all was well, at the start or at a checkpoint, not compiled; not to be used afterwards.
        until: the step at which the loss was seen not to be finite.
        should_stop: asked after every step.
        evaluations: of `run`, searched after the steps if these stay finite.

    Returns:
        `step`, counted from 1; `layer`, by its name in the net, `input` for the images, None for the loss itself;
        `what`: `activation` (what the layer puts out), `gradient` (by that, or by its weights), `weight` or `loss`.
        Where the repeated steps stay finite, or are interrupted, `step` is `until` and `note` says so.
    """
    tracer = Tracer(run.train_step)
    again = replace(run, train_step=tracer.step, clock=Clock(run.clock.device))
    place: Place | None = None

    def is_done() -> bool:
        nonlocal place
        place = tracer.judge()
        return place is not None or again.step >= until or should_stop()

    fit(again, should_stop=is_done)
    if place is None and again.step >= until:
        tracer.found, tracer.evaluating = None, True
        for evaluation in evaluations:
            evaluation()
        place = tracer.found
    if place is not None:
        return {"step": again.step, **place}
    note = "the repeated steps stayed finite" if again.step >= until else "interrupted during the search"
    return {"step": until, "layer": None, "what": "loss", "note": note}


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
