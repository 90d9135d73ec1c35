"""`validate`: all that is wrong in a configuration by itself, in one message, before anything is built.

What needs the data, a built net or the machine (`data.limit` against the set's size, shapes, a GPU) is checked where it
is known.
"""

import math
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, Union, get_args, get_origin

from lab.config import OnConfig, RunConfig
from lab.errors import refuse, unknown
from lab.knob import LARGEST, Knob
from lab.ranges import end_text, is_call, read_range
from lab.tables import read_table

BOOLEAN = Knob(choices=("true", "false"))
"""What a field without a `knob` admits."""


@dataclass(frozen=True)
class Key:
    """A key of the configuration."""

    name: str
    """With dots, as in an override."""

    default: Any
    optional: bool
    """Whether it may be null."""

    knob: Knob

    kind: Any = str
    """Type of its value, null aside: `bool`, `int`, `float`, `str`, a list of one of them, or any."""

    def names(self) -> list[str]:
        """The names that it takes, a user's own aside; numbers are not listed."""
        names = [*self.knob.choices, *(name for kind in self.knob.tables for name in read_table(kind))]
        return [*names, *([self.knob.like] if self.knob.like else [])]

    def takes(self, name: str) -> bool:
        """Whether `name` is one of `names`, or may be a user's own part, which is imported when the net is built."""
        like = self.knob.like and re.sub(r"\d+", "0", name) == self.knob.like
        return bool(like) or name in self.names() or (self.knob.own and ":" in name)

    def allowed(self) -> str:
        """The range or the names that it takes, in words."""
        knob = self.knob
        number = f"or a number {knob.range()}" if knob.choices else knob.range()
        parts = [*self.names(), *([number] if knob.bounded else []), *([knob.free] if knob.free else [])]
        parts += ["or your own module:attribute"] * knob.own + ["or null"] * (self.optional and not knob.free)
        return ", ".join(parts)


@cache
def all_keys() -> dict[str, Key]:
    """Every key of the configuration, in the order of the schema."""
    found = {}
    for section in fields(RunConfig):
        inside = fields(section.type) if is_dataclass(section.type) else None
        for one, name in [(f, f"{section.name}.{f.name}") for f in inside] if inside else [(section, section.name)]:
            found[name] = _key(name, one)
    return found


def _key(name: str, field: Field[Any]) -> Key:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    is_union = get_origin(field.type) in (Union, types.UnionType)
    optional = field.type is Any or (is_union and type(None) in get_args(field.type))
    kind = get_args(field.type)[0] if is_union else field.type
    return Key(name, default, optional, field.metadata.get("knob", BOOLEAN), kind)


def validate(*configs: RunConfig) -> None:
    """Checks ranges, names and what keys demand of each other.

    A thousand configurations take less than 0.1 s, as each value of a key is checked once.

    Args:
        configs: those of a sweep, or one.

    Raises:
        UserError: a value is wrong; names all of them, each with what is allowed and the nearest name.
    """
    refuse(complaint for config in configs for complaint in complaints(config))


def complaints(config: RunConfig) -> Iterator[str]:
    """A line for each value of `config` that is wrong."""
    for section, name, key in _checked():
        value = getattr(getattr(config, section) if section else config, name)
        if complaint := _complaint(key, tuple(value) if isinstance(value, list) else value):
            yield complaint
    yield from _across(config)


@cache
def _checked() -> list[tuple[str, str, str]]:
    """Section, field and key of all that has a range or names."""
    parts = {key: key.rpartition(".") for key, one in all_keys().items() if not one.knob.free}
    return [(section, name, key) for key, (section, _, name) in parts.items()]


@lru_cache(maxsize=10_000, typed=True)
def _complaint(key: str, value: Any) -> str:
    """What is wrong with `value` for `key`, in one line; empty if nothing is. A list comes as a tuple."""
    known = all_keys()[key]
    if (value is None and known.optional) or value == known.default:
        return ""
    if isinstance(value, tuple):
        return next(filter(None, (_wrong(known, one, f"{key}={_shown(value)}: {one}") for one in value)), "")
    return _wrong(known, value, f"{key}={value}")


def _wrong(key: Key, value: Any, shown: str) -> str:
    """What is wrong with one value, or one element of a list."""
    knob = key.knob
    if not knob.bounded or (knob.choices and isinstance(value, str)):
        return _wrong_name(key, str(value).lower() if isinstance(value, bool) else str(value), shown)
    if not isinstance(value, int | float):
        return f"{shown} is not a number; allowed: {key.allowed()}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"{shown} is too large; allowed: {key.allowed()}, up to {LARGEST}"
    finite = ", finite" if math.isinf(value) and not knob.infinite else ""
    return "" if knob.admits(value) else f"{shown} is out of range; allowed: {key.allowed()}{finite}"


def _wrong_name(key: Key, value: str, shown: str) -> str:
    knob, names = key.knob, key.names()
    if knob.words:
        words = [(place, word) for place, word in enumerate(value.split("-"), 1) if not key.takes(word)]
        return unknown(f"{shown}: word {words[0][0]}, '{words[0][1]}',", words[0][1], names) if words else ""
    if key.takes(value):
        return ""
    if not knob.bounded:
        return unknown(shown, value, names)
    try:
        number = float(value)
    except ValueError:
        return unknown(shown, value, names, f"or a number {knob.range()}")
    return "" if knob.admits(number) else f"{shown} is out of range; allowed: {key.allowed()}"


def _shown(values: Iterable[Any]) -> str:
    return f"[{', '.join(map(str, values))}]"


def parse_duration(text: str) -> float | None:
    """The seconds of `90`, `90s`, `20m` or `1.5h`; None for any other text, and for none at all."""
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([smh]?)", text.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    return seconds or None


def _across(config: RunConfig) -> Iterator[str]:
    """What keys demand of each other; a value out of range has its line already."""
    data, model, start, train = config.data, config.model, config.start, config.train
    if not config.name.strip("./\\ ") or config.name[0] in "/\\" or ".." in re.split(r"[/\\]", config.name):
        yield f"name={config.name} is out of range; allowed: a folder within out={config.out}, as widths or mine/widths"
    if re.search("[\\x00-\\x1f\\ud800-\\udfff]", config.name + config.out):
        yield f"name={config.name!a} and out={config.out!a}: a path holds no control characters"
    if len(data.classes) == 1 or len(set(data.classes)) < len(data.classes):
        yield f"data.classes={_shown(data.classes)} is out of range; allowed: two classes or more, each once"
    if len(set(data.unseen)) < len(data.unseen):
        yield f"data.unseen={_shown(data.unseen)} is out of range; allowed: classes, each once"
    if model.name == "recipe" and not model.widths and model.depth > 1:
        allowed = "one width or more; none only with model.depth=1, the classifier alone"
        yield f"model.widths=[] is out of range; allowed: {allowed}"
    if len(set(model.aux_blocks)) < len(model.aux_blocks):
        yield f"model.aux_blocks={_shown(model.aux_blocks)} is out of range; allowed: different blocks before the last"
    if model.aux_blocks and len(model.aux_weights) not in (1, len(model.aux_blocks)):
        allowed = f"one weight for all, or one for each of the {len(model.aux_blocks)} in model.aux_blocks"
        yield f"model.aux_weights={_shown(model.aux_weights)} is out of range; allowed: {allowed}"
    for prune, kind, other in (("blocks", "block_orders", "saliencies"), ("weights", "saliencies", "block_orders")):
        by = start.prune_by
        if start.prune == prune and by not in read_table(kind) and by in read_table(other):
            yield unknown(f"start.prune_by={by} with start.prune={prune}", by, ["auto", *read_table(kind)])
    if config.optimizer.name == "nag" and config.optimizer.momentum == 0:
        yield f"optimizer.momentum={config.optimizer.momentum} is out of range; allowed: above 0 for nag, and below 1"
    if config.schedule.name == "plateau" and config.schedule.factor == 1:
        yield f"schedule.factor={config.schedule.factor} is out of range; allowed: above 0 and below 1 for plateau"
    if train.watch_steps and not train.watch:
        yield f"train.watch_steps={_shown(train.watch_steps)} does nothing without train.watch=true"
    if train.watch_smoothness and (not train.watch or train.watch_steps):
        needed = (
            "without train.watch=true" if not train.watch else f"with train.watch_steps={_shown(train.watch_steps)}"
        )
        yield f"train.watch_smoothness=true does nothing {needed}"
    yield from _without_effect(config)
    if config.study.budget and parse_duration(config.study.budget) is None:
        allowed = "a time above 0, as 90 (seconds), 20m or 2h"
        yield f"study.budget={config.study.budget} is out of range; allowed: {allowed}"
    for key, values in config.study.tune.items() if isinstance(config.study.tune, Mapping) else ():
        if key in all_keys() and not all_keys()[key].knob.free and isinstance(values, list):
            found = (_complaint(key, tuple(value) if isinstance(value, list) else value) for value in values)
            yield from (f"study.tune: {complaint}" for complaint in found if complaint)
        elif key in all_keys() and is_call(values):
            known, shown = all_keys()[key], f"study.tune: {key}={values}"
            axis = read_range(values, whole=known.kind is int)
            ends = (int(end) if axis.whole else end for end in (axis.low, axis.high))
            yield from filter(None, (_wrong(known, end, f"{shown}: {end_text(end)}") for end in ends))


ON_KEYS = {
    "local": (),
    "slurm": tuple(one.name for one in fields(OnConfig) if one.name not in ("name", "address")),
    "ray": ("address", "cpus", "gpus", "runs_a_job"),
}
"""The keys of the section `on` that act, by `on.name`."""


def is_elsewhere(on: OnConfig) -> bool:
    """Whether runs are tasks of a cluster."""
    return on.name != OnConfig().name


def _without_effect(config: RunConfig) -> Iterator[str]:
    """A line for each key that does nothing where the runs are trained."""
    on, default = config.on, OnConfig()
    if on == default or on.name not in ON_KEYS:
        return
    for one in fields(on):
        value = getattr(on, one.name)
        if not all_keys()[f"on.{one.name}"].knob.free and _complaint(f"on.{one.name}", value):
            continue  # its line is there already
        if one.name not in ("name", *ON_KEYS[on.name]) and value != getattr(default, one.name):
            where = " or ".join(f"on={place}" for place, keys in ON_KEYS.items() if one.name in keys)
            shown = _shown(value) if isinstance(value, list) else value
            yield f"on.{one.name}={shown} does nothing with on={on.name}; it is for {where}"
    if is_elsewhere(on) and config.jobs:
        instead = "on.array_limit says how many tasks run at a time" if on.name == "slurm" else "Ray fills its nodes"
        yield f"jobs={config.jobs} does nothing with on={on.name}; {instead}"
    if on.name == "slurm" and not _complaint("on.gpus", on.gpus) and not float(on.gpus).is_integer():
        yield f"on.gpus={on.gpus} is out of range; allowed: a whole number with on=slurm"
