"""Any two parts of different kinds train together, three steps of `synthetic`, and come back from a checkpoint."""

import io
import itertools
import math
import warnings
from typing import Any

import pytest
import torch

from lab.cli import catalogue
from lab.config import RunConfig
from lab.identity import with_values
from lab.runs.build import Parts, assemble
from lab.training.fit import fit

pytestmark = pytest.mark.slow  # 315 pairs

KINDS = {
    "data.augment": "augments",
    "data.scale": "scales",
    "model.act": "acts",
    "model.drop": "drops",
    "model.head": "heads",
    "model.init": "inits",
    "model.norm": "norms",
    "model.pool": "pools",
    "model.skip": "skips",
    "optimizer.name": "optimizers",
    "schedule.name": "schedules",
    "train.clip": "clips",
    "train.loss": "losses",
    "train.penalty": "penalties",
}
NAMES = {key: list(catalogue.names(kind)) for key, kind in KINDS.items()}
NAMES["train.loss"].remove("value")  # of surfaces, which have no parts
NAMES |= {"model.output": ["identity", "softmax", "sigmoid"], "model.aux_blocks": ["none", "2"]}


def all_pairs(names: dict[str, list[str]]) -> list[dict[str, str]]:
    """Rows, one name for each key, that hold every pair of names of two keys at least once; greedy."""
    wanted = {
        ((one, a), (other, b))
        for one, other in itertools.combinations(sorted(names), 2)
        for a in names[one]
        for b in names[other]
    }
    rows = []
    while wanted:
        row = dict(min(wanted))
        for key in sorted(names, key=lambda key: -len(names[key])):
            if key not in row:
                gain = {
                    name: sum(tuple(sorted([other, (key, name)])) in wanted for other in row.items())
                    for name in names[key]
                }
                row[key] = max(names[key], key=gain.__getitem__)
        wanted -= set(itertools.combinations(sorted(row.items()), 2))
        rows.append(row)
    return rows


ROWS = all_pairs(NAMES)


def test_the_rows_hold_all_pairs() -> None:
    for one, other in itertools.combinations(NAMES, 2):
        assert {(row[one], row[other]) for row in ROWS} == set(itertools.product(NAMES[one], NAMES[other]))
    most = sorted(map(len, NAMES.values()))[-2:]
    assert len(ROWS) < 1.5 * most[0] * most[1]


def make(row: dict[str, str]) -> Parts:
    config = RunConfig()
    config.data.name, config.data.limit, config.train.batch_size = "synthetic", 48, 16
    config.model.block, config.model.widths, config.model.depth = "conv-norm-act-drop-pool", [4, 6], 4
    config.model.drop_rate, config.train.steps, config.train.eval_limit = 0.2, 3, 16
    config.train.device, config.train.clip_norm = "cpu", 1.0 if row["train.clip"] == "norm" else 0.0
    config.model.aux_blocks = [2] if row["model.aux_blocks"] == "2" else []
    config = with_values(config, {key: name for key, name in row.items() if key != "model.aux_blocks"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a choice has no effect on another is no fault here
        return assemble(config)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row.values()))
def test_any_two_parts_train_together_and_come_back(row: dict[str, str]) -> None:
    torch.manual_seed(0)
    parts = make(row)
    rows: list[dict[str, Any]] = []
    before = [weight.detach().clone() for weight in parts.model.parameters()]
    fit(parts.training, rows.append)
    assert parts.training.status == "finished"
    assert all(math.isfinite(value) for value in rows[-1].values())
    assert any(not torch.equal(one, other) for one, other in zip(before, parts.model.parameters(), strict=True))
    file = io.BytesIO()
    torch.save(parts.training.state(), file)
    file.seek(0)
    twin = make(row)
    twin.training.load_state(torch.load(file, weights_only=True))
    assert twin.training.step == 3
    assert twin.training.evaluate() == parts.training.evaluate()
