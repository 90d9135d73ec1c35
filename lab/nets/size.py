"""How much memory a net would take, found without making it: its layers are built where tensors have only shapes."""

import math

import torch
from torch import Tensor, nn

from lab.config import ModelConfig
from lab.errors import UserError
from lab.nets.parts.part import Shape
from lab.nets.recipe import build
from lab.system.devices import is_out_of_memory

FLOAT = 4
"""Bytes of a weight, of its gradient, and of an activation in fp32."""

LARGE = 3 * 512 * 512
"""Values of an image from which whole nets are measured; below they are known to fit."""


def check_size(config: ModelConfig, in_shape: Shape, num_outputs: int, batch_size: int, free: int | None) -> None:
    """Raises `UserError` where a training step surely takes more than the `free` bytes; None: nobody knows."""
    if free is None or most_bytes(config, in_shape, num_outputs, batch_size) <= free:
        return
    least = least_bytes(config, in_shape, num_outputs, batch_size)
    shown = "more than any machine has" if math.isinf(least) else f"{least / 1e9:,.1f} GB at least"
    recipe = f"model.widths={config.widths} with model.depth={config.depth} and model.kernel={config.kernel}"
    what = f"{recipe if config.name == 'recipe' else f'model.name={config.name}'} on data of shape {tuple(in_shape)}"
    if least > free:
        raise UserError(
            f"{what} and train.batch_size={batch_size} takes {shown} (weights, gradients, activations); "
            f"{free / 1e9:,.1f} GB of memory are free"
        )


def most_bytes(config: ModelConfig, in_shape: Shape, num_outputs: int, batch_size: int) -> float:
    """Bytes that `least_bytes` can give at most, at once: most nets are far below what is free."""
    if config.name != "recipe":
        return 0 if math.prod(in_shape) < LARGE else math.inf
    pixels = math.prod(in_shape[1:])
    widest = max([*config.widths, in_shape[0]])
    if config.skip == "concat":
        widest = in_shape[0] + max([*config.widths, 0]) * config.depth
    layer = max(widest**2 * max(config.kernel**2, pixels), widest * pixels * num_outputs)
    return FLOAT * (4 * config.depth * layer + 2 * batch_size * widest * pixels)


def least_bytes(config: ModelConfig, in_shape: Shape, num_outputs: int, batch_size: int) -> float:
    """Bytes that a training step takes at least: weights, their gradients, and the largest two activations of a batch.

    0 where only building the net can tell, as with a user's own parts; infinity where a layer alone is beyond 2^63.
    """
    if any(":" in str(value) for value in vars(config).values()):
        return 0
    sizes: dict[int, int] = {}  # by storage: a view takes no memory

    def watch(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes[output.untyped_storage()._cdata] = output.numel()

    try:
        with torch.device("meta"), torch.no_grad():
            net = build(config, in_shape, num_outputs).eval()
            for module in net.modules():
                if not list(module.children()):
                    module.register_forward_hook(watch)
            net(torch.zeros(batch_size, *in_shape))
    except (UserError, RuntimeError) as error:  # whatever else is wrong is said when the net is built
        return math.inf if is_out_of_memory(error) or "fit into memory" in str(error) else 0
    num_weights = sum(parameter.numel() for parameter in net.parameters())
    return FLOAT * (2 * num_weights + sum(sorted(sizes.values())[-2:]))
