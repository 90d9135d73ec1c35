"""Data sets by name. A source is a function from the folder of files to all its pictures and labels in memory."""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lab.config import UserError, choose
from lab.data.folder import read_folder
from lab.vision import torchvision


@dataclass(frozen=True)
class Source:
    """A data set as its authors split it, before any scaling."""

    images: Tensor  # (n, c, h, w) uint8, or float32
    labels: Tensor  # (n,) int64
    test_images: Tensor  # (m, c, h, w)
    test_labels: Tensor  # (m,)
    classes: tuple[str, ...]


def digits(root: Path) -> Source:
    """1,797 handwritten digits of 8x8, embedded in scikit-learn (UCI ML, Alpaydin and Kaynak 1998); no download."""
    from sklearn.datasets import load_digits

    pixels, target = load_digits(return_X_y=True)
    images = torch.as_tensor(pixels).view(-1, 1, 8, 8)  # float64, whole numbers 0 to 16
    # The authors' own test set is what scikit-learn ships; a fifth of it, drawn once and for all, is ours.
    return split_test((images * 255 / 16).round().to(torch.uint8), torch.as_tensor(target).long(), _DIGITS)


def synthetic(root: Path) -> Source:
    """2,500 noise pictures of 3x16x16 with one of five fixed patterns added: made in memory, learnt in seconds."""
    generator = torch.Generator().manual_seed(20)
    labels = torch.arange(5).repeat(500)
    patterns = torch.randn(5, 3, 16, 16, generator=generator)
    images = 0.5 * patterns[labels] + torch.randn(2500, 3, 16, 16, generator=generator)
    return split_test(images, labels, tuple("abcde"))


def mnist(root: Path) -> Source:
    """60,000 and 10,000 handwritten digits of 28x28, grey (LeCun et al. 1998), through torchvision."""
    folder = root / "MNIST" / "raw"
    files = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
    train, test = _torchvision_pair("MNIST", root, [folder / f"{name}.gz" for name in files])
    return Source(train.data.unsqueeze(1), train.targets, test.data.unsqueeze(1), test.targets, _DIGITS)


def cifar10(root: Path) -> Source:
    """50,000 and 10,000 colour pictures of 32x32 in ten classes (Krizhevsky 2009), through torchvision."""
    train, test = _torchvision_pair("CIFAR10", root, [root / "cifar-10-python.tar.gz"])
    images, test_images = (torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in (train, test))
    return Source(images, torch.tensor(train.targets), test_images, torch.tensor(test.targets), tuple(train.classes))


def folder(root: Path) -> Source:
    """Pictures of one size under `data.root`/train/<class>/ (and test/<class>/), any format that Pillow reads."""
    train = read_folder(root / "train")
    if not (root / "test").is_dir():
        return split_test(*train)
    test = read_folder(root / "test")
    if train[2] != test[2]:
        alone = ", ".join(sorted({*train[2]} ^ {*test[2]}))
        raise UserError(
            f"data=folder: train and test under {root} need the same classes; only one of them has: {alone}"
        )
    if train[0].shape[1:] != test[0].shape[1:]:
        shapes = " and ".join(str(tuple(part[0].shape[1:])) for part in (train, test))
        raise UserError(f"data=folder: train and test under {root} need pictures of one shape (c, h, w), not {shapes}")
    return Source(train[0], train[1], test[0], test[1], train[2])


SOURCES: dict[str, Callable[[Path], Source]] = {
    "digits": digits,
    "synthetic": synthetic,
    "mnist": mnist,
    "cifar10": cifar10,
    "folder": folder,
}

DOWNLOADS = ("mnist", "cifar10")
"""The sources whose files torchvision can fetch."""

_DIGITS = tuple("0123456789")


def split_test(images: Tensor, labels: Tensor, classes: tuple[str, ...]) -> Source:
    """Cuts a fifth off as the test set, the same one for every seed, where the authors give none."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1797))
    test, train = order[: len(images) // 5], order[len(images) // 5 :]
    return Source(images[train], labels[train], images[test], labels[test], classes)


def _torchvision_pair(name: str, root: Path, files: list[Path]) -> tuple:
    """Training and test part of a torchvision class, downloaded and checked by it where they are not there yet."""
    missing = [folder for folder in (files[0].parent, *files[0].parent.parents) if not folder.exists()]
    wanted = ", ".join(path.name for path in files)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its progress lines are not part of our answer
            make = getattr(torchvision().datasets, name)
            return make(root, train=True, download=True), make(root, train=False, download=True)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            for folder in missing:  # the empty folders that the attempt made
                folder.rmdir()
        reason = " ".join(str(error).split())
        raise UserError(
            f"data={name.lower()}: the files under {root} are missing or damaged, and could not be downloaded; "
            f"put {wanted} into {files[0].parent}, or name the folder above with data.root= ({reason})"
        ) from error
    except (ValueError, AssertionError, TypeError) as error:  # what torchvision's reader makes of a damaged file
        raise UserError(
            f"data={name.lower()}: a file under {root} is damaged ({error}); delete the folder {files[0].parent.name}, "
            f"then they are downloaded again, or put {wanted} there"
        ) from error


def fetch(name: str, root: Path) -> str:
    """Downloads and verifies the data set `name` under `root`; returns what there is then, in words.

    Raises:
        UserError: torchvision cannot download it, or the download failed.
    """
    source = choose("data", name, {one: SOURCES[one] for one in DOWNLOADS})(root)
    shape = "x".join(map(str, source.images.shape[1:]))
    return f"{len(source.images):,} training and {len(source.test_images):,} test pictures of {shape} under {root}"
