"""Figures of Monte-Carlo passes agree with scikit-learn and with sums by hand, and stand in the result of a run."""

import math
from typing import Any

import pytest
import torch
from conftest import MakeJob
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor

from lab.errors import UserError
from lab.nets.monte_carlo import of_logits
from lab.nets.uncertainty import auroc, calibration_error, uncertainty
from lab.quantity import SAMPLED
from lab.runs.build import assemble
from lab.runs.fingerprint import fingerprint
from lab.runs.origin import load_net
from lab.runs.predict import Disturbance, forecast
from lab.runs.run import run

DROPS = {"model.block": "conv-act-drop-pool", "model.drop_rate": 0.3, "train.pictures": 0}


def logits(passes: int = 20) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (300,), generator=generator)
    centers = torch.randn(300, 1, 4, generator=generator, dtype=torch.float64)
    centers[torch.arange(300), 0, labels] += 1
    return centers + torch.randn(300, passes, 4, generator=generator, dtype=torch.float64), labels


def test_the_figures_are_those_of_others() -> None:
    outputs, labels = logits()
    prediction = of_logits(outputs)
    found = uncertainty(prediction, labels)
    assert tuple(found) == SAMPLED
    p = outputs.softmax(2)
    predicted = p.mean(1).argmax(1)
    wrong = predicted != labels
    spread = torch.stack([p[i, :, predicted[i]].std() for i in range(300)])
    assert found["mc_accuracy"] == pytest.approx(float((~wrong).double().mean()))
    assert found["mc_nll"] == pytest.approx(float(log_loss(labels, p.mean(1))))
    assert found["mc_auroc"] == pytest.approx(float(roc_auc_score(wrong, spread)))
    assert found["mc_spread"] == pytest.approx(float(spread.mean()))
    assert found["mc_spread_right"] == pytest.approx(float(spread[~wrong].mean()))
    assert found["mc_spread_wrong"] == pytest.approx(float(spread[wrong].mean()))


def test_the_calibration_error_is_that_of_its_bins() -> None:
    confidence = torch.tensor([0.95, 0.97, 1.0, 0.5, 0.52, 1 / 15], dtype=torch.float64)
    right = torch.tensor([True, True, False, True, False, False])
    expected = (abs(2 - 2.92) + abs(1 - 1.02) + 1 / 15) / 6  # bins (14/15, 1], (7/15, 8/15], (0, 1/15]
    assert float(calibration_error(confidence, right)) == pytest.approx(expected)
    sure = torch.ones(4, dtype=torch.float64)
    assert float(calibration_error(sure, sure > 0)) == 0
    assert float(calibration_error(sure, sure < 0)) == 1


def test_ties_count_half() -> None:
    assert float(auroc(torch.zeros(3), torch.zeros(5))) == 0.5
    assert float(auroc(torch.tensor([1.0, 0.0]), torch.tensor([0.0]))) == 0.75
    assert math.isnan(float(auroc(torch.zeros(0), torch.zeros(2))))
    assert math.isnan(float(auroc(torch.zeros(2), torch.zeros(0))))


def test_without_a_mistake_nothing_is_said_of_mistakes() -> None:
    sure = of_logits(100 * torch.eye(3, dtype=torch.float64).unsqueeze(1).expand(3, 5, 3))
    found = uncertainty(sure, torch.arange(3))
    assert (found["mc_accuracy"], found["mc_spread_right"]) == (1, 0)
    assert math.isnan(found["mc_spread_wrong"])
    assert math.isnan(found["mc_auroc"])
    assert found["mc_nll"] == pytest.approx(0)
    never = uncertainty(sure, torch.tensor([1, 2, 0]))
    assert 0 < never["mc_nll"] < math.inf
    assert all(map(math.isnan, uncertainty(of_logits(torch.full((2, 3, 4), math.nan)), torch.zeros(2).long()).values()))


def test_a_run_has_them_beside_its_test(make_job: MakeJob) -> None:
    plain, several = (
        make_job("plain", {**DROPS, "train.mc_passes": 1}),
        make_job("several", {**DROPS, "train.mc_passes": 8}),
    )
    one, many = (run(job)["metrics"] for job in (plain, several))
    assert [f"test/{name}" for name in SAMPLED] == [tag for tag in many if "/mc_" in tag]
    assert one["test/mc_accuracy"]["last"] == one["test/accuracy"]["last"] == many["test/accuracy"]["last"]
    assert one["test/mc_nll"]["last"] == pytest.approx(one["test/loss"]["last"], rel=1e-5)
    assert one["test/mc_spread"]["last"] == 0 < many["test/mc_spread"]["last"]
    assert one["test/mc_auroc"]["last"] == 0.5
    parts = assemble(several.config)
    again = assemble(several.config)
    assert fingerprint(parts) == fingerprint(again) != fingerprint(assemble(plain.config))


def test_the_passes_are_those_of_lab_predict(make_job: MakeJob) -> None:
    job = make_job(changes={**DROPS, "train.mc_passes": 8, "train.eval_limit": 20})
    result = run(job)["metrics"]
    _, data, model = load_net(job.folder, torch.device("cpu"), trusted=True)
    found = forecast(model, data, 8, Disturbance(0.0, 0.0), 20, job.config.seed)
    assert result["test/mc_spread"]["last"] == pytest.approx(uncertainty(found.prediction, found.labels)["mc_spread"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.mc_passes": 10}, r"^train.mc_passes=10: the net has no active dropout .*; allowed: 1, the plain"),
        ({**DROPS, "model.drop_rate": 0.0, "train.mc_passes": 2}, r"^train.mc_passes=2: the net has no active dropout"),
        (
            {"data.name": "diabetes", "model.block": "linear-act-drop", "train.mc_passes": 1},
            r"^train.mc_passes=1 is of classes, and data.name=diabetes has numbers; allowed: 0, and `lab predict",
        ),
        ({"train.mc_passes": -1}, r"^train.mc_passes=-1 is out of range; allowed: 0 \(off\) to 1,000,000 \(passes\)"),
    ],
    ids=["no drops", "rate 0", "numbers", "below"],
)
def test_passes_that_tell_nothing_are_refused_before_the_first_step(
    make_job: MakeJob, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        assemble(make_job(changes=changes).config)
