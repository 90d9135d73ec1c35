"""What a run starts from: the weights of another run, and what is pruned of them.

All of it follows from configuration, source run, data and seed, so that a resumed run is built like the first one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lab.config import StartConfig
from lab.data.batches import Dataset
from lab.errors import DamagedFileError, UserError, check_name, check_range, choose
from lab.identity import derive_seed, flatten
from lab.nets.prune import NOISES, prune_blocks, prune_weights
from lab.nets.transfer import LOADS, Freeze, check_head, is_head, misfits, restructure
from lab.records.results import read_result
from lab.records.tuning import read_tuning, trials_folder
from lab.training.checkpoint import read_checkpoint

PRUNES = ("none", "blocks", "weights")
"""What can be pruned before the first step."""


@dataclass(frozen=True)
class Source:
    """A finished run, as others see it."""

    folder: Path
    result: dict[str, Any]
    """All of its `result.json`."""

    state: dict[str, Tensor]
    """The weights and statistics that it ended with, on the CPU."""

    def dropped(self) -> list[str]:
        """The residual blocks that it was trained without."""
        return (self.result.get("started_from") or {}).get("dropped_blocks", [])


@dataclass(frozen=True)
class Started:
    """How a net was made ready."""

    record: dict[str, Any]
    """What `result.json` says of it, as `started_from`; empty for a net from scratch that nothing was taken out of."""

    freeze: Freeze | None
    """Prepares the net for each step, where the loaded body is held still at first."""


def start(
    config: StartConfig, model: nn.Module, data: Dataset, seed: int, steps_per_epoch: int, model_config: Any, loss: str
) -> Started:
    """Loads, freezes and prunes an initialised `model` in place, as `config` says.

    Args:
        config: what to start from.
        model: the net, initialised, on its device.
        data: the run's data; branch norms and curvature are measured on its training pictures.
        seed: the run's seed.
        steps_per_epoch: turns epochs into steps.
        model_config: the run's `ModelConfig`, for the message where the weights do not fit.
        loss: the run's loss, whose curvature counts.

    Raises:
        UserError: the source is missing, unfinished or does not fit, or a value is out of range.
    """
    check_name("start.load", config.load, LOADS)
    check_name("start.prune", config.prune, PRUNES)
    loads = config.run != "" and config.load != "none"
    record: dict[str, Any] = {}
    dropped: list[str] = []
    if loads:
        source = open_run(find_run(config.run, seed), "start.run")
        record |= take_over(model, source, config.load, model_config)
        dropped += source.dropped()
    freeze, frozen_steps = _freeze(config, model, loads, steps_per_epoch)
    pruned = _prune(config, model, data, seed, loads, loss)
    dropped += pruned.get("names", [])
    if loads or pruned:
        record |= {"frozen_steps": frozen_steps, "pruned": pruned or None, "dropped_blocks": dropped}
    return Started(record, freeze)


def find_run(given: str, seed: int, key: str = "start.run") -> Path:
    """The folder of the run that `given` names: itself, or the one of that seed in an arm, or in a name's only arm.

    Of a tuned experiment, arms that other values were picked for since do not count, and the runs of an arm include its
    trials, which have seeds of their own.

    Args:
        given: a folder.
        seed: which of an arm's runs.
        key: what the user gave it for, for the message.

    Raises:
        UserError: there is no such run, or more than one.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}={given} is not a folder; runs are at <out>/<name>/<arm>/seed=<n>")
    if (folder / "config.yaml").exists() or (folder / "result.json").exists():
        return folder
    found = [path for path in (folder / f"seed={seed}", *folder.glob(f"*/seed={seed}")) if path.is_dir()]
    if len(found) > 1 and (tuning := read_tuning(folder)):
        found = [path for path in found if path.parent.name[-8:] not in tuning.superseded]
    found = found or find_trials(folder, seed)
    if len(found) == 1:
        return found[0]
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "_")
    said = f"has {len(found)} arms" if found else "is neither a run nor an arm"
    there = ", ".join(inside) or "no folders"
    raise UserError(f"{key}={given} {said} with a run of seed={seed}; name one; inside there are: {there}")


def find_trials(folder: Path, seed: int) -> list[Path]:
    """The trials of `seed` at the values that were picked: of the arm in `folder`, or of all in that experiment."""
    for root in (folder, folder.parent):
        if (tuning := read_tuning(root)) and (trials := trials_folder(root)):
            picked = [arm.arm_id for arm in tuning.arms if arm.arm_id]
            own = [digits for digits in picked if root == folder or folder.name.endswith(f"-{digits}")]
            return [path for digits in own for path in trials.glob(f"*-{digits}/seed={seed}") if path.is_dir()]
    return []


def open_run(folder: Path, key: str) -> Source:
    """A finished run with its weights, read without running any code from the file.

    Args:
        folder: the run's folder.
        key: what the user gave it for, for the message.

    Raises:
        UserError: it is not finished, or its checkpoint is missing or damaged.
    """
    result = read_result(folder)
    status = "not finished (it has no result.json)" if result is None else result["status"]
    if result is None or status != "finished":
        raise UserError(f"{key}: the run {folder} is {status}; the same 'lab train' command finishes what was stopped")
    path = folder / "checkpoint.pt"
    try:
        state = read_checkpoint(path, torch.device("cpu"))["model"]
    except FileNotFoundError:
        raise UserError(f"{key}: the run {folder} has no checkpoint.pt, which holds its weights") from None
    except DamagedFileError as error:
        raise UserError(f"{key}: {error}; force=true trains it again") from error
    # A compiled net saves its weights under a name of torch's.
    return Source(folder, result, {name.removeprefix("_orig_mod."): value for name, value in state.items()})


def take_over(model: nn.Module, source: Source, load: str, model_config: Any) -> dict[str, Any]:
    """Prunes `model` as the source was pruned and gives it the source's weights; returns what the result says of it.

    Raises:
        UserError: they do not fit; says which weights, their shapes, and the `model.*` keys that differ.
    """
    if load == "body":
        check_head(model, "start.load=body")
    state = {name: value for name, value in source.state.items() if load == "all" or not is_head(name)}
    restructure(model, state, source.dropped())
    own = {name: value for name, value in model.state_dict().items() if load == "all" or not is_head(name)}
    differs = _differences(source.result["config"], model_config)
    if found := misfits(own, state):
        more = f", and {len(found) - 3} more" if len(found) > 3 else ""
        keys = "; ".join(f"{key}={there} there, {here} here" for key, (there, here) in differs.items())
        raise UserError(
            f"start.run: the weights of {source.folder} do not fit: {'; '.join(found[:3])}{more}. "
            f"Keys that differ: {keys or 'none of model.*, so the data (shape or classes)'}"
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(state[name])
    result = source.result
    return {
        "run": str(source.folder),
        **{key: result[key] for key in ("arm", "arm_id", "seed", "steps", "status")},
        "name": result["config"].get("name"),
        "load": load,
        "differs": {key: {"source": there, "run": here} for key, (there, here) in differs.items()},
    }


def _freeze(
    config: StartConfig, model: nn.Module, loads: bool, steps_per_epoch: int
) -> tuple[Freeze | None, int | None]:
    """What holds the loaded body still, and for how many steps (None: all of them)."""
    epochs = config.freeze_epochs
    check_range("start.freeze_epochs", epochs or 0.0, epochs is None or epochs >= 0, "0 or more, or null for never")
    until = None if epochs is None else round(epochs * steps_per_epoch)
    if until == 0:
        return None, 0
    if not loads:
        raise UserError(f"start.freeze_epochs={epochs} needs a loaded body: start.run, and start.load=body or all")
    check_head(model, f"start.freeze_epochs={epochs}")
    return Freeze(model, until), until


def _prune(config: StartConfig, model: nn.Module, data: Dataset, seed: int, loads: bool, loss: str) -> dict[str, Any]:
    """Prunes `model`; returns what the result says of it."""
    if config.prune == "none":
        return {}
    check_range("start.prune_examples", config.prune_examples, config.prune_examples >= 1, "1 or more")
    num_images = min(config.prune_examples, len(data.train))  # the split is shuffled already
    images, _ = data.train.take(torch.arange(num_images, device=data.train.index.device))
    generator = torch.Generator().manual_seed(derive_seed(seed, "prune"))
    if config.prune == "blocks":
        by = "smallest" if config.prune_by == "auto" else config.prune_by
        norms = prune_blocks(model, by, config.prune_count, images, generator)
        return {"kind": "blocks", "by": by, "names": list(norms)[: config.prune_count], "branch_norms": norms}
    by = "magnitude" if config.prune_by == "auto" else config.prune_by
    # Fresh weights know nothing of the data yet, so nothing tells which of them can go.
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
