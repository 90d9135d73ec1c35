"""Files that are written as a whole, or not at all, and never through a link; and removed so."""

import json
import math
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.errors import check_no_folder

SCRATCH = ".lab-tmp"
"""Ends the names of files that are being written."""


def write_atomically(path: Path, data: bytes, previous: Path | None = None, lasting: bool = True) -> None:
    """Writes `data` so that `path` holds either all of it or what it held before, whenever the machine stops.

    A link in its place is replaced and never followed.

    Args:
        path: the file.
        data: its whole content.
        previous: where what it held before is moved; for a moment, then, only that file is there.
        lasting: whether to wait until the disk has it. What is written again in any case needs no such wait.

    Raises:
        InTheWayError: a folder is in the place of either.
        OSError: it cannot be written.
    """
    for place in (path, previous or path):
        check_no_folder(place)
    scratch = path.with_name(f".{secrets.token_hex(8)}{SCRATCH}")  # which nobody can have made before
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(scratch, flags, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(scratch, path)
    except OSError:
        with suppress(OSError):
            scratch.unlink()  # on a full disk this makes room for saying so
        raise


def remove_file(path: Path) -> None:
    """Removes the file `path`, if there is one; of a link, the link. Raises `InTheWayError` where it is a folder."""
    check_no_folder(path)
    path.unlink(missing_ok=True)


def remove_scratch(folder: Path) -> None:
    """Removes what writers that were killed have left in `folder`, which this process has locked."""
    for path in folder.glob(f".*{SCRATCH}"):
        remove_file(path)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinities become null, which JSON lacks."""
    text = json.dumps(finite(value), indent=2, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def finite(value: Any) -> Any:
    """`value` with NaN and infinite floats replaced by None, all the way down."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
