"""A run's whole state in one file, read without running any code from it."""

import io
import os
import warnings
from pathlib import Path
from typing import Any

import torch


def pack(state: dict[str, Any]) -> bytes:
    """`state` (tensors, numbers, strings, lists, dicts) as the content of a checkpoint file.

    Made in memory first: torch's own writer hides why a file could not be written.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state in `path` with its tensors on `device`; None where there is no such file.

    A damaged file is set aside as `checkpoint.pt.damaged`, with a warning, and counts as none.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # the pieces of a damaged pickle can raise anything
        aside = path.with_name(path.name + ".damaged")
        os.replace(path, aside)
        reason = type(error).__name__
        warnings.warn(f"{path} is damaged ({reason}); set aside as {aside.name}, starting over", stacklevel=2)
        return None
