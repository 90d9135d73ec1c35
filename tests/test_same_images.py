"""What is never subtracted: arms of different test images, and arms that are one and the same; and what is told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import check_claims, compare, write_run

from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import flatten
from lab.records.results import Run
from lab.studies.comparison.factorial import find_grid
from lab.studies.report.foot import foot
from lab.studies.report.formats import FORMATS
from lab.studies.report.table import verdict_data
from lab.studies.select.images import scored_alike

TAG = "val/accuracy"
SHIFTED = (0.90, 0.92, 0.91, 0.93, 0.90)
SCORES = (0.80, 0.82, 0.81, 0.83, 0.80)


def write(root: Path, arm: dict[str, Any], scores: Sequence[float] = SCORES, **more: Any) -> list[Run]:
    return [write_run(root, arm, seed, {TAG: score}, **more) for seed, score in enumerate(scores)]


def claim(kind: str, left: dict[str, Any], right: dict[str, Any], **more: Any) -> dict[str, Any]:
    sides = {kind: [left, right]} if kind == "same" else {kind: left, "than": right}
    return {"say": "it is so", **sides, **more}


ACT = ({"model.act": "relu"}, {"model.act": "tanh"})


@pytest.mark.parametrize(
    "config",
    [
        {"data.name": "synthetic"},
        {"data.classes": ["1", "2"]},
        {"train.eval_limit": 10},
        {"data.name": "folder", "data.root": "elsewhere"},
    ],
    ids=lambda config: " ".join(config),
)
def test_arms_of_other_test_images_are_not_subtracted(config: dict[str, Any], tmp_path: Path) -> None:
    runs = [*write(tmp_path, {"model.act": "relu"}), *write(tmp_path, {"model.act": "tanh", **config}, SHIFTED)]
    found = compare(runs, {"claims": [claim("higher", *reversed(ACT))]})
    assert [arm.difference for arm in found.arms] == [None, None]
    assert all(arm.is_reference for arm in found.arms)
    (verdict,) = found.verdicts
    assert (verdict.verdict, verdict.n, verdict.effect) == ("undecided", 0, None)
    assert "test images are not subtracted" in foot(found)[0]
    assert find_grid(found) is None
    for by in (["model.act"], list(config)):
        assert all(arm.difference is None for arm in compare(runs, {}, by=by).arms)


@pytest.mark.parametrize(
    "config",
    [
        {"data.limit": 100},
        {"data.augment": "crop"},
        {"data.label_noise": 0.1},
        {"data.imbalance": 0.5},
        {"data.scale": "raw"},
        {"data.resize": 4},
        {"data.root": "elsewhere"},  # of a downloaded data set
    ],
    ids=lambda config: " ".join(config),
)
def test_arms_of_other_training_images_are(config: dict[str, Any], tmp_path: Path) -> None:
    runs = [*write(tmp_path, {"model.act": "relu"}), *write(tmp_path, {"model.act": "tanh", **config}, SHIFTED)]
    difference = compare(runs, {}).arms[1].difference
    assert difference is not None
    assert difference.value == pytest.approx(0.1)


def test_images_are_told_by_their_content_where_it_is_known(tmp_path: Path) -> None:
    own = {"data.name": "own_parts:tiny"}

    def subtracted(name: str, left: dict[str, Any], right: dict[str, Any]) -> bool:
        runs = [
            *write(tmp_path / name, {"model.act": "relu"}, **left),
            *write(tmp_path / name, {"model.act": "tanh"}, SHIFTED, **right),
        ]
        return compare(runs, {}).arms[1].difference is not None

    assert subtracted("alike", {"scored_on": "a", "config": own}, {"scored_on": "a", "config": own})
    assert not subtracted("changed", {"scored_on": "a", "config": own}, {"scored_on": "b", "config": own})
    assert subtracted("older", {"config": own}, {"scored_on": "b", "config": own})
    limited = {"model.act": "tanh", "train.eval_limit": 10_000}  # more than there are
    runs = [run for arm in (ACT[0], limited) for run in write(tmp_path / "limit", arm, scored_on="a")]
    assert compare(runs, {}).arms[1].difference is not None


def test_each_set_of_images_has_its_reference(tmp_path: Path) -> None:
    runs = []
    for place, data in enumerate(("digits", "synthetic")):
        for step, act in enumerate(("relu", "tanh")):
            scores = [score - 0.2 * place + 0.01 * step for score in SCORES]
            runs += write(tmp_path, {"data.name": data, "model.act": act}, scores)
    found = compare(runs, {})
    assert [arm.reference for arm in found.arms] == [
        *["data=digits act=relu"] * 2,
        *["data=synthetic act=relu"] * 2,
    ]
    assert [arm.difference and round(arm.difference.value, 6) for arm in found.arms] == [None, 0.01, None, 0.01]
    assert found.reference == "the first arm of the same test images"
    assert "differences to the first arm of the same test images" in FORMATS["text"](found)
    grid = find_grid(found)
    assert grid is not None
    assert [effect.keys for effect in grid.main] == [("model.act",)], "data has no main effect"
    assert [effect.keys for effect in grid.interactions] == [("data.name", "model.act")]
    # A claim that leaves the data open averages the differences within each.
    (verdict,) = compare(runs, {"claims": [claim("higher", *reversed(ACT))]}).verdicts
    assert verdict.effect == pytest.approx(0.01)
    assert verdict.n == 5
    by = compare(runs, {}, by=["model.act"])
    assert by.arms[1].difference is not None
    assert by.arms[1].difference.value == pytest.approx(0.01)


def test_claims_between_data_sets_are_refused_before_the_first_run(tmp_path: Path) -> None:
    data = [{"data": "digits"}, {"data": "synthetic"}]
    arms = [
        {**flatten(RunConfig()), "data.name": name, "model.act": act}
        for name in ("digits", "synthetic")
        for act in ("relu", "tanh")
    ]
    with pytest.raises(
        UserError, match="claim 'it is so': data=digits and data=synthetic are scored on different test"
    ):
        check_claims({"claims": [claim("higher", *data)]}, arms)
    check_claims({"claims": [claim("higher", *ACT)]}, arms)
    apart = {"say": "it helps more there", "interaction": [*ACT], "between": data}
    check_claims({"claims": [apart]}, arms)
    with pytest.raises(UserError, match="different test images"):
        check_claims({"claims": [{**apart, "interaction": data, "between": [*ACT]}]}, arms)
    check_claims({"claims": [claim("higher", {"data": "digits", **ACT[0]}, {"data": "digits", **ACT[1]})]}, arms[:2])
    # And stored runs with such a claim are not judged by it.
    runs = [run for name in ("digits", "synthetic") for run in write(tmp_path, {"data.name": name})]
    (verdict,) = compare(runs, {"claims": [claim("higher", *data)]}).verdicts
    assert (verdict.verdict, verdict.n) == ("undecided", 0)
    assert verdict.explain == "data=digits and data=synthetic are scored on different test images, so they are not " + (
        "subtracted."
    )


def test_what_else_differs_is_named(tmp_path: Path) -> None:
    sgd = {"optimizer.name": "sgd", "optimizer.lr": 0.1}
    runs = write(tmp_path, {"model.block": "conv-act-pool", **sgd})
    runs += write(tmp_path, {"model.block": "conv-pool-act"}, SHIFTED)
    assert foot(compare(runs, {}))[0] == (
        "block=conv-pool-act also differs from its reference in optimizer.name (adam, not sgd) and "
        "optimizer.lr (0.001, not 0.1)."
    )
    runs = write(tmp_path / "two", {"model.act": "relu"}, config={"train.steps": 100})
    runs += write(tmp_path / "two", {"model.act": "tanh"})
    assert foot(compare(runs, {}, by=["model.act"])) == [
        "act=tanh shares no value of train.steps with its reference, so there is no difference."
    ]
    assert [arm.difference for arm in compare(runs, {}).arms] == [None, None]
    runs = write(tmp_path / "three", {"model.act": "relu"})
    runs += write(tmp_path / "three", {"model.act": "tanh"}, environment={"device": "NVIDIA", "torch": "2.14.0"})
    (line, *_) = foot(compare(runs, {}))
    assert line.endswith("in device (NVIDIA, not cpu) and version of torch (2.14.0, not 2.13.0).")
    runs = [run for act in ("relu", "tanh") for run in write(tmp_path / "four", {"model.act": act})]
    assert not [line for line in foot(compare(runs, {})) if "differ" in line]


def test_one_run_compared_with_itself_supports_nothing(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {"index": np.arange(40), "label": np.arange(40) % 10, "predicted": np.arange(40) % 9}

    def runs(name: str, *digits: str | None) -> list[Run]:
        found = [
            write_run(tmp_path / name, {"model.norm": norm}, seed, {TAG: score}, fingerprint=f"{own}{seed}")
            if own
            else write_run(tmp_path / name, {"model.norm": norm}, seed, {TAG: score})
            for norm, own in zip(("none", "batch"), digits, strict=True)
            for seed, score in enumerate(SCORES)
        ]
        for run in found:
            np.savez(run.path / "predictions.npz", **wrong)
        return found

    sides = ({"model.norm": "none"}, {"model.norm": "batch"})
    claims = [claim("same", *sides, within=0.05), claim("higher", *sides, by=0.01)]
    found = compare(runs("one", "a", "a"), {"claims": claims})
    for verdict in found.verdicts:
        assert (verdict.verdict, verdict.idle_keys, verdict.seeds_needed) == ("undecided", ["model.norm"], None)
        assert verdict.explain.endswith(
            "model.norm had no effect in these runs: both sides are one and the same net, trained alike."
        )
    assert verdict_data(found)["claims"][0]["idle_keys"] == ["model.norm"]
    assert "model.norm had no effect: norm=batch is the same net as norm=none, trained alike." in foot(found)
    assert not any("correlate" in line for line in foot(found))
    # Equal scores of nets that are built differently, or of which nothing is known, are judged as before.
    for name, digits in (("two", ("a", "b")), ("three", ("a", None)), ("four", (None, None))):
        same, higher = compare(runs(name, *digits), {"claims": claims}).verdicts
        assert same.idle_keys == higher.idle_keys == []
        assert same.verdict == "supported", "built differently, and the same for every test image"
        assert "no effect" not in same.explain


def test_a_key_that_acts_in_one_seed_or_level_is_not_idle(tmp_path: Path) -> None:
    sides = ({"model.norm": "none"}, {"model.norm": "batch"})
    runs = [
        write_run(tmp_path, {"model.norm": norm, "model.act": act}, seed, {TAG: score}, fingerprint=f"{own}{act}{seed}")
        for norm in ("none", "batch")
        for act in ("relu", "tanh")
        for seed, score in enumerate(SCORES)
        for own in [norm if act == "tanh" else ""]
    ]

    def idle(where: dict[str, Any]) -> list[str]:
        return compare(runs, {"claims": [claim("same", *sides, within=0.05, where=where)]}).verdicts[0].idle_keys

    assert idle({"model.act": "relu"}) == ["model.norm"]
    assert idle({"model.act": "tanh"}) == idle({}) == []
    apart = {"say": "more", "interaction": [*sides], "between": [{"model.act": "relu"}, {"model.act": "tanh"}]}
    assert compare(runs, {"claims": [apart]}).verdicts[0].idle_keys == [], "the difference at tanh is real"


@pytest.mark.parametrize(
    ("other", "resize", "alike"),
    [("aa-11", None, True), ("aa-22", None, False), ("bb-11", None, False), ("aa-22", 4, True), ("bb-22", 4, False)],
)
def test_images_at_two_sizes_are_the_same_images(other: str, resize: int | None, alike: bool, tmp_path: Path) -> None:
    relu = write(tmp_path, {"model.act": "relu"}, scored_on="aa-11")
    tanh = write(tmp_path, {"model.act": "tanh", "data.resize": resize}, scored_on=other)
    assert scored_alike(relu, tanh) == alike
