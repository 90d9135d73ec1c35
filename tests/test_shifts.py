"""Test images of another distribution, outliers among the training images, and orders that are not drawn again."""

import math
from typing import Any

import pytest
import torch

from lab.config import DataConfig, RunConfig
from lab.data.batches import Dataset, Order, load_dataset
from lab.errors import UserError
from lab.identity import with_values
from lab.metric import parse_metric
from lab.runs.build import assemble
from lab.runs.fingerprint import fingerprint, scored_on
from lab.studies.claims.study import check_claims, parse_study
from lab.validation import validate

CPU = torch.device("cpu")


def digits(seed: int = 0, **changes: Any) -> Dataset:
    return load_dataset(DataConfig(**{"name": "digits", **changes}), seed, CPU)


def test_brightness_raises_the_pixels_and_cuts_at_white() -> None:
    plain, shifted = digits(), digits(shift="brightness", shift_size=0.2)
    expected = (plain.test.images.float() + 51).clamp(0, 255)
    assert torch.equal(shifted.test.images.float(), expected)
    assert torch.equal(shifted.val.images, plain.val.images)
    assert torch.equal(shifted.train.factor, plain.train.factor)


def test_scale_is_contrast_about_the_mean_of_each_image() -> None:
    plain, shifted = digits().test.images.float(), digits(shift="scale", shift_size=-0.5).test.images.float()
    mean = plain.mean((1, 2, 3), keepdim=True)
    assert (shifted - (mean + 0.5 * (plain - mean))).abs().max() <= 0.5


def test_a_quarter_turn_is_torch_s() -> None:
    plain, shifted = digits().test.images, digits(shift="rotation", shift_size=math.pi / 2).test.images
    assert (shifted.float() - plain.rot90(1, (2, 3)).float()).abs().max() <= 1


def test_noise_is_that_of_all_seeds_and_as_large_as_asked_for() -> None:
    plain, shifted = digits(), digits(shift="noise", shift_size=0.1)
    assert torch.equal(shifted.test.images, digits(1, shift="noise", shift_size=0.1).test.images)
    middle = (plain.test.images > 100) & (plain.test.images < 155)  # where nothing is cut
    added = (shifted.test.images.float() - plain.test.images.float())[middle]
    assert added.std().item() == pytest.approx(25.5, rel=0.05)
    assert abs(added.mean().item()) < 1.5


def test_features_shift_by_standard_deviations_and_do_not_turn() -> None:
    source = load_dataset(DataConfig(name="moons"), 0, CPU)
    shifted = load_dataset(DataConfig(name="moons", shift="brightness", shift_size=1.0), 0, CPU)
    width = source.train.images.double().std().item()
    assert torch.allclose(shifted.test.images, source.test.images + width)
    with pytest.raises(UserError, match="rotation has no effect on"):
        load_dataset(DataConfig(name="moons", shift="rotation"), 0, CPU)


def test_every_seed_sees_the_same_shifted_images_and_no_claim_subtracts_two_shifts() -> None:
    one, other, plain = digits(0, shift="scale"), digits(1, shift="scale"), digits(0)
    assert scored_on(one, None) == scored_on(other, None) != scored_on(plain, None)
    claims = [{"say": "x", "higher": {"data.shift": "none"}, "than": {"data.shift": "scale"}}]
    study = parse_study({"claims": claims})
    arms = [{"data.shift": "none"}, {"data.shift": "scale"}]
    with pytest.raises(UserError, match="scored on different test images"):
        check_claims(study, arms)
    assert parse_metric("test/accuracy").tags == ("test/accuracy",)


def test_outliers_are_a_share_of_the_training_images_alone() -> None:
    plain, data = digits(), digits(outliers=0.1, outlier_size=50.0)
    every = torch.arange(len(data.train))
    ratio = data.train.take(every)[0].abs().amax((1, 2, 3)) / plain.train.take(every)[0].abs().amax((1, 2, 3))
    assert sorted({round(one) for one in ratio.tolist()}) == [1, 50]
    assert int((ratio > 2).sum()) == round(0.1 * len(data.train))
    more = digits(outliers=0.2, outlier_size=50.0)
    again = more.train.take(every)[0].abs().amax((1, 2, 3)) / plain.train.take(every)[0].abs().amax((1, 2, 3))
    assert bool((again[ratio > 2] > 2).all())
    assert torch.equal(data.val.take(torch.arange(50))[0], plain.val.take(torch.arange(50))[0])


def orders(shuffle: str) -> list[torch.Tensor]:
    """The order of the first three epochs."""
    data = digits()
    return [Order(data.train, 64, 0, shuffle=shuffle).permutation(epoch) for epoch in range(3)]


def test_batches_are_shuffled_each_epoch_once_or_never() -> None:
    each, once, never = orders("epochs"), orders("once"), orders("never")
    assert torch.equal(each[0], once[0])
    assert not torch.equal(each[0], each[1])
    assert torch.equal(once[0], once[2])
    index = digits().train.index
    assert torch.equal(index[never[0]], index.sort().values)
    assert torch.equal(never[0], never[1])


def test_a_shuffle_that_acts_late_is_another_run() -> None:
    def digest(**values: Any) -> str | None:
        return fingerprint(assemble(with_values(RunConfig(), {"data.limit": 100, **values})))

    assert digest() != digest(**{"data.shuffle": "once"}) != digest(**{"data.shuffle": "never"})


@pytest.mark.parametrize(
    ("key", "value"),
    [("data.shuffle", "always"), ("data.shift", "turn"), ("data.shift_size", -1.0), ("data.outliers", 2.0)],
)
def test_a_wrong_value_is_one_message(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=key):
        validate(with_values(RunConfig(), {key: value}))
