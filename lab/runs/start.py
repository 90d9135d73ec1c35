"""What a run starts from: the weights of another run, and what is pruned of them.

All of it follows from configuration, source run, data and seed, so that a resumed run is built like the first one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lab.config import StartConfig
from lab.data.batches import Dataset
from lab.errors import UserError, choose
from lab.identity import derive_seed, flatten
from lab.nets.permute import NUM_COMPARED, permute
from lab.nets.prune import NOISES, prune_blocks, prune_weights
from lab.nets.transfer import Freeze, check_head, is_head, misfits, restructure
from lab.runs.origin import Origin


@dataclass(frozen=True)
class Started:
    """How a net was prepared."""

    record: dict[str, Any]
    """What `result.json` says of it, as `started_from`; empty for a net from scratch that was not pruned."""

    freeze: Freeze | None
    """Prepares the net for each step, where the loaded body is held still at first."""


def start(
    config: StartConfig,
    origin: Origin | None,
    model: nn.Module,
    data: Dataset,
    seed: int,
    steps_per_epoch: int,
    model_config: Any,
    loss: str,
) -> Started:
    """Loads, permutes, freezes and prunes an initialised `model` in place, as `config` says.

    Args:
        config: what is done.
        origin: the run whose weights are taken over, if there is one.
        model: the net, initialised, on its device.
        data: the run's data; branch norms and curvature are measured on its training images.
        seed: the run's seed.
        steps_per_epoch: turns epochs into steps.
        model_config: the run's `ModelConfig`, for the message where the weights do not fit.
        loss: the run's loss, whose curvature counts.

    Raises:
        UserError: the source does not fit, or the net does not take what is asked.
    """
    loads = origin is not None
    record: dict[str, Any] = {}
    dropped: list[str] = []
    if origin:
        record |= take_over(model, origin, config.load, model_config, "source" if config.source else "run")
        dropped += origin.dropped()
    if config.permute:
        record |= {"permuted": _permute(config, model, data, seed, loads)}
    freeze, frozen_steps = _freeze(config, model, loads, steps_per_epoch)
    pruned = _prune(config, model, data, seed, loads, loss)
    dropped += pruned.get("names", [])
    if loads or pruned:
        record |= {"frozen_steps": frozen_steps, "pruned": pruned or None, "dropped_blocks": dropped}
    return Started(record, freeze)


def take_over(model: nn.Module, origin: Origin, load: str, model_config: Any, key: str = "run") -> dict[str, Any]:
    """Prunes `model` as the origin was pruned and gives it those weights; returns what the result says of it.

    Raises:
        UserError: they do not fit; says which weights, their shapes, and the `model.*` keys that differ.
    """
    if load == "body":
        check_head(model, "start.load=body")
    state = {name: value for name, value in origin.state.items() if load == "all" or not is_head(name)}
    restructure(model, state, origin.dropped())
    own = {name: value for name, value in model.state_dict().items() if load == "all" or not is_head(name)}
    differs = _differences(origin.result["config"], model_config)
    if found := misfits(own, state):
        more = f", and {len(found) - 3} more" if len(found) > 3 else ""
        keys = "; ".join(f"{key}={there} there, {here} here" for key, (there, here) in differs.items())
        raise UserError(
            f"start.{key}: the weights of {origin.folder} do not fit: {'; '.join(found[:3])}{more}. "
            f"Keys that differ: {keys or 'none of model.*, so the data (shape or classes)'}"
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(state[name])
    result = origin.result
    return {
        "run": str(origin.folder),
        **{key: result[key] for key in ("arm", "arm_id", "seed", "steps", "status")},
        "name": result["config"].get("name"),
        "train_seconds": result.get("train_seconds"),
        "load": load,
        "differs": {key: {"source": there, "run": here} for key, (there, here) in differs.items()},
    }


def _freeze(
    config: StartConfig, model: nn.Module, loads: bool, steps_per_epoch: int
) -> tuple[Freeze | None, int | None]:
    """What holds the loaded body still, and for how many steps (None: all of them)."""
    epochs = config.freeze_epochs
    until = None if epochs is None else round(epochs * steps_per_epoch)
    if until == 0:
        return None, 0
    if not loads:
        raise UserError(
            f"start.freeze_epochs={epochs} needs a loaded body: start.run or start.source, and start.load=body or all"
        )
    check_head(model, f"start.freeze_epochs={epochs}")
    return Freeze(model, until), until


def _permute(config: StartConfig, model: nn.Module, data: Dataset, seed: int, loads: bool) -> dict[str, Any]:
    """Moves `model` towards its permuted copy; returns what the result says of it."""
    if not loads or config.load != "all":
        raise UserError(
            f"start.permute={config.permute} needs a loaded net: start.run or start.source, and start.load=all"
        )
    generator = torch.Generator().manual_seed(derive_seed(seed, "permute"))
    count = permute(model, config.permute, _images(data, NUM_COMPARED), generator)
    return {"share": config.permute, "units": count}


def _images(data: Dataset, most: int) -> Tensor:
    """Training images, `most` or all of them if there are fewer."""
    num_images = min(most, len(data.train))  # the split is shuffled already
    return data.train.take(torch.arange(num_images, device=data.train.index.device))[0]


def _prune(config: StartConfig, model: nn.Module, data: Dataset, seed: int, loads: bool, loss: str) -> dict[str, Any]:
    """Prunes `model`; returns what the result says of it."""
    if config.prune == "none":
        return {}
    images = _images(data, config.prune_examples)
    generator = torch.Generator().manual_seed(derive_seed(seed, "prune"))
    if config.prune == "blocks":
        by = "smallest" if config.prune_by == "auto" else config.prune_by
        norms = prune_blocks(model, by, config.prune_count, images, generator)
        return {"kind": "blocks", "by": by, "names": list(norms)[: config.prune_count], "branch_norms": norms}
    by = "magnitude" if config.prune_by == "auto" else config.prune_by
    # Fresh weights know nothing of the data yet, so no criterion tells which of them can go.
    fresh_head = loads and config.load == "body"
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and not (fresh_head and is_head(name))
    }
    noise = choose("start.prune_by=curvature: the loss", loss, NOISES) if by == "curvature" else NOISES["mse"]
    zeros, weights = prune_weights(model, layers, by, config.prune_frac, images, noise, generator)
    share = {"zeros": zeros, "weights": weights, "share": zeros / weights}
    return {"kind": "weights", "by": by, "frac": config.prune_frac, **share}


def _differences(source: Mapping[str, Any], model_config: Any) -> dict[str, tuple[Any, Any]]:
    """The `model.*` keys in which a run's flat configuration and the one at hand differ."""
    here = flatten(model_config, "model.")
    return {key: (source[key], value) for key, value in here.items() if key in source and source[key] != value}
