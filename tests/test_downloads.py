"""What torchvision downloads: read from small files in the real formats, fetched from a server on this machine."""

import gzip
import hashlib
import http.server
import io
import pickle
import socket
import struct
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch

from lab.config import DataConfig
from lab.data.batches import load_dataset
from lab.data.sources import DOWNLOADS, SOURCES, fetch, mnist
from lab.errors import UserError
from lab.system.vision import torchvision

CPU = torch.device("cpu")
REAL = Path(__file__).parent.parent / "data"
LIKE_MNIST = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
LIKE_CIFAR = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}


def digest(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# MNIST and those made like it


def idx(array: np.ndarray) -> bytes:
    """An IDX file of bytes, as MNIST comes."""
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="session")
def mnist_files() -> dict[str, bytes]:
    """A small MNIST: 20 and 10 pictures, each of the colour of its label."""
    files = {}
    for part, count in (("train", 20), ("t10k", 10)):
        labels = np.arange(count) % 10
        files[f"{part}-images-idx3-ubyte"] = idx(np.broadcast_to(labels[:, None, None], (count, 28, 28)))
        files[f"{part}-labels-idx1-ubyte"] = idx(labels)
    return files


def write(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("mnist", "0 1 2 3 4 5 6 7 8 9"),
        ("fashion_mnist", "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle_boot"),
        ("kmnist", "o ki su tsu na ha ma ya re wo"),
    ],
)
def test_idx_files_are_read(tmp_path: Path, mnist_files: dict[str, bytes], name: str, classes: str) -> None:
    write(mnist_files, tmp_path / LIKE_MNIST[name] / "raw")
    source = SOURCES[name](tmp_path)
    assert source.images.shape == (20, 1, 28, 28)
    assert torch.equal(source.images[:, 0, 3, 4].long(), source.labels)
    assert source.test_labels.tolist() == list(range(10))
    assert source.classes == tuple(word.replace("_", " ") for word in classes.split())


@pytest.mark.parametrize("length", [0, 5, 2000])
@pytest.mark.parametrize("name", LIKE_MNIST)
def test_a_cut_idx_file_is_one_message(tmp_path: Path, mnist_files: dict[str, bytes], length: int, name: str) -> None:
    cut = {"train-images-idx3-ubyte": mnist_files["train-images-idx3-ubyte"][:length]}
    write({**mnist_files, **cut}, tmp_path / LIKE_MNIST[name] / "raw")
    with pytest.raises(UserError, match=rf"data={name}: .*train-images-idx3-ubyte"):
        SOURCES[name](tmp_path)


# CIFAR-10 and CIFAR-100


def cifar_files(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small CIFAR in its own pickles, 8 and 4 pictures, with its checksums made known to torchvision."""
    batches = ["data_batch_1", "data_batch_2", "test_batch"] if name == "cifar10" else ["train", "test"]
    label_key, meta_name = ("labels", "batches.meta") if name == "cifar10" else ("fine_labels", "meta")
    files, lists = {}, {"train_list": [], "test_list": []}
    for number, batch in enumerate(batches):
        labels = [(number + i) % 10 for i in range(4)]
        planes = np.array(labels)[:, None, None, None] + np.array([0, 70, 140])[:, None, None]  # (n, c, 1, 1)
        pixels = (planes + np.arange(32)[:, None] + np.zeros(32)).reshape(4, 3072).astype(np.uint8)  # one more a row
        content = {"data": pixels, label_key: labels, "coarse_labels": [0] * 4}
        files[batch] = pickle.dumps(content)
        lists["test_list" if "test" in batch else "train_list"].append([batch, digest(files[batch])])
    names = [f"class {i}" for i in range(100 if name == "cifar100" else 10)]
    files[meta_name] = pickle.dumps({"label_names": names, "fine_label_names": names, "coarse_label_names": ["coarse"]})
    made: Any = getattr(torchvision().datasets, LIKE_CIFAR[name])
    monkeypatch.setattr(made, "meta", {**made.meta, "md5": digest(files[meta_name])})
    for key, value in lists.items():
        monkeypatch.setattr(made, key, value)
    return files


@pytest.mark.parametrize(("name", "base"), [("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")])
def test_cifar_is_read_from_its_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, base: str) -> None:
    write(cifar_files(name, monkeypatch), tmp_path / base)
    source = SOURCES[name](tmp_path)
    labels, test_labels = ([0, 1, 2, 3, 1, 2, 3, 4], [2, 3, 4, 5]) if name == "cifar10" else (range(4), range(1, 5))
    assert (source.labels.tolist(), source.test_labels.tolist()) == (list(labels), list(test_labels))
    assert source.images.shape == (len(labels), 3, 32, 32)
    for channel, offset in enumerate((0, 70, 140)):
        assert torch.equal(source.images[:, channel, 31, 7].long(), source.labels + offset + 31)
    assert source.classes == tuple(f"class {i}" for i in range(100 if name == "cifar100" else 10))


def test_a_damaged_cifar_file_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None) -> None:
    files = cifar_files("cifar100", monkeypatch)
    write({**files, "train": files["train"][:-1]}, tmp_path / "cifar-100-python")
    with pytest.raises(UserError, match=r"data=cifar100: .*missing or damaged.*put cifar-100-python\.tar\.gz into"):
        SOURCES["cifar100"](tmp_path)


# SVHN


def svhn_files(monkeypatch: pytest.MonkeyPatch, address: str) -> dict[str, bytes]:
    """A small SVHN in MATLAB's format, 12 and 10 pictures, with its addresses and checksums."""
    files, parts = {}, {}
    for part, count in (("train", 12), ("test", 10)):
        labels = np.arange(count) % 10
        planes = labels * 3 + np.arange(3)[:, None] * 50  # (c, n)
        pixels = (np.arange(32)[:, None, None, None] + planes + np.zeros((32, 32, 1, 1))).astype(
            np.uint8
        )  # (h, w, c, n)
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {"X": pixels, "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)})
        name = f"{part}_32x32.mat"
        files[name] = buffer.getvalue()
        parts[part] = [f"{address}{name}", name, digest(files[name])]
    monkeypatch.setattr(torchvision().datasets.SVHN, "split_list", parts)
    return files


def test_svhn_is_read_from_its_matrices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(svhn_files(monkeypatch, "http://nowhere/"), tmp_path)
    source = SOURCES["svhn"](tmp_path)
    assert source.images.shape == (12, 3, 32, 32)
    assert source.images.is_contiguous()
    assert source.labels.tolist() == [*range(10), 0, 1]  # 0 is stored as 10
    for channel in range(3):
        assert torch.equal(source.images[:, channel, 31, 7].long(), source.labels * 3 + 50 * channel + 31)
    assert source.test_labels.tolist() == list(range(10))
    assert source.classes == tuple("0123456789")


def test_a_damaged_svhn_file_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    files = svhn_files(monkeypatch, f"http://127.0.0.1:{closed_port()}/")
    write({**files, "test_32x32.mat": files["test_32x32.mat"][:-1]}, tmp_path)
    with pytest.raises(UserError, match=r"data=svhn: .*missing or damaged.*put train_32x32\.mat, test_32x32\.mat into"):
        SOURCES["svhn"](tmp_path)


# Downloads


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """The address of a web server on this machine, and the folder that it serves."""
    served = tmp_path_factory.mktemp("served")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(served))

        def log_message(self, format: str, *args) -> None:
            """Nothing."""

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))  # looks for the end every 10 ms
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}/", served
        web.shutdown()
        thread.join()


@pytest.mark.parametrize("name", LIKE_MNIST)
def test_idx_files_are_downloaded_and_unpacked(
    tmp_path: Path,
    mnist_files: dict[str, bytes],
    server: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    address, served = server
    packed = {f"{file}.gz": gzip.compress(content) for file, content in mnist_files.items()}
    write(packed, served)
    made = getattr(torchvision().datasets, LIKE_MNIST[name])
    monkeypatch.setattr(made, "mirrors", [address])
    monkeypatch.setattr(made, "resources", [(file, digest(content)) for file, content in packed.items()])
    assert fetch(name, tmp_path / "new") == f"20 training and 10 test images of 1x28x28 under {tmp_path / 'new'}"


def test_cifar100_is_downloaded_and_unpacked(
    tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, served = server
    archive = served / "cifar-100-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for file, content in cifar_files("cifar100", monkeypatch).items():
            entry = tarfile.TarInfo(f"cifar-100-python/{file}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    monkeypatch.setattr(torchvision().datasets.CIFAR100, "url", f"{address}{archive.name}")
    monkeypatch.setattr(torchvision().datasets.CIFAR100, "tgz_md5", digest(archive.read_bytes()))
    assert fetch("cifar100", tmp_path / "new").startswith("4 training and 4 test images of 3x32x32 under")


def test_svhn_is_downloaded(tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    address, served = server
    write(svhn_files(monkeypatch, address), served)
    assert fetch("svhn", tmp_path / "new").startswith("12 training and 10 test images of 3x32x32 under")


def test_a_download_with_another_checksum_is_refused(
    tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, served = server
    (served / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    monkeypatch.setattr(torchvision().datasets.MNIST, "mirrors", [address])
    with pytest.raises(UserError, match="could not be downloaded"):
        fetch("mnist", tmp_path / "new")


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server answers torchvision."""
    address = f"http://127.0.0.1:{closed_port()}/"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    sets = torchvision().datasets
    for class_name in LIKE_MNIST.values():
        monkeypatch.setattr(getattr(sets, class_name), "mirrors", [address])
    for class_name in LIKE_CIFAR.values():
        made = getattr(sets, class_name)
        monkeypatch.setattr(made, "url", f"{address}{made.filename}")
    parts = {part: [f"{address}{file}", file, md5] for part, (_, file, md5) in sets.SVHN.split_list.items()}
    monkeypatch.setattr(sets.SVHN, "split_list", parts)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "files", "place"),
    [
        ("mnist", r"train-images-idx3-ubyte\.gz, .*, t10k-labels-idx1-ubyte\.gz", "new/MNIST/raw"),
        ("cifar10", r"cifar-10-python\.tar\.gz", "new"),
        ("fashion_mnist", r"train-images-idx3-ubyte\.gz, .*, t10k-labels-idx1-ubyte\.gz", "new/FashionMNIST/raw"),
        ("kmnist", r"train-images-idx3-ubyte\.gz, .*, t10k-labels-idx1-ubyte\.gz", "new/KMNIST/raw"),
        ("cifar100", r"cifar-100-python\.tar\.gz", "new"),
        ("svhn", r"train_32x32\.mat, test_32x32\.mat", "new"),
    ],
)
def test_a_failed_download_says_which_files_belong_where(tmp_path: Path, name: str, files: str, place: str) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(UserError, match=f"data={name}: .*put {files} into .*{place}, or set data.root="):
        load_dataset(DataConfig(name=name, root=str(tmp_path / "new")), 0, CPU)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_failed_download_leaves_the_users_own_folders(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="could not be downloaded"):
        fetch(name, tmp_path / "mine/data")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_fetch_knows_what_can_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data=minst is unknown \(did you mean 'mnist'\?\); there are: mnist, cifar10"):
        fetch("minst", tmp_path)


@pytest.mark.skipif(not (REAL / "MNIST/raw").is_dir(), reason="data/MNIST/raw is missing; lab data fetch mnist")
def test_the_real_mnist() -> None:
    source = mnist(REAL)
    assert source.images.shape == (60000, 1, 28, 28)
    assert source.test_images.shape == (10000, 1, 28, 28)
    assert source.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    data = load_dataset(DataConfig(name="mnist", root=str(REAL), val_frac=0.1, limit=1000), 0, CPU)
    assert data.train.shift.item() == pytest.approx(0.1307 * 255, rel=0.05)


# Under the names that people have


@pytest.mark.parametrize(
    ("place", "rename", "end"),
    [
        ("", lambda name: name, ""),
        ("", lambda name: name.replace("-idx", ".idx"), ""),
        ("MNIST/raw", lambda name: name.replace("-idx", ".idx"), ""),
        ("mnist", lambda name: name, ".gz"),
        ("MNIST", lambda name: f"{name.replace('-idx', '.idx')}/{name.replace('-idx', '.idx')}", ""),
    ],
    ids=["in the root", "with dots", "with dots in place", "packed", "unpacked to folders"],
)
def test_commands_put_files_where_they_belong(
    tmp_path: Path, mnist_files: dict[str, bytes], place: str, rename: Any, end: str
) -> None:
    root = tmp_path / "my data"
    for name, content in mnist_files.items():
        file = root / place / f"{rename(name)}{end}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content) if end else content)
    with pytest.raises(
        UserError, match="data=mnist: the files are there, but not where torchvision reads them"
    ) as error:
        mnist(root)
    subprocess.run(["sh", "-ec", str(error.value).partition("reads them: ")[2]], check=True)
    if not end:  # what is packed is verified against the checksums of the real files
        assert mnist(root).labels.tolist() == [*range(10), *range(10)]
    else:
        assert len(list((root / "MNIST/raw").glob("*.gz"))) == 4


def test_label_files_that_were_swapped_are_found(tmp_path: Path, mnist_files: dict[str, bytes]) -> None:
    one, other = "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"
    write({**mnist_files, one: mnist_files[other], other: mnist_files[one]}, tmp_path / "MNIST" / "raw")
    with pytest.raises(UserError, match=r"data\.name=mnist has 20 training images and 10 labels; allowed: as many"):
        load_dataset(DataConfig(name="mnist", root=str(tmp_path)), 0, CPU)
