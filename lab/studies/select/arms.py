"""Which runs belong together: what was swept, what tells arms apart, which settings a folder mixes."""

from collections.abc import Iterable, Sequence
from typing import Any

from lab.identity import NOT_IDENTITY, default_leaves
from lab.records.results import Run
from lab.studies.select.selectors import Flat, canonical

DEFAULTS = default_leaves()


def complete(config: Flat) -> dict[str, Any]:
    """The flat `config` of a run, with the defaults of knobs that are younger than the run."""
    return {**DEFAULTS, **config}


def is_identity(key: str) -> bool:
    """Whether `key` says what is done in a run, and not only where, how often or with which seed."""
    return key not in NOT_IDENTITY


def swept_keys(runs: Iterable[Run]) -> list[str]:
    """The keys that sweeps named, in order; a group, `optimizer`, gives `optimizer.name` where that tells its choices
    apart, else all its keys: `model=mlp,vgg` are both recipes by name."""
    runs = list(runs)
    keys: dict[str, None] = {}
    for key in dict.fromkeys(key for run in runs for key in run.arm):
        if key in DEFAULTS:
            keys[key] = None
            continue
        name, chosen = f"{key}.name", [run for run in runs if key in run.arm]
        choices = {str(run.arm[key]) for run in chosen}
        told = {canonical(run.config.get(name)) for run in chosen}
        own = [name] if name in DEFAULTS and len(told) == len(choices) else []
        keys.update(dict.fromkeys(own or [one for one in DEFAULTS if one.startswith(f"{key}.")]))
    return [key for key in keys if is_identity(key)]


def values_of(config: Flat, keys: Iterable[str]) -> tuple[str, ...]:
    """The values of `keys` in a form that compares and hashes."""
    return tuple(canonical(config.get(key)) for key in keys)


def differing_keys(configs: Sequence[Flat]) -> list[str]:
    """The keys, seed and bookkeeping aside, that have more than one value in `configs`."""

    def differs(key: str) -> bool:
        # Most keys are alike to the letter; only the others are worth a canonical form.
        first = configs[0].get(key)
        unlike = [config.get(key) for config in configs if config.get(key) != first]
        return any(canonical(value) != canonical(first) for value in unlike)

    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if is_identity(key) and differs(key)]


def telling_keys(configs: Sequence[Flat], candidates: Iterable[str]) -> list[str]:
    """The candidates, taken in order, each of which splits configurations that those before it leave alike."""
    keys: list[str] = []
    classes = [()] * len(configs)
    for key in candidates:
        finer = [(*known, *values_of(config, [key])) for known, config in zip(classes, configs, strict=True)]
        if len(set(finer)) > len(set(classes)):
            keys, classes = [*keys, key], finer
    return keys


def setting_keys(configs: Sequence[Flat], compared: Sequence[str]) -> list[str]:
    """The keys that make runs incomparable: they differ, yet nobody swept them or named them in a claim.

    What a group brings along is no setting: where `optimizer.name` is compared, `optimizer.lr` may follow it, as long
    as the compared keys determine it.

    Args:
        configs: complete flat configurations of the runs.
        compared: full keys that sweeps and claims name.
    """
    groups = tuple(key.removesuffix("name") for key in compared if key.endswith(".name"))

    num_classes = len({values_of(config, compared) for config in configs})

    def follows(key: str) -> bool:
        finer = {values_of(config, [*compared, key]) for config in configs}
        return key.startswith(groups) and len(finer) == num_classes

    return [key for key in differing_keys(configs) if key not in compared and not follows(key)]
