"""Whether stored runs were made with the defaults of today: the hash of an arm tells only what differs from them."""

import json
from pathlib import Path
from typing import Any

from lab.config import RunConfig
from lab.errors import DamagedFileError
from lab.identity import NOT_IDENTITY, default_leaves, flatten
from lab.records.read import read_yaml
from lab.records.results import read_result
from lab.records.write import finite


def other_defaults(config: RunConfig, folder: Path) -> dict[str, tuple[Any, Any]]:
    """The keys in which a run in `folder`, of the same hash as `config`, was made otherwise: `{key: (then, now)}`.

    Keys that are younger than the run are at their defaults in it; those that the lab has no more do not matter.
    """
    leaves = {key: value for key, value in flatten(config).items() if key not in NOT_IDENTITY}
    now = json.loads(json.dumps(finite(leaves), default=str))  # as results have it
    for path in sorted(folder.glob("seed=*")):
        stored = {**default_leaves(), **stored_config(path)}
        if found := {key: (stored[key], value) for key, value in now.items() if stored[key] != value}:
            return found
    return {}


def stored_config(folder: Path) -> dict[str, Any]:
    """The flat configuration of the run in `folder`, ended or not; empty where it left none."""
    if result := read_result(folder):
        return result.get("config") or {}
    try:
        found = read_yaml(folder / "config.yaml")
        return flatten(found) if isinstance(found, dict) else {}
    except (OSError, DamagedFileError, RecursionError):
        return {}
