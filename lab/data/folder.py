"""Class folders of images, decoded in parallel once and cached under a key of their content."""

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
from lab.system.machine import num_cores

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})


def read_folder(folder: Path) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """All images of `folder`/<class>/, decoded, in the order of their paths.

    The decoded tensors are kept in `folder`/.lab-cache/<key>.pt, where the key covers name, size and time of every
    file, so that a changed folder is decoded again.

    Returns:
        Images (n, c, h, w) uint8, with c = 1 if all are grey, else 3; labels (n,) int64; names of the classes.

    Raises:
        UserError: no such folder, no class folder, a class without images, an unreadable image, or images of
            different sizes.
    """
    if not folder.is_dir():
        raise UserError(f"data=folder: {folder} is not a folder; data.root must hold train/<class>/<image>")
    classes = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if not classes:
        raise UserError(f"data=folder: {folder} has no class folders; data.root must hold train/<class>/<image>")
    entries = [sorted(_images(folder / name), key=lambda entry: entry.name) for name in classes]
    for name, found in zip(classes, entries, strict=True):
        if not found:
            raise UserError(f"data=folder: no image in {folder / name}; known suffixes: {', '.join(sorted(SUFFIXES))}")
    labels = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor([len(found) for found in entries]))
    images = _decode_once(folder, [entry for found in entries for entry in found])
    return images, labels, classes


def _images(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if os.path.splitext(entry.name)[1].lower() in SUFFIXES]


def _decode_once(folder: Path, entries: list[os.DirEntry[str]]) -> Tensor:
    """The decoded images (n, c, h, w), from the cache if it holds exactly these files."""
    key = hashlib.sha256()
    for entry in entries:
        stat = entry.stat()
        key.update(f"{os.path.relpath(entry.path, folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    cache = folder / ".lab-cache" / f"{key.hexdigest()[:16]}.pt"
    if cache.exists():
        try:
            return torch.load(cache, weights_only=True)
        except Exception as error:  # a damaged pickle can raise anything
            warnings.warn(f"{cache} is damaged ({type(error).__name__}); decoding again", stacklevel=2)
    images = _decode([entry.path for entry in entries])
    scratch = cache.with_suffix(f".{os.getpid()}.tmp")
    try:
        cache.parent.mkdir(exist_ok=True)
        torch.save(images, scratch)
        os.replace(scratch, cache)
    except (OSError, RuntimeError) as error:  # a read-only folder is decoded at every start
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        warnings.warn(f"could not cache the decoded images in {cache.parent} ({error})", stacklevel=2)
    return images


def _decode(paths: list[str]) -> Tensor:
    # Threads, not processes: Pillow's decoders release the interpreter's lock, and nothing needs to be copied back.
    with ThreadPoolExecutor(num_cores()) as pool:
        images, first = np.empty((0, 1, 0, 0), np.uint8), ""
        # Each is stored as soon as it is decoded: a list of all and its copy would take three times the memory.
        for place, image in enumerate(pool.map(_decode_one, paths)):
            h, w = image.shape[:2]
            if place == 0:
                first = f"{w}x{h}"
                images = np.empty((len(paths), 1 if image.ndim == 2 else 3, h, w), np.uint8)
            if f"{w}x{h}" != first:
                pool.shutdown(cancel_futures=True)
                raise UserError(
                    f"data=folder: images differ in size: {paths[place]} is {w}x{h}, {paths[0]} is {first}; "
                    f"resize all to one size"
                )
            if image.ndim == 3 and images.shape[1] == 1:  # the first colour image
                images = np.repeat(images, 3, axis=1)
            images[place] = image.transpose(2, 0, 1) if image.ndim == 3 else image  # (c, h, w)
    return torch.from_numpy(images)  # (n, c, h, w)


def _decode_one(path: str) -> np.ndarray:
    """One image as (h, w) uint8 if it is grey, else (h, w, 3)."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode[0] == "I":  # 16-bit grey, which Pillow would cut at 255
                return (np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)
            return np.asarray(image if image.mode == "L" else image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedFileError(f"data=folder: {path} is not a readable image ({error})") from error
