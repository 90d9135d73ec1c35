"""A run starts from another one: the body is taken over, held still and let go at the right step."""

import io
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeJob, rows

from lab.cli.main import main
from lab.errors import UserError
from lab.records.places import Job
from lab.records.results import read_result
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.fit import fit
from lab.training.optimizers import OPTIMIZERS

# Norms, drops and momenta: everything that could move in a frozen body, or get lost in a resume.
NET = {"model.block": "conv-norm-act-drop-pool", "model.depth": 3, "model.widths": [4, 6], "optimizer.name": "adamw"}
RESNET = {"model.block": "conv-norm-act", "model.depth": 5, "model.widths": [4], "model.skip": "add"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["model"]


def stop_after(steps: int) -> Callable[[], bool]:
    count = itertools.count(1)
    return lambda: next(count) >= steps


def body(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith("classifier")}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def source(make_job: MakeJob) -> Job:
    job = make_job("source", NET)
    assert run(job)["status"] == "finished"
    return job


def test_the_body_is_the_sources_and_the_classifier_is_fresh(make_job: MakeJob, source: Job) -> None:
    scratch = assemble(make_job(changes=NET).config).model.state_dict()
    parts = assemble(make_job(changes={**NET, "start.run": str(source.folder)}).config)
    state = parts.model.state_dict()
    assert same(body(state), body(weights(source.folder)))
    assert torch.equal(state["classifier.weight"], scratch["classifier.weight"])
    assert not torch.equal(state["classifier.weight"], weights(source.folder)["classifier.weight"])
    whole = assemble(make_job(changes={**NET, "start.run": str(source.folder), "start.load": "all"}).config)
    assert same(dict(whole.model.state_dict()), weights(source.folder))
    none = assemble(make_job(changes={**NET, "start.run": str(source.folder), "start.load": "none"}).config)
    assert same(dict(none.model.state_dict()), dict(scratch))
    assert none.started_from == {}


def test_an_arm_stands_for_its_run_of_the_same_seed(make_job: MakeJob, source: Job) -> None:
    other = make_job("source", {**NET, "seed": 1})
    other.config.name = source.config.name
    run(Job(other.config, source.folder.parent / "seed=1", {}, [], ""))
    for seed in (0, 1):
        parts = assemble(make_job(changes={**NET, "start.run": str(source.folder.parent), "seed": seed}).config)
        assert same(body(dict(parts.model.state_dict())), body(weights(source.folder.parent / f"seed={seed}")))
        assert parts.started_from["seed"] == seed


def test_the_result_says_what_it_started_from(make_job: MakeJob, source: Job) -> None:
    job = make_job(changes={**NET, "start.run": str(source.folder), "start.freeze_epochs": 1.5, "model.act": "tanh"})
    result = run(job)
    there = read_result(source.folder)
    assert there is not None
    assert "started_from" not in there
    said = result["started_from"]
    assert said == {
        "run": str(source.folder),
        "arm": there["arm"],
        "arm_id": there["arm_id"],
        "seed": 0,
        "steps": 20,
        "status": "finished",
        "name": "scratch",
        "train_seconds": there["train_seconds"],
        "load": "body",
        "differs": {"model.act": {"source": "relu", "run": "tanh"}},
        "frozen_steps": 9,
        "pruned": None,
        "dropped_blocks": [],
    }
    assert json.loads((job.folder / "result.json").read_text())["started_from"] == said


# Freezing


@pytest.mark.parametrize(("load", "clip"), [("body", "norm"), ("all", "sign")])
def test_a_frozen_body_does_not_move_to_the_bit(make_job: MakeJob, source: Job, load: str, clip: str) -> None:
    changes = {"start.run": str(source.folder), "start.freeze_epochs": None, "start.load": load, "train.clip": clip}
    job = make_job(changes={**NET, **changes, "optimizer.weight_decay": 0.1})
    before = {key: value.clone() for key, value in assemble(job.config).model.state_dict().items()}
    result = run(job)
    after = weights(job.folder)
    assert any("running_mean" in key for key in after)
    assert same(body(after), body(weights(source.folder)))
    assert not torch.equal(after["classifier.weight"], before["classifier.weight"])
    assert result["started_from"]["frozen_steps"] is None


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("extra", [{}, {"train.precision": "bf16", "train.channels_last": False}], ids=["fp32", "bf16"])
@pytest.mark.slow
def test_every_optimizer_takes_up_a_body_that_was_frozen(
    make_job: MakeJob, source: Job, name: str, extra: dict[str, Any]
) -> None:
    changes = {**NET, "start.run": str(source.folder), "start.freeze_epochs": 0.5, "optimizer.name": name, **extra}
    config = make_job(changes={**changes, "optimizer.lr": 0.01, "optimizer.weight_decay": 0.1}).config
    whole = assemble(config)
    torch.manual_seed(0)
    fit(whole.training)
    assert whole.training.status == "finished"
    assert all(value.isfinite().all() for value in whole.model.state_dict().values())
    started = weights(source.folder)
    assert all(not torch.equal(value, started[key]) for key, value in body(dict(whole.model.state_dict())).items()), (
        "all of the body is trained after it was let go"
    )
    for steps in (2, 3, 5):  # frozen, as it is let go, after
        first, second = assemble(config), assemble(config)
        torch.manual_seed(0)
        fit(first.training, should_stop=stop_after(steps))
        file = io.BytesIO()
        torch.save(first.training.state(), file)
        file.seek(0)
        second.training.load_state(torch.load(file, weights_only=True))
        fit(second.training)
        assert same(dict(second.model.state_dict()), dict(whole.model.state_dict())), steps


def test_without_freezing_it_moves(make_job: MakeJob, source: Job) -> None:
    job = make_job(changes={**NET, "start.run": str(source.folder)})
    run(job)
    moved = [
        key for key, value in body(weights(job.folder)).items() if not torch.equal(value, weights(source.folder)[key])
    ]
    assert set(moved) == set(body(weights(source.folder)))


def test_it_is_trained_from_the_right_step_on(make_job: MakeJob, source: Job) -> None:
    parts = assemble(make_job(changes={**NET, "start.run": str(source.folder), "start.freeze_epochs": 1.5}).config)
    weight = parts.model.get_parameter("stage1.block1.conv.weight")
    mean = parts.model.get_buffer("stage1.block1.norm.running_mean")
    norm, drop = (parts.model.get_submodule(f"stage1.block1.{name}") for name in ("norm", "drop"))
    states, modes = [], []

    def stop() -> bool:
        states.append((weight.detach().clone(), mean.clone()))
        modes.append(weight.requires_grad)
        return False

    heard: list[bool] = []
    for module in (norm, drop):
        module.register_forward_hook(
            lambda module, *_: heard.append(module.training) if torch.is_grad_enabled() else None
        )
    fit(parts.training, should_stop=stop)
    moved = [not torch.equal(one[0], other[0]) for one, other in itertools.pairwise(states)]
    counted = [not torch.equal(one[1], other[1]) for one, other in itertools.pairwise(states)]
    assert moved == counted == [False] * 8 + [True] * 11  # between steps 1 and 2, ...; the tenth is the first to train
    assert modes == [False] * 9 + [True] * 11
    assert heard == [False] * 18 + [True] * 22


@pytest.mark.parametrize("stops", [[9], [5], [10], [3, 5, 4]], ids=str)
@pytest.mark.slow
def test_a_resume_across_the_unfreezing_equals_an_uninterrupted_run(
    make_job: MakeJob, source: Job, stops: list[int]
) -> None:
    changes = {**NET, "start.run": str(source.folder), "start.freeze_epochs": 1.5}
    whole, parts = make_job("whole", changes), make_job("parts", changes)
    run(whole)
    for steps in stops:
        assert run(parts, should_stop=stop_after(steps))["status"] == "interrupted"
    assert run(parts)["status"] == "finished"
    assert rows(whole.folder) == rows(parts.folder)
    assert same(weights(whole.folder), weights(parts.folder))


# Pruning by configuration


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"start.prune": "blocks", "start.prune_count": 2, "start.prune_by": "random"},
        {"start.prune": "weights", "start.prune_by": "random"},
        {"start.prune": "weights", "start.prune_by": "curvature", "model.weight_std": True},
    ],
    ids=lambda changes: changes["start.prune_by"],
)
def test_a_resumed_pruned_run_equals_an_uninterrupted_one(make_job: MakeJob, changes: dict[str, Any]) -> None:
    first = make_job("source", {**RESNET, "model.weight_std": changes.get("model.weight_std", False)})
    run(first)
    changes = {**RESNET, **changes, "start.run": str(first.folder), "start.load": "all"}
    whole, parts = make_job("whole", changes), make_job("parts", changes)
    run(whole)
    run(parts, should_stop=stop_after(7))
    assert run(parts)["started_from"] == (read_result(whole.folder) or {})["started_from"]
    assert same(weights(whole.folder), weights(parts.folder))
    assert rows(whole.folder) == rows(parts.folder)


@pytest.mark.slow
def test_what_was_pruned_stays_pruned_in_a_run_that_starts_from_it(make_job: MakeJob) -> None:
    first = make_job("first", RESNET)
    run(first)
    steps = [
        {"start.prune": "blocks", "start.prune_count": 1},
        {"start.prune": "weights", "start.prune_frac": 0.25},
        {"start.prune": "weights", "start.prune_frac": 0.5},
        {"start.prune": "none"},
    ]
    source, said = first, {}
    for number, step in enumerate(steps):
        changes = {**RESNET, **step, "start.run": str(source.folder), "start.load": "all"}
        source = make_job(str(number), changes)
        said[number] = run(source)["started_from"]
    assert [len(said[number]["dropped_blocks"]) for number in said] == [1, 1, 1, 1]
    assert said[1]["pruned"]["share"] == pytest.approx(0.25, abs=1e-3)
    assert said[2]["pruned"]["share"] == pytest.approx(0.5, abs=1e-3)
    masks = [
        {key: value == 0 for key, value in weights(Path(said[number]["run"])).items() if key.endswith(".mask")}
        for number in (2, 3)
    ]
    assert all((masks[1][key] | ~masks[0][key]).all() for key in masks[0])  # what was zero is zero
    last = weights(source.folder)
    assert same({k: v for k, v in last.items() if k.endswith("mask")}, {k: (~v).float() for k, v in masks[1].items()})


def test_nets_from_scratch_are_pruned_whole_and_loaded_ones_without_a_fresh_head(
    make_job: MakeJob, source: Job
) -> None:
    pruned = {**NET, "start.prune": "weights"}
    sizes = {key: value.numel() for key, value in weights(source.folder).items() if value.ndim > 1}
    count = {"all": sum(sizes.values()), "body": sum(body(sizes).values())}
    for load, run_, key in (("body", "", "all"), ("all", source.folder, "all"), ("body", source.folder, "body")):
        parts = assemble(make_job(changes={**pruned, "start.run": str(run_), "start.load": load}).config)
        assert parts.started_from["pruned"]["weights"] == count[key]
        assert parts.started_from["pruned"]["zeros"] == round(count[key] / 2)


def test_a_run_is_as_it_was_where_nothing_is_asked(make_job: MakeJob) -> None:
    parts = assemble(make_job(changes=NET).config)
    assert parts.started_from == {}
    assert parts.training.train_step.freeze is None


# What can be wrong


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start.run": "nowhere"}, r"start\.run=nowhere is not a folder; runs are at"),
        (
            {"start.run": "{arm}", "seed": 3},
            r"neither a run nor an arm with a run of seed=3; name one; inside there are: seed=0$",
        ),
        ({"start.run": "{run}", "start.load": "head"}, r"start\.load=head is unknown.*there are: none, body, all"),
        (
            {"start.run": "{run}", "start.load": "math:pi"},
            r"start\.load=math:pi is unknown; there are: none, body, all",
        ),
        ({"start.run": "{run}", "start.prune": "block"}, r"start\.prune=block is unknown \(did you mean 'blocks'\?\)"),
        ({"start.run": "{run}", "start.freeze_epochs": -1.0}, r"start\.freeze_epochs=-1\.0 is out of range"),
        ({"start.freeze_epochs": 1.0}, r"start\.freeze_epochs=1\.0 needs a loaded body"),
        (
            {"start.prune": "weights", "start.prune_by": "smallest"},
            r"start\.prune_by=smallest with start\.prune=weights is unknown.*magnitude",
        ),
        (
            {"start.prune": "blocks", "start.prune_by": "magnitude"},
            r"start\.prune_by=magnitude with start\.prune=blocks is unknown.*largest",
        ),
        ({"start.prune": "weights", "start.prune_frac": 1.0}, r"start\.prune_frac=1\.0 is out of range"),
        ({"start.prune": "weights", "start.prune_examples": 0}, r"start\.prune_examples=0 is out of range"),
        (
            {"start.prune": "blocks"},
            r"start\.prune_count=1 is out of range; allowed: 0 to 0, the blocks of model\.skip=add",
        ),
        (
            {"start.run": "{run}", "model.widths": [5, 6]},
            r"start\.run: the weights of .* do not fit: stage1\.block1\.conv\.weight is \(4, 1, 3, 3\) there and "
            r"\(5, 1, 3, 3\) here; .*and \d+ more\. Keys that differ: model\.widths=\[4, 6\] there, \[5, 6\] here",
        ),
        (
            {"start.run": "{run}", "model.depth": 4},
            r"stage1\.block2\.conv\.weight is missing there and \(4, 4, 3, 3\) here.*model\.depth=3 there, 4 here$",
        ),
        (
            {"start.run": "{run}", "start.load": "all", "data.name": "digits"},
            r"classifier\.weight is \(3, 24\) there and \(10, 24\) here; .*none of model\.\*, so the data",
        ),
        (
            {"start.run": "{run}", "model.name": "own_parts:whole_net"},
            r"start\.load=body needs a net with a module named",
        ),
    ],
)
def test_a_wrong_start_is_told_before_anything_trains(
    make_job: MakeJob, source: Job, changes: dict[str, Any], message: str
) -> None:
    folders = {"{run}": str(source.folder), "{arm}": str(source.folder.parent)}
    changes = {key: folders.get(str(value), value) for key, value in changes.items()}
    with pytest.raises(UserError, match=message):
        assemble(make_job(changes={**NET, **changes}).config)


def test_a_source_that_is_not_finished_or_damaged(make_job: MakeJob, source: Job) -> None:
    config = make_job(changes={**NET, "start.run": str(source.folder)}).config
    result = (source.folder / "result.json").read_text()
    for status in ("diverged", "interrupted"):
        (source.folder / "result.json").write_text(result.replace('"finished"', f'"{status}"'))
        with pytest.raises(UserError, match=rf"start\.run: the run .*seed=0 is {status}"):
            assemble(config)
    (source.folder / "result.json").unlink()
    with pytest.raises(UserError, match=r"seed=0 is not finished \(it has no result\.json\)"):
        assemble(config)
    (source.folder / "result.json").write_text(result)
    (source.folder / "checkpoint.pt").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged"):
        assemble(config)
    torch.save({"model": print}, source.folder / "checkpoint.pt")
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged \(UnpicklingError\)"):
        assemble(config)
    (source.folder / "checkpoint.pt").unlink()
    with pytest.raises(UserError, match=r"has no checkpoint\.pt"):
        assemble(config)


def test_a_sweep_from_a_run_that_does_not_exist_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train.steps=1", "start.load=none,body", "start.run=nowhere", "train.threads=1", "train.eval_limit=10"]
    assert main(["train", *words]) == 2
    assert re.search(r"lab: start\.run=nowhere is not a folder", capsys.readouterr().err)
    assert not list(tmp_path.rglob("metrics.jsonl"))
