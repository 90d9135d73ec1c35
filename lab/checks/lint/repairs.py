"""Overrides of the lab that repair what the rules find in a configuration."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from lab.checks.lint.finding import Said
from lab.config import RunConfig
from lab.nets.recipe import WEIGHTED, obeys_init

Repair = Callable[[RunConfig], Sequence[str]]

WIDEST_FIRST = 64
"""Maps to start with where there were far too many."""


def block(change: Callable[[list[str]], list[str]]) -> Repair:
    """The block with its words changed."""

    def repair(config: RunConfig) -> Sequence[str]:
        words = "-".join(change(config.model.block.split("-")))
        return [f"model.block={words}"] if words != config.model.block else []

    return repair


def swap(words: list[str]) -> list[str]:
    """`act-pool` as `pool-act`."""
    return "-".join(words).replace("act-pool", "pool-act").split("-")


def pool_first(words: list[str]) -> list[str]:
    """`drop-pool` as `pool-drop`."""
    return "-".join(words).replace("drop-pool", "pool-drop").split("-")


def norm_first(words: list[str]) -> list[str]:
    """With the norm that follows a dropout in front of it."""
    for place, word in enumerate(words):
        behind = words[place:]
        if word == "drop" and "norm" in behind:
            behind.remove("norm")
            return [*words[:place], "norm", *behind]
    return words


def once(words: list[str]) -> list[str]:
    """With one word in place of the same word twice in a row."""
    return [*words[:1], *(word for before, word in pairwise(words) if word != before)]


def activated(words: list[str]) -> list[str]:
    """With an activation between a layer with weights and the next one, in the next block, too."""
    found: list[str] = []
    for place, word in enumerate(words):
        found.append(word)
        behind = [*words[place + 1 :], *words]
        following = next((other for other in behind if other in (*WEIGHTED, "act")), "")
        if word in WEIGHTED and following in WEIGHTED:
            found.append("act")
    return found


activate = block(activated)


def nonlinear(config: RunConfig) -> Sequence[str]:
    """Another activation than the identity, or the word `act` where there is none."""
    return ["model.act=relu"] if config.model.act == "identity" and "act" in config.model.block else activate(config)


def he(config: RunConfig) -> Sequence[str]:
    """He's initialisation, with the gain of its paper."""
    return ["model.init=he_normal", "model.init_gain=paper"]


def narrow_first(config: RunConfig) -> Sequence[str]:
    """Stages that widen, from few maps."""
    widths = sorted(config.model.widths)
    return [f"model.widths=[{','.join(map(str, [min(widths[0], WIDEST_FIRST), *widths[1:]]))}]"]


def fixed(*texts: str) -> Repair:
    """The same overrides, whatever the configuration."""
    return lambda config: texts


REPAIRS: dict[str, Repair] = {
    "act-before-pool": block(swap),
    "act-none": nonlinear,
    "act-pooled": nonlinear,
    "act-saturates": fixed("model.act=relu", "model.init=he_normal"),
    "act-softmax": fixed("model.act=relu"),
    "act-twice": block(once),
    "act-dead": he,
    "act-flat": fixed("data.scale=standard"),
    "drop-all": fixed("model.drop_rate=0.5"),
    "drop-before-norm": block(norm_first),
    "drop-before-pool": block(pool_first),
    "init-act": he,
    "init-equal": he,
    "init-fades": he,
    "init-scale": he,
    "init-sign": he,
    "input-saturates": fixed("data.scale=standard"),
    "input-scale": fixed("data.scale=standard"),
    "norm-bias": fixed("model.bias=false"),
    "norm-drop": fixed("model.drop_rate=0.2"),
    "norm-few": fixed("train.batch_size=32"),
    "out-activation": fixed("model.output=identity"),
    "out-bounded": fixed("model.output=identity"),
    "out-loss": fixed("train.loss=auto"),
    "out-one-softmax": fixed("model.output=identity"),
    "out-twice": fixed("model.output=identity"),
    "width-first": narrow_first,
    "width-narrows": narrow_first,
}
"""What repairs the findings of a rule. Rules about training bring their own (`Finding.repair`)."""


def repairs(said: Sequence[Said], config: RunConfig) -> list[str]:
    """The overrides that repair what was said of `config`, worst first, as far as the lab's own keys can.

    A repair that sets a key which a worse fault has set is left out; those of `model.block` add up.
    """
    found: dict[str, str] = {}
    for one in said:
        own = REPAIRS[one.rule.code](config) if one.rule.code in REPAIRS else one.finding.repair
        texts = {text.partition("=")[0]: text for text in own if acts(text, config)}
        if "model.block" in texts:
            config = replace(config, model=replace(config.model, block=texts["model.block"].partition("=")[2]))
        elif any(key in found or f"{key}.name" in found for key in texts):
            continue
        found |= texts
    return list(found.values())


def acts(text: str, config: RunConfig) -> bool:
    """Whether an override acts on the net of `config`: most keys of `model` are those of recipes."""
    key = text.partition("=")[0]
    if key.startswith("model.init"):
        return obeys_init(config.model.name)
    return not key.startswith("model.") or config.model.name == "recipe"
