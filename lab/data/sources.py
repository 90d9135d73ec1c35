"""Data sets by name. A source is a function from the folder of files to all its examples and labels in memory."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lab.data.downloads import IDX, both_parts, check_names
from lab.data.folder import read_folder
from lab.errors import UserError, choose


@dataclass(frozen=True)
class Source:
    """A data set as its authors split it, before any scaling: images or features, classes or targets to learn."""

    images: Tensor  # (n, c, h, w) uint8, or float32; features (n, f) float32
    labels: Tensor  # (n,) int64; float32 for regression
    test_images: Tensor  # (m, c, h, w), or (m, f)
    test_labels: Tensor  # (m,)
    classes: tuple[str, ...]
    """Names of the classes; none for regression of one number."""


def digits(root: Path) -> Source:
    """1,797 handwritten digits of 8x8, embedded in scikit-learn (UCI ML, Alpaydin and Kaynak 1998); no download."""
    package = importlib.util.find_spec("sklearn")  # importing it takes a second, reading the file 0.01 s
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    rows = torch.as_tensor(np.loadtxt(file, delimiter=","))  # (1797, 65): pixels, whole numbers 0 to 16, and a label
    images = rows[:, :-1].view(-1, 1, 8, 8)
    # The authors' own test set is what scikit-learn ships; a fixed fifth of it is ours.
    return split_test((images * 255 / 16).round().to(torch.uint8), rows[:, -1].long(), _DIGITS)


def synthetic(root: Path) -> Source:
    """2,500 noise images of 3x16x16 with one of five fixed patterns added: made in memory, learnt in seconds."""
    generator = torch.Generator().manual_seed(20)
    labels = torch.arange(5).repeat(500)
    patterns = torch.randn(5, 3, 16, 16, generator=generator)
    images = 0.5 * patterns[labels] + torch.randn(2500, 3, 16, 16, generator=generator)
    return split_test(images, labels, tuple("abcde"))


def mnist(root: Path) -> Source:
    """60,000 and 10,000 handwritten digits of 28x28, grey (LeCun et al. 1998), through torchvision."""
    return _idx("mnist", "MNIST", root, _DIGITS)


def cifar10(root: Path) -> Source:
    """50,000 and 10,000 colour images of 32x32 in ten classes (Krizhevsky 2009), through torchvision."""
    return _cifar("cifar10", "CIFAR10", root, "cifar-10-python.tar.gz")


def folder(root: Path, side: int | None = None) -> Source:
    """Images under `data.root`/train/<class>/ (and test/<class>/): JPEG, PNG, BMP, GIF, PGM, PPM, TIFF or WebP."""
    images, labels, num_train, classes = read_folder(root, side)
    if num_train == len(images):
        return split_test(images, labels, classes)
    return Source(images[:num_train], labels[:num_train], images[num_train:], labels[num_train:], classes)


def fashion_mnist(root: Path) -> Source:
    """60,000 and 10,000 pieces of clothing of 28x28, grey, ten classes (Xiao et al. 2017), through torchvision."""
    return _idx("fashion_mnist", "FashionMNIST", root)


def kmnist(root: Path) -> Source:
    """60,000 and 10,000 Japanese letters of 28x28, grey, ten classes (Clanuwat et al. 2018), through torchvision."""
    return _idx("kmnist", "KMNIST", root)


def cifar100(root: Path) -> Source:
    """50,000 and 10,000 colour images of 32x32 in a hundred classes (Krizhevsky 2009), through torchvision."""
    return _cifar("cifar100", "CIFAR100", root, "cifar-100-python.tar.gz")


def svhn(root: Path) -> Source:
    """73,257 and 26,032 house numbers' digits of 32x32 in colour (Netzer et al. 2011), through torchvision."""
    files = [root / "train_32x32.mat", root / "test_32x32.mat"]
    train, test = both_parts("svhn", "SVHN", root, files, "split")
    images, test_images = (torch.from_numpy(part.data).contiguous() for part in (train, test))  # MATLAB's order before
    return Source(images, torch.from_numpy(train.labels), test_images, torch.from_numpy(test.labels), _DIGITS)


def xor(root: Path) -> Source:
    """1,000 points around the corners (+-1, +-1), labelled by whether the signs differ: a line gets 3 of 4 at best."""
    generator = torch.Generator().manual_seed(4)
    corners = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    # The same uniform noise, up to 1/2, at all four: each square is then an XOR by itself, of which no line
    # gets more than three right. The test set consists of whole squares, so the bound holds there exactly.
    points = corners + torch.rand(250, 1, 2, generator=generator) - 0.5  # (250, 4, 2)
    squares = split_test(points, torch.tensor([0, 1, 1, 0]).expand(250, 4), ("same", "different"))
    parts = (squares.images, squares.labels, squares.test_images, squares.test_labels)
    return Source(*(part.flatten(0, 1) for part in parts), classes=squares.classes)


def moons(root: Path) -> Source:
    """1,000 points on two interleaved half circles, with noise of 0.2 (scikit-learn's make_moons)."""
    from sklearn.datasets import make_moons

    points, target = make_moons(1000, noise=0.2, random_state=0)
    return split_test(torch.as_tensor(points).float(), torch.as_tensor(target).long(), ("upper", "lower"))


def spirals(root: Path) -> Source:
    """1,000 points r (cos a, sin a) + N(0, 0.02^2), a = 4 pi r + k pi, r in [0.1, 1], on two spirals k = 0, 1.

    The two-spirals problem of Lang and Witbrock (1988), whose arms wind three times; these wind 1.8 times.
    """
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(2).repeat_interleave(500)
    radius = 0.1 + 0.9 * torch.rand(1000, generator=generator)
    angle = 4 * math.pi * radius + math.pi * labels
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    return split_test(points + 0.02 * torch.randn(1000, 2, generator=generator), labels, ("first", "second"))


def diabetes(root: Path) -> Source:
    """Regression: progress of diabetes in 442 patients from 10 features (Efron et al. 2004), in scikit-learn."""
    from sklearn.datasets import load_diabetes

    # Unscaled: scikit-learn's own scaling has seen the test rows.
    rows, target = load_diabetes(return_X_y=True, scaled=False)
    return split_test(torch.as_tensor(rows).float(), torch.as_tensor(target).float(), ())


def make_regression(root: Path) -> Source:
    """Regression: 2,000 rows, linear in 13 of 39 features, with noise of 20 (scikit-learn's make_regression)."""
    from sklearn.datasets import make_regression as make

    made = make(n_samples=2000, n_features=39, n_informative=13, noise=20.0, random_state=0)
    return split_test(torch.as_tensor(made[0]).float(), torch.as_tensor(made[1]).float(), ())


def blank(root: Path) -> Source:
    """Nothing to learn: 100 rows of a zero, for nets that need no data (`model=saddle`); an epoch of 64 is one step."""
    return Source(torch.zeros(80, 1), torch.zeros(80), torch.zeros(20, 1), torch.zeros(20), ())


SOURCES: dict[str, Callable[[Path], Source]] = {
    "digits": digits,
    "synthetic": synthetic,
    "mnist": mnist,
    "cifar10": cifar10,
    "folder": folder,
    "fashion_mnist": fashion_mnist,
    "kmnist": kmnist,
    "cifar100": cifar100,
    "svhn": svhn,
    "xor": xor,
    "moons": moons,
    "spirals": spirals,
    "diabetes": diabetes,
    "make_regression": make_regression,
    "blank": blank,
}

DOWNLOADS = ("mnist", "cifar10", "fashion_mnist", "kmnist", "cifar100", "svhn")
"""The sources whose files torchvision can fetch."""

_DIGITS = tuple("0123456789")


def check_source(given: str, source: object) -> Source:
    """`source`, if nets can be trained on it.

    Args:
        given: the data set as the user typed it, for the message.
        source: what its function returned.

    Raises:
        UserError: it is no `Source`, or its parts do not fit together; says what was found and what is allowed.
    """
    if not isinstance(source, Source):
        raise UserError(f"{given} gave a {type(source).__name__}; it must return a lab.data.sources.Source")
    images, labels, classes = source.images, source.labels, source.classes
    if images.ndim not in (2, 4) or labels.is_floating_point() == bool(classes):
        raise UserError(
            f"{given} gave images {tuple(images.shape)}, {labels.dtype} labels and {len(classes)} classes; allowed are "
            "images (n, c, h, w) or (n, f), with whole-number labels and the names of their classes, or with float "
            "labels and no classes"
        )
    for part, data, target in (("training", images, labels), ("test", source.test_images, source.test_labels)):
        kind = "images" if data.ndim == 4 else "rows"
        if len(data) != len(target):
            raise UserError(f"{given} has {len(data):,} {part} {kind} and {len(target):,} labels; allowed: as many")
        if not len(data):
            raise UserError(f"{given} has no {part} {kind}; without a test set a fifth of 5 {kind} or more becomes one")
        if data.shape[1:] != images.shape[1:]:
            shapes = f"{tuple(images.shape[1:])} and {tuple(data.shape[1:])}"
            raise UserError(f"{given}: training and test {kind} need one shape, not {shapes}")
        for values in (data, target):
            if values.is_floating_point() and not values.isfinite().all():
                raise UserError(f"{given} has NaN or infinite values among its {part} {kind} or labels")
        if classes and not 0 <= int(target.min()) <= int(target.max()) < len(classes):
            there = f"{int(target.min())} to {int(target.max())}"
            raise UserError(
                f"{given} has {part} labels from {there}; allowed: 0 to {len(classes) - 1}, a number a class"
            )
    if len(classes) == 1:
        raise UserError(f"{given} has one class alone, '{classes[0]}'; allowed: two or more")
    untaught = sorted({*source.test_labels.tolist()} - {*labels.tolist()}) if classes else []
    if untaught:
        names = ", ".join(f"'{classes[label]}'" for label in untaught)
        raise UserError(f"{given} has test {kind} of classes without a training example: {names}")
    return source


def split_test(images: Tensor, labels: Tensor, classes: tuple[str, ...]) -> Source:
    """Splits off a fifth as the test set, the same for every seed, for data without one."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1797))
    test, train = order[: len(images) // 5], order[len(images) // 5 :]
    return Source(images[train], labels[train], images[test], labels[test], classes)


def _idx(name: str, class_name: str, root: Path, classes: tuple[str, ...] = ()) -> Source:
    """A data set in MNIST's format; without `classes`, with the names of torchvision's class."""
    folder = root / class_name / "raw"
    check_names(name, root, folder)
    train, test = both_parts(name, class_name, root, [folder / f"{file}.gz" for file in IDX])
    names = classes or tuple(train.classes)
    return Source(train.data.unsqueeze(1), train.targets, test.data.unsqueeze(1), test.targets, names)


def _cifar(name: str, class_name: str, root: Path, archive: str) -> Source:
    train, test = both_parts(name, class_name, root, [root / archive])
    images, test_images = (torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in (train, test))
    return Source(images, torch.tensor(train.targets), test_images, torch.tensor(test.targets), tuple(train.classes))


def fetch(name: str, root: Path) -> str:
    """Downloads and verifies the data set `name` under `root`; returns a line that describes it.

    Raises:
        UserError: torchvision does not download it, or the download failed.
    """
    if name in SOURCES and name not in DOWNLOADS:
        there = ", ".join(DOWNLOADS)
        raise UserError(f"data={name} is never downloaded, as it needs no files or reads yours; there are: {there}")
    source = choose("data", name, {one: SOURCES[one] for one in DOWNLOADS})(root)
    shape = "x".join(map(str, source.images.shape[1:]))
    return f"{len(source.images):,} training and {len(source.test_images):,} test images of {shape} under {root}"
