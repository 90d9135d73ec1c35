"""The speed run: its net, and the benchmark that trains it by the lab and by hand, small and on a CPU."""

import importlib.util
import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lab.config import DataConfig, RunConfig
from lab.data.augment import cutout
from lab.nets.recipe import build
from lab.overrides.plan import all_jobs

FILE = Path(__file__).parent.parent / "benchmarks" / "speedrun.py"
spec = importlib.util.spec_from_file_location("speedrun", FILE)
assert spec is not None
assert spec.loader is not None
speedrun = importlib.util.module_from_spec(spec)
spec.loader.exec_module(speedrun)


@cache
def recipe() -> RunConfig:
    return speedrun.recipe(speedrun.SMOKE)


def smoke(**train) -> RunConfig:
    return replace(recipe(), train=replace(recipe().train, **train))


def test_the_net_has_the_shapes_and_parameters_of_the_page() -> None:
    (jobs,) = all_jobs("train", ["experiment=speedrun"])
    net = build(jobs[0].config.model, (3, 32, 32), 10)
    shapes, x = [], torch.zeros(1, 3, 32, 32)
    for _, layer in net.eval().named_children():
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(128, 16, 16), (256, 8, 8), (512, 4, 4), (512,), (10,)]
    page = (FILE.parent.parent / "experiments" / "speedrun" / "README.md").read_text()
    assert f"{sum(p.numel() for p in net.parameters()):,} parameters" in page


@pytest.mark.slow
def test_both_ways_have_the_same_first_losses() -> None:
    """Three epochs of four steps, in which the rate rises to its peak and falls."""
    config = speedrun.plain(smoke(steps=12))
    lab, hand = speedrun.lab_losses(config), speedrun.hand_losses(config)
    assert len(lab) == speedrun.LOSS_STEPS
    assert hand == pytest.approx(lab, rel=1e-5)
    for other in ({"lr": 0.11}, {"momentum": 0.8}, {"weight_decay": 0.05}):  # each would be seen
        changed = speedrun.hand_losses(replace(config, optimizer=replace(config.optimizer, **other)))
        assert changed != pytest.approx(lab, rel=1e-5)


def test_the_last_losses_are_the_same_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speedrun, "LOSS_STEPS", 20)
    config = speedrun.plain(smoke(steps=20))
    assert speedrun.hand_losses(config) == pytest.approx(speedrun.lab_losses(config), rel=1e-4)


def test_crops_and_flips_by_hand_are_those_of_torch() -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 2, 5, 6) + 1
    found = speedrun.augment(picture.expand(400, -1, -1, -1), reach=1, side=0)
    padded = F.pad(picture, (1, 1, 1, 1), "reflect")[0]
    crops = [padded[:, i : i + 5, j : j + 6] for i in range(3) for j in range(3)]
    wanted = torch.stack([version for crop in crops for version in (crop, crop.flip(2))])  # (18, c, h, w)
    equal = (found[:, None] == wanted).flatten(2).all(2)  # (400, 18)
    assert (equal.sum(1) == 1).all()
    counts = equal.sum(0)
    assert ((counts - 400 / 18).square() / (400 / 18)).sum() < 35.7  # chi-squared, 17 degrees of freedom, 0.5 %


def test_squares_by_hand_lie_where_the_labs_do() -> None:
    torch.manual_seed(0)
    ones = torch.ones(4000, 1, 6, 6)
    mine = speedrun.augment(ones, reach=1, side=3)
    labs = cutout(ones, torch.Generator().manual_seed(0), DataConfig(cutout_frac=0.5))
    assert (mine == 0).flatten(1).sum(1).unique().tolist() == [4, 6, 9]  # whole, over an edge, over a corner
    torch.testing.assert_close(mine.mean(0), labs.mean(0), atol=5 * (2 * 0.25 / 4000) ** 0.5, rtol=0)


@pytest.mark.slow
def test_a_smoke_run_prints_seconds_accuracy_and_the_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert speedrun.main(["--smoke", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    for seed in (0, 1):
        assert out.count(f"seed {seed}  ") == 2
    assert "6 steps of 32" in out
    assert "the figures mean nothing" in out
    for words in (r"lab      test accuracy mean 0\.\d{4}, sd", r"[\d,]+ images/s; validation at 0\.94: \d of 2 seeds"):
        assert re.search(words, out)
    assert re.search(r"lab is \d+\.\d\d times as fast as by hand; its test accuracy is [+-]0\.\d{4}", out)


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert speedrun.main([]) == 2
    assert "there is no GPU here; --smoke" in capsys.readouterr().err


@pytest.mark.slow
def test_it_fails_below_the_target_and_tells_when_that_was_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = smoke()
    monkeypatch.setattr(speedrun, "TARGET", 1.01)
    assert speedrun.compare(config, 1, smoke=False) == 1
    assert "is below 1.01" in capsys.readouterr().out
    assert math.isinf(speedrun.by_hand(config).reached)
    monkeypatch.setattr(speedrun, "TARGET", 0.0)
    for way in (speedrun.by_lab, speedrun.by_hand):
        outcome = way(config)
        assert 0 < outcome.reached < outcome.seconds  # at the first of two validations
    monkeypatch.setattr(speedrun, "TOLERANCE", -1.0)
    assert speedrun.compare(config, 1, smoke=True) == 1
