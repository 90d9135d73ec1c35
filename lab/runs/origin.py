"""A finished run that others use: where it is, its weights, and its net built again."""

from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from lab.config import RunConfig
from lab.data.batches import Dataset, load_dataset
from lab.errors import DamagedFileError, UserError
from lab.nets.recipe import build
from lab.nets.transfer import misfits, restructure
from lab.records.read import read_yaml
from lab.records.results import read_result
from lab.records.tuning import read_tuning, trials_folder
from lab.runs.rehearsal import own_parts
from lab.system.vision import define_missing
from lab.training.checkpoint import best_weights, read_checkpoint
from lab.validation import validate


@dataclass(frozen=True)
class Origin:
    """A finished run that another one starts from, or that is used to predict."""

    folder: Path
    result: dict[str, Any]
    """All of its `result.json`."""

    state: dict[str, Tensor]
    """The weights and statistics that it ended with, or of its best logged point, on the CPU."""

    def dropped(self) -> list[str]:
        """The residual blocks that it was trained without."""
        return (self.result.get("started_from") or {}).get("dropped_blocks", [])


def find_run(given: str, seed: int, key: str = "start.run") -> Path:
    """The folder of the run that `given` names: itself, or the one of that seed in an arm, or in a name's only arm.

    In a tuned experiment, arms for which tuning has since picked other values do not count, and the runs of an arm
    include its tuning trials, which have other seeds.

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
    """The tuning trials of `seed` at the picked values: of the arm in `folder`, or of all arms in that experiment."""
    for root in (folder, folder.parent):
        if (tuning := read_tuning(root)) and (trials := trials_folder(root)):
            picked = [arm.arm_id for arm in tuning.arms if arm.arm_id]
            own = [digits for digits in picked if root == folder or folder.name.endswith(f"-{digits}")]
            return [path for digits in own for path in trials.glob(f"*-{digits}/seed={seed}") if path.is_dir()]
    return []


def open_run(folder: Path, key: str, best: bool = False) -> Origin:
    """A finished run with its weights, read without running any code from the file.

    Args:
        folder: the run's folder.
        key: what the user gave it for, for the message.
        best: whether the weights of its best logged point are meant, which a diverged run may have, too.

    Raises:
        UserError: it is not finished, its checkpoint is missing or damaged, or it kept no best weights.
    """
    result = read_result(folder)
    status = "not finished (it has no result.json)" if result is None else result["status"]
    if result is None or status not in ("finished", *["diverged"] * best):
        raise UserError(f"{key}: the run {folder} is {status}; the same 'lab train' command finishes what was stopped")
    path = folder / "checkpoint.pt"
    path = best_weights(path) if best else path
    try:
        state = read_checkpoint(path, torch.device("cpu"))["model"]
    except FileNotFoundError:
        if best:
            what = "kept no best weights; train.keep_best=true keeps them, of a run trained again with force=true"
            raise UserError(f"{key}: the run {folder} {what}") from None
        raise UserError(f"{key}: the run {folder} has no checkpoint.pt, which holds its weights") from None
    except DamagedFileError as error:
        raise UserError(f"{key}: {error}; force=true trains it again") from error
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read ({error.strerror})") from error
    # A compiled net saves its weights under a name of torch's.
    return Origin(folder, result, {name.removeprefix("_orig_mod."): value for name, value in state.items()})


def load_net(
    folder: Path,
    device: torch.device,
    trusted: bool = False,
    key: str = "predict",
    trust: str = "add --own-parts",
    best: bool = False,
) -> tuple[RunConfig, Dataset, nn.Module]:
    """Configuration, data and net of a finished run, the net pruned as it was trained, in evaluation mode.

    Args:
        folder: the run's.
        device: where the data go, and the net.
        trusted: whether code that its configuration names, `module:attribute`, may run.
        key: what the user gave it for, for messages.
        trust: how the user says that it may.
        best: as of `open_run`.

    Raises:
        UserError: it is not finished, no code builds its net again, or it names code and is not `trusted`.
    """
    origin = open_run(folder, key, best)
    config, path = RunConfig(), folder / "config.yaml"
    try:
        fill(config, read_yaml(path), path)
    except FileNotFoundError:
        raise UserError(f"{key}: {folder} has no config.yaml") from None
    validate(config)
    if (own := own_parts(config)) and not trusted:
        raise UserError(
            f"{key}: the run {folder} names code that predicting would run, {', '.join(own)}; where you trust it, "
            f"{trust}"
        )
    if own:
        define_missing()
    data = load_dataset(config.data, config.seed, device)
    with torch.random.fork_rng(devices=[]):
        model = build(config.model, data.shape, data.num_outputs)
    restructure(model, origin.state, origin.dropped())
    if found := misfits(model.state_dict(), origin.state):
        raise UserError(f"{key}: the weights of {folder} do not fit its own config.yaml: {'; '.join(found[:3])}")
    model.load_state_dict(origin.state)
    return config, data, model.to(device).eval()


def fill(config: Any, values: Any, path: Path) -> None:
    """Sets the fields of a (nested) dataclass; those that `values` lacks keep their defaults.

    Raises:
        UserError: `values`, which the file `path` holds, are no table, or one is no key or of another type.
    """
    hints = get_type_hints(type(config))
    if not isinstance(values, dict):
        raise DamagedFileError(f"{path} is damaged: it holds no table of keys, but a {type(values).__name__}")
    for key, value in values.items():
        if key not in hints:
            raise UserError(f"{path}: {key!r:.40} is no key of the configuration; there are: {', '.join(hints)}")
        if is_dataclass(getattr(config, key)):
            fill(getattr(config, key), value, path)
        elif not fits(value, hints[key]):
            raise DamagedFileError(f"{path} is damaged: its {key} is {value!r:.40}")
        else:
            setattr(config, key, value)


def fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the type `hint` of a field: a name, a number, a list of them, or one of several."""
    if hint is Any:
        return True
    if get_origin(hint) is list:
        return isinstance(value, list) and all(fits(one, get_args(hint)[0]) for one in value)
    if get_args(hint):
        return any(fits(value, one) for one in get_args(hint))
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return isinstance(value, int | float if hint is float else hint)
