"""Variants of a data set: chosen classes, another size, imbalance, wrong labels, standardised numbers."""

import numpy as np
import pytest
import torch

from lab.config import DataConfig, RunConfig
from lab.data.batches import Dataset, Split, load_dataset
from lab.data.resize import resize
from lab.data.variants import imbalanced, with_noise
from lab.errors import UserError
from lab.system.vision import torchvision
from lab.validation import validate

CPU = torch.device("cpu")


def digits(seed: int = 0, **changes) -> Dataset:
    return load_dataset(DataConfig(**{"name": "digits", **changes}), seed, CPU)


def labels(split: Split) -> torch.Tensor:
    return split.take(torch.arange(len(split)))[1]


# Classes


def test_chosen_classes_are_numbered_in_their_order() -> None:
    data, whole = digits(classes=["7", "0", "3"]), digits(scale="raw")
    assert (data.classes, data.num_outputs) == (("7", "0", "3"), 3)
    for new, old in enumerate((7, 0, 3)):
        mine = data.test.images[data.test.labels == new]
        assert torch.equal(mine, whole.test.images[whole.test.labels == old])
    total = torch.cat([labels(part) for part in (data.train, data.val)]).bincount()
    every = torch.cat([labels(part) for part in (whole.train, whole.val)]).bincount()
    assert total.tolist() == every[[7, 0, 3]].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": ["top", "botom"]},
            r"data\.classes=\[top,botom\]: class 'botom' is unknown \(did you mean 'bottom'",
        ),
        ({"classes": ["top", "x"]}, r"class 'x' is unknown; there are: top, middle, bottom"),
        ({"classes": ["top"]}, r"data\.classes=\[top\] is out of range; allowed: two classes or more, each once"),
        ({"classes": ["top", "middle", "top"]}, r"allowed: two classes or more, each once"),
        ({"classes": ["1", "2"], "name": "diabetes"}, r"data\.classes=\[1,2\] has no effect on a regression"),
        ({"label_noise": 1.5}, r"data\.label_noise=1\.5 is out of range; allowed: 0 to 1"),
        ({"label_noise": -0.1}, r"data\.label_noise=-0\.1 is out of range"),
        ({"label_noise": 0.1, "name": "diabetes"}, r"data\.label_noise=0\.1 has no effect on data\.name=diabetes"),
        ({"imbalance": 0.0}, r"data\.imbalance=0\.0 is out of range; allowed: above 0 and at most 1"),
        ({"imbalance": 1.1}, r"data\.imbalance=1\.1 is out of range"),
        ({"imbalance": 0.001}, r"data\.imbalance=0\.001 leaves class 'bottom' without a training image"),
        ({"imbalance": 0.5, "name": "diabetes"}, r"data\.imbalance=0\.5 has no effect on data\.name=diabetes"),
        ({"resize": 0}, r"data\.resize=0 is out of range; allowed: 1 to 8,192"),
        ({"resize": 16, "name": "xor"}, r"data\.resize=16 has no effect on features"),
        (
            {"unseen": ["bottem"]},
            r"data\.unseen=\[bottem\]: class 'bottem' is unknown \(did you mean 'bottom'",
        ),
        ({"unseen": ["top", "top"]}, r"data\.unseen=\[top, top\] is out of range; allowed: classes, each once"),
        ({"unseen": ["top", "bottom"]}, r"data\.unseen=\[top,bottom\] leaves fewer than two classes to learn"),
        ({"unseen": ["1"], "name": "diabetes"}, r"data\.unseen=\[1\] has no effect on a regression"),
        ({"imbalance": 0.1, "limit": 100}, r"data\.limit=100 is out of range; allowed: 1 to 4\d"),
    ],
)
def test_a_bad_variant_is_named(changes: dict, message: str) -> None:
    def checked(config: RunConfig) -> None:
        validate(config)
        load_dataset(config.data, 0, CPU)

    with pytest.raises(UserError, match=message):
        checked(RunConfig(data=DataConfig(**{"name": "own_parts:tiny", **changes})))


# Unseen classes


def test_an_unseen_class_is_in_the_test_images_alone() -> None:
    data, whole = digits(unseen=["9", "4"]), digits()
    for split in (data.train, data.val):
        assert set(labels(split).tolist()) == {0, 1, 2, 3, 5, 6, 7, 8}
    assert len(data.classes) == 10
    assert torch.equal(labels(data.test), labels(whole.test))
    counts = labels(whole.train).bincount() + labels(whole.val).bincount()
    assert len(data.train) + len(data.val) == counts.sum() - counts[4] - counts[9]


def test_noise_and_imbalance_keep_to_the_classes_that_are_seen() -> None:
    noisy, even = digits(unseen=["0"], label_noise=1.0), digits(unseen=["0"])
    assert set(labels(noisy.train).tolist()) == set(range(1, 10))
    assert not (labels(noisy.train) == labels(even.train)).any()
    counts = labels(digits(unseen=["0"], imbalance=0.1).train).bincount().tolist()
    assert counts[0] == 0
    assert counts[9] == pytest.approx(0.1 * counts[1], abs=1)


# Size


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_single_pixel_is_the_weighted_mean(channels: int) -> None:
    images = torch.randint(0, 256, (5, channels, 8, 9), dtype=torch.uint8)
    expected = resize(images.float(), 1)
    assert (resize(images, 1).float() - expected).abs().max() <= 0.5


@pytest.mark.parametrize(("name", "side"), [("digits", 20), ("digits", 5), ("synthetic", 9), ("own_parts:tiny", 8)])
def test_resized_pictures_are_torchvisions(name: str, side: int) -> None:
    vision = torchvision()
    from torchvision.transforms.v2 import functional

    assert vision
    data, plain = (load_dataset(DataConfig(name=name, resize=one), 0, CPU) for one in (side, None))
    assert data.shape == (plain.shape[0], side, side)
    for mine, whole in ((data.train.images, plain.train.images), (data.test.images, plain.test.images)):
        assert mine.dtype == whole.dtype
        expected = functional.resize(whole, [side, side], antialias=True)
        # Bytes are rounded at the end or on the way, which depends on the processor.
        torch.testing.assert_close(mine, expected, atol=1 if mine.dtype == torch.uint8 else 1e-6, rtol=0)
    assert torch.equal(labels(data.train), labels(plain.train))


# Imbalance


def test_counts_fall_exponentially() -> None:
    """Long-tailed CIFAR-10 at 0.01, 5,000 pictures a class: the counts of Cui et al. (2019)."""
    names = tuple("abcdefghij")
    train, classes = torch.randperm(50_000), torch.arange(10).repeat(5000)
    seen = range(len(names))
    kept = imbalanced(train, classes, names, seen, 0.01, seed=0)
    assert classes[kept].bincount().tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    tenth = classes[imbalanced(train, classes, names, seen, 0.1, seed=0)]
    assert tenth.bincount()[[0, -1]].tolist() == [5000, 500]
    assert len(set(kept.tolist())) == len(kept)
    assert torch.equal(kept, imbalanced(train, classes, names, seen, 0.01, seed=0))
    assert not torch.equal(kept, imbalanced(train, classes, names, seen, 0.01, seed=1))


@pytest.mark.parametrize("imbalance", [0.5, 0.1])
def test_the_profile_holds_where_classes_were_uneven(imbalance: float) -> None:
    data, whole = digits(imbalance=imbalance), digits()
    there, counts = labels(whole.train).bincount(), labels(data.train).bincount()
    share = imbalance ** (np.arange(10) / 9)
    n = (there.numpy() / share).min()
    assert counts.tolist() == [int(n * part + 1e-6) for part in share]
    assert (counts <= there).all()
    assert (counts == there).any()  # none is left out without need
    assert torch.equal(data.val.index, whole.val.index)
    assert len(data.test) == len(whole.test)


def test_limit_cuts_what_imbalance_left() -> None:
    unlimited, data = digits(imbalance=0.1), digits(imbalance=0.1, limit=100)
    assert data.train.index.tolist() == unlimited.train.index[:100].tolist()
    share = 0.1 ** (torch.arange(10) / 9)
    counts, expected = labels(data.train).bincount(minlength=10), 100 * share / share.sum()
    assert ((counts - expected).square() / expected).sum() < 23.6  # chi-squared, 9 degrees of freedom, 0.5 %


# Wrong labels


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_an_exact_share_of_the_training_labels_is_wrong(share: float) -> None:
    noisy, clean = digits(label_noise=share, limit=901), digits(limit=901)
    assert torch.equal(noisy.train.index, clean.train.index)
    assert (labels(noisy.train) != labels(clean.train)).sum() == round(share * 901)
    assert labels(noisy.train).max() == 9
    for part in ("val", "test"):
        assert torch.equal(labels(getattr(noisy, part)), labels(getattr(clean, part)))


def test_wrong_labels_are_uniform_over_the_other_classes() -> None:
    right = torch.arange(4).repeat(6000)
    wrong = with_noise(right, torch.arange(24_000), range(4), 1.0, seed=3)
    counts = torch.zeros(4, 4).index_put_((right, wrong), torch.ones(24_000), accumulate=True)
    assert counts.diagonal().sum() == 0
    expected = torch.full((4, 4), 2000.0).fill_diagonal_(0)
    assert (counts - expected).abs().max() < 4 * (6000 * 1 / 3 * 2 / 3) ** 0.5


def test_wrong_labels_are_decided_by_the_seed_and_more_of_them_keep_the_first() -> None:
    right, train = torch.arange(10).repeat(100), torch.randperm(1000)
    few, again, more, other = (
        with_noise(right, train, range(10), *args) for args in ((0.1, 1), (0.1, 1), (0.3, 1), (0.1, 2))
    )
    assert torch.equal(few, again)
    assert not torch.equal(few, other)
    changed = few != right
    assert torch.equal(more[changed], few[changed])
    assert torch.equal(right, torch.arange(10).repeat(100))  # the shared labels are as they were


# Numbers


def test_regression_labels_are_standardised_by_the_training_part() -> None:
    data = load_dataset(DataConfig(name="diabetes", limit=200), 0, CPU)
    _, targets = data.train.take(torch.arange(200))
    assert (targets.shape, targets.dtype) == ((200, 1), torch.float32)
    assert targets.double().mean().item() == pytest.approx(0, abs=1e-6)
    assert targets.double().std(correction=0).item() == pytest.approx(1, abs=1e-6)
    from lab.data.sources import diabetes

    source = diabetes(None)  # pyright: ignore[reportArgumentType]
    mean, std = source.labels[data.train.index].mean(), source.labels[data.train.index].std(correction=0)
    assert data.unit == pytest.approx(std.item())
    for split, raw in ((data.val, source.labels), (data.test, source.test_labels)):
        own = labels(split).flatten() * data.unit + mean
        torch.testing.assert_close(own, raw[split.index], atol=1e-3, rtol=0)


def test_the_unit_of_one_row_is_one() -> None:
    data = load_dataset(DataConfig(name="diabetes", limit=1), 0, CPU)
    assert (data.unit, labels(data.train).tolist()) == (1.0, [[0.0]])
