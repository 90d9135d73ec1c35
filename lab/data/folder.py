"""Class folders of pictures, decoded in parallel once and cached beside a key of their content."""

import contextlib
import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lab.errors import DamagedFileError, UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})


def read_folder(folder: Path) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """All pictures of `folder`/<class>/, decoded, in the order of their paths.

    The decoded tensors are kept in `folder`/.lab-cache/<key>.pt, where the key covers name, size and time of every
    file, so that a changed folder is decoded anew.

    Returns:
        Pictures (n, c, h, w) uint8, with c = 1 where all are grey and else 3; labels (n,) int64; names of the classes.

    Raises:
        UserError: no such folder, no class folder, a class without pictures, a file that is no picture, or sizes that
            differ.
    """
    if not folder.is_dir():
        raise UserError(f"data=folder: {folder} is not a folder; data.root must hold train/<class>/<picture>")
    classes = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if not classes:
        raise UserError(f"data=folder: {folder} has no class folders; data.root must hold train/<class>/<picture>")
    entries = [sorted(_pictures(folder / name), key=lambda entry: entry.name) for name in classes]
    for name, found in zip(classes, entries, strict=True):
        if not found:
            raise UserError(f"data=folder: no picture in {folder / name}; known are {', '.join(sorted(SUFFIXES))}")
    labels = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor([len(found) for found in entries]))
    images = _decode_once(folder, [entry for found in entries for entry in found])
    return images, labels, classes


def _pictures(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if os.path.splitext(entry.name)[1].lower() in SUFFIXES]


def _decode_once(folder: Path, entries: list[os.DirEntry[str]]) -> Tensor:
    """The decoded pictures (n, c, h, w), from the cache where it holds these very files."""
    key = hashlib.sha256()
    for entry in entries:
        stat = entry.stat()
        key.update(f"{os.path.relpath(entry.path, folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    cache = folder / ".lab-cache" / f"{key.hexdigest()[:16]}.pt"
    if cache.exists():
        try:
            return torch.load(cache, weights_only=True)
        except Exception as error:  # the pieces of a damaged pickle can raise anything
            warnings.warn(f"{cache} is damaged ({type(error).__name__}) and is made anew", stacklevel=2)
    images = _decode([entry.path for entry in entries])
    scratch = cache.with_suffix(f".{os.getpid()}.tmp")
    try:
        cache.parent.mkdir(exist_ok=True)
        torch.save(images, scratch)
        os.replace(scratch, cache)
    except (OSError, RuntimeError) as error:  # a folder that cannot be written is decoded at every start
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        warnings.warn(f"the decoded pictures could not be kept in {cache.parent} ({error})", stacklevel=2)
    return images


def _decode(paths: list[str]) -> Tensor:
    # Threads, not processes: Pillow's decoders release the interpreter's lock, and nothing needs to be copied back.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        images, first = np.empty((0, 1, 0, 0), np.uint8), ""
        # Each goes to its place as it is ready: a list of all of them, and its copy, would be three times the data.
        for place, picture in enumerate(pool.map(_decode_one, paths)):
            h, w = picture.shape[:2]
            if place == 0:
                first = f"{w}x{h}"
                images = np.empty((len(paths), 1 if picture.ndim == 2 else 3, h, w), np.uint8)
            if f"{w}x{h}" != first:
                pool.shutdown(cancel_futures=True)
                raise UserError(
                    f"data=folder: pictures differ in size: {paths[place]} is {w}x{h}, {paths[0]} is {first}; "
                    f"bring all to one size"
                )
            if picture.ndim == 3 and images.shape[1] == 1:  # the first one in colour
                images = np.repeat(images, 3, axis=1)
            images[place] = picture.transpose(2, 0, 1) if picture.ndim == 3 else picture  # (c, h, w)
    return torch.from_numpy(images)  # (n, c, h, w)


def _decode_one(path: str) -> np.ndarray:
    """One picture as (h, w) uint8 if it is grey, else (h, w, 3)."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.mode[0] == "I":  # 16-bit grey, which Pillow would cut at 255
                return (np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8)
            return np.asarray(picture if picture.mode == "L" else picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedFileError(f"data=folder: {path} cannot be read as a picture ({error})") from error
