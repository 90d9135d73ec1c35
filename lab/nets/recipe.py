"""From a recipe of whole words to a network, carrying along the shape of one example.

Grammar: `block = word ("-" word)*`, read left to right, any order, repeats allowed. A word that needs weights (`conv`,
`linear`) takes the stage's width; `pool` acts only in the last block of a stage.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from lab.config import ModelConfig, UserError, check_range, choose, nearest
from lab.nets.acts import ACTS
from lab.nets.drops import DROPS
from lab.nets.heads import HEADS
from lab.nets.norms import NORMS
from lab.nets.parts import Shape
from lab.nets.pools import POOLS
from lab.nets.skips import SKIPS
from lab.nets.weights import DropConnect, standardise

Word = Callable[[ModelConfig, int, Shape], nn.Module]


def conv(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """A convolution to the stage's width, `model.kernel` wide, that keeps height and width."""
    if len(shape) != 3:
        raise ValueError("conv needs feature maps (c, h, w)")
    layer = nn.Conv2d(shape[0], width, config.kernel, padding="same", bias=config.bias)
    return standardise(layer) if config.weight_std else layer


def linear(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """A fully connected layer to the stage's width; feature maps are flattened first."""
    if len(shape) == 1:
        return nn.Linear(shape[0], width, bias=config.bias)
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], width, bias=config.bias))


def norm(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """The normalisation `model.norm`."""
    return choose("model.norm", config.norm, NORMS)(shape)


def act(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """The activation `model.act`."""
    return choose("model.act", config.act, ACTS)(shape)


def pool(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """The pooling `model.pool`, in the last block of each stage."""
    part = choose("model.pool", config.pool, POOLS)
    if config.pool != "none" and (len(shape) != 3 or min(shape[1:]) < 2):
        raise ValueError("pool needs feature maps of at least 2x2; use fewer stages (model.widths) or model.pool=none")
    return part(shape)


def drop(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """The dropping `model.drop` at the rate `model.drop_rate`."""
    check_range("model.drop_rate", config.drop_rate, 0 <= config.drop_rate < 1, "at least 0 and below 1")
    return choose("model.drop", config.drop, DROPS)(shape, config.drop_rate)


WORDS: dict[str, Word] = {"conv": conv, "linear": linear, "norm": norm, "act": act, "pool": pool, "drop": drop}

WEIGHTED = ("conv", "linear")
"""The words that `model.depth` counts."""


def build(config: ModelConfig, in_shape: Shape, num_outputs: int) -> nn.Module:
    """The network of `config` for examples of `in_shape` (c, h, w), ending in `num_outputs` logits.

    Raises:
        UserError: an unknown name, a depth that the recipe cannot reach, or a word that cannot take the shape that
            reaches it; the message names word, place and shape.
    """
    if config.name != "recipe":
        return choose("model.name", config.name, {"recipe": build})(in_shape, num_outputs)
    words = parse(config.block)
    stages = stage_blocks(config, words)
    wrap = choose("model.skip", config.skip, SKIPS)
    net, shape = nn.Sequential(), in_shape
    for i, (width, num_blocks) in enumerate(zip(config.widths, stages, strict=True), 1):
        stage = nn.Sequential()
        for j in range(1, num_blocks + 1):
            before = shape
            block = nn.Sequential()
            for place, word in enumerate(words, 1):
                if word == "pool" and j < num_blocks:
                    continue
                where = f"model.block={config.block}: word {place}, '{word}', of stage {i}, block {j}"
                layer, shape = _fit(partial(WORDS[word], config, width, shape), shape, where)
                if isinstance(layer, DropConnect):
                    layer.attach(_last_weighted(block, where))
                block.add_module(_layer_name(block, word), layer)
            where = f"model.skip={config.skip} of stage {i}, block {j}"
            layer, shape = _fit(partial(wrap, block, before, shape), before, where)
            stage.add_module(f"block{j}", layer)
        net.add_module(f"stage{i}", stage)
    head, shape = _fit(lambda: choose("model.head", config.head, HEADS)(shape), shape, f"model.head={config.head}")
    net.add_module("head", head)
    net.add_module("classifier", nn.Linear(shape[0], num_outputs))
    return net


def parse(block: str) -> list[str]:
    """The words of a recipe.

    Raises:
        UserError: a word that is not in the vocabulary; names it, its place and the nearest word.
    """
    words = block.split("-")
    for place, word in enumerate(words, 1):
        if word not in WORDS:
            raise UserError(
                f"model.block={block}: word {place}, '{word}', is unknown{nearest(word, WORDS)}; "
                f"there are: {', '.join(WORDS)}"
            )
    return words


def stage_blocks(config: ModelConfig, words: list[str]) -> list[int]:
    """How many blocks each stage has, so that the layers with weights add up to `model.depth`.

    Raises:
        UserError: a width below 1, no stage, a recipe without weights, or a depth that whole blocks cannot reach.
    """
    if not config.widths or min(config.widths) < 1:
        raise UserError(f"model.widths={config.widths} is out of range; allowed: one width or more, each at least 1")
    check_range("model.kernel", config.kernel, config.kernel >= 1, "at least 1")
    weighted = sum(word in WEIGHTED for word in words)
    if not weighted:
        raise UserError(f"model.block={config.block} has no layer with weights; add one of: {', '.join(WEIGHTED)}")
    num_stages = len(config.widths)
    num_blocks, rest = divmod(config.depth - 1, weighted)
    if num_blocks < num_stages or rest:
        least = 1 + weighted * num_stages
        lower = 1 + weighted * num_blocks
        near = [str(depth) for depth in (lower, lower + weighted) if depth >= least] or [str(least)]
        raise UserError(
            f"model.depth={config.depth} cannot be built from model.block={config.block} in {num_stages} "
            f"stage{'s' * (num_stages > 1)}: allowed are {least}, {least + weighted}, {least + 2 * weighted}, ... "
            f"({weighted} for each block, at least one block a stage, 1 for the classifier); "
            f"nearest: {' or '.join(near)}"
        )
    return [num_blocks // num_stages + (i < num_blocks % num_stages) for i in range(num_stages)]


def _fit(make: Callable[[], nn.Module], shape: Shape, where: str) -> tuple[nn.Module, Shape]:
    """Makes a layer and passes two examples of `shape` through it; returns the layer and the shape that comes out."""
    try:
        layer = make()
        if not isinstance(layer, nn.Module):
            raise TypeError(f"it must make a torch module, not a {type(layer).__name__}")
        training = layer.training
        with torch.no_grad():
            after = layer.eval()(torch.zeros(2, *shape)).shape[1:]
        layer.train(training)
    except UserError:
        raise
    except Exception as error:  # a user's own part can raise anything; the message says which one it was
        raise UserError(f"{where}, cannot take shape {tuple(shape)}: {error}") from error
    return layer, tuple(after)


def _last_weighted(block: nn.Sequential, where: str) -> nn.Conv2d | nn.Linear:
    """The last conv or linear of an unfinished block; a pooling with weights is not meant."""
    for name, layer in reversed(list(block.named_children())):
        if name.rstrip("0123456789") in WEIGHTED:
            return next(module for module in layer.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    raise UserError(f"{where}, is model.drop=dropconnect, which needs one of {', '.join(WEIGHTED)} before it")


def _layer_name(block: nn.Sequential, word: str) -> str:
    """`conv`, and `conv2` for the second one of a block."""
    number = sum(name.rstrip("0123456789") == word for name, _ in block.named_children()) + 1
    return word if number == 1 else f"{word}{number}"
