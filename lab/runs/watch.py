"""What TensorBoard shows of one run besides its curves: images, histograms, health, the graph. None of it trains.

Everything here happens between two steps, on copies or in evaluation mode, and under a fork of the global generators:
a watched run has the same numbers as any other. All tags begin with `watch`, since TensorBoard sorts by the alphabet,
and `train` and `val` should come first.
"""

import copy
import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from lab.config import TrainConfig
from lab.data.batches import Dataset
from lab.records.image_grid import grid_png
from lab.records.writer import MetricsWriter
from lab.runs.health import Health
from lab.system.reporter import note
from lab.training.smoothness import Smoothness
from lab.training.step import TrainStep

MOST_ACTIVATIONS = 256
"""Most images of a step from which histograms of activations are made."""

MOST_VALUES = 10_000
"""About the most values of a layer in a histogram of activations, evenly spaced: more cost time and show the same."""


class Watch:
    """Writes images, histograms and the graph of a run's net and data."""

    def __init__(
        self,
        config: TrainConfig,
        model: nn.Module,
        data: Dataset,
        train_step: TrainStep,
        writer: MetricsWriter,
        logged: Callable[[int], bool] = lambda step: False,
        paused: Callable[[], AbstractContextManager[object]] = nullcontext,
    ):
        """
        Args:
            config: `watch`, `watch_steps`, `watch_smoothness` and `pictures` are read.
            model: the net, not compiled.
            data: the run's.
            train_step: the run's.
            writer: the run's.
            logged: whether a step will be a logged point.
            paused: in which the clock of the training stands still.
        """
        self.config, self.model, self.data, self.writer = config, model, data, writer
        self.batch, self.logged, self.paused = train_step.batch, logged, paused
        self.steps = frozenset(config.watch_steps)
        self.health = Health(model)
        self.smoothness = Smoothness(train_step) if config.watch and config.watch_smoothness else None
        self.shows_images = config.pictures > 0 and len(data.shape) == 3

    def start(self, step: int = 0) -> None:
        """The first batch as the net sees it, scaled and augmented, and with `train.watch` the graph of the net.

        Args:
            step: how many are done.
        """
        images, labels = self.batch(0)
        if self.shows_images:
            shown = images[: self.config.pictures].detach().float().cpu().numpy()
            names = self.names(labels[: self.config.pictures].flatten().tolist())
            self.writer.image("watch_batch", *grid_png(shown, names), 0)
        if self.config.watch:
            self.writer.graph(graph_def(self.model, images[:1]))
            self.health.meet(layers_seen(self.model, images[:MOST_ACTIVATIONS]))
            self.prepare(step)  # the clock does not run yet

    def report(self, step: int, restored: bool = False) -> dict[str, float]:
        """At a logged step: histograms and health, unless `train.watch_steps` names other steps.

        Args:
            step: how many are done.
            restored: whether the weights are now those of an earlier step.

        Returns:
            What is logged of all layers together (`lab.quantity.WATCHED`), and of the step (`ALONG_STEP`); nothing if
            the step is not watched.
        """
        if restored:
            self.forget()
        if not self.config.watch or self.steps:
            return {}
        self.show(step)
        return self.health.totals | (self.smoothness.measure() if self.smoothness else {})

    def forget(self) -> None:
        """The weights are replaced, so that nothing is known of the step that led to them."""
        self.health.forget()
        if self.smoothness:
            self.smoothness.forget()

    def tick(self, step: int) -> None:
        """After each step; does something at those of `train.watch_steps`, and before a step that will be shown."""
        if not self.config.watch:
            return
        if step in self.steps:
            self.show(step)
        self.prepare(step, self.paused)

    def prepare(self, step: int, paused: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """Keeps what is known before the step after `step`, if that will be shown, to tell what it did."""
        if step + 1 in self.steps or (not self.steps and self.logged(step + 1)):
            self.health.keep()
            if self.smoothness:
                with paused():
                    self.smoothness.keep(step)

    def show(self, step: int) -> None:
        """Histograms of weights, of the gradients of the last step as the optimizer saw them, and of activations of its
        images; and each layer's health.
        """
        for name, parameter in self.model.named_parameters():
            self.writer.histogram(f"watch_weights/{name}", parameter.detach().float().cpu().numpy(), step)
            if parameter.grad is not None:
                self.writer.histogram(f"watch_gradients/{name}", parameter.grad.float().cpu().numpy(), step)
        images = self.batch(max(0, step - 1))[0][:MOST_ACTIVATIONS]
        seen = layers_seen(self.model, images)
        self.writer.scalars(self.health.measure(step, seen), step)
        for name, (_, _, values) in seen.items():
            sample = values.flatten()[:: max(1, values.numel() // MOST_VALUES)]
            self.writer.histogram(f"watch_activations/{name}", sample.float().cpu().numpy(), step)

    def end(self, step: int, limit: int | None) -> None:
        """The misclassified validation images of the greatest loss, each with its class and the class predicted.

        Args:
            step: the last one.
            limit: most images that are evaluated.
        """
        if not self.shows_images or not self.data.classes:
            return
        found = [worst(self.model, images, labels) for images, labels in self.data.val.batches(1000, limit)]
        losses, guesses = torch.cat([one[0] for one in found]), torch.cat([one[1] for one in found])
        order = losses.argsort(descending=True, stable=True)[: self.config.pictures]
        order = order[losses[order].isfinite() & (losses[order] > 0)].to(self.data.val.index.device)
        if len(order):
            images, labels = self.data.val.take(order)
            pairs = zip(self.names(labels.tolist()), self.names(guesses[order.cpu()].tolist()), strict=True)
            captions = [f"{true} as {guess}" for true, guess in pairs]
            self.writer.image("watch_worst_mistakes", *grid_png(images.float().cpu().numpy(), captions), step)

    def names(self, labels: list[int]) -> list[str]:
        classes = self.data.classes
        return [classes[int(label)].encode("ascii", "replace").decode() for label in labels] if classes else []


@contextmanager
def looking(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module's mode and the global generators are as before."""
    modes = {module: module.training for module in model.modules()}
    devices = [parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"]
    with torch.random.fork_rng(devices=list({device.index or 0 for device in devices})), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training


def layers_seen(model: nn.Module, images: Tensor) -> dict[str, tuple[nn.Module, Tensor, Tensor]]:
    """Each layer that holds no others, by its name, with its first input and its output for `images` (b, c, h, w)."""
    found: dict[str, tuple[nn.Module, Tensor, Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
            if isinstance(output, Tensor) and inputs and isinstance(inputs[0], Tensor):
                found[name] = layer, inputs[0].detach(), output.detach()

        return hook

    layers = {name: layer for name, layer in model.named_modules() if not list(layer.children())}
    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        with looking(model):
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def worst(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each misclassified image, 0 for the others, and the class predicted, (b,) each."""
    with looking(model):
        logits = model(images).float()  # (b, k)
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    guesses = logits.argmax(1)
    losses = torch.where(guesses == labels, torch.zeros_like(losses), losses).nan_to_num(math.inf)
    return losses.cpu(), guesses.cpu()


def graph_def(model: nn.Module, images: Tensor) -> bytes | None:
    """The traced graph of a copy of `model` as a serialised `GraphDef`, or None if tracing fails.

    By torch's own writer (`torch.utils.tensorboard`), whose `SummaryWriter.add_graph` would make a second file.
    """
    from torch.utils.tensorboard._pytorch_graph import graph

    double = copy.deepcopy(model).eval()
    with looking(double), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about shapes that it takes as constants
        try:
            with redirect_stdout(io.StringIO()):  # it prints what it raises
                return graph(double, images)[0].SerializeToString()
        except Exception as error:  # whatever the net does that tracing does not support
            note(f"note: no graph for TensorBoard ({type(error).__name__})")
            return None
