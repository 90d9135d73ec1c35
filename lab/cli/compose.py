"""One configuration from overrides: Hydra composes it, and what is no field of the schema gets its types here."""

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import default_leaves
from lab.studies.select.reference import check_form


def store_schema() -> None:
    """Makes `RunConfig` the type of every configuration that Hydra composes."""
    ConfigStore.instance().store(name="run_config", node=RunConfig)


class Composer:
    """Composes one configuration after another; choices of group files are composed once and values set on copies.

    Hydra takes 0.1 s a composition, and applies values after all files in any case.
    """

    def __init__(self, config_name: str, fixed: list[str], extra: list[str]):
        self.config_name, self.fixed, self.extra = config_name, fixed, extra
        self._composed: dict[tuple[str, ...], Any] = {}
        self._groups = set(GlobalHydra.instance().config_loader().list_groups(""))

    def __call__(self, choice: list[str]) -> RunConfig:
        parsed = OverridesParser.create().parse_overrides(choice)
        simple = [o for o in parsed if o.key_or_group not in self._groups and o.type is not None and not o.is_add()]
        slow = tuple(override_text(o) for o in parsed if o not in simple)
        if slow not in self._composed:
            self._composed[slow] = compose(self.config_name, [*self.fixed, *slow, *self.extra])
        config = copy.deepcopy(self._composed[slow])
        for override in simple:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        found = OmegaConf.to_object(config)
        assert isinstance(found, RunConfig)
        found.study.tune = typed_grid(found.study.tune)
        found.study.reference = found.study.reference or {}
        check_form(found.study.reference)
        return found


def typed_grid(grid: Any) -> Any:
    """`study.tune` with values as the fields of their keys hold them: a rate of 1 is that of 1.0, and the same arm.

    What is no mapping, no list, or of no key stays as it is: `lab.launch.tune` refuses it.
    """
    if not isinstance(grid, Mapping):
        return grid
    known, typed = default_leaves(), dict(grid)
    for key, values in grid.items():
        if key in known and isinstance(values, list):
            typed[key] = [typed_value(key, value) for value in values]
    return typed


def typed_value(key: str, value: Any) -> Any:
    """`value` as the field `key` of the configuration holds it."""
    config = scratch()
    try:
        OmegaConf.update(config, key, value)
    except OmegaConfBaseException as error:
        raise UserError(f"study.tune: {key}={value}: {one_message(error)}") from error
    held = OmegaConf.select(config, key)
    return OmegaConf.to_container(held) if OmegaConf.is_config(held) else held


@cache
def scratch() -> Any:
    """A configuration to try values on; to build one takes longer than all the rest of `typed_value`."""
    return OmegaConf.structured(RunConfig)


def override_text(override: Override) -> str:
    assert override.input_line is not None
    return override.input_line


def one_message(error: Exception) -> str:
    """Hydra's message and what caused it, on one line."""
    parts, one = [], error
    while one is not None and len(parts) < 3:
        lines = [line.strip() for line in str(one).splitlines() if line.strip()]
        parts += [line for line in lines[:2] if line not in parts and not line.startswith("reference_type")]
        one = one.__cause__
    return "; ".join(parts)
