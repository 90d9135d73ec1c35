"""Losses and metrics agree with a formula in float64, and whole data sets with the sum of their batches."""

import math
from collections.abc import Callable

import pytest
import sklearn.metrics
import torch
from torch import Tensor

from lab.config import RunConfig, TrainConfig
from lab.errors import UserError
from lab.training.losses import LOSSES, make_losses
from lab.training.tally import classification, make_metrics, regression
from lab.validation import validate

GENERATOR = torch.Generator().manual_seed(5)
OUTPUTS = torch.randn(40, 7, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(0, 7, (40,), generator=GENERATOR)
TARGETS = torch.randn(40, 1, generator=GENERATOR, dtype=torch.float64)


def one_cross_entropy(outputs: list[float], label: int, smoothing: float = 0.0) -> float:
    total = math.log(sum(math.exp(one) for one in outputs))
    wanted = [(1 - smoothing) * (i == label) + smoothing / len(outputs) for i in range(len(outputs))]
    return sum(share * (total - one) for share, one in zip(wanted, outputs, strict=True))


def one_mse(outputs: list[float], label: int) -> float:
    return sum((one - (i == label)) ** 2 for i, one in enumerate(outputs)) / len(outputs)


def one_hinge(outputs: list[float], label: int) -> float:
    margins = [max(0.0, 1 - outputs[label] + one) for i, one in enumerate(outputs) if i != label]
    return sum(margins) / len(outputs)


def one_focal(outputs: list[float], label: int) -> float:
    surprise = one_cross_entropy(outputs, label)
    return (1 - math.exp(-surprise)) ** 2 * surprise


def one_value(outputs: list[float], label: int) -> float:
    return sum(outputs) / len(outputs)


FORMULAS = {
    "cross_entropy": one_cross_entropy,
    "mse": one_mse,
    "hinge": one_hinge,
    "focal": one_focal,
    "value": one_value,
}


def test_every_loss_has_its_formula() -> None:
    assert FORMULAS.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_follows_its_formula(name: str) -> None:
    trained, reported = make_losses(TrainConfig(loss=name), has_classes=name != "value")
    each = [FORMULAS[name](row, label) for row, label in zip(OUTPUTS.tolist(), LABELS.tolist(), strict=True)]
    for loss in (trained, reported):
        assert loss(OUTPUTS, LABELS, "mean").item() == pytest.approx(sum(each) / 40, rel=1e-12)
        assert loss(OUTPUTS, LABELS, "sum").item() == pytest.approx(sum(each), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_a_gradient_that_lowers_it(name: str) -> None:
    loss, _ = make_losses(TrainConfig(loss=name), has_classes=name != "value")
    outputs = OUTPUTS.clone().requires_grad_()
    loss(outputs, LABELS, "mean").backward()
    assert outputs.grad is not None
    assert loss(OUTPUTS - 0.1 * outputs.grad, LABELS, "mean") < loss(OUTPUTS, LABELS, "mean")


def test_smoothing_acts_in_training_alone() -> None:
    trained, reported = make_losses(TrainConfig(label_smoothing=0.2), has_classes=True)
    rows = list(zip(OUTPUTS.tolist(), LABELS.tolist(), strict=True))
    smooth = sum(one_cross_entropy(row, label, 0.2) for row, label in rows) / 40
    assert trained(OUTPUTS, LABELS, "mean").item() == pytest.approx(smooth, rel=1e-12)
    plain = sum(one_cross_entropy(row, label) for row, label in rows) / 40
    assert reported(OUTPUTS, LABELS, "mean").item() == pytest.approx(plain, rel=1e-12)


def test_focal_without_gamma_is_cross_entropy() -> None:
    focal, _ = make_losses(TrainConfig(loss="focal", focal_gamma=0.0), has_classes=True)
    cross_entropy, _ = make_losses(TrainConfig(), has_classes=True)
    torch.testing.assert_close(focal(OUTPUTS, LABELS, "mean"), cross_entropy(OUTPUTS, LABELS, "mean"))


def test_focal_of_a_certain_answer_has_a_finite_gradient() -> None:
    focal, _ = make_losses(TrainConfig(loss="focal", focal_gamma=0.5), has_classes=True)
    outputs = torch.tensor([[200.0, 0.0]], requires_grad=True)
    focal(outputs, torch.tensor([0]), "mean").backward()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()


def test_auto_is_cross_entropy_of_classes_and_mse_of_numbers() -> None:
    loss, _ = make_losses(TrainConfig(), has_classes=False)
    guess = TARGETS + 0.5
    assert loss(guess, TARGETS, "mean").item() == pytest.approx(0.25)
    assert loss(guess, TARGETS, "sum").item() == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("config", "has_classes", "message"),
    [
        (
            TrainConfig(loss="hnge"),
            True,
            r"train.loss=hnge is unknown \(did you mean 'hinge'\?\); there are: auto, cross",
        ),
        (TrainConfig(loss="focal"), False, "train.loss=focal needs a data set with classes; for regression .*mse"),
    ],
)
def test_a_bad_loss_is_named(config: TrainConfig, has_classes: bool, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_losses(config, has_classes)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            TrainConfig(label_smoothing=1.0),
            "train.label_smoothing=1.0 is out of range; allowed: at least 0 and below 1",
        ),
        (TrainConfig(focal_gamma=-1.0), "train.focal_gamma=-1.0 is out of range; allowed: 0 or more"),
    ],
)
def test_a_knob_of_a_loss_out_of_range_is_named(config: TrainConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(RunConfig(train=config))


def test_smoothing_another_loss_warns() -> None:
    with pytest.warns(UserWarning, match="train.label_smoothing=0.1 has no effect with train.loss=mse"):
        make_losses(TrainConfig(loss="mse", label_smoothing=0.1), has_classes=True)


def own_loss(outputs: Tensor, labels: Tensor, reduction: str) -> Tensor:
    return (outputs.sum() * 0 + 3) * (len(labels) if reduction == "sum" else 1)


def test_ones_own_loss_is_used() -> None:
    loss, _ = make_losses(TrainConfig(loss="test_losses:own_loss"), has_classes=True)
    assert loss(OUTPUTS, LABELS, "mean") == 3


# Metrics


def in_batches(sums: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, labels: Tensor) -> list[float]:
    pairs = zip(outputs.split(9), labels.split(9), strict=True)
    return torch.stack([sums(*pair).double() for pair in pairs]).sum(0).tolist()


def test_accuracy_and_top5_are_those_of_scikit_learn() -> None:
    metrics = classification(top5=True)
    assert metrics.names == ("accuracy", "top5")
    accuracy, top5 = metrics.values(in_batches(metrics.sums, OUTPUTS, LABELS), 40)
    assert accuracy == pytest.approx(sklearn.metrics.accuracy_score(LABELS, OUTPUTS.argmax(1)))
    assert top5 == pytest.approx(sklearn.metrics.top_k_accuracy_score(LABELS, OUTPUTS, k=5, labels=range(7)))


def test_regression_is_that_of_scikit_learn_in_the_targets_unit() -> None:
    metrics = regression(unit=50.0)
    guess = TARGETS + 0.3 * torch.randn(40, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = dict(zip(metrics.names, metrics.values(in_batches(metrics.sums, guess, TARGETS), 40), strict=True))
    y, f = (50 * TARGETS + 150).squeeze(1), (50 * guess + 150).squeeze(1)
    assert values["rmse"] == pytest.approx(sklearn.metrics.root_mean_squared_error(y, f), rel=1e-12)
    assert values["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(y, f), rel=1e-12)
    assert values["r2"] == pytest.approx(sklearn.metrics.r2_score(y, f), rel=1e-12)


def test_r2_of_equal_targets_is_no_number() -> None:
    metrics = regression(unit=1.0)
    targets = torch.full((5, 1), 2.0)
    assert math.isnan(metrics.values(metrics.sums(targets, targets).tolist(), 5)[2])


@pytest.mark.parametrize(("num_classes", "names"), [(5, ["accuracy"]), (6, ["accuracy", "top5"])])
def test_top5_needs_more_than_five_classes(num_classes: int, names: list[str]) -> None:
    trained, reported = make_metrics(num_classes, 1.0)
    assert list(reported.names) == names
    assert list(trained.names) == ["accuracy"]
