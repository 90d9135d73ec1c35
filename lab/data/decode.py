"""Image files to bytes, all at one size, in one mode and on one scale, whatever the files hold."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.data.resize import resize
from lab.errors import DamagedFileError, UserError
from lab.system.devices import is_out_of_memory
from lab.system.machine import free_memory, num_cores

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may read a file as, by its content: no format that starts other programs, whatever the file's name."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of a pixel that cameras and scanners store in files of 16 or 32 bits."""


def decode(paths: Sequence[str], side: int | None = None) -> Tensor:
    """The images in `paths` (n, c, h, w) uint8: c = 1 if all of them are grey, else 3.

    What is transparent is laid over white. Pixels deeper than 8 bits, whole numbers or floats, are put on one scale for
    all such files: by 1 where none exceeds it, else by the fewest bits of `DEPTHS` that hold them all.

    Args:
        paths: one or more files.
        side: height and width that each image is resized to as it is read; None to keep them.

    Raises:
        UserError: images of different sizes, pixels on no known scale, or more of them than memory holds.
        DamagedFileError: a file is no readable image.
    """
    try:
        images, deep = _decode_all(paths, side)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"data=folder: {len(paths):,} images as large as {paths[0]} do not fit into memory; "
            "data.resize=SIDE makes them smaller as they are read"
        ) from None
    if deep:
        _to_bytes(images, deep, paths)
        images = images.astype(np.uint8)
    return torch.from_numpy(images)


def _decode_all(paths: Sequence[str], side: int | None) -> tuple[np.ndarray, list[int]]:
    """The images (n, c, h, w), uint8 or float32 if some have deep pixels, and the places of these."""
    images, deep, first = np.empty((0, 1, 0, 0), np.uint8), [], ()
    # Threads, not processes: Pillow's decoders release the interpreter's lock, and nothing needs to be copied back.
    with ThreadPoolExecutor(num_cores()) as pool:
        # Each is stored as soon as it is decoded: a list of all and its copy would take three times the memory.
        for place, image in enumerate(pool.map(_decode_one, paths, [side] * len(paths))):
            if place == 0:
                first = image.shape[1:]
                free = free_memory()
                if free is not None and len(paths) * image.size > free:  # the kernel promises more than there is
                    pool.shutdown(cancel_futures=True)
                    raise MemoryError
                images = np.empty((len(paths), *image.shape), np.uint8)
            if image.shape[1:] != first:
                pool.shutdown(cancel_futures=True)
                here, there = ("x".join(map(str, size[::-1])) for size in (image.shape[1:], first))
                raise UserError(
                    f"data=folder: images differ in size: {paths[place]} is {here}, {paths[0]} is {there}; "
                    "data.resize=SIDE brings all of them to one size"
                )
            if len(image) > len(images[0]):  # the first colour image
                images = np.repeat(images, 3, axis=1)
            if image.dtype != np.uint8:
                images = images.astype(np.float32, copy=False)  # holds whole numbers up to 2^24
                deep.append(place)
            images[place] = image
    return images, deep


def _decode_one(path: str, side: int | None) -> np.ndarray:
    """One image (1, h, w) if it is grey, else (3, h, w): uint8, or float32 if its pixels are deeper than 8 bits."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a user's own large image is no attack
            with Image.open(path, formats=FORMATS) as file:
                pixels = np.array(_plain(file))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedFileError(f"data=folder: {path} is not a readable image ({error})") from error
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if side is None:
        return pixels
    return resize(torch.from_numpy(np.ascontiguousarray(pixels))[None], side)[0].numpy()


def _plain(image: Any) -> Any:
    """A Pillow image in mode L, RGB, I or F: deep pixels as they are, transparent ones over white."""
    from PIL import Image

    if image.mode[0] in "IF":
        return image
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layers = image.convert("LA" if image.mode[0] == "L" else "RGBA")
        below = Image.new(layers.mode, image.size, "white")
        return Image.alpha_composite(below.convert("RGBA"), layers.convert("RGBA")).convert(layers.mode[:-1])
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _to_bytes(images: np.ndarray, deep: Sequence[int], paths: Sequence[str]) -> None:
    """Scales the `deep` ones of `images` to 0..255, in place, and says how."""
    found = [images[place] for place in deep]
    low, high = min(float(image.min()) for image in found), max(float(image.max()) for image in found)
    if not low >= 0 or not high < 2 ** DEPTHS[-1]:  # NaN is neither
        place = next(place for place in deep if not (images[place] >= 0).all() or not (images[place] < 2**16).all())
        raise UserError(
            f"data=folder: {paths[place]} has pixels from {images[place].min():g} to {images[place].max():g}; "
            "allowed: 0 to 1, or 0 to 65535"
        )
    top = 1 if high <= 1 else 2 ** next(bits for bits in DEPTHS if high < 2**bits) - 1
    for image in found:
        np.rint(image * (255 / top), out=image)
    if top != 255:
        what = f"{len(deep):,} image{'s' * (len(deep) > 1)} with pixels up to {high:g}"
        warnings.warn(f"data=folder: {what}, taken as 0 to {top}, became 8 bits deep", stacklevel=2)
