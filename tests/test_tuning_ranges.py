"""Tuning over ranges: points drawn alike for all arms and in every process, budgets, ends, arms that never train."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_tuning import LR, WORDS, Fake, fake_training, tuning_in

from lab.cli.main import main
from lab.config import StudyConfig
from lab.errors import UserError
from lab.overrides.compose import typed_grid
from lab.overrides.plan import Options, all_jobs
from lab.ranges import Range, read_range
from lab.records.results import find_runs
from lab.records.tuning import Tried, TunedArm, Tuning
from lab.space import draw, most_points, points, space, widen
from lab.studies.comparison.tuned import picked_text, tuning_warnings
from lab.studies.figures.tuning_curves import key_places

DECAY = "optimizer.weight_decay"
MIXED = {LR: "log(1e-4, 1)", DECAY: [0, 1e-4], "model.depth": "uniform(2, 5)"}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return fake_training(tmp_path, monkeypatch)


def drawn(tune: dict[str, Any], **study: Any) -> list[dict[str, Any]]:
    return points(StudyConfig(tune=typed_grid(tune), **study))


def test_points_lie_in_their_ranges_and_cover_them() -> None:
    found = drawn(MIXED)
    assert len(found) == 16
    assert list(found[0]) == list(MIXED)
    rates = sorted(point[LR] for point in found)
    assert 1e-4 <= rates[0] < rates[-1] <= 1
    # Sixteen points of a Sobol sequence have one in each sixteenth of every axis.
    assert sorted(math.floor(16 * math.log(rate / 1e-4) / math.log(1e4)) for rate in rates) == list(range(16))
    assert sorted({point["model.depth"] for point in found}) == [2, 3, 4, 5]
    assert all(type(point["model.depth"]) is int for point in found)
    assert [sum(point[DECAY] == value for point in found) for value in (0.0, 1e-4)] == [8, 8]
    assert all(float(f"{rate:.4g}") == rate for rate in rates)  # values that people can type


def test_points_are_the_same_in_every_process_and_whatever_the_order_of_keys() -> None:
    code = f"from lab.space import draw, space; import json; print(json.dumps(draw(space({MIXED!r}), 16)))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(other.stdout) == draw(space(MIXED), 16)
    turned = dict(reversed(MIXED.items()))
    assert [dict(sorted(one.items())) for one in draw(space(turned), 16)] == [
        dict(sorted(one.items())) for one in draw(space(MIXED), 16)
    ]


@pytest.mark.parametrize("number", [2, 3, 16, 17, 40])
def test_a_larger_budget_adds_to_the_points(number: int) -> None:
    for tune in (MIXED, {LR: "uniform(0.1, 0.11)"}, {"model.depth": "log(2, 100)"}):
        assert draw(space(tune), 64)[:number] == draw(space(tune), number)


def test_all_points_are_tried_where_there_are_few() -> None:
    depths = {"model.depth": "uniform(2, 5)"}
    assert drawn(depths) == [{"model.depth": depth} for depth in (2, 3, 4, 5)]
    grid = {LR: [0.1, 0.2], "model.depth": [2, 3, 4]}
    assert drawn(grid) == drawn(grid, tune_trials=6) == drawn(grid, tune_trials=9)
    some = drawn(grid, tune_trials=4)
    assert len(some) == 4
    assert all(point in drawn(grid) for point in some)


@pytest.mark.parametrize(
    ("text", "whole", "share", "value"),
    [
        ("log(1e-4, 1)", False, 0.5, 0.01),
        ("uniform(0, 0.5)", False, 0.5, 0.25),
        ("uniform(0.99, 0.999)", False, 0.5, 0.9945),
        ("uniform(2, 5)", True, 0.0, 2),
        ("uniform(2, 5)", True, 0.999, 5),
        ("log(1, 8)", True, 0.999, 8),
    ],
)
def test_a_range_has_its_values_and_knows_where_they_lie(text: str, whole: bool, share: float, value: float) -> None:
    found = read_range(text, whole)
    assert found.value(share) == pytest.approx(value)
    assert read_range(str(found), whole) == found
    assert found.share(found.low) == 0
    assert found.share(found.high) == 1


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({LR: "log(0,1)"}, r"optimizer.lr=log\(0,1\) is not possible: a logarithmic range begins above 0"),
        ({LR: "log(1, 0.1)"}, r"is empty; write log\(0.1, 1\)"),
        ({LR: "log(1, 1)"}, "is empty; allowed: a lower end below the upper one"),
        ({LR: "loguniform(1e-4, 1)"}, r"loguniform is unknown \(did you mean 'uniform'\?\); allowed: log\(low, high\)"),
        ({LR: "interval(1e-4, 1)"}, r"interval is unknown; allowed: .*or a list of values"),
        ({LR: "log(1e-4)"}, r"is no range; allowed: log\(low, high\), with two numbers"),
        ({LR: "log(small, 1)"}, r"is no range; allowed: log\(low, high\), with two numbers"),
        ({LR: "uniform(0, inf)"}, "ends are to be finite numbers"),
        ({LR: "log(1e-4", "1)": None}, r"is not complete: '\)' is missing; .* wants quotes: 'log\(1e-4, 1\)'"),
        ({LR: "log(-1, 1)"}, "a logarithmic range begins above 0"),
        ({"model.depth": "uniform(2.5, 5)"}, "is no range of whole numbers"),
        ({"model.act": "log(1, 2)"}, "model.act is no single number, so it has no ranges; allowed: a list of values"),
        ({"model.widths": "uniform(1, 2)"}, "model.widths is no single number"),
    ],
)
def test_what_is_no_range_is_refused(tune: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^study.tune: .*{message}"):
        typed_grid(tune)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study.tune={optimizer.lr: uniform(-1, 1)}"], "uniform(-1, 1): -1 is out of range; allowed: above 0"),
        (["study.tune={optimizer.momentum: uniform(0.5, 1)}"], "1 is out of range; allowed: at least 0 and below 1"),
        (["study.tune={model.depth: uniform(0, 5)}"], "uniform(0, 5): 0 is out of range; allowed: 1 to 2,000"),
        (["study.tune={optimizer.rate: log(0.1, 1)}"], "optimizer.rate is no key of the configuration"),
        (["study.tune={optimizer.lr: fast}"], "allowed: a list of two or more values, all different, or a range, log("),
        (["study.tune={optimizer.lr: log(0.1, 1)}", "study.tune_trials=0"], "study.tune_trials=0 is out of range"),
        (["study.tune={optimizer.lr: log(0.1, 1)}", "study.tune_trials=1.5"], "is not a whole number"),
        (["study.tune={optimizer.lr: log(0.1, 1)}", "study.tune_widen=-1"], "study.tune_widen=-1 is out of range"),
        (["study.tune={optimizer.lr: [0.1, 1]}", "study.tune_widen=1"], "widens ranges, and study.tune has none"),
        (["study.tune={optimizer.lr: log(0.1, 1)}", "study.tune_trials=1000", "model.depth=2,3,4"], "6,0"),
        (["study.tune={model.norm: log(1, 2)}"], "model.norm is no single number"),
    ],
)
def test_a_wrong_budget_or_range_is_told_before_the_first_run(
    words: list[str], message: str, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*WORDS, *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert fake.trained == []


def test_a_range_in_a_file_and_in_python_is_the_one_that_is_typed(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "drawn.yaml").write_text("# @package _global_\nstudy:\n  tune:\n    optimizer.lr: log(1e-4, 1)\n")
    options = Options(config_dir=str(tmp_path))
    ((job,),) = all_jobs("train", ["experiment=drawn"], options)
    ((other,),) = all_jobs("train", ["study.tune={optimizer.lr: 'log(.0001, 1.0)'}"], options)
    assert job.config.study.tune == other.config.study.tune == {LR: "log(0.0001, 1)"}
    (folder / "drawn.yaml").write_text("# @package _global_\nstudy:\n  tune: {optimizer.lr: log(1e-4, 1)}\n")
    with pytest.raises(UserError, match="a range within braces of a file wants quotes"):
        all_jobs("train", ["experiment=drawn"], options)


def test_all_arms_try_the_same_points_and_more_later(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, "study.tune={optimizer.lr: log(1e-4, 10)}"]
    assert main([*words, "study.tune_trials=4"]) == 0
    out = capsys.readouterr().out
    assert "2 arms x 4 values x 1 seed = 8 tuning trials, then 4 runs to compare" in out
    assert "tuned before the comparison at points drawn from optimizer.lr=log(0.0001, 10)" in " ".join(out.split())
    first = tuning_in(Path("outputs/scratch"))
    assert first.ranges == {LR: "log(0.0001, 10)"}
    rates = [[point.values[LR] for point in arm.tried] for arm in first.arms]
    assert rates[0] == rates[1] == [point[LR] for point in drawn({LR: "log(1e-4, 10)"}, tune_trials=4)]
    before = fake.trained[:]
    assert main([*words, "study.tune_trials=8"]) == 0
    more = [one for one in fake.trained[len(before) :] if one.startswith("_tune")]
    assert len(more) == 8
    assert not set(more) & set(before)
    second = tuning_in(Path("outputs/scratch"))
    assert [point.values[LR] for point in second.arms[0].tried][:4] == rates[0]
    assert {run.seed for run in find_runs([Path("outputs/_tune")])} == {1_000_000}
    assert main(["show", "outputs/scratch"]) == 0
    assert "Each arm had 8 tuning trials x 1 seed" in capsys.readouterr().out


def test_ranges_are_widened_where_an_arm_is_best_near_an_end(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, "study.tune={optimizer.lr: log(1e-4, 0.02)}", "study.tune_trials=4"]
    assert main(words) == 0
    assert re.search(
        r"model.norm=none and model.norm=batch are best|best at optimizer.lr=0.0\d+, near the upper end of "
        r"log\(0.0001, 0.02\): try larger ones, as study.tune_widen does",
        capsys.readouterr().out,
    )
    narrow, number = tuning_in(Path("outputs/scratch")), len(fake.trained)
    assert main([*words, "study.tune_widen=3"]) == 0
    out, wide = capsys.readouterr().out, tuning_in(Path("outputs/scratch"))
    assert "best near an end: 2 further values an arm, now from optimizer.lr=log(0.0001, 0.2828)" in out
    assert "try larger ones" not in out
    tried = [[point.values[LR] for point in arm.tried] for arm in wide.arms]
    assert tried[0] == tried[1]
    assert tried[0][:4] == [point.values[LR] for point in narrow.arms[0].tried]
    assert all(rate >= 0.02 for rate in tried[0][4:])
    assert wide.ranges[LR] in ("log(0.0001, 0.2828)", "log(0.0001, 3.999)")
    rates = {arm.arm["model.norm"]: arm.picked[LR] for arm in wide.arms}
    assert rates["batch"] > 0.02
    trained = len(fake.trained)
    assert trained > number
    assert main([*words, "study.tune_widen=3"]) == 0  # a second start trains nothing
    assert len(fake.trained) == trained


@pytest.mark.parametrize(
    ("axis", "side", "wider"),
    [
        ("optimizer.lr: log(0.01, 1)", "high", "log(0.01, 10)"),
        ("optimizer.lr: log(0.01, 1)", "low", "log(0.001, 1)"),
        ("optimizer.lr: uniform(0.2, 1)", "high", "uniform(0.2, 1.4)"),
        ("optimizer.lr: uniform(0.2, 1)", "low", "uniform(0.1, 1)"),  # half-way to 0, which no rate can be
        ("optimizer.momentum: uniform(0.5, 0.9)", "high", "uniform(0.5, 0.95)"),
        ("optimizer.momentum: uniform(0.1, 0.5)", "low", "uniform(0, 0.5)"),
        ("optimizer.momentum: uniform(0, 0.5)", "low", None),
        ("model.depth: uniform(2, 6)", "high", "uniform(2, 8)"),
        ("model.depth: uniform(2, 6)", "low", "uniform(1, 6)"),
        ("model.depth: uniform(1, 6)", "low", None),
    ],
)
def test_a_range_grows_by_half_as_far_as_its_key_goes(axis: str, side: str, wider: str | None) -> None:
    key, text = axis.split(": ")
    axes = space(typed_grid({key: text}))
    found, further = widen({key: text}, axes, [(key, side)], 4)
    assert str(found[key]) == (wider or text)
    before, after = axes[key], found[key]
    assert isinstance(before, Range)
    assert isinstance(after, Range)
    assert bool(further) == bool(wider)
    new = [point[key] for point in further]
    assert all(after.low <= one <= before.low if side == "low" else before.high <= one <= after.high for one in new)


def test_the_most_points_count_what_may_be_widened() -> None:
    study = StudyConfig(tune={LR: "log(0.1, 1)"}, tune_trials=5, tune_widen=2)
    assert most_points(study) == 5 + 2 * 3
    assert most_points(StudyConfig(tune={LR: [0.1, 1]})) == 2


def with_best(best: float, text: str, others: tuple[float, ...] = ()) -> Tuning:
    key = LR if "log" in text else DECAY
    values = [best, *others]
    tried = [Tried({key: value}, [0.9 if value == best else 0.5], ["finished"]) for value in values]
    arm = TunedArm({"model.norm": "batch"}, "11111111", "22222222", {key: best}, tried)
    return Tuning([key], "val/accuracy", [1_000_000], [arm], [], {key: text})


@pytest.mark.parametrize(
    ("best", "text", "others", "end"),
    [
        (0.7, "log(0.0001, 1)", (0.9, 0.001), "near the upper end of log(0.0001, 1): try larger"),
        (0.3, "log(0.0001, 1)", (0.9, 0.001), ""),
        (0.0002, "log(0.0001, 1)", (0.9, 0.00011), "near the lower end of log(0.0001, 1): try smaller"),
        (0.001, "log(0.0001, 1)", (0.9, 0.00011), ""),
        (0.3, "log(0.0001, 1)", (0.1, 0.001), "near the upper end"),  # nothing above it was tried
        (0.47, "uniform(0.1, 0.5)", (0.49, 0.2), "near the upper end of uniform(0.1, 0.5): try larger"),
        (0.45, "uniform(0.1, 0.5)", (0.49, 0.2), ""),
        (0.13, "uniform(0.1, 0.5)", (0.49, 0.11), "near the lower end"),
        (0.01, "uniform(0, 0.5)", (0.49, 0.2), ""),  # nothing lies below 0
    ],
)
def test_the_ends_of_a_range_are_told_by_its_own_scale(
    best: float, text: str, others: tuple[float, ...], end: str
) -> None:
    lines = tuning_warnings(with_best(best, text, others))
    assert [end in line for line in lines] == ([True] if end else [])


def test_arms_tuned_at_different_values_are_told_of() -> None:
    one, two = (with_best(best, "log(0.0001, 1)", (0.9, 0.001, third)) for best, third in ((0.1, 0.2), (0.1, 0.3)))
    both = Tuning(one.keys, one.metric, one.seeds, [*one.arms, *two.arms], [], one.ranges)
    assert tuning_warnings(both) == [
        "warning: the arms were tuned at different values; the whole sweep in one command gives all the same"
    ]


def test_a_line_has_the_best_of_many_values() -> None:
    many = with_best(0.1, "log(0.0001, 1)", tuple(0.2 + i / 100 for i in range(15)))
    others = "0.2: 0.5000, 0.21: 0.5000, 0.22: 0.5000 and 12 others"
    assert picked_text(many, many.arms[0]) == f"model.norm=batch: optimizer.lr=0.1 (val/accuracy 0.9000; {others})"


def test_the_axis_of_a_range_is_its_own() -> None:
    assert key_places(with_best(0.1, "log(0.0001, 1)", (0.2, 0.3)), LR)[1]
    assert not key_places(with_best(0.01, "uniform(0, 0.5)", (0.1, 0.5)), DECAY)[1]


def test_an_arm_that_no_value_trains_is_a_result(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.too_high = {"none": 1e-9}
    assert main([*WORDS, "study.tune={optimizer.lr: log(1e-3, 1)}", "study.tune_trials=4"]) == 0
    out, err = capsys.readouterr()
    said = (
        "no optimizer.lr of those tried trains model.norm=none (4 tuning trials diverged), so it has no runs to compare"
    )
    assert said in " ".join(out.split())
    assert "did not end well" not in err
    assert {run.config["model.norm"] for run in find_runs([Path("outputs/scratch")])} == {"batch"}
    text = " ".join(out.split())
    assert "undecided" in text.lower()
    assert f"{said[:1].upper()}{said[1:]}." in text
    assert main(["compare", "outputs/scratch"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    assert main([*WORDS, "study.tune={optimizer.lr: log(1e-3, 1)}", "study.tune_trials=4"]) == 0


def test_the_plan_says_the_budget(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    tune = ["study.tune={optimizer.lr: log(1e-3, 1)}", "study.tune_trials=4", "study.tune_widen=1"]
    assert main(["plan", *WORDS[1:], *tune]) == 0
    told = (
        "8 tuning trials first, 0 finished; 4 values an arm, and up to 2 further ones where an arm is best near an end"
    )
    assert f"{told}, drawn from optimizer.lr=log(0.001, 1)" in capsys.readouterr().out
    assert fake.trained == []
