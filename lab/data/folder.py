"""Class folders of images, read in parallel once and cached under a key of their content."""

import contextlib
import hashlib
import os
import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lab.data.decode import decode
from lab.errors import InTheWayError, UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})

LAYOUT = "data.root must hold train/<class>/<image>"

UNUSED = ("val", "valid", "validation", "dev")
"""Folders beside `train` that others hold validation images in; the lab chooses its own by the seed."""

DECODING = 2
"""How often what `decode` makes of a file has changed: caches from before are not used."""


class Folder(NamedTuple):
    """The images of train/ and, behind them, of test/."""

    images: Tensor  # (n, c, h, w) uint8, c = 1 if all are grey, else 3
    labels: Tensor  # (n,) int64
    num_train: int
    classes: tuple[str, ...]


def read_folder(root: Path, side: int | None = None) -> Folder:
    """All images of `root`/train/<class>/ and `root`/test/<class>/, in the order of their paths, sub-folders included.

    The decoded tensors are kept in `root`/.lab-cache/<key>.pt, where the key covers name, size and time of every file,
    so that a changed folder is decoded again.

    Args:
        root: holds train/, and may hold test/.
        side: height and width that each image is resized to as it is read; None to keep them.

    Raises:
        UserError: no such folder, no class folder, a class without images, classes that one part lacks, something that
            is no regular file, or images that `decode` refuses.
    """
    parts = [part for part in ("train", "test") if part == "train" or (root / part).is_dir()]
    found = {part: _classes(root / part) for part in parts}
    classes = tuple(found["train"])
    if alone := sorted({*classes} ^ {*found[parts[-1]]}):
        raise UserError(
            f"data=folder: train and test under {root} need the same classes; only one of them has: {', '.join(alone)}"
        )
    for name in UNUSED:
        if (root / name).is_dir():
            warnings.warn(
                f"data=folder: {root / name} is not used; validation images are split off train/ by the seed "
                "(data.val_frac)",
                stacklevel=2,
            )
    paths = [path for part in parts for name in classes for path in found[part][name]]
    counts = torch.tensor([len(found[part][name]) for part in parts for name in classes])
    labels = torch.arange(len(classes)).repeat(len(parts)).repeat_interleave(counts)
    return Folder(_decode_once(root, paths, side), labels, sum(map(len, found["train"].values())), classes)


def _classes(folder: Path) -> dict[str, list[str]]:
    """The paths of the images of each class, sorted."""
    if not folder.is_dir():
        raise UserError(f"data=folder: {folder} is not a folder; {LAYOUT}")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not _is_junk(entry.name))
    if not names:
        raise UserError(f"data=folder: {folder} has no class folders; {LAYOUT}")
    found = {name: sorted(_images(folder / name)) for name in names}
    for name, paths in found.items():
        if not paths:
            raise UserError(f"data=folder: no image in {folder / name}; known suffixes: {', '.join(sorted(SUFFIXES))}")
    return found


def _images(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_junk(name)]
        yield from (
            os.path.join(parent, name)
            for name in files
            if os.path.splitext(name)[1].lower() in SUFFIXES and not _is_junk(name)
        )


def _is_junk(name: str) -> bool:
    """Whether a file or folder is a system's own: hidden, or what archives of macOS hold beside the files."""
    return name[0] == "." or name == "__MACOSX"


def _decode_once(root: Path, paths: Sequence[str], side: int | None) -> Tensor:
    """The decoded images (n, c, h, w), from the cache if it holds exactly these files at this size."""
    key = hashlib.sha256(f"{DECODING} {side}\n".encode())
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            raise UserError(f"data=folder: {path} cannot be read ({error.strerror})") from error
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"data=folder: {path} is not a regular file")
        key.update(os.fsencode(os.path.relpath(path, root)) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    cache = root / ".lab-cache" / f"{key.hexdigest()[:16]}.pt"
    if cache.is_file():
        try:
            return _checked(torch.load(cache, weights_only=True), len(paths))
        except Exception as error:  # a damaged pickle can raise anything
            warnings.warn(f"{cache} is damaged ({type(error).__name__}); decoding again", stacklevel=2)
    images = decode(paths, side)
    scratch = cache.with_suffix(f".{os.getpid()}.tmp")
    try:
        if cache.parent.is_symlink():
            raise InTheWayError("it is a link, which the lab does not write through")
        cache.parent.mkdir(exist_ok=True)
        with open(scratch, "xb") as file:  # a link there is not followed
            torch.save(images, file)
        os.replace(scratch, cache)
    except (OSError, RuntimeError) as error:  # a read-only folder is decoded at every start
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        warnings.warn(f"could not cache the decoded images in {cache.parent} ({error})", stacklevel=2)
        return images
    _remove_old(root, cache)
    return images


def _checked(found: object, number: int) -> Tensor:
    """What a cache holds, if that is `number` images."""
    if not (isinstance(found, Tensor) and found.dtype == torch.uint8 and found.ndim == 4 and len(found) == number):
        raise ValueError("it holds no such images")
    return found


def _remove_old(root: Path, cache: Path) -> None:
    """Removes the caches of files that changed since, also where older versions kept them."""
    for folder in (root, root / "train", root / "test"):
        for other in () if (folder / ".lab-cache").is_symlink() else (folder / ".lab-cache").glob("*.pt"):
            if other != cache and re.fullmatch("[0-9a-f]{16}", other.stem) and not other.is_symlink():
                with contextlib.suppress(OSError):
                    other.unlink()
