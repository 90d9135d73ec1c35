"""What TensorBoard shows beside the curves is there, is right, and changes no number."""

import io
import json

import numpy as np
import pytest
import torch
from conftest import MakeJob
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.graph_pb2 import GraphDef  # pyright: ignore[reportAttributeAccessIssue]
from torch import nn

from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import arm_hash, with_values
from lab.records.image_grid import grid_png
from lab.runs.build import assemble
from lab.runs.run import run
from lab.runs.watch import graph_def, layers_seen, looking, worst

WATCHED = {
    "model.block": "conv-norm-act-drop-pool",
    "data.augment": "crop",
    "data.name": "digits",
    "data.limit": 100,
    "train.eval_limit": 50,
}


def show(job) -> EventAccumulator:
    (file,) = job.folder.glob("events.out.tfevents.*")
    found = EventAccumulator(str(file), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def numbers(job) -> list[dict]:
    rows = (job.folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(row).items() if key != "seconds"} for row in rows]


def test_watching_changes_no_number(make_job: MakeJob) -> None:
    plain = make_job("plain", changes={**WATCHED, "train.pictures": 0})
    watched = make_job("watched", changes={**WATCHED, "train.watch": True, "train.watch_steps": [1, 4]})
    assert run(plain)["status"] == run(watched)["status"] == "finished"
    assert numbers(plain) == numbers(watched)
    assert arm_hash(plain.config) == arm_hash(watched.config)
    assert show(plain).Tags()["images"] == []
    found = show(watched)
    assert found.Tags()["images"] == ["watch_batch", "watch_worst_mistakes"]
    kinds = {tag.partition("/")[0] for tag in found.Tags()["tensors"]}
    assert kinds == {"watch_weights", "watch_gradients", "watch_activations"}
    assert [event.step for event in found.Tensors("watch_gradients/classifier.weight")] == [1, 4]
    assert found.Tags()["graph"]
    names = {node.name for node in GraphDef.FromString(found._graph).node}  # pyright: ignore[reportAttributeAccessIssue]
    assert any("stage1" in name and "conv" in name for name in names)


@pytest.mark.parametrize("changes", [{}, {"train.precision": "bf16", "model.norm": "noisy_batch"}])
def test_two_more_passes_change_no_number(make_job: MakeJob, changes: dict) -> None:
    changes = WATCHED | {"train.pictures": 0, "train.clip_norm": 0.5, "train.penalty": "l2"} | changes
    plain = make_job("plain", changes)
    watched = make_job("watched", {**changes, "train.watch": True, "train.watch_smoothness": True})
    assert run(plain)["status"] == run(watched)["status"] == "finished"
    found, extra = numbers(watched), ("train/gradient_change", "train/loss_change")
    assert all(row[tag] > 0 for row in found for tag in extra)
    assert [{tag: row[tag] for tag in numbers(plain)[0]} for row in found] == numbers(plain)
    assert arm_hash(plain.config) == arm_hash(watched.config)


def test_an_interrupted_run_measures_the_same_steps(make_job: MakeJob) -> None:
    changes = WATCHED | {"train.pictures": 0, "train.watch": True, "train.watch_smoothness": True}
    whole, pieces = make_job("whole", changes), make_job("pieces", changes)
    run(whole)
    for stop in (1, 3):  # 3 steps lie between two logged points
        asked = iter(range(100))
        assert run(pieces, should_stop=lambda stop=stop, asked=asked: next(asked) == stop)["status"] == "interrupted"
    assert run(pieces)["status"] == "finished"
    assert numbers(whole) == numbers(pieces)


def test_without_steps_every_logged_point_is_watched(make_job: MakeJob) -> None:
    job = make_job(changes={"train.watch": True, "train.pictures": 0})
    run(job)
    steps = [row["step"] for row in numbers(job)]
    assert [event.step for event in show(job).Tensors("watch_weights/classifier.weight")] == steps


def test_the_worst_mistakes_are_those_of_the_highest_loss() -> None:
    model = nn.Flatten()  # the picture is its own logits
    images = torch.tensor([[5.0, 0, 0], [0, 1, 0], [0, 0, 9], [2, 0, 0]]).view(4, 1, 1, 3)
    labels = torch.tensor([0, 0, 1, 2])
    losses, guesses = worst(model, images, labels)
    expected = -torch.log_softmax(images.flatten(1), 1)[range(4), labels]
    assert guesses.tolist() == [0, 1, 2, 0]
    assert losses[0] == 0
    assert losses[1:].tolist() == pytest.approx(expected[1:].tolist())


def test_looking_leaves_modes_and_generators_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2))
    model[1].eval()  # as a part that is held still
    before = torch.get_rng_state()
    with looking(model):
        torch.rand(3)
        assert not any(layer.training for layer in model.modules())
    assert [layer.training for layer in model] == [True, False, True]
    assert torch.equal(before, torch.get_rng_state())


def test_activations_are_the_layers_own_outputs() -> None:
    shared = nn.ReLU()
    model = nn.Sequential(nn.Linear(2, 3), shared, nn.Linear(3, 2), shared)
    images = torch.randn(4, 2)
    seen = layers_seen(model, images)
    found = {name: output for name, (_, _, output) in seen.items()}
    assert seen["2"][0] is model[2]
    assert torch.equal(seen["0"][1], images)
    assert torch.equal(found["0"], model[0](images))
    assert torch.equal(found["2"], model[2](shared(model[0](images))))
    assert torch.equal(found["1"], model(images))  # the last of its two uses, and the first did not replace it
    assert not any(layer._forward_hooks for layer in model)


@pytest.mark.parametrize("words", [{}, {"model.skip": "add"}, {"model.aux_blocks": [1]}, {"model.name": "lenet"}])
def test_the_parts_of_the_lab_can_be_traced(words: dict) -> None:
    parts = assemble(with_values(RunConfig(), {"train.device": "cpu", **words}))
    images = parts.data.train.take(torch.arange(1))[0]
    data = graph_def(parts.model, images)
    assert data is not None
    assert len(GraphDef.FromString(data).node) > 5


def test_a_net_that_cannot_be_traced_has_no_graph(capsys: pytest.CaptureFixture[str]) -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("not today")

    assert graph_def(Odd(), torch.zeros(1)) is None
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "note: no graph for TensorBoard (RuntimeError)\n")


def test_a_grid_of_pictures() -> None:
    images = np.stack([np.full((1, 8, 8), value) for value in (-2.0, 0.0, 2.0)])
    data, (height, width) = grid_png(images, ["zero", "one", "two"])
    sheet = Image.open(io.BytesIO(data))
    assert sheet.size == (width, height)
    cell = 8 * 7 + 4
    assert [sheet.getpixel((cell * i % width + 9, cell * i // width * 73 + 9)) for i in range(2)] == [
        (0, 0, 0),
        (128, 128, 128),
    ]
    assert Image.open(io.BytesIO(grid_png(np.zeros((2, 3, 60, 80)))[0])).size == (2 * 84, 64)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pictures", -1, r"train.pictures=-1 is out of range; allowed: 0 \(none\) or more"),
        ("watch_smoothness", True, r"^train.watch_smoothness=true does nothing without train.watch=true$"),
        ("watch_steps", [3], r"^train.watch_steps=\[3\] does nothing without train.watch=true$"),
    ],
)
def test_what_cannot_be_watched_is_named(key: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        assemble(with_values(RunConfig(), {f"train.{key}": value}))


def test_a_step_before_the_first_is_named() -> None:
    config = with_values(RunConfig(), {"train.watch": True, "train.watch_steps": [0]})
    with pytest.raises(UserError, match=r"train.watch_steps=\[0\]: 0 is out of range; allowed: 1 or more \(steps\)"):
        assemble(config)
