"""k steps, a stop, a resume and k steps are 2k steps, to the bit, whatever the run is made of and wherever it stops."""

import io
import warnings
from typing import Any

import pytest
import torch
from conftest import MakeJob

from lab.config import RunConfig
from lab.identity import derive_seed
from lab.nets.parts.drops import DROPS
from lab.nets.parts.norms import NORMS
from lab.nets.parts.skips import SKIPS
from lab.nets.zoo import NETS
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.clipping import CLIPS
from lab.training.fit import Training, fit
from lab.training.losses import LOSSES
from lab.training.optimizers import OPTIMIZERS
from lab.training.penalties import PENALTIES
from lab.training.schedules import SCHEDULES

# Six steps an epoch, one logged in three: the stops below fall inside an epoch, at a logged point, between epochs.
SMALL = {"train.steps": 14, "model.block": "conv-norm-act-drop-pool", "model.drop_rate": 0.2, "optimizer.lr": 0.01}
STOPS = (4, 9)


def make(config: RunConfig, state: bytes | None = None) -> Training:
    """The run as a new process would build it, from a checkpoint if there is one."""
    torch.rand(7)  # whatever the process drew before
    training = assemble(config).training
    torch.manual_seed(derive_seed(config.seed, "dropout"))
    if state is not None:
        training.load_state(torch.load(io.BytesIO(state), weights_only=True))
    return training


def pack(training: Training) -> bytes:
    buffer = io.BytesIO()
    torch.save(training.state(), buffer)
    return buffer.getvalue()


def in_one_go(config: RunConfig) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    training = make(config)
    fit(training, rows.append)
    return rows, training.state()


def in_pieces(config: RunConfig, stops: tuple[int, ...]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    training = make(config)
    for stop in stops:
        fit(training, rows.append, should_stop=lambda training=training, stop=stop: training.step >= stop)
        training = make(config, pack(training))
    fit(training, rows.append)
    return rows, training.state()


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two nested states are not the same to the bit; the clock is left out."""
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [where]
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in {**one, **other} if key not in ("seconds", "train_seconds")]
        return [found for key in keys for found in differences(one.get(key), other.get(key), f"{where}/{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)}"]
        return [found for i, a in enumerate(one) for found in differences(a, other[i], f"{where}/{i}")]
    return [] if type(one) is type(other) and one == other else [f"{where}: {one} and {other}"]


def check(config: RunConfig, stops: tuple[int, ...] = STOPS) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a setting has no effect is another test's
        (whole_rows, whole), (rows, pieces) = in_one_go(config), in_pieces(config, stops)
    assert whole["status"] == "finished"
    assert differences(whole_rows, rows, "rows") == []
    assert differences(whole, pieces, "state") == []
    return rows


CASES: list[dict[str, Any]] = [
    *({"optimizer.name": name, "optimizer.weight_decay": 0.01} for name in OPTIMIZERS),
    *({"schedule.name": name, "schedule.warmup_frac": 0.2} for name in SCHEDULES),
    *({"schedule.name": name, "schedule.interval": "epochs"} for name in ("step", "cosine", "triangular2")),
    *({"model.norm": name} for name in NORMS),
    *({"model.drop": name} for name in DROPS),
    *({"model.act": name} for name in ("prelu", "rrelu", "noisy_relu", "maxout")),  # what learns or draws
    *({"model.pool": name} for name in ("max_avg", "stochastic", "stride")),
    *({"model.skip": name, "model.drop": "stochastic_depth"} for name in SKIPS),
    *({"model.name": name} for name in NETS),
    *({"train.loss": name} for name in LOSSES if name != "value"),
    *({"train.clip": name, "train.clip_norm": 0.1, "train.clip_value": 0.01} for name in CLIPS if name != "none"),
    *({"train.penalty": name, "train.penalty_weight": 0.01} for name in PENALTIES if name != "none"),
    {"model.name": "beale", "data.name": "blank", "train.loss": "value"},
    {"train.max_norm": 0.5},
    {"train.precision": "bf16"},
    {"train.channels_last": True},
    {"data.augment": "crop-flip-cutout"},
    {"data.name": "diabetes", "model.block": "linear-norm-act-drop", "train.clip_norm": 0.1},
    {"model.weight_std": True, "model.drop": "dropconnect"},
    {"model.aux_blocks": [1, 2], "model.depth": 4, "model.init": "lsuv"},
    {"schedule.name": "plateau", "schedule.patience": 0, "optimizer.name": "muon", "optimizer.lr": 1e-12},
    {"train.patience": 1, "optimizer.lr": 0.3, "optimizer.name": "sgd"},
    {"train.patience": 2, "train.patience_metric": "val/accuracy", "schedule.name": "plateau"},
]


@pytest.mark.parametrize("changes", CASES, ids=lambda changes: ",".join(f"{k}={v}" for k, v in changes.items()))
def test_a_resume_is_exact(make_job: MakeJob, changes: dict[str, Any]) -> None:
    check(make_job(changes={**SMALL, **changes}).config)


@pytest.mark.parametrize("stop", range(1, 14))
def test_wherever_the_stop_falls(make_job: MakeJob, stop: int) -> None:
    changes = {"optimizer.name": "adamw", "schedule.name": "plateau", "schedule.patience": 0, "train.penalty": "l2"}
    changes |= {"train.patience": 5, "data.augment": "crop", "train.clip_norm": 0.1}
    check(make_job(changes={**SMALL, **changes}).config, (stop,))


def test_the_plateau_had_something_to_remember(make_job: MakeJob) -> None:
    """Or else the case above shows nothing."""
    changes = {"schedule.name": "plateau", "schedule.patience": 0, "optimizer.name": "muon", "optimizer.lr": 1e-12}
    rates = [row["train/lr"] for row in check(make_job(changes={**SMALL, **changes}).config)]
    assert len(set(rates)) > 2


STARTS: dict[str, dict[str, Any]] = {
    "frozen": {"start.freeze_epochs": 1.0},
    "frozen for good": {"start.freeze_epochs": None},
    "pruned weights": {"start.load": "all", "start.prune": "weights", "start.prune_by": "magnitude"},
    "pruned blocks": {"start.load": "all", "start.prune": "blocks", "start.prune_by": "smallest"},
    "pruned by curvature": {
        "start.load": "all",
        "start.prune": "weights",
        "start.prune_by": "curvature",
        "optimizer.name": "momentum",
    },
}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.slow
def test_a_resume_of_what_started_from_another_run_is_exact(make_job: MakeJob, name: str) -> None:
    net = {**SMALL, "model.block": "conv-norm-act-drop", "model.skip": "add", "model.depth": 4, "model.widths": [4]}
    source = make_job("source", net)
    assert run(source)["status"] == "finished"
    check(make_job(changes={**net, **STARTS[name], "start.run": str(source.folder)}).config, (3, 6, 8))


def test_a_checkpoint_holds_what_it_always_held(make_job: MakeJob) -> None:
    """Stored runs resume: a state put together by the names that checkpoints have had goes on to the same numbers."""
    changes = {"optimizer.name": "momentum", "schedule.name": "plateau", "schedule.patience": 0, "train.patience": 5}
    config = make_job(changes={**SMALL, **changes, "train.penalty": "l2", "train.clip_norm": 0.1}).config
    whole_rows, _ = in_one_go(config)
    rows: list[dict[str, Any]] = []
    training = make(config)
    fit(training, rows.append, should_stop=lambda: training.step >= 7)
    step, tally, plateau, stopping = training.train_step, training.train_step.tally, training.plateau, training.stopping
    assert plateau is not None
    assert stopping is not None
    old = {
        "model": step.model.state_dict(),
        "optimizer": step.optimizer.state_dict(),
        "step": 7,
        "train_seconds": 12.5,
        "num_images": 20,  # one step since the logged point at step 6
        "status": "interrupted",
        "stopped_by": "",
        "totals": tally.totals,  # (loss, correct)
        "step_totals": tally.step_totals,  # (steps, clipped, penalty)
        "plateau": {"multiplier": plateau.multiplier, "torch": plateau._torch.state_dict()},
        "stopping": {key: getattr(stopping, key) for key in ("best", "best_step", "stale", "weights")},
        "scaling": None,
        "rng": {"cpu": torch.get_rng_state()},
    }
    assert training.state().keys() == old.keys() | {"other_rngs"}
    assert tally.totals.shape == (2,)
    assert tally.step_totals[0] == 1
    buffer = io.BytesIO()
    torch.save(old, buffer)
    resumed = make(config, buffer.getvalue())
    assert (resumed.step, resumed.status, resumed.clock.seconds) == (7, "running", 12.5)
    fit(resumed, rows.append)
    assert differences(whole_rows, rows, "rows") == []
