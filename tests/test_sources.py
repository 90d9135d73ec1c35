"""The data sets made or embedded: what is in them, and that nothing but their own seed decides it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, make_regression
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier

from lab.config import DataConfig
from lab.data.batches import load_dataset
from lab.data.sources import SOURCES, Source
from lab.errors import UserError

CPU = torch.device("cpu")
POINTS = ("xor", "moons", "spirals")
NUMBERS = {"diabetes": (442, 10), "make_regression": (2000, 39), "blank": (100, 1)}


def source(name: str) -> Source:
    return SOURCES[name](Path("nowhere"))


@pytest.mark.parametrize("name", [*POINTS, *NUMBERS])
def test_a_made_set_is_the_same_whatever_was_drawn_before(name: str) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = source(name)
    torch.manual_seed(2)
    np.random.seed(2)
    second = source(name)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.test_labels, second.test_labels)


@pytest.mark.parametrize("name", POINTS)
def test_points_have_two_features_and_two_classes(name: str) -> None:
    made = source(name)
    assert (made.images.shape, made.test_images.shape) == ((800, 2), (200, 2))
    assert (made.images.dtype, made.labels.dtype) == (torch.float32, torch.int64)
    counts = torch.cat([made.labels, made.test_labels]).bincount()
    assert counts.tolist() == [500, 500]
    assert len(made.classes) == 2
    data = load_dataset(DataConfig(name=name), 0, CPU)
    assert (data.shape, data.num_outputs, data.unit) == ((2,), 2, 1.0)


def best_line(points: np.ndarray, labels: np.ndarray) -> float:
    """Largest share of points that a line can have on the right side, over 720 directions and all offsets."""
    best = 0.0
    for angle in np.linspace(0, math.pi, 720, endpoint=False):
        order = np.argsort(points @ [math.cos(angle), math.sin(angle)])
        right = np.concatenate([[0], np.cumsum(2 * labels[order] - 1)]) + (labels == 0).sum()  # ones below, zeros above
        best = max(best, right.max(), len(labels) - right.min())
    return best / len(labels)


def test_a_line_is_right_on_three_of_four_xor_points_at_best() -> None:
    made = source("xor")
    for points, labels in ((made.images, made.labels), (made.test_images, made.test_labels)):
        assert best_line(points.numpy(), labels.numpy()) == 0.75
        assert torch.equal(points.prod(1) < 0, labels == 1)  # yet the quadrants tell them apart
        assert points.abs().min() >= 0.5


@pytest.mark.parametrize(("name", "line", "neighbours"), [("moons", 0.9, 0.94), ("spirals", 0.7, 0.99)])
def test_points_are_learnable_but_not_by_a_line(name: str, line: float, neighbours: float) -> None:
    made = source(name)
    assert best_line(made.test_images.numpy(), made.test_labels.numpy()) < line
    near = KNeighborsClassifier(9).fit(made.images.numpy(), made.labels.numpy())
    assert near.score(made.test_images.numpy(), made.test_labels.numpy()) > neighbours


def test_spirals_lie_on_their_formula() -> None:
    made = source("spirals")
    radius = made.images.norm(dim=1).double()
    angle = 4 * math.pi * radius + math.pi * made.labels
    ideal = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    # The noise shifts the angle by N(0, 0.02^2) along the arc, and by 4 pi r times that through the radius.
    expected = 0.02 * (1 + (4 * math.pi * radius).square()).sqrt()
    off = (made.images - ideal).norm(dim=1) / expected
    assert 0.9 < off.square().mean().sqrt() < 1.1


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_to_learn_have_no_classes(name: str) -> None:
    rows, features = NUMBERS[name]
    made = source(name)
    assert made.images.shape == (rows - rows // 5, features)
    assert made.test_images.shape == (rows // 5, features)
    assert (made.labels.dtype, made.classes) == (torch.float32, ())
    assert load_dataset(DataConfig(name=name), 0, CPU).num_outputs == 1


def test_diabetes_rows_are_scikit_learns() -> None:
    made = source("diabetes")
    rows, target = load_diabetes(return_X_y=True, scaled=False)
    theirs = {tuple(row) for row in np.column_stack([rows, target]).astype(np.float32).tolist()}
    images, labels = torch.cat([made.images, made.test_images]), torch.cat([made.labels, made.test_labels])
    assert {tuple(row) for row in torch.column_stack([images, labels]).tolist()} == theirs


def test_regression_noise_is_what_a_linear_fit_leaves() -> None:
    made = source("make_regression")
    fit = LinearRegression().fit(made.images.numpy(), made.labels.numpy())
    theirs = make_regression(2000, 39, n_informative=13, noise=20.0, coef=True, random_state=0)[-1]
    assert np.abs(fit.coef_ - theirs).max() < 4 * 20 / 1600**0.5
    rest = fit.predict(made.test_images.numpy()) - made.test_labels.numpy()
    assert np.sqrt((rest**2).mean()) == pytest.approx(20, rel=0.1)


def test_labels_and_classes_must_fit() -> None:
    message = r"own_parts:nameless gave images \(4, 2\), torch\.int64 labels and 0 classes; allowed are images"
    with pytest.raises(UserError, match=message):
        load_dataset(DataConfig(name="own_parts:nameless"), 0, CPU)
