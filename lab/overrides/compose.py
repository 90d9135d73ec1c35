"""One configuration from files and values: Hydra composes the files, and values that were typed are set on copies."""

import copy
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.config import RunConfig
from lab.errors import UserError, unknown
from lab.identity import default_leaves, with_values
from lab.overrides.files import GROUPS, config_dir, yaml_files
from lab.overrides.formula import evaluate, is_formula
from lab.overrides.messages import plain_message, written
from lab.overrides.own_files import OwnFiles
from lab.overrides.typed import short_word, typed
from lab.ranges import is_call, read_range
from lab.studies.select.reference import check_form
from lab.studies.select.selectors import as_selector
from lab.validation import all_keys

PRIMARY = "config"
"""The primary configuration of the lab."""


@cache
def store_schema() -> None:
    """Tells Hydra the keys and their types, as `run_config`."""
    ConfigStore.instance().store(name="run_config", node=RunConfig)


@contextmanager
def configurations(own: Path | None = None) -> Iterator[None]:
    """Hydra over the lab's files and those in `own`, the user's folder, for compositions within.

    Raises:
        UserError: what Hydra or OmegaConf found wrong within, in our words.
    """
    store_schema()
    base = version.VersionBase.instance()
    version_before = base.version_base
    version.setbase("1.3")
    Plugins.instance()  # brings the kinds of sources, those of `pkg://` and of plain folders among them
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    path.append("main", str(config_dir()))
    if own:
        path.append("own", f"{OwnFiles.scheme()}://{own}")
    path.append("schema", "structured://")
    OwnFiles.loaded.clear()
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        Hydra.create_main_hydra2(task_name="lab", config_search_path=path)
        yield
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise UserError(plain_message(error)) from error
    finally:
        base.version_base = version_before
        GlobalHydra.instance().clear()
        if before is not None:
            GlobalHydra.instance().initialize(before)


Picks = tuple[tuple[str, str], ...]
"""By group the name of its file."""


@dataclass
class Known:
    """What was composed before, by choice of files; nobody changes it."""

    composed: dict[Picks, DictConfig] = field(default_factory=dict)
    """As Hydra gives it."""

    typed: dict[Picks, DictConfig] = field(default_factory=dict)
    """With the types of the keys, and without the section `hydra`."""

    whole: dict[Picks, RunConfig | None] = field(default_factory=dict)
    """What that is where no value of a file refers to another one, as `${optimizer.lr}`; else None."""


@lru_cache(maxsize=8)
def known_of(config_name: str, given: frozenset[str], state: tuple) -> Known:
    """For whoever asks this process again: one `Known` for a primary configuration, groups that were typed, and
    `state_of` the lab's files."""
    return Known()


def state_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Path, size and time of each configuration file in `folder`: another state when one was edited."""
    found = [(str(path), path.stat()) for path in yaml_files(folder).values()]
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in found)


class Composer:
    """Composes one configuration after another; choices of files are composed once and values set on copies.

    Hydra takes 0.1 s a composition, and applies values after all files in any case. It has an experiment's values after
    those of the files of groups, also where such a file was typed beside it: here a typed file counts.
    """

    def __init__(self, config_name: str = PRIMARY, given: Collection[str] = (), own: Path | None = None):
        self.config_name = config_name
        self.given = frozenset(given)
        """The keys and groups that were typed."""
        self._known = Known() if own else known_of(config_name, self.given & {*GROUPS}, state_of(config_dir()))

    def files(self, picks: Mapping[str, str]) -> DictConfig:
        """What the files say together, with the section `hydra`, nothing filled in.

        Args:
            picks: by group the name of its file.
        """
        key = tuple(picks.items())
        if key not in self._known.composed:
            words = [f"{group}={quoted(name)}" for group, name in picks.items()]
            try:
                config = compose(self.config_name, words, return_hydra_config=True)
            except UserError:
                raise
            except Exception as error:  # what is wrong here is wrong in files, whichever library stumbles over it
                raise UserError(plain_message(error)) from error
            for group, name in picks.items():
                if group in self.given and group != "experiment":
                    lay_over(config, group, name)
            refuse_seed(OmegaConf.to_container(config))
            self._known.composed[key] = config
        return self._known.composed[key]

    def settled_by(self, picks: Mapping[str, str]) -> set[str]:
        """The keys that a file does not sweep any more, as typed words say them besides: the name of a group, and
        the length of a run, in steps or in epochs. Of another key that a typed file sets the sweep stays."""
        typed = [group for group in picks if group in self.given]
        length = self.given & set(LENGTH) or ("train" in typed and {*own_values("train", picks["train"])} & KINDS)
        return {*(f"{group}.name" for group in typed), *(LENGTH if length else ())}

    def settings(self, picks: Mapping[str, str]) -> tuple[bool, dict[str, str]]:
        """Whether the files make a sweep, and which texts each key runs through."""
        hydra = self.files(picks).hydra
        swept = str(hydra.mode or "").endswith("MULTIRUN")
        params = OmegaConf.to_container(hydra.sweeper.params, resolve=True) if hydra.sweeper.params else {}
        assert isinstance(params, dict)
        return swept, {str(key): as_typed(value) for key, value in params.items()}

    def filled(self, picks: Mapping[str, str], values: Mapping[str, str]) -> DictConfig:
        """The configuration of files and typed values, without the section `hydra`."""
        config, values = copy.deepcopy(self.merged(picks)), self.with_length(values)
        formulas = {key: text for key, text in values.items() if is_formula(key, text)}
        for key, text in values.items():
            if key not in formulas:
                OmegaConf.update(config, key, typed(key, text), merge=False)
        for key, text in formulas.items():
            known = {one: OmegaConf.select(config, one) for one in all_keys()}
            OmegaConf.update(config, key, typed(key, evaluate(key, text, known)), merge=False)
        return config

    def merged(self, picks: Mapping[str, str]) -> DictConfig:
        """What the files say, with the types of the keys, and without the section `hydra`."""
        key = tuple(picks.items())
        if key not in self._known.typed:
            files = self.files(picks)
            merged = OmegaConf.merge(scratch(), {key: files._get_node(key) for key in files if key != "hydra"})
            assert isinstance(merged, DictConfig)
            self._known.typed[key] = merged
        return self._known.typed[key]

    def plain(self, picks: Mapping[str, str], values: Mapping[str, str]) -> RunConfig | None:
        """As `filled`, in a tenth of the time, where no value refers to another one; else None."""
        key = tuple(picks.items())
        if key not in self._known.whole:
            refers = any("${" in str(one) for _, one in default_leaves_of(OmegaConf.to_container(self.merged(picks))))
            self._known.whole[key] = None if refers else built(self.merged(picks))
        base = self._known.whole[key]
        if base is None or any("${" in text or is_formula(one, text) for one, text in values.items()):
            return None
        return with_values(base, {one: typed(one, text) for one, text in self.with_length(values).items()})

    def with_length(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """`values`, and where epochs alone were typed no steps of a file, which would count instead."""
        alone = "train.epochs" in self.given and "train.steps" not in values
        return {"train.steps": "null", **values} if alone else values

    def __call__(self, picks: Mapping[str, str], values: Mapping[str, str]) -> RunConfig:
        found = self.plain(picks, values) or built(self.filled(picks, values))
        found.study.tune = typed_grid(found.study.tune)
        reference = found.study.reference or {}
        found.study.reference = as_selector(reference) if found.study.arms else reference
        check_form(found.study.reference)
        return found


LENGTH = ("train.steps", "train.epochs")
"""The keys that give a run its length; without the first the second counts."""

KINDS = frozenset(key.rpartition(".")[2] for key in LENGTH)


def own_values(group: str, name: str) -> Mapping[str, Any]:
    """What the file `name` of a group sets by itself, by key within the group."""
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    found = loader.repository.load_config(f"{group}/{name}")
    values = OmegaConf.to_container(found.config) if found else {}
    assert isinstance(values, dict)
    inner = values.get(group, {}) if found and found.header.get("package") == "_global_" else values
    return {str(key): value for key, value in inner.items()}


def lay_over(config: DictConfig, group: str, name: str) -> None:
    """Sets in `config` what the file `name` of a group sets by itself, whatever other files say."""
    values = own_values(group, name)
    for key, value in values.items():
        OmegaConf.update(config, f"{group}.{key}", value, merge=False)
    if group == "train" and "epochs" in values and "steps" not in values:
        config.train.steps = None  # an experiment's, which would count instead


def as_typed(value: Any) -> str:
    """A value of `hydra.sweeper.params` as it would be typed: a YAML list is one value of a key that takes lists."""
    return f"[{','.join(map(as_typed, value))}]" if isinstance(value, list) else str(value)


def quoted(name: str) -> str:
    """The name of a file in the quotes that make it text to Hydra, whatever is in it."""
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", name) + "'"


def refuse_seed(config: Any) -> None:
    """Raises `UserError` for a value of a file that contains the seed: all seeds of an arm have one configuration."""
    for key, value in default_leaves_of(config):
        if isinstance(value, str) and re.search(r"\$\{[^}]*\bseed\b", value):
            raise UserError(
                f"{written(value)}: {key}={value}: all seeds of an arm have one configuration, so no value may contain "
                "the seed; the lab puts each seed into a folder by itself, <name>/<arm>/seed=<n>"
            )


def default_leaves_of(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Key and value of all that is in nested mappings and lists."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from default_leaves_of(one, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for one in value:
            yield from default_leaves_of(one, key)
    else:
        yield key, value


def check_primary(name: str, own: Path | None) -> str:
    """The primary configuration `name`; raises `UserError` where neither the lab nor the user has it."""
    there = {one for one in yaml_files(config_dir()) if "/" not in one}
    there |= {one for one in yaml_files(own) if "/" not in one} if own else set()
    name = name.removesuffix(".yaml")
    if name not in there:
        raise UserError(unknown(f"--config-name={name}", name, sorted(there)))
    return name


def typed_grid(grid: Any) -> Any:
    """`study.tune` with values as the fields of their keys hold them: a rate of 1 is that of 1.0, and the same arm.

    What is no mapping, neither list nor range, or of no key stays as it is: `lab.launch.tune` refuses it.
    """
    if not isinstance(grid, Mapping):
        return grid
    known, found = default_leaves(), dict(grid)
    for key, values in grid.items():
        if key in known and isinstance(values, list):
            found[key] = [typed_value(key, value) for value in values]
        elif key in known and is_call(values):
            found[key] = typed_range(key, values)
    return found


def typed_range(key: str, text: str) -> str:
    """The range `text` of a tuned key, in one way of writing it; raises `UserError` where it is none."""
    kind, shown = all_keys()[key].kind, short_word(f"study.tune: {key}={text}")
    if kind not in (int, float):
        raise UserError(f"{shown}: {key} is no single number, so it has no ranges; allowed: a list of values")
    try:
        return str(read_range(text, whole=kind is int))
    except ValueError as error:
        raise UserError(f"{shown} {error}") from None


def typed_value(key: str, value: Any) -> Any:
    """`value` as the field `key` of the configuration holds it."""
    text = "null" if value is None else as_typed(value)
    try:
        return typed(key, text)
    except UserError as error:
        raise UserError(f"study.tune: {error}") from None


@cache
def built(config: DictConfig) -> RunConfig:
    """`config` as an object, all of its values found."""
    found = OmegaConf.to_object(config)
    assert isinstance(found, RunConfig)
    return found


@cache
def scratch() -> Any:
    """The default configuration with its types; nobody changes it."""
    return OmegaConf.structured(RunConfig)
