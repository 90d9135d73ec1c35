"""Where an exported net goes: never over a file that is there, unless the user says so, nor over a run's own."""

import os
from pathlib import Path

from lab.errors import UserError
from lab.records.removal import OF_RUN

NAME = "export"
"""Begins the names of the files in a run's folder."""


def place_of(folder: Path, out: Path | None, suffix: str, replace: bool) -> Path:
    """The file to write: `out`, or `export` with `suffix` in `folder`, the run's.

    Raises:
        UserError: it is there already and not to be replaced, its folder is none, or the lab keeps a run in it.
    """
    path = folder / f"{NAME}{suffix}" if out is None else out.expanduser()
    if not path.parent.is_dir():
        raise UserError(f"--out={path}: {path.parent} is not a folder")
    if path.is_dir():
        raise UserError(f"--out={path} is a folder; name a file in it, as {path / NAME}{suffix}")
    if not path.name.startswith(f"{NAME}.") and OF_RUN.fullmatch(path.name) and (path.parent / "config.yaml").exists():
        raise UserError(f"--out={path} is a file of the run itself, which is never replaced; give another name")
    if os.path.lexists(path) and not replace:
        raise UserError(f"{path} is there already; --replace writes it anew, --out=FILE writes another")
    return path
