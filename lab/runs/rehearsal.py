"""A step on two examples before the first, where a user's own code takes part: what cannot work is one message."""

import copy
import math
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lab.config import RunConfig
from lab.data.batches import Dataset
from lab.errors import OwnPartError, UserError, described, is_interruption
from lab.identity import flatten
from lab.training.losses import Loss
from lab.training.precision import RefusesFatalNorms
from lab.validation import all_keys


def own_parts(config: RunConfig) -> list[str]:
    """The keys of `config` that name a user's own code, with their values: `model.act=mine:cubic`."""
    return [
        f"{key}={value}" for key, value in flatten(config).items() if all_keys()[key].knob.own and ":" in str(value)
    ]


def to_blame(own: list[str], line: str) -> list[str]:
    """Those of `own`, result of `own_parts`, whose file `line`, result of `own_line`, is of."""
    modules = {part: sys.modules.get(part.partition("=")[2].partition(":")[0]) for part in own}
    return [part for part, module in modules.items() if line.startswith(f"{getattr(module, '__file__', None)}, ")]


def materialise(model: nn.Module, shape: tuple[int, ...], given: str) -> None:
    """Gives lazy layers (`nn.LazyLinear`) their shapes, and draws their weights, by two examples of `shape`."""
    if any(is_lazy(parameter) for parameter in [*model.parameters(), *model.buffers()]):
        with torch.no_grad():
            attempt(model.eval(), torch.zeros(2, *shape), given)
        model.train()


def check_single(model: nn.Module, shape: tuple[int, ...], config: RunConfig) -> None:
    """Raises `UserError` where `model` has a batch norm that would see one number a channel in a batch of one.

    Args:
        model: on the CPU; it stays as it is.
        shape: of one example.
        config: for the message.
    """

    def watch(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if math.prod(inputs[0].shape[2:]) == 1:
            raise UserError(
                f"train.batch_size={config.train.batch_size} leaves a batch norm one number a channel, which becomes "
                f"zero; allowed: more images a step, or another norm than model.norm={config.model.norm}"
            )

    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    handles = [norm.register_forward_pre_hook(watch) for norm in norms]
    training = model.training
    try:
        if norms:
            with torch.no_grad():
                attempt(model.eval(), torch.zeros(2, *shape), f"model.name={config.model.name}")
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()


def format_of(model: nn.Module, images: Tensor, asked: bool, given: str) -> torch.memory_format:
    """Channels last where `model` copes with it, else contiguous, as it wants who uses `view` behind a convolution.

    Args:
        model: on the CPU; it stays as it is.
        images: two or more (b, c, h, w).
        asked: whether the user asked for channels last, so that nothing else will do.
        given: the keys that name the user's code, for the message.

    Raises:
        OwnPartError: the user asked for it, and it alone is in the way.
    """
    if copes_with(model, images, torch.channels_last):
        return torch.channels_last
    if asked and copes_with(model, images, torch.contiguous_format):
        raise OwnPartError(
            f"train.channels_last=true is not supported by {given}, which needs contiguous images; `view` behind a "
            "convolution is the usual reason, and `flatten(1)` in its place the remedy, or `group_norm` of the images, "
            "and `nn.GroupNorm` in its place"
        )
    return torch.contiguous_format


def copes_with(model: nn.Module, images: Tensor, memory_format: torch.memory_format) -> bool:
    """Whether a copy of `model` goes forward and backward through `images` (b, c, h, w) in `memory_format`."""
    try:
        with torch.random.fork_rng(devices=[]):
            probe = copy.deepcopy(model).to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
            with RefusesFatalNorms():
                outputs = probe.train()(images.contiguous(memory_format=memory_format))
            sum(one.float().sum() for one in tensors(outputs)).backward()  # pyright: ignore[reportAttributeAccessIssue]
    except BaseException as error:  # whatever it is, it comes again in the other format, or is gone there
        if is_interruption(error):
            raise
        return False
    return True


def tensors(outputs: object) -> list[Tensor]:
    """The tensors of a net's outputs, those of auxiliary classifiers and of a user's dictionary included."""
    if isinstance(outputs, Tensor):
        return [outputs]
    inside: Iterable[object] = outputs.values() if isinstance(outputs, dict) else outputs  # pyright: ignore
    return [found for one in inside if not isinstance(one, int | float) for found in tensors(one)]


def attempt(model: nn.Module, images: Tensor, given: str) -> object:
    """The outputs of `model`; any failure is a `UserError` that names the input's shape."""
    try:
        return model(images)
    except UserError:
        raise
    except BaseException as error:
        if is_interruption(error):
            raise
        kind = "images" if images.ndim == 4 else "rows"
        raise OwnPartError(f"{given} cannot take {kind} {tuple(images.shape)}: {described(error)}") from error


def rehearse(
    model: nn.Module,
    data: Dataset,
    loss: Loss,
    update: Callable[[nn.Module], object],
    memory_format: torch.memory_format,
    auxiliary: bool,
    given: str,
) -> None:
    """Takes two training examples through copies of `model`, in evaluation and in training mode, and through a step.

    Args:
        model: with its first weights, on its device; it stays as it is.
        data: what it will be trained on.
        loss: of training.
        update: what follows the gradients of the loss: penalty, clipping, a step of a new optimizer.
        memory_format: of the images.
        auxiliary: whether it returns auxiliary outputs in training mode, as the lab's own nets do.
        given: the keys that name the user's code, for the message.

    Raises:
        OwnPartError: something fails, or the outputs have another shape than the labels ask for.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise OwnPartError(f"{given} has no weights to train")
    images, labels = data.train.take(torch.arange(2, device=data.train.index.device))
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        images = images if data.augment is None else data.augment(images, 0)
        images = images.contiguous(memory_format=memory_format) if images.ndim == 4 else images
        for training in (False, True):
            probe = model
            with suppress(Exception):  # one that refuses to be copied is tried where nothing of it changes
                probe = copy.deepcopy(model)
            if probe is model and training:
                continue
            outputs: Any = attempt(probe.train(training), images, given)
            outputs = outputs[0] if training and auxiliary else outputs
            check_outputs(outputs, data, given)
            value = checked_loss(loss, outputs, labels, given)
            if training:
                attempt_step(probe, value, update, given)
        model.train()


def attempt_step(probe: nn.Module, loss: Tensor, update: Callable[[nn.Module], object], given: str) -> None:
    """Takes `probe` through the backward pass of `loss` and `update`; any failure is a `UserError`."""
    try:
        loss.backward()
        update(probe)
    except UserError:
        raise
    except BaseException as error:
        if is_interruption(error):
            raise
        raise OwnPartError(f"{given} cannot take a step: {described(error)}") from error


def check_outputs(outputs: object, data: Dataset, given: str) -> None:
    """Raises `OwnPartError` unless a net's `outputs` for two examples are a tensor (2, number of outputs)."""
    what = "a logit a class" if data.classes else "the number to predict"
    wanted = f"wanted is a tensor (b, {data.num_outputs}), {what}"
    if not isinstance(outputs, Tensor):
        raise OwnPartError(f"{given} returns a {type(outputs).__name__}; {wanted}")
    if outputs.shape != (2, data.num_outputs):
        shape = ", ".join(["b" if outputs.ndim and len(outputs) == 2 else "?", *map(str, outputs.shape[1:])])
        raise OwnPartError(f"{given} returns a tensor ({shape}{',' * (outputs.ndim == 1)}); {wanted}")
    if not outputs.is_floating_point():
        raise OwnPartError(f"{given} returns numbers of type {outputs.dtype}; {wanted} of floats")


def checked_loss(loss: Loss, outputs: Tensor, labels: Tensor, given: str) -> Tensor:
    """The loss of two examples, if it is one number that depends on the outputs."""
    value = loss(outputs, labels, "mean")
    if value.shape != ():
        raise OwnPartError(f"{given}: the loss is a tensor {tuple(value.shape)}; wanted is one number, shape ()")
    if not value.requires_grad:
        raise OwnPartError(f"{given}: the loss has no gradient; it must be computed from the outputs, by torch")
    return value
