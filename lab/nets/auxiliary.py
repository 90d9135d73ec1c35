"""Auxiliary classifiers: side heads in the middle of a net, whose loss reaches the early layers by a shorter way."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lab.config import ModelConfig
from lab.errors import UserError
from lab.nets.parts.heads import global_average
from lab.nets.parts.part import Shape


class WithAuxiliaries(nn.Module):
    """A net of stages with classifiers after some of its blocks (Szegedy et al. 2015, section 5).

    In training mode it returns `(logits, ((weight, aux_logits), ...))`, in the order of the blocks, for the loss
    loss(logits) + sum of weight loss(aux_logits); in evaluation mode the logits alone. The net's own layers keep their
    names, and the classifiers lie under `auxiliary`, after all of them, so that the net starts the same with and
    without. In training mode the blocks of a stage with a classifier are called one by one: a hook on that stage itself
    is not called.
    """

    def __init__(self, net: nn.Sequential, classifiers: Mapping[str, nn.Module], weights: Mapping[str, float]):
        """
        Args:
            net: layers, some of them stages of blocks.
            classifiers: from a block's name, `stage1.block2`, to the classifier of its outputs.
            weights: from the same blocks to the weight of each one's loss.
        """
        super().__init__()
        for name, layer in net.named_children():
            self.add_module(name, layer)
        self.aux_weights = dict(weights)
        # A module's name holds no dot: `auxiliary.stage1_block2` is the classifier after `stage1.block2`.
        self.auxiliary = nn.ModuleDict({block.replace(".", "_"): aux for block, aux in classifiers.items()})

    def forward(self, x: Tensor) -> Any:
        beside = []
        for name, layer in self.named_children():
            if name == "auxiliary":
                continue
            if not (self.training and any(block.startswith(f"{name}.") for block in self.aux_weights)):
                x = layer(x)
                continue
            for block_name, block in layer.named_children():
                x = block(x)
                weight = self.aux_weights.get(f"{name}.{block_name}")
                if weight is not None:
                    beside.append((weight, self.auxiliary[f"{name}_{block_name}"](x)))
        return (x, tuple(beside)) if self.training else x

    def extra_repr(self) -> str:
        return f"aux_weights={self.aux_weights}"


def side_classifier(shape: Shape, num_outputs: int) -> nn.Sequential:
    """Global average and a linear layer to logits, for the outputs of a block, (c, h, w) or (n,)."""
    net = nn.Sequential()
    net.add_module("head", global_average(shape))
    net.add_module("classifier", nn.Linear(shape[0], num_outputs))
    return net


def weight_of_blocks(config: ModelConfig, blocks: list[str]) -> dict[str, float]:
    """The weight of the classifier after each block that has one, from `model.aux_blocks` and `model.aux_weights`.

    Args:
        config: the two lists.
        blocks: names of all blocks, in order.

    Returns:
        From a name in `blocks` to a weight, in the order of the blocks.

    Raises:
        UserError: a block that does not exist, is the last one or is named twice; a wrong number of weights.
    """
    numbers, weights = config.aux_blocks, config.aux_weights
    if not numbers:
        return {}
    last = len(blocks) - 1  # a classifier after the last block would double the one at the end
    if len(set(numbers)) < len(numbers) or not all(1 <= number <= last for number in numbers):
        several = f"different numbers from 1 to {last}, the blocks before the last"
        allowed = several if last > 0 else "[], as there is no block before the last"
        raise UserError(f"model.aux_blocks={numbers} is out of range; allowed: {allowed}")
    each = weights * len(numbers) if len(weights) == 1 else weights
    return {blocks[number - 1]: weight for number, weight in sorted(zip(numbers, each, strict=True))}
