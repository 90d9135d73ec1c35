"""A chain of layers, each made for the shape that reaches it; an error names the layer and that shape."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import torch
from torch import nn

from lab.errors import LayerError, OwnPartError, UserError, described, is_interruption, own_line, short
from lab.nets.parts.part import Part, Shape
from lab.system.devices import is_out_of_memory


def chain(where: str, layers: Sequence[tuple[str, Part]], in_shape: Shape) -> nn.Sequential:
    """The layers in a row, named by their words: `conv`, `act`, and `conv2` for the second `conv`.

    Args:
        where: what the user asked for (`model.name=lenet`), for the message.
        layers: word and part of each layer, in the order in which they act.
        in_shape: shape of one example, (c, h, w) or (n,).

    Raises:
        UserError: a layer that cannot take the shape that reaches it; names both.
    """
    net, shape = nn.Sequential(), in_shape
    for word, part in layers:
        name = layer_name(net, word)
        try:
            layer, shape = fit_layer(partial(part, shape), shape, f"{where}: layer '{name}'", name)
        except LayerError as error:
            error.in_shape, error.net = in_shape, with_layer(net, name, partial(part, shape))
            raise
        net.add_module(name, layer)
    return net


def with_layer(net: nn.Sequential, name: str, make: Callable[[], nn.Module]) -> nn.Sequential | None:
    """`net` with a layer that may not take what reaches it; None where not even the layer can be made."""
    with suppress(Exception):
        net.add_module(name, make())
        return net
    return None


def fit_layer(make: Callable[[], nn.Module], shape: Shape, where: str, name: str = "") -> tuple[nn.Module, Shape]:
    """Makes a layer and passes two examples of `shape` through it; returns the layer and the shape that comes out.

    Raises:
        UserError: any failure; the message has `where` and `shape`. A `LayerError` knows `name` and `shape` as well.
    """
    layer = None
    try:
        layer = make()
        if not isinstance(layer, nn.Module):
            raise TypeError(f"it must make a torch module, not a {type(layer).__name__}")
        training = layer.training
        with torch.no_grad():
            outputs = layer.eval()(torch.zeros(2, *shape))
        if not isinstance(outputs, torch.Tensor):
            raise TypeError(f"it returns {short(outputs)}, and no tensor")
        after = outputs.shape[1:]
        layer.train(training)
    except OwnPartError as error:
        raise OwnPartError(f"{where}: {error}") from error
    except UserError:
        raise
    except BaseException as error:  # a user's own part can raise anything; the message says which one it was
        if is_interruption(error):
            raise
        refused = f"{where}, cannot take shape {tuple(shape)}"
        if own_line(error, type(layer)):
            raise OwnPartError(f"{refused}: {described(error, type(layer))}") from error
        if isinstance(error, MemoryError) or is_out_of_memory(error):
            raise UserError(f"{refused}: it does not fit into memory") from error
        raise LayerError(f"{refused}: {error}", name, tuple(shape)) from error
    return layer, tuple(after)


def layer_name(block: nn.Sequential, word: str) -> str:
    """`conv`, and `conv2` for the second one of a block."""
    number = sum(name.rstrip("0123456789") == word for name, _ in block.named_children()) + 1
    return word if number == 1 else f"{word}{number}"


def conv(width: int, kernel: int, padding: int | str = 0) -> Part:
    """A convolution to `width` maps with square kernels; by default without padding, so that the maps shrink."""

    def part(shape: Shape) -> nn.Module:
        return nn.Conv2d(num_maps(shape), width, kernel, padding=padding)

    return part


def linear(width: int) -> Part:
    """A fully connected layer to `width` features."""

    def part(shape: Shape) -> nn.Module:
        if len(shape) != 1:
            raise ValueError("linear needs features (n,)")
        return nn.Linear(shape[0], width)

    return part


def max_pool(size: int) -> Part:
    """The largest of each square of `size` x `size` pixels; an incomplete last row or column is left out."""
    return lambda shape: nn.MaxPool2d(size)


def dropout(rate: float) -> Part:
    """Each unit is zero with probability `rate` in training, in [0, 1]."""
    return lambda shape: nn.Dropout(rate)


def num_maps(shape: Shape) -> int:
    """The channels of maps (c, h, w)."""
    if len(shape) != 3:
        raise ValueError("conv needs feature maps (c, h, w)")
    return shape[0]
