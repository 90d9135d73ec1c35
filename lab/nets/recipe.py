"""From a recipe of words to a network; every layer is made for the shape of the example that reaches it.

Grammar: `block = word ("-" word)*`, read left to right, any order, repeats allowed. A word that needs weights (`conv`,
`linear`) takes the stage's width; `pool` acts only in the last block of a stage.
"""

import warnings
from collections.abc import Callable
from functools import partial

from torch import nn

from lab.config import ModelConfig
from lab.errors import UserError, choose, unknown
from lab.nets.auxiliary import WithAuxiliaries, side_classifier, weight_of_blocks
from lab.nets.blunders import BLUNDERS
from lab.nets.chain import fit_layer, layer_name, num_maps
from lab.nets.parts.acts import ACTS
from lab.nets.parts.drops import DROPS
from lab.nets.parts.heads import HEADS
from lab.nets.parts.norms import NORMS
from lab.nets.parts.part import Shape
from lab.nets.parts.pools import POOLS
from lab.nets.parts.skips import SKIPS
from lab.nets.surfaces import SURFACES
from lab.nets.weights import DropConnect, standardise
from lab.nets.zoo import NETS

Word = Callable[[ModelConfig, int, Shape], nn.Module]


def conv(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """A convolution to the stage's width, `model.kernel` wide, that keeps height and width."""
    layer = nn.Conv2d(num_maps(shape), width, config.kernel, padding="same", bias=config.bias)
    return standardise(layer) if config.weight_std else layer


def linear(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """A fully connected layer to the stage's width; feature maps are flattened first."""
    if len(shape) == 1:
        return nn.Linear(shape[0], width, bias=config.bias)
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], width, bias=config.bias))


def norm(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """The normalisation `model.norm`."""
    return choose("model.norm", config.norm, NORMS, nn.Module)(shape)


def act(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """The activation `model.act`."""
    return choose("model.act", config.act, ACTS, nn.Module)(shape)


def pool(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """The pooling `model.pool`, in the last block of each stage."""
    part = choose("model.pool", config.pool, POOLS, nn.Module)
    if config.pool != "none" and (len(shape) != 3 or min(shape[1:]) < 2):
        raise ValueError("pool needs feature maps of at least 2x2; use fewer stages (model.widths) or model.pool=none")
    return part(shape)


def drop(config: ModelConfig, width: int, shape: Shape) -> nn.Module:
    """The dropping `model.drop` at the rate `model.drop_rate`."""
    return choose("model.drop", config.drop, DROPS, nn.Module)(shape, config.drop_rate)


WORDS: dict[str, Word] = {"conv": conv, "linear": linear, "norm": norm, "act": act, "pool": pool, "drop": drop}

WEIGHTED = ("conv", "linear")
"""The words that `model.depth` counts."""


def build(config: ModelConfig, in_shape: Shape, num_outputs: int) -> nn.Module:
    """The network of `config` for examples of `in_shape` (c, h, w) or (n,), ending in `num_outputs` logits.

    With auxiliary classifiers it returns more in training mode, see `WithAuxiliaries`.

    Raises:
        UserError: an unknown name, a depth that the recipe does not reach, or a word that does not accept its input;
            the message names word, place and shape.
    """
    if config.name != "recipe":
        _warn_unused(config)
        make = choose("model.name", config.name, {"recipe": build, **NETS, **BLUNDERS, **SURFACES}, nn.Module)
        return make(in_shape, num_outputs)
    words = parse(config.block)
    stages = stage_blocks(config, words)
    wrap = choose("model.skip", config.skip, SKIPS, nn.Module)
    net, shape = nn.Sequential(), in_shape
    after: dict[str, Shape] = {}
    for i, (width, num_blocks) in enumerate(zip(config.widths, stages, strict=True), 1):
        stage = nn.Sequential()
        for j in range(1, num_blocks + 1):
            before = shape
            block = nn.Sequential()
            for place, word in enumerate(words, 1):
                if word == "pool" and j < num_blocks:
                    continue
                where = (
                    f"model.block={config.block}: word {place}, '{word}', of stage {i}, block {j}{own(config, word)}"
                )
                name = layer_name(block, word)
                full = f"stage{i}.block{j}.{name}"
                layer, shape = fit_layer(partial(WORDS[word], config, width, shape), shape, where, full)
                if isinstance(layer, DropConnect):
                    layer.attach(_last_weighted(block, where))
                block.add_module(name, layer)
            where = f"model.skip={config.skip} of stage {i}, block {j}"
            layer, shape = fit_layer(partial(wrap, block, before, shape), before, where)
            stage.add_module(f"block{j}", layer)
            after[f"stage{i}.block{j}"] = shape
        net.add_module(f"stage{i}", stage)
    head, shape = fit_layer(
        lambda: choose("model.head", config.head, HEADS, nn.Module)(shape), shape, f"model.head={config.head}"
    )
    net.add_module("head", head)
    net.add_module("classifier", nn.Linear(shape[0], num_outputs))
    weights = weight_of_blocks(config, list(after))
    beside = {block: side_classifier(after[block], num_outputs) for block in weights}
    for classifier in (net, *beside.values()):
        _add_output(classifier, config.output, num_outputs)
    return WithAuxiliaries(net, beside, weights) if beside else net


def own(config: ModelConfig, word: str) -> str:
    """` (model.act=mine:cubic)` where a user's own part stands for `word`."""
    given = str(getattr(config, word, ""))
    return f" (model.{word}={given})" * (":" in given)


def obeys_init(name: str) -> bool:
    """Whether the net `model.name` starts as `model.init` says; blunders, surfaces and a user's own do not."""
    return name == "recipe" or name in NETS


def parse(block: str) -> list[str]:
    """The words of a recipe.

    Raises:
        UserError: a word that is not in the vocabulary; names it, its place and the nearest word.
    """
    words = block.split("-")
    for place, word in enumerate(words, 1):
        if word not in WORDS:
            raise UserError(unknown(f"model.block={block}: word {place}, '{word}',", word, WORDS))
    return words


def stage_blocks(config: ModelConfig, words: list[str]) -> list[int]:
    """How many blocks each stage has, so that the layers with weights add up to `model.depth`.

    Raises:
        UserError: a recipe without weights, or a depth that whole blocks do not reach.
    """
    if not config.widths and config.depth == 1:
        return []
    assert config.widths
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
            f"model.depth={config.depth} is not possible with model.block={config.block} in {num_stages} "
            f"stage{'s' * (num_stages > 1)}: allowed are {least}, {least + weighted}, {least + 2 * weighted}, ... "
            f"({weighted} for each block, at least one block a stage, 1 for the classifier); "
            f"nearest: {' or '.join(near)}"
        )
    return [num_blocks // num_stages + (i < num_blocks % num_stages) for i in range(num_stages)]


def _last_weighted(block: nn.Sequential, where: str) -> nn.Conv2d | nn.Linear:
    """The last conv or linear of an unfinished block; a pooling with weights does not count."""
    for name, layer in reversed(list(block.named_children())):
        if name.rstrip("0123456789") in WEIGHTED:
            return next(module for module in layer.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    raise UserError(f"{where}, is model.drop=dropconnect, which needs one of {', '.join(WEIGHTED)} before it")


def _add_output(net: nn.Sequential, name: str, num_outputs: int) -> None:
    """Puts the activation `model.output` behind the classifier; `identity` adds nothing."""
    part = choose("model.output", name, ACTS, nn.Module)
    if part is not ACTS["identity"]:
        shape = (num_outputs,)
        net.add_module("output", fit_layer(partial(part, shape), shape, f"model.output={name}")[0])


def _warn_unused(config: ModelConfig) -> None:
    """Warns of settings without effect on a whole net that a user would expect to act on any net."""
    expected = ["output", "aux_blocks"] + ["init"] * (config.name in (*BLUNDERS, *SURFACES))
    expected += ["head_gain"] * (not obeys_init(config.name))
    default = ModelConfig()
    for key in expected:
        if (value := getattr(config, key)) != getattr(default, key):
            warnings.warn(f"model.{key}={value} has no effect on model.name={config.name}", stacklevel=3)
