"""`lab probe`: prediction beside measurement, what it prints and what it writes."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lab.checks.probe.profile import Profile, Quantity, Row, probe
from lab.checks.probe.render import as_json, as_text
from lab.cli.main import main
from lab.config import RunConfig
from lab.identity import with_values
from lab.nets.parts.acts import ACTS
from lab.nets.spread import SPREADS

WIDE = {"model.block": "linear-act", "model.widths": [256], "model.depth": 4, "train.batch_size": 16}
"""Layers of 256 units on the digits, and a classifier, whose ten outputs say little about a variance."""


def profile(draws: int, **changes: Any) -> Profile:
    keys = {name.replace("__", "."): value for name, value in changes.items()}
    return probe(with_values(RunConfig(), {"train.device": "cpu", **WIDE, **keys}), draws, "one")


def off(quantity: Quantity) -> float:
    """How far the measured mean is from the prediction, as a share."""
    assert quantity.predicted is not None, quantity.reason
    assert quantity.mean is not None
    return quantity.mean / quantity.predicted - 1


def steps(rows: list[Row], take: Callable[[Row], Quantity]) -> list[float]:
    """How far each layer's own factor is from the predicted one."""
    ratios = [1 + off(take(row)) for row in rows]
    return [ratios[0] - 1, *(after / before - 1 for before, after in pairwise(ratios))]


def agrees(found: Profile, share: float = 0.05) -> None:
    """Each layer but the classifier within `share` of its predicted factor, forward and backward."""
    hidden = found.rows[:-1]
    assert max(map(abs, steps(hidden, lambda row: row.moment))) < share
    assert max(map(abs, steps([*hidden, found.rows[-1]][::-1], lambda row: row.gradient))) < share


@pytest.mark.parametrize("act", ["relu", "tanh", "gelu"])
def test_prediction_and_measurement_agree_layer_by_layer(act: str) -> None:
    agrees(profile(20, model__act=act, model__init="he_normal", model__depth=3))


EVERY_ACT = [(name, "he_normal") for name in ACTS if name not in ("softmax", "identity")]
EVERY_INIT = [*zip(cycle(("relu", "tanh")), (name for name in SPREADS if name not in ("zeros", "he_normal")))]


@pytest.mark.slow
@pytest.mark.parametrize(("act", "init"), [*EVERY_ACT, *EVERY_INIT])
def test_every_init_and_activation_with_theory_agrees(act: str, init: str) -> None:
    agrees(profile(20, model__act=act, model__init=init, model__widths=[512]))


@pytest.mark.parametrize(
    "changes",
    [
        {"model__block": "linear-act-drop", "model__drop_rate": 0.5},
        {"model__block": "linear-norm-act", "model__norm": "layer", "model__act": "tanh"},
        {"model__block": "linear-act-norm", "model__norm": "layer"},
        {"model__block": "conv-act", "model__widths": [64], "data__limit": 100, "model__depth": 3},
    ],
    ids=["dropout", "layer norm", "norm behind", "conv"],
)
def test_drops_norms_and_edges_agree(changes: dict[str, Any]) -> None:
    agrees(profile(20, **{"model__depth": 3, **changes}), 0.06)


@pytest.mark.slow
@pytest.mark.parametrize("skip", ["add", "concat"])
def test_skips_agree(skip: str) -> None:
    conv = {"model__block": "conv-act", "model__widths": [256], "model__kernel": 3}
    for row in profile(20, model__skip=skip, **conv).rows[:-1]:
        assert abs(off(row.moment)) < 0.06, row.layer
        assert abs(off(row.gradient)) < 0.06, row.layer


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "init"), [(22, "he_normal"), (30, "xavier_normal")])
def test_products_over_many_layers_agree(depth: int, init: str) -> None:
    found = profile(20, model__depth=depth, model__init=init, model__widths=[512], train__batch_size=32)
    last, first = found.rows[-2].moment, found.rows[0].gradient
    assert abs(off(last)) < 0.2
    assert abs(off(first)) < 0.2
    if init == "xavier_normal":  # after the first layer, of another fan
        start = found.rows[0].moment.predicted
        assert last.predicted == pytest.approx((start or 0) * 2.0 ** -(depth - 1), rel=1e-3)


def reasons(found: Profile) -> dict[str, tuple[str, str]]:
    """Why nothing is predicted of each layer, forward and backward."""
    return {row.layer: (row.moment.reason, row.gradient.reason) for row in found.rows}


def test_pooling_has_no_prediction_and_what_follows_starts_from_the_measured_value() -> None:
    found = profile(2, model__block="conv-act-pool", model__widths=[8, 8], model__depth=3, model__pool="max")
    said = reasons(found)
    assert "max pooling" in said["stage1.block1.pool"][0]
    assert "max pooling" in said["stage1.block1.act"][1]
    assert "depends on the signal" in said["stage1.block1.conv"][1]
    behind = next(row for row in found.rows if row.layer == "stage2.block1.conv")
    assert behind.moment.predicted is not None
    assert behind.moment.since == ("stage1.block1.pool",)
    before = next(row for row in found.rows if row.layer == "stage1.block1.conv")
    assert before.moment.since == ()


@pytest.mark.parametrize("init", ["constant", "dirac", "exponential", "lsuv"])
def test_inits_without_theory_have_no_prediction(init: str) -> None:
    found = profile(2, model__init=init, model__depth=3)
    assert all(f"model.init={init}" in row.moment.reason for row in found.rows if row.kind == "linear")
    assert all(row.moment.predicted is None for row in found.rows)


@pytest.mark.parametrize(
    ("changes", "layer", "reason"),
    [
        ({"model__block": "linear-norm-act", "model__norm": "batch"}, "stage1.block1.linear.1", "batch norm"),
        ({"model__act": "softmax"}, "stage1.block1.act", "no formula"),
        ({"model__output": "sigmoid"}, "classifier", "depends on the signal"),
        ({"model__block": "conv-act", "model__widths": [8], "model__weight_std": True}, "stage1.block1.conv", "mean 0"),
        (
            {"model__block": "linear-norm-act", "model__norm": "batch", "model__act": "tanh"},
            "stage1.block1.act",
            "differs in scale",
        ),
    ],
)
def test_where_no_formula_is_right_it_says_why(changes: dict[str, Any], layer: str, reason: str) -> None:
    said = reasons(profile(2, **{"model__depth": 2, **changes}))
    assert any(reason in text for text in said[layer]), said[layer]


def test_zeros_stop_signal_and_gradient() -> None:
    found = profile(2, model__init="zeros", model__depth=3)
    assert all(row.moment.predicted == 0 == row.moment.mean for row in found.rows)
    assert found.rows[0].gradient.predicted == 0 == found.rows[0].gradient.mean
    assert found.loss == pytest.approx((math.log(10),) * 2)
    assert found.uniform_loss == pytest.approx(math.log(10))


def test_the_first_update_is_that_of_the_optimizer() -> None:
    """Adam's first step moves each weight by the rate, whatever its gradient."""
    drawn = {"model__init": "normal", "model__init_gain": "0.1", "model__act": "tanh"}
    found = profile(2, optimizer__name="adam", optimizer__lr=0.01, **drawn)
    for row in found.rows[2:]:  # the first layer has pixels that are always 0
        assert row.updates == pytest.approx([0.01 / 0.1] * len(row.updates), rel=0.1)
    assert [bool(row.updates) for row in found.rows] == [row.kind == "linear" for row in found.rows]


def test_theory_knows_that_the_classifier_is_scaled() -> None:
    plain, scaled = (profile(4, model__head_gain=gain) for gain in (1.0, 0.1))
    rows = [found.rows[-1].moment for found in (plain, scaled)]
    assert rows[1].predicted == pytest.approx(0.01 * (rows[0].predicted or 0))
    assert rows[1].mean == pytest.approx(0.01 * (rows[0].mean or 0), rel=1e-4)


def test_noise_behind_a_norm_has_no_prediction_and_is_measured() -> None:
    found = profile(2, model__block="linear-norm-act", model__norm="noisy_batch", model__depth=3)
    assert any(row.moment.predicted is None and row.moment.mean for row in found.rows)


def test_regression_has_no_uniform_loss_and_a_value_is_left_out_where_there_is_none() -> None:
    found = profile(1, data__name="diabetes", model__depth=2)
    assert found.uniform_loss is None
    assert "of equal probabilities" not in as_text([found])
    assert json.loads(as_json([found]))["configurations"][0]["loss"]["of_equal_probabilities"] is None


def lab(*words: str) -> int:
    return main(["probe", "train.device=cpu", "model.depth=2", "model.widths=[4]", "--draws", "2", *words])


def test_the_verb_prints_a_table_a_configuration_and_writes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second replaces the first
        assert lab("model.act=relu,tanh") == 0
    said = capsys.readouterr().out
    assert said.count("act=relu: 2 draws of the weights, 64 images") == 2
    assert "log(10) = 2.3" in said
    folder = tmp_path / "outputs" / "_probe" / "model.act"
    there = json.loads((folder / "probe.json").read_text())
    assert [one["name"] for one in there["configurations"]] == ["act=relu", "act=tanh"]
    svg = (folder / "probe.svg").read_text()
    assert svg.startswith("<?xml")
    assert "act=tanh" in svg
    for name in ("act=relu", "act=tanh"):
        (home,) = folder.glob(f"{name}-*")
        (events,) = home.glob("events*")
        shown = EventAccumulator(str(events), size_guidance={"scalars": 0})
        shown.Reload()
        layers = next(one for one in there["configurations"] if one["name"] == name)["layers"]
        points = shown.Scalars("probe_activations/measured")
        assert [point.value for point in points] == pytest.approx(
            [one["activations"]["second_moment"]["mean"] for one in layers], rel=1e-5
        )
        idle = "probe_idle/dead_units" if name == "act=relu" else "probe_idle/saturated_values"
        assert len(shown.Scalars(idle)) == 1
    images = EventAccumulator(str(next(folder.glob("events*"))))
    images.Reload()
    assert images.Tags()["images"] == ["probe"]


def test_json_goes_to_the_output_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab("--format", "json", "--out", str(tmp_path / "here")) == 0
    said = capsys.readouterr().out
    assert json.loads(said) == json.loads((tmp_path / "here" / "probe.json").read_text())
    conv = json.loads(said)["configurations"][0]["layers"][0]
    assert conv["layer"] == "stage1.block1.conv"
    assert len(conv["activations"]["second_moment"]["measured"]) == 2


def test_files_of_somebody_else_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "probe.svg").write_text("mine")
    assert lab("--out", str(tmp_path)) == 2
    assert "holds files that lab probe did not write (probe.svg)" in capsys.readouterr().err
    assert (tmp_path / "probe.svg").read_text() == "mine"
    assert lab("--out", str(tmp_path / "probe.svg")) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--draws", "0"], "--draws=0 is out of range; allowed: 1 to 1000"),
        (["--format", "jsn"], "--format=jsn is unknown (did you mean 'json'?)"),
        (["--drows", "3"], "did you mean '--draws'?"),
        (["model.init=he_norml"], "did you mean 'he_normal'?"),
        (["model.depth=0"], "model.depth=0"),
    ],
)
def test_what_is_wrong_is_one_message(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", *words]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_help_needs_no_torch() -> None:
    code = "import sys; from lab.cli.main import main\ntry: main(['probe', '--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('torch', 'matplotlib', 'tensorboard') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--draws" in done.stdout
