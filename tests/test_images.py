"""Class folders as people have them: every mode and depth, junk beside the images, sub-folders, mixed sizes."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lab.config import DataConfig
from lab.data.batches import load_dataset
from lab.data.folder import read_folder
from lab.data.sources import Source, check_source
from lab.errors import UserError

CPU = torch.device("cpu")
RAMP = np.linspace(0, 1, 30).reshape(5, 6)
"""A picture of 30 shades."""


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def read(root: Path, side: int | None = None) -> torch.Tensor:
    return read_folder(root, side).images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes with a grey image of 8 bits each."""
    for name in ("a", "b"):
        save(tmp_path / f"train/{name}/0.png", (RAMP * 255).round().astype(np.uint8))
    return tmp_path


def as_type(top: float, kind: type) -> np.ndarray:
    return (RAMP * top).astype(kind) if kind is np.float32 else (RAMP * top).round().astype(kind)


@pytest.mark.parametrize(
    ("top", "kind"),
    [
        (1.0, np.float32),
        (255.0, np.float32),
        (1023.0, np.float32),
        (65535.0, np.float32),
        (255, np.uint16),
        (1023, np.uint16),
        (4095, np.uint16),
        (65535, np.uint16),
        (255, np.int32),
        (4095, np.int32),
        (1, np.uint16),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:data=folder")
def test_deep_pixels_keep_their_shades(tmp_path: Path, top: float, kind: type) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"train/{name}/0.tif", as_type(top, kind))
    expected = as_type(top, kind).astype(float) * 255 / top
    assert np.abs(read(tmp_path)[1, 0].numpy() - expected).max() <= 0.5


def test_train_and_test_are_on_one_scale_which_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"train/{name}/0.tif", as_type(4095, np.uint16))
        save(tmp_path / f"test/{name}/0.tif", as_type(900, np.uint16))
    with pytest.warns(UserWarning, match="4 images with pixels up to 4095, taken as 0 to 4095, became 8 bits deep"):
        images = read(tmp_path)
    assert images[2].max() == round(900 * 255 / 4095)


@pytest.mark.parametrize(
    "pixels", [as_type(70000, np.int32), as_type(-1, np.float32), RAMP.astype(np.float32) * np.nan]
)
def test_pixels_on_no_known_scale_are_refused(root: Path, pixels: np.ndarray) -> None:
    save(root / "train/b/1.tif", pixels)
    with pytest.raises(UserError, match=r"b.1\.tif has pixels from .*; allowed: 0 to 1, or 0 to 65535"):
        read(root)


def test_what_is_drawn_in_transparency_alone_is_seen(root: Path) -> None:
    alpha = (RAMP * 255).round().astype(np.uint8)
    for mode, channels in (("RGBA", 4), ("LA", 2)):
        pixels = np.zeros((5, 6, channels), np.uint8)
        pixels[..., -1] = alpha
        Image.fromarray(pixels, mode).save(root / f"train/b/{mode}.png")
    images = read(root)
    for place in (2, 3):  # black ink of that strength on white paper
        assert np.abs(images[place, 0].numpy().astype(int) - (255 - alpha.astype(int))).max() <= 1


def test_opaque_colours_stay_as_they_are(root: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 4), np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels, "RGBA").save(root / "train/b/1.png")
    assert np.array_equal(read(root)[2].numpy(), pixels[..., :3].transpose(2, 0, 1))


def test_one_bit_images_join_grey_ones(root: Path) -> None:
    Image.fromarray(RAMP > 0.5).convert("1").save(root / "train/b/1.png")
    images = read(root)
    assert images.shape == (3, 1, 5, 6)
    assert np.array_equal(images[2, 0].numpy(), (RAMP > 0.5) * 255)


def test_files_of_the_system_are_no_images(root: Path) -> None:
    for name in ("train/a/._0.png", "train/a/.DS_Store", "train/a/Thumbs.db", "train/__MACOSX/0.png", "train/.x/0.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"junk")
    found = read_folder(root)
    assert (found.classes, len(found.images)) == (("a", "b"), 2)


def test_images_in_sub_folders_are_used(root: Path) -> None:
    save(root / "train/a/more/deep/1.png", np.full((5, 6), 7, np.uint8))
    found = read_folder(root)
    assert found.labels.tolist() == [0, 0, 1]
    assert found.images[1, 0, 0, 0] == 7


def test_a_folder_of_validation_images_is_named(root: Path) -> None:
    save(root / "val/a/0.png", np.full((5, 6), 7, np.uint8))
    with pytest.warns(UserWarning, match=r"val is not used; validation images are split off train/"):
        assert len(read(root)) == 2


def test_a_broken_link_is_named(root: Path) -> None:
    (root / "train/b/1.png").symlink_to(root / "nowhere.png")
    with pytest.raises(UserError, match=r"b.1\.png cannot be read \(No such file"):
        read(root)


def test_a_fifo_is_refused_at_once(root: Path) -> None:
    os.mkfifo(root / "train/b/1.png")
    with pytest.raises(UserError, match=r"b.1\.png is not a regular file"):
        read(root)


def test_a_name_does_not_choose_the_program_that_reads_it(root: Path) -> None:
    (root / "train/b/1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 5\nshowpage\n")
    with pytest.raises(UserError, match=r"b.1\.png is not a readable image"):
        read(root)


def test_mixed_sizes_are_resized_as_they_are_read(root: Path) -> None:
    save(root / "train/b/1.png", np.full((40, 20), 9, np.uint8))
    assert read(root, 8).shape == (3, 1, 8, 8)


def test_resizing_at_reading_changes_no_number(root: Path) -> None:
    from lab.data.resize import resize

    assert torch.equal(read(root, 3), resize(read(root), 3))


def test_caches_of_before_are_removed(root: Path) -> None:
    read(root)
    (old,) = (root / ".lab-cache").iterdir()
    older = root / "train/.lab-cache/0123456789abcdef.pt"
    older.parent.mkdir()
    older.write_bytes(b"")
    mine = root / ".lab-cache/mine.pt"
    mine.write_bytes(b"")
    save(root / "train/b/1.png", np.full((5, 6), 7, np.uint8))
    read(root)
    assert mine.exists()
    assert not old.exists()
    assert not older.exists()
    assert len(list((root / ".lab-cache").iterdir())) == 2


def test_images_that_memory_cannot_hold_are_one_message(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*args: object, **more: object) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(np, "empty", too_large)
    with pytest.raises(UserError, match=r"2 images as large as .*0\.png do not fit into memory; data\.resize=SIDE"):
        read(root)


# What any data set must be before a net is trained on it


def source(**changes: object) -> Source:
    parts = {
        "images": torch.rand(6, 1, 4, 4),
        "labels": torch.tensor([0, 1, 2, 0, 1, 2]),
        "test_images": torch.rand(3, 1, 4, 4),
        "test_labels": torch.tensor([0, 1, 2]),
        "classes": ("a", "b", "c"),
    }
    return Source(**{**parts, **changes})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.tensor([0, 1])}, "has 6 training images and 2 labels; allowed: as many"),
        ({"test_labels": torch.tensor([0, 1])}, "has 3 test images and 2 labels"),
        ({"test_images": torch.rand(0, 1, 4, 4), "test_labels": torch.tensor([])}, "has no test images"),
        ({"images": torch.rand(0, 1, 4, 4), "labels": torch.zeros(0).long()}, "has no training images"),
        ({"test_images": torch.rand(3, 1, 5, 4)}, r"need one shape, not \(1, 4, 4\) and \(1, 5, 4\)"),
        ({"labels": torch.tensor([0, 1, 3, 0, 1, 2])}, "has training labels from 0 to 3; allowed: 0 to 2"),
        ({"test_labels": torch.tensor([0, -1, 2])}, "has test labels from -1 to 2"),
        ({"images": torch.full((6, 1, 4, 4), torch.nan)}, "has NaN or infinite values among its training images"),
        ({"labels": torch.tensor([0, 1, 1, 0, 1, 0])}, "test images of classes without a training example: 'c'"),
        ({"labels": torch.zeros(6).long(), "test_labels": torch.zeros(3).long(), "classes": ("a",)}, "one class alone"),
        ({"labels": torch.rand(6)}, "torch.float32 labels and 3 classes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_data_set_that_cannot_teach_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"data.name=mine.*{message}"):
        check_source("data.name=mine", source(**changes))


def test_a_data_set_that_can_is_taken() -> None:
    check_source("data.name=mine", source())


def test_four_images_are_too_few_for_a_test_set(root: Path) -> None:
    with pytest.raises(
        UserError, match=r"data\.name=folder has no test images; without a test set a fifth of 5 images"
    ):
        load_dataset(DataConfig(name="folder", root=str(root)), 0, CPU)


def test_a_share_that_leaves_nothing_to_train_on_is_named() -> None:
    with pytest.raises(UserError, match=r"data\.val_frac=0\.9999 is out of range; allowed: at most 0\.9993"):
        load_dataset(DataConfig(val_frac=0.9999), 0, CPU)
