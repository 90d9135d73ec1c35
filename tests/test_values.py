"""Values at the ends of what a key takes, and combinations of them: they train, or one message says why not."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import MakeJob

from lab.config import ModelConfig, RunConfig
from lab.data import decode as decoding
from lab.data.folder import read_folder
from lab.errors import UserError
from lab.identity import with_values
from lab.nets.size import check_size, least_bytes, most_bytes
from lab.records.cells import cells
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.schedules import make_schedule
from lab.validation import all_keys, validate

FILE = Path(__file__).parent.parent / "benchmarks" / "fuzz_configs.py"
WHOLE = [name for name, key in all_keys().items() if isinstance(key.default, int) and key.knob.bounded]
EXTREMES = [2**63, 10**400, -(10**400), -1e308, float("nan")]


@pytest.mark.parametrize("key", [name for name, key in all_keys().items() if key.knob.bounded])
def test_no_number_ends_in_a_traceback(key: str) -> None:
    knob = all_keys()[key]
    for number in EXTREMES:
        if isinstance(number, float) or key in WHOLE:
            value: Any = [number] if isinstance(knob.default, list) else str(number) if knob.knob.choices else number
            with pytest.raises(UserError, match=f"{key}=.*(out of range|too large); allowed: "):
                validate(with_values(RunConfig(), {"train.watch": True, key: value}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.widths": [1_000_000, 1_000_000], "model.depth": 3}, r"model\.widths=.*GB of memory are free"),
        ({"model.kernel": 255, "model.widths": [100_000]}, r"model\.kernel=255.* takes .* GB at least"),
        ({"model.block": "linear-act", "model.widths": [10**6, 10**6], "model.depth": 3}, r"takes 8,0\d\d\.\d GB"),
        ({"data.resize": 8192}, r"data\.resize=8192 makes 12\.1 GB of 180 images"),
        (
            {"data.val_frac": 0.9},
            r"train\.batch_size=20 .* 1 to 15, the number of training images \(data\.val_frac=0\.9\)",
        ),
        (
            {"train.batch_size": 1, "model.block": "linear-norm-act"},
            r"train\.batch_size=1 leaves a batch norm one number",
        ),
        ({"start.prune": "blocks"}, r"start\.prune=blocks with start\.prune_count=1 is out of range"),
    ],
    ids=["wide", "kernel", "linear", "resize", "val_frac", "batch_norm", "blocks"],
)
def test_what_cannot_train_is_one_message(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    for module in ("lab.runs.build", "lab.data.variants"):
        monkeypatch.setattr(f"{module}.free_bytes", lambda device: 4 * 10**9)
    with pytest.raises(UserError, match=said):
        assemble(make_job(changes=changes).config)


@pytest.mark.parametrize(
    "changes",
    [
        {"train.batch_size": 1, "model.block": "conv-norm-act"},
        {"train.batch_size": 1, "model.block": "linear-norm-act", "model.norm": "layer"},
        {"schedule.name": "triangular2", "schedule.cycles": 1_000_000},
        {"train.epochs": 1e9, "train.eval_every": 1e9},
        {"train.pictures": 2**63 - 1, "train.eval_limit": 2**63 - 1, "seed": 2**63 - 1},
        {"model.block": "norm-conv", "model.norm": "layer"},
        {"model.block": "norm-conv", "model.norm": "group", "train.precision": "bf16"},
        {"model.name": "own_parts:norm_net", "train.channels_last": True},
    ],
)
def test_what_is_odd_trains(make_job: MakeJob, changes: dict[str, Any]) -> None:
    assert run(make_job(changes={"train.steps": 2, **changes}))["status"] == "finished"


def test_most_bytes_bounds_least_bytes() -> None:
    for knobs in ({}, {"depth": 9, "widths": [8, 16]}, {"block": "linear-act"}, {"skip": "concat", "depth": 6}):
        config = ModelConfig(**{"widths": [8], **knobs})
        assert 0 < least_bytes(config, (3, 16, 16), 10, 8) <= most_bytes(config, (3, 16, 16), 10, 8)
    linear = ModelConfig(block="linear", widths=[5], depth=2)
    num_weights = 12 * 5 + 5 + 5 * 2 + 2
    assert least_bytes(linear, (12,), 2, 3) == 4 * (2 * num_weights + 15 + 6)
    check_size(linear, (12,), 2, 3, None)
    with pytest.raises(UserError, match=r"takes 0\.0 GB at least .*; 0\.0 GB of memory are free"):
        check_size(linear, (12,), 2, 3, 100)


def test_the_height_of_a_late_cycle_is_that_of_its_formula() -> None:
    schedule = make_schedule("triangular2", 0.0, cycles=8, low=0.1)
    assert schedule(0.4375) == pytest.approx(0.1 + 0.9 / 2**3)


def test_an_image_that_memory_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    for name in "ab":
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("L", (40, 40)).save(tmp_path / "train" / name / "0.png")
    monkeypatch.setattr(decoding, "free_memory", lambda: 1000)
    with pytest.raises(UserError, match=r"2 images as large as .*0\.png do not fit into memory; data\.resize=SIDE"):
        read_folder(tmp_path)
    monkeypatch.undo()
    os.mkfifo(tmp_path / "train" / "a" / "1.png")
    with pytest.raises(UserError, match=r"1\.png is not a regular file"):
        read_folder(tmp_path)


def test_no_cell_is_a_formula() -> None:
    row = ["=1+1", "+a", "-b", "@c", "\td", "-0.5", "+3", "1e-3", "a=b", -2.5, None, ""]
    assert cells(row) == ["'=1+1", "'+a", "'-b", "'@c", "'\td", "-0.5", "+3", "1e-3", "a=b", -2.5, None, ""]


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    sys.path.append(str(FILE.parent))  # its processes import it by its name
    try:
        return importlib.import_module("fuzz_configs")
    finally:
        sys.path.remove(str(FILE.parent))


def test_the_fuzzer_draws_every_key(fuzzer: ModuleType) -> None:
    drawn = {key for number in range(400) for key in fuzzer.overrides(0, number, ["run"] * len(fuzzer.NETS))}
    assert set(fuzzer.keys()) <= drawn
    assert fuzzer.overrides(0, 7, ["run"] * 9) == fuzzer.overrides(0, 7, ["run"] * 9)


@pytest.mark.slow
def test_forty_random_configurations_train_or_say_why_not(
    fuzzer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FILE.parent))
    results = list(fuzzer.fuzz(range(40), 1, tmp_path, 1, 120))
    assert [result for result in results if result["outcome"] not in fuzzer.RIGHT] == []
    assert sum(result["outcome"] == "trained" for result in results) >= 10
