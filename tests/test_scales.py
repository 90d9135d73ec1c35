"""Scalings of features, each by itself, and the positive one."""

import pytest
import torch

from lab.config import DataConfig
from lab.data.batches import Split, load_dataset

CPU = torch.device("cpu")


def rows(split: Split) -> torch.Tensor:
    return split.take(torch.arange(len(split)))[0].double()


def scaled(name: str, scale: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training and validation part, scaled and raw."""
    data, raw = (load_dataset(DataConfig(name=name, scale=one, limit=100), 0, CPU) for one in (scale, "raw"))
    return rows(data.train), rows(data.val), rows(raw.train), rows(raw.val)


def test_every_feature_is_standardised_by_the_training_part() -> None:
    train, val, raw, raw_val = scaled("diabetes", "standard")
    torch.testing.assert_close(train.mean(0), torch.zeros(10).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std(0, correction=0), torch.ones(10).double(), atol=1e-5, rtol=0)
    expected = (raw_val - raw.mean(0)) / raw.std(0, correction=0)
    torch.testing.assert_close(val, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("scale", "low", "high"), [("zero_one", 0, 1), ("minus_one_one", -1, 1)])
def test_every_feature_has_its_own_range(scale: str, low: float, high: float) -> None:
    train, val, raw, raw_val = scaled("diabetes", scale)
    torch.testing.assert_close(train.amin(0), torch.full((10,), low).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.amax(0), torch.full((10,), high).double(), atol=1e-5, rtol=0)
    span = raw.amax(0) - raw.amin(0)
    torch.testing.assert_close(val, low + (high - low) * (raw_val - raw.amin(0)) / span, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", ["diabetes", "synthetic", "digits"])
def test_positive_has_unit_variance_and_starts_at_zero(name: str) -> None:
    train, _, raw, _ = scaled(name, "positive")
    others = [0, *range(2, train.ndim)]
    assert train.amin(others).tolist() == [0] * train.shape[1]
    assert train.amax(others).min() > 0
    std = train.std(others, correction=0)
    torch.testing.assert_close(std, torch.ones_like(std), atol=1e-5, rtol=0)
    shape = (-1, *[1] * (train.ndim - 2))
    expected = (raw - raw.amin(others).view(shape)) / raw.std(others, correction=0).view(shape)
    torch.testing.assert_close(train, expected, atol=1e-4, rtol=1e-5)
