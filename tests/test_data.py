"""Pictures: split and order by the seed alone, scaled by the training part, read from folders."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lab.data.folder
from lab.config import DataConfig, RunConfig
from lab.data.batches import Dataset, Order, Split, load_dataset
from lab.data.folder import read_folder
from lab.data.scales import standard
from lab.data.sources import digits, folder, synthetic
from lab.errors import UserError
from lab.validation import validate

CPU = torch.device("cpu")


def tiny(seed: int = 0, **changes) -> Dataset:
    config = RunConfig(data=DataConfig(**{"name": "own_parts:tiny", **changes}))
    validate(config)
    return load_dataset(config.data, seed, CPU)


def everything(split: Split) -> torch.Tensor:
    images, _ = split.take(torch.arange(len(split)))
    return images


# Splits


def test_train_and_val_are_a_partition_and_test_stays_apart() -> None:
    data = tiny()
    assert (len(data.train), len(data.val), len(data.test)) == (120, 30, 30)
    assert sorted([*data.train.index.tolist(), *data.val.index.tolist()]) == list(range(150))
    assert data.test.images is not data.train.images


def test_the_seed_decides_the_split() -> None:
    assert torch.equal(tiny(seed=1).val.index, tiny(seed=1).val.index)
    assert not torch.equal(tiny(seed=1).val.index, tiny(seed=2).val.index)
    assert torch.equal(everything(tiny(seed=1, scale="raw").test), everything(tiny(seed=2, scale="raw").test))


def test_limit_draws_a_random_part_of_the_training_pictures() -> None:
    whole, few, fewer = tiny(), tiny(limit=20), tiny(limit=10)
    assert len(few.train) == 20
    assert set(fewer.train.index.tolist()) < set(few.train.index.tolist()) < set(whole.train.index.tolist())
    assert torch.equal(few.val.index, whole.val.index)
    assert few.train.index.tolist() != sorted(few.train.index.tolist())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 0}, r"data\.limit=0 is out of range; allowed: 1 or more \(images\), or null"),
        ({"limit": 121}, r"data\.limit=121 is out of range; allowed: 1 to 120"),
        ({"val_frac": 0.0}, r"data\.val_frac=0\.0 is out of range"),
        ({"val_frac": 1.0}, r"data\.val_frac=1\.0 is out of range"),
        ({"scale": "standart"}, r"data\.scale=standart is unknown \(did you mean 'standard'\?\)"),
        ({"name": "digit"}, r"data\.name=digit is unknown \(did you mean 'digits'\?\); there are: digits, synthetic,"),
        ({"name": "own_parts:no_source"}, r"data\.name=own_parts:no_source gave a str; it must return a .*Source"),
        ({"name": "own_parts:huge"}, r"data\.name=own_parts:huge: module 'own_parts' has no 'huge'"),
        ({"name": ":tiny"}, r"data\.name=:tiny"),
    ],
)
def test_a_bad_choice_of_data_is_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny(**changes)


# Scaling


def test_standard_scaling_is_measured_on_the_training_part() -> None:
    data = load_dataset(DataConfig(name="synthetic", limit=200), 0, CPU)
    images = everything(data.train).double()
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-5, rtol=0)
    assert everything(data.val).mean((0, 2, 3)).abs().max() > 1e-4  # scaled with numbers that are not its own
    raw = load_dataset(DataConfig(name="synthetic", limit=200, scale="raw"), 0, CPU)
    expected = (everything(raw.val) - data.train.shift) * data.train.factor
    torch.testing.assert_close(everything(data.val), expected)


def test_fixed_scales() -> None:
    raw = everything(tiny(scale="raw").train)
    assert raw.max() > 200
    torch.testing.assert_close(everything(tiny(scale="zero_one").train), raw / 255)
    torch.testing.assert_close(everything(tiny(scale="minus_one_one").train), raw / 127.5 - 1)


def test_fixed_scales_of_pictures_that_are_not_bytes() -> None:
    train = load_dataset(DataConfig(name="synthetic", scale="minus_one_one"), 0, CPU).train
    images = train.images[train.index]  # the others may lie beyond
    for scale, low in (("zero_one", 0.0), ("minus_one_one", -1.0)):
        data = load_dataset(DataConfig(name="synthetic", scale=scale), 0, CPU)
        scaled = (images - data.train.shift) * data.train.factor
        assert (scaled.min().item(), scaled.max().item()) == pytest.approx((low, 1.0), abs=1e-6)


def test_a_constant_channel_is_no_division_by_zero() -> None:
    images = torch.full((10, 1, 2, 2), 7, dtype=torch.uint8)
    shift, factor = standard(images, torch.arange(10))
    assert ((images.float() - shift.view(-1, 1, 1)) * factor.view(-1, 1, 1)).abs().max() == 0
    assert factor.tolist() == [1]  # so that what differs elsewhere is not blown up


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6, -3.7])
def test_a_constant_column_keeps_its_scale(constant: float) -> None:
    rows = torch.rand(1000, 2)
    rows[:, 1] = constant
    _, factor = standard(rows, torch.arange(1000))
    assert factor[0] > 3
    assert factor[1] == 1


# Order


def numbered(count: int) -> Split:
    """Pictures that show their own number."""
    numbers = torch.arange(count)
    return Split(numbers.view(-1, 1, 1, 1), numbers, numbers, torch.zeros(1, 1, 1), torch.ones(1, 1, 1))


def test_every_epoch_is_another_permutation() -> None:
    order = Order(numbered(60), 20, seed=0)
    epochs = [torch.cat([order.batch(step)[1] for step in range(start, start + 3)]).tolist() for start in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(60)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != sorted(epochs[0])


def test_the_rest_of_an_epoch_is_left_out() -> None:
    order = Order(numbered(50), 20, seed=0)
    assert order.steps_per_epoch == 2
    assert len({*order.batch(0)[1].tolist(), *order.batch(1)[1].tolist()}) == 40
    assert len(order.batch(1)[1]) == len(order.batch(2)[1]) == 20


def test_order_is_a_function_of_seed_and_step() -> None:
    forwards, backwards = Order(numbered(60), 20, seed=3), Order(numbered(60), 20, seed=3)
    late = {step: backwards.batch(step)[1] for step in reversed(range(12))}
    for step in range(12):
        images, labels = forwards.batch(step)
        assert torch.equal(labels, late[step])
        assert torch.equal(images.flatten().long(), labels)
    assert not torch.equal(Order(numbered(60), 20, seed=4).batch(0)[1], late[0])


@pytest.mark.parametrize("size", [0, 61])
def test_a_batch_size_out_of_range_is_named(size: int) -> None:
    with pytest.raises(UserError, match=rf"train\.batch_size={size} is out of range; allowed: 1 to 60, the number"):
        Order(numbered(60), size, seed=0)


def test_batches_of_a_split_are_its_first_pictures_in_order() -> None:
    labels = [labels.tolist() for _, labels in numbered(10).batches(4)]
    assert labels == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [len(labels) for _, labels in numbered(10).batches(4, limit=5)] == [4, 1]
    assert [len(labels) for _, labels in numbered(10).batches(4, limit=50)] == [4, 4, 2]


# Embedded data


def test_digits_are_the_known_ones() -> None:
    source = digits(Path())
    assert source.images.shape == (1438, 1, 8, 8)
    assert source.test_images.shape == (359, 1, 8, 8)
    assert source.images.dtype == torch.uint8
    assert source.images.max() == 255
    counts = torch.cat([source.labels, source.test_labels]).bincount()
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_synthetic_pictures_are_the_same_every_time() -> None:
    first, second = synthetic(Path()), synthetic(Path())
    assert torch.equal(first.images, second.images)
    assert first.images.shape == (2000, 3, 16, 16)


# Folders


def paint(path: Path, value: int, mode: str = "L", size: tuple[int, int] = (5, 4)) -> None:
    """A one-coloured picture, with a column in another colour."""
    pixels = np.full((size[1], size[0], 3), value, dtype=np.uint8)
    pixels[:, 0] = 255 - value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three grey pictures in two classes."""
    paint(tmp_path / "train/cat/1.png", 10)
    paint(tmp_path / "train/cat/2.PNG", 20)
    paint(tmp_path / "train/dog/1.bmp", 30)
    (tmp_path / "train/dog/notes.txt").write_text("no picture")
    return tmp_path / "train"


def test_grey_pictures_have_one_channel(pictures: Path) -> None:
    images, labels, _, classes = read_folder(pictures.parent)
    assert (images.shape, images.dtype) == ((3, 1, 4, 5), torch.uint8)
    assert images[:, 0, 0, 1].tolist() == [10, 20, 30]
    assert images[:, 0, 0, 0].tolist() == [245, 235, 225]
    assert labels.tolist() == [0, 0, 1]
    assert classes == ("cat", "dog")


def test_grey_pictures_join_coloured_ones(pictures: Path) -> None:
    paint(pictures / "dog/2.jpg", 60, "RGB")
    paint(pictures / "dog/3.gif", 60, "P")
    images, labels, *_ = read_folder(pictures.parent)
    assert images.shape == (5, 3, 4, 5)
    assert images[:3, :, 0, 1].tolist() == [[10] * 3, [20] * 3, [30] * 3]
    assert labels.tolist() == [0, 0, 1, 1, 1]


def test_sixteen_bit_grey_keeps_its_shades(pictures: Path) -> None:
    shades = np.linspace(0, 65535, 20).astype(np.uint16).reshape(4, 5)
    Image.fromarray(shades).save(pictures / "cat/1.png")
    with pytest.warns(UserWarning, match="1 image with pixels up to 65535, taken as 0 to 65535, became 8 bits deep"):
        images, *_ = read_folder(pictures.parent)
    assert np.abs(images[0, 0].numpy() - shades / 257).max() < 1.5


def test_pictures_of_two_sizes_are_refused(pictures: Path) -> None:
    paint(pictures / "dog/2.png", 40, size=(6, 4))
    with pytest.raises(UserError, match=r"images differ in size: .*dog.2\.png is 6x4, .*cat.1\.png is 5x4"):
        read_folder(pictures.parent)


@pytest.mark.parametrize("damage", [b"", b"GIF, or not", b"P5 5 x", "cut"], ids=["empty", "text", "header", "cut"])
def test_a_file_that_is_no_picture_is_named(pictures: Path, damage: bytes | str) -> None:
    bad = pictures / "dog/3.pgm"
    paint(bad, 70)
    bad.write_bytes(bad.read_bytes()[:-9] if isinstance(damage, str) else damage)
    with pytest.raises(UserError, match=r"dog.3\.pgm is not a readable image"):
        read_folder(pictures.parent)


def test_an_empty_class_is_refused(pictures: Path) -> None:
    (pictures / "emu").mkdir()
    with pytest.raises(UserError, match=r"no image in .*emu; known suffixes: .*\.png"):
        read_folder(pictures.parent)


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_classes_is_refused(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match=r"data\.root must hold train/<class>/<image>"):
        folder(tmp_path)


def test_a_second_read_decodes_nothing(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_folder(pictures.parent)
    monkeypatch.setattr(lab.data.folder, "decode", lambda paths, side: pytest.fail("decoded twice"))
    second = read_folder(pictures.parent)
    assert torch.equal(first[0], second[0])
    assert first.classes == second.classes  # the cache itself is no class


@pytest.mark.parametrize(
    ("change", "values"),
    [("size", [99, 20, 30]), ("time", [10, 20, 99]), ("new", [10, 20, 99, 30]), ("gone", [20, 30])],
)
def test_a_changed_folder_is_decoded_anew(pictures: Path, change: str, values: list[int]) -> None:
    read_folder(pictures.parent)
    if change == "size":
        before = (pictures / "cat/1.png").stat()
        paint(pictures / "cat/1.png", 99)
        os.truncate(pictures / "cat/1.png", before.st_size + 4)
        os.utime(pictures / "cat/1.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "time":  # another picture in as many bytes
        before = (pictures / "dog/1.bmp").stat()
        paint(pictures / "dog/1.bmp", 99)
        os.utime(pictures / "dog/1.bmp", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    elif change == "new":
        paint(pictures / "cat/3.png", 99)
    else:
        (pictures / "cat/1.png").unlink()
    images, labels, *_ = read_folder(pictures.parent)
    assert images[:, 0, 0, 1].tolist() == values
    assert len(labels) == len(values)


@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_a_damaged_cache_is_made_anew(pictures: Path, damage: str) -> None:
    images, *_ = read_folder(pictures.parent)
    (cache,) = (pictures.parent / ".lab-cache").iterdir()
    whole = cache.read_bytes()
    cache.write_bytes({"empty": b"", "text": b"no tensor at all", "cut": whole[: len(whole) // 2]}[damage])
    with pytest.warns(UserWarning, match="is damaged"):
        again, *_ = read_folder(pictures.parent)
    assert torch.equal(images, again)
    read_folder(pictures.parent)  # without a warning


def test_without_a_test_folder_a_fifth_is_cut_off(tmp_path: Path) -> None:
    for number in range(10):
        paint(tmp_path / f"train/{'ab'[number % 2]}/{number}.png", number)
    source = folder(tmp_path)
    assert (len(source.images), len(source.test_images)) == (8, 2)
    values = torch.cat([source.images, source.test_images])[:, 0, 0, 1]
    labels = torch.cat([source.labels, source.test_labels])
    assert sorted(values.tolist()) == list(range(10))
    assert torch.equal(labels, values.long() % 2)


def test_a_test_folder_is_the_test_set(pictures: Path) -> None:
    paint(pictures.parent / "test/cat/1.png", 1)
    paint(pictures.parent / "test/dog/1.png", 2)
    source = folder(pictures.parent)
    assert (len(source.images), source.test_images[:, 0, 0, 1].tolist(), source.test_labels.tolist()) == (
        3,
        [1, 2],
        [0, 1],
    )


def test_a_class_missing_from_the_test_folder_is_named(pictures: Path) -> None:
    paint(pictures.parent / "test/cat/1.png", 1)
    with pytest.raises(UserError, match="dog"):
        folder(pictures.parent)


def test_another_class_in_the_test_folder_is_named(pictures: Path) -> None:
    paint(pictures.parent / "test/cat/1.png", 1)
    paint(pictures.parent / "test/emu/1.png", 1)
    with pytest.raises(UserError, match="emu"):
        folder(pictures.parent)


def test_grey_and_coloured_parts_are_brought_to_one_mode(pictures: Path) -> None:
    for name in ("cat", "dog"):
        paint(pictures.parent / f"test/{name}/1.png", 1, "RGB")
    source = folder(pictures.parent)
    assert (source.images.shape[1:], source.test_images.shape[1:]) == ((3, 4, 5), (3, 4, 5))
    assert source.images[0, :, 0, 1].tolist() == [10] * 3


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    source = digits(Path())
    images = torch.cat([source.images, source.test_images]).flatten(1).long()
    found = torch.cat([images, torch.cat([source.labels, source.test_labels])[:, None]], 1).tolist()
    known = np.column_stack([np.round(pixels * 255 / 16), labels]).astype(int).tolist()
    assert sorted(found) == sorted(known)
