"""A run's whole state in one file, and the one before it beside it, read without running any code from them."""

import io
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from lab.errors import DamagedFileError, check_no_folder


def pack(state: dict[str, Any]) -> bytes:
    """`state` (tensors, numbers, strings, lists, dicts) as the content of a checkpoint file.

    Made in memory first: torch's own writer hides why a file could not be written.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def previous(path: Path) -> Path:
    """Where the checkpoint before that in `path` is kept: `checkpoint.prev.pt`."""
    return path.with_stem(f"{path.stem}.prev")


def best_weights(path: Path) -> Path:
    """Where the best weights of a run are kept whose checkpoint is in `path`: `best.pt`."""
    return path.with_name("best.pt")


def kept_states(path: Path) -> list[Path]:
    """All files that the lab keeps of the checkpoint `path`: itself, the one before, damaged ones, the best weights."""
    return [*(file for one in (path, previous(path)) for file in (one, set_aside(one))), best_weights(path)]


def set_aside(path: Path) -> Path:
    """Where a damaged checkpoint is kept: `checkpoint.pt.damaged`."""
    return path.with_name(path.name + ".damaged")


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The newest state that can be read, of `path` or the one before it, on `device`; None where there is neither.

    A damaged file is set aside, as `checkpoint.pt.damaged`, with a warning.
    """
    for file, instead in ((path, previous(path)), (previous(path), None)):
        try:
            return read_checkpoint(file, device)
        except FileNotFoundError:
            continue
        except DamagedFileError as error:
            aside = set_aside(file)
            check_no_folder(aside)
            os.replace(file, aside)
            then = f"going on from {instead.name}" if instead and instead.exists() else "starting over"
            warnings.warn(f"{error}; set aside as {aside.name}, {then}", stacklevel=2)
    return None


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """The state in `path`, its tensors on `device`.

    Raises:
        DamagedFileError: the file is cut short or altered.
        OSError: it cannot be read, or there is none.
    """
    if path.exists() and not path.is_file():  # a fifo would be waited for
        raise DamagedFileError(f"{path} is damaged (no regular file)")
    try:
        with zipfile.ZipFile(path) as archive:
            if altered := archive.testzip():  # torch itself leaves the checksums unread
                raise ValueError(f"checksum of {altered}")
        state = torch.load(path, map_location=device, weights_only=True)
        if not all(isinstance(value, torch.Tensor) for value in state["model"].values()):
            raise TypeError("a weight is no tensor")
    except OSError:
        raise
    except Exception as error:  # the pieces of a damaged pickle can raise anything
        raise DamagedFileError(f"{path} is damaged ({type(error).__name__})") from error
    return state


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """State of the global generators, from which dropout draws: of the CPU, and of the device where it has one."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Puts the global generators back to `state`."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
