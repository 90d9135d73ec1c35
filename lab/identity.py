"""What makes a run this run: the leaves of its configuration, the hash of its arm, and its seeds."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lab.config import OnConfig, RunConfig
from lab.errors import UserError, nearest

# Keys that say where and how a run is done, not what is done: they do not make another arm.
NOT_IDENTITY = frozenset(
    {"seed", "arm", "name", "out", "force", "jobs", "data.root", "train.checkpoint_every", "train.threads"}
    | {
        "train.watch",
        "train.watch_steps",
        "train.watch_smoothness",
        "train.pictures",
        "train.keep_best",
        "lint.sweeps",
        "lint.ignore",
    }
    | {f"on.{one.name}" for one in fields(OnConfig)}
)


ARM = "arm"
"""The key that holds the name of an arm of `study.arms`."""


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of a (nested) dataclass or mapping as `{"model.depth": 30, ...}`, in order; `study` is left out."""
    items = (
        [(f.name, getattr(config, f.name)) for f in fields(config)] if is_dataclass(config) else list(config.items())
    )
    flat: dict[str, Any] = {}
    for name, value in items:
        if not prefix and name == "study":
            continue
        key = f"{prefix}{name}"
        if is_dataclass(value) or isinstance(value, Mapping):
            flat.update(flatten(value, f"{key}."))
        else:
            flat[key] = value
    return flat


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """A copy of `config` with `values`, as `{"model.depth": 30}`."""
    changed = copy.deepcopy(config)
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        owner = getattr(changed, section, None) if section else changed
        if not hasattr(owner, name) or is_dataclass(getattr(owner, name)):
            raise UserError(f"{key} is no key of the configuration{nearest(key, default_leaves())}")
        setattr(owner, name, copy.copy(value))
    return changed


@cache
def default_leaves() -> dict[str, Any]:
    """The leaves of the default configuration."""
    return flatten(RunConfig())


@cache
def makes_arms(key: str) -> bool:
    """Whether a key, or a group of files, can tell arms from one another."""
    inside = [leaf for leaf in default_leaves() if leaf.startswith(f"{key}.")]
    return key not in NOT_IDENTITY and (not inside or not NOT_IDENTITY.issuperset(inside))


def identity(config: RunConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The leaves that make this run's arm: what differs from the defaults, seed and bookkeeping aside.

    Only differences count, so that a knob added later does not rename the runs there are.
    """
    default, given = default_leaves(), flatten(config)
    flat = {k: v for k, v in given.items() if k not in NOT_IDENTITY and (k not in default or v != default[k])}
    # For `folder` and one's own data the root is the data set, so there it does make another arm.
    if (name := given.get("data.name", "")) == "folder" or ":" in name:
        flat["data.root"] = str(Path(given["data.root"]).resolve())
    return flat


def arm_hash(config: RunConfig | Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that name the configuration, which may be flat, without its seed."""
    text = json.dumps(identity(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2^63) for one purpose of a run, so that no two purposes share a stream of random numbers."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
