"""Augmentation: exactly what a slow reference does picture by picture, the same for every net, and after a resume."""

import itertools
from pathlib import Path

import pytest
import torch
from conftest import MakeJob
from torch import Tensor
from torch.nn import functional as F

from lab.config import DataConfig, RunConfig
from lab.data.augment import crop, cutout, flip, make_augment
from lab.data.batches import Order, load_dataset
from lab.errors import UserError
from lab.identity import derive_seed
from lab.records.results import read_metrics
from lab.runs.build import assemble
from lab.runs.run import run
from lab.validation import validate

CPU = torch.device("cpu")
SHAPES = [(3, 32, 32), (1, 28, 28), (2, 5, 9), (1, 8, 3), (1, 2, 2)]


def draws(*ranges: tuple[int, int], count: int, seed: int = 7) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(low, high, (count, 1), generator=generator).flatten().tolist() for low, high in ranges]


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("frac", [0.125, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_crop_is_a_window_of_the_picture_padded_by_reflection(shape: tuple[int, int, int], frac: float) -> None:
    images, (_, h, w) = torch.randn(40, *shape), shape
    down, across = max(1, round(frac * h)), max(1, round(frac * w))
    tops, lefts = draws((-down, down + 1), (-across, across + 1), count=40)
    out = crop(images, generator(), DataConfig(crop_frac=frac))
    for picture, top, left, image in zip(out, tops, lefts, images, strict=True):
        padded = F.pad(image, (across, across, down, down), mode="reflect")  # (c, h + 2 down, w + 2 across)
        assert torch.equal(picture, padded[:, down + top : down + top + h, across + left : across + left + w])


@pytest.mark.parametrize("shape", SHAPES)
def test_flip_mirrors_half_of_the_pictures(shape: tuple[int, int, int]) -> None:
    images = torch.randn(40, *shape)
    chosen = torch.rand(40, generator=generator()) < 0.5
    out = flip(images, generator(), DataConfig())
    for picture, one, image in zip(out, chosen.tolist(), images, strict=True):
        assert torch.equal(picture, image[:, :, torch.arange(shape[2] - 1, -1, -1)] if one else image)


def test_the_share_of_flips_is_a_half() -> None:
    images = torch.arange(2.0).expand(20_000, 1, 1, 2)
    share = flip(images, generator(), DataConfig())[:, 0, 0, 0].mean().item()
    assert abs(share - 0.5) < 4 * 0.5 / 20_000**0.5


@pytest.mark.parametrize("frac", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_cutout_blanks_one_square(shape: tuple[int, int, int], frac: float) -> None:
    images, (_, h, w) = torch.randn(40, *shape), shape
    side = max(1, round(frac * min(h, w)))
    rows, columns = draws((0, h), (0, w), count=40)
    out = cutout(images, generator(), DataConfig(cutout_frac=frac))
    for picture, row, column, image in zip(out, rows, columns, images, strict=True):
        expected = image.clone()
        for y, x in itertools.product(range(h), range(w)):
            if row - side // 2 <= y < row - side // 2 + side and column - side // 2 <= x < column - side // 2 + side:
                expected[:, y, x] = 0
        assert torch.equal(picture, expected)


def test_the_expected_share_that_cutout_blanks() -> None:
    """A pixel is cut if the centre is near enough: side centres in the middle, fewer at the border."""
    out = cutout(torch.ones(50_000, 1, 8, 8), generator(), DataConfig(cutout_frac=0.5))
    near = torch.tensor([sum(c - 2 <= x < c + 2 for c in range(8)) / 8 for x in range(8)])  # 2/8 to 4/8
    torch.testing.assert_close(1 - out.mean((0, 1)), near[:, None] * near, atol=0.01, rtol=0)


def test_words_act_from_left_to_right_on_one_stream() -> None:
    images, config = torch.randn(30, 3, 8, 8), DataConfig(augment="crop-flip-cutout")
    augment = make_augment(config, (3, 8, 8), seed=5)
    assert augment is not None
    stream = generator(derive_seed(5, "augment", 3))
    expected = cutout(flip(crop(images, stream, config), stream, config), stream, config)
    assert torch.equal(augment(images, 3), expected)


def test_the_draws_are_a_function_of_seed_and_step() -> None:
    images, config = torch.randn(30, 3, 8, 8), DataConfig(augment="crop-flip-cutout")
    one, again, other = (make_augment(config, (3, 8, 8), seed) for seed in (1, 1, 2))
    assert one is not None
    assert again is not None
    assert other is not None
    late = {step: again(images, step) for step in reversed(range(4))}
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert all(torch.equal(one(images, step), late[step]) for step in range(4))
    assert torch.equal(torch.get_rng_state(), before)  # dropout's stream is left alone
    assert not torch.equal(late[0], late[1])
    assert not torch.equal(late[0], other(images, 0))


def batches(**changes) -> list[Tensor]:
    config = RunConfig(data=DataConfig(**{"name": "own_parts:tiny", **changes}))
    validate(config)
    data = load_dataset(config.data, 0, CPU)
    order = Order(data.train, 20, 0, data.augment)
    return [order.batch(step)[0] for step in range(8)]


def test_only_training_batches_are_augmented() -> None:
    plain, changed = (
        load_dataset(DataConfig(name="own_parts:tiny", augment=words), 0, CPU) for words in ("none", "cutout")
    )
    assert plain.augment is None
    for split in ("train", "val", "test"):
        first, second = (getattr(data, split).take(torch.arange(20))[0] for data in (plain, changed))
        assert torch.equal(first, second)
    assert not any(torch.equal(a, b) for a, b in zip(batches(), batches(augment="cutout"), strict=True))


def test_the_net_does_not_change_the_pictures(make_job: MakeJob) -> None:
    jobs = [
        make_job(changes={"data.augment": "crop-flip-cutout", **changes})
        for changes in ({}, {"model.block": "conv-act-drop", "model.depth": 4, "optimizer.name": "momentum"})
    ]
    steps = [assemble(job.config).training.train_step for job in jobs]
    for step in (0, 7, 13):
        first, second = (one.batch(step) for one in steps)
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])


def logged(folder: Path) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in read_metrics(folder)]


def test_a_run_resumed_within_an_epoch_sees_the_same_pictures(make_job: MakeJob) -> None:
    changes = {"data.augment": "crop-flip-cutout"}
    whole, parts = make_job("whole", changes), make_job("parts", changes)
    run(whole)
    count = itertools.count(1)
    assert run(parts, should_stop=lambda: next(count) >= 8)["status"] == "interrupted"  # the third step of epoch 2
    assert run(parts)["status"] == "finished"
    assert logged(whole.folder) == logged(parts.folder)
    plain = make_job("plain")
    run(plain)
    assert logged(whole.folder) != logged(plain.folder)


def test_a_users_own_word() -> None:
    plain, darker = batches(scale="raw"), batches(scale="raw", augment="flip-own_parts:darker")
    less = torch.minimum(plain[0] - darker[0], plain[0] - darker[0].flip(3)).amin((1, 2, 3))
    assert len({round(value, 4) for value in less.tolist()}) == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"augment": "crop-flop"},
            r"data\.augment=crop-flop: word 2, 'flop', is unknown \(did you mean 'flip'\?\); .*: none, crop,",
        ),
        ({"augment": ""}, r"data\.augment=: word 1, '', is unknown"),
        ({"augment": "crop", "crop_frac": 0.6}, r"data\.crop_frac=0\.6 is out of range; allowed: above 0 and at most"),
        ({"augment": "cutout", "cutout_frac": 0.0}, r"data\.cutout_frac=0\.0 is out of range; allowed: above 0 and at"),
        (
            {"augment": "flip", "name": "moons"},
            r"data\.augment=flip has no effect on data\.name=moons, which has no im",
        ),
    ],
)
def test_a_bad_augmentation_is_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        batches(**changes)
