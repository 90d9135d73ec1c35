"""Which runs belong together: what was swept, what tells arms apart, which settings a folder mixes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from lab.identity import ARM, NOT_IDENTITY, default_leaves
from lab.records.results import Run
from lab.studies.select.selectors import Flat, canonical

DEFAULTS = default_leaves()


class Armed(Protocol):
    """What belongs to an arm: a run, or the arm itself."""

    @property
    def config(self) -> Flat:
        """Complete and flat."""
        ...

    @property
    def arm(self) -> Flat:
        """The keys that were typed for it, with their values."""
        ...


def complete(config: Flat) -> dict[str, Any]:
    """The flat `config` of a run, with the defaults of knobs that are younger than the run."""
    return {**DEFAULTS, **config}


def is_identity(key: str) -> bool:
    """Whether `key` tells arms apart: it says what is done in a run, or names it, and not only where or how often."""
    return key == ARM or key not in NOT_IDENTITY


def is_group(key: str) -> bool:
    """Whether `key` is a group of settings, `model` or `optimizer`, and no single one."""
    return key not in DEFAULTS and any(one.startswith(f"{key}.") for one in DEFAULTS)


def completed(runs: Iterable[Run]) -> list[Run]:
    """`runs` with complete configurations, which also hold the choices of groups (`with_choices`)."""
    runs = list(runs)
    configs = with_choices([(run.config, run.arm) for run in runs])
    return [replace(run, config=config) for run, config in zip(runs, configs, strict=True)]


def with_choices(arms: Sequence[tuple[Flat, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The complete configurations of `arms`, (flat configuration, typed keys), with the choices of groups:
    `{"model": "mlp", "model.block": "linear-act", ...}`.

    Where nothing was typed for an arm, the choice is that of another arm with the same settings of the group, or
    `default` where it has the defaults, single keys that were typed aside. A group of which an arm's choice stays
    unknown is left out everywhere, and so is one whose choices bear the name of their part (`optimizer=sgd`), which
    `optimizer.name` tells as well.
    """
    found = [complete(config) for config, _ in arms]
    for group in dict.fromkeys(key for _, typed in arms for key in typed if is_group(key)):
        keys = [key for key in DEFAULTS if key.startswith(f"{group}.")]
        settings = [values_of(config, keys) for config in found]
        pairs = [(own, str(typed[group])) for own, (_, typed) in zip(settings, arms, strict=True) if group in typed]
        named = all(str(typed[group]) == str(config.get(f"{group}.name")) for config, typed in arms if group in typed)
        known, chosen = dict(pairs), list[str]()
        for own, config, (_, typed) in zip(settings, found, arms, strict=True):
            rest = [key for key in keys if key not in typed]
            default = "default" if values_of(config, rest) == values_of(DEFAULTS, rest) else ""
            chosen.append(str(typed.get(group, known.get(own, default))))
        if named or not all(chosen):
            continue
        for config, one in zip(found, chosen, strict=True):
            config[group] = one
    return found


def swept_keys(runs: Iterable[Armed]) -> list[str]:
    """The keys that sweeps named, in order; a group, `model`, is one key where `completed` knows what was chosen, else
    its name, `optimizer.name`, where that tells its choices apart, else all its keys."""
    runs = list(runs)
    keys: dict[str, None] = {}
    for key in dict.fromkeys(key for run in runs for key in run.arm):
        if key in DEFAULTS or all(key in run.config for run in runs):
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


def prefixes(keys: Iterable[str]) -> tuple[str, ...]:
    """The beginnings of the keys that come with those of `keys` that are a group, or its name: `optimizer.`."""
    return tuple(f"{key}." if is_group(key) else key.removesuffix("name") for key in keys if names_group(key))


def beside(keys: Iterable[str], own: Collection[str]) -> list[str]:
    """Those of `keys` that are none of `own`, and no group that holds one of them."""
    return [key for key in keys if key not in own and not any(one.startswith(f"{key}.") for one in own)]


def names_group(key: str) -> bool:
    """Whether `key` is a group, `model`, or its name, `model.name`."""
    return is_group(key) or key.endswith(".name")


def setting_keys(configs: Sequence[Flat], compared: Sequence[str]) -> list[str]:
    """The keys that make runs incomparable: they differ, yet nobody swept them or named them in a claim.

    What a group brings along is no setting: where `optimizer.name` is compared, `optimizer.lr` may follow it, as long
    as the compared keys determine it.

    Args:
        configs: complete flat configurations of the runs.
        compared: full keys that sweeps and claims name.
    """
    groups = ("",) if ARM in compared else prefixes(compared)  # a name may bring anything
    num_classes = len({values_of(config, compared) for config in configs})

    def follows(key: str) -> bool:
        finer = {values_of(config, [*compared, key]) for config in configs}
        return key.startswith(groups) and len(finer) == num_classes

    return [key for key in differing_keys(configs) if key not in compared and not follows(key)]
