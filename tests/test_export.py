"""What `lab export` leaves computes what the run's own net does, from raw inputs, or is not left at all."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeJob

import lab
from lab.cli.catalogue import names
from lab.cli.main import main
from lab.errors import UserError
from lab.nets.surfaces import SURFACES
from lab.records.places import Job
from lab.runs.export import export
from lab.runs.export_forms import FORMS
from lab.runs.origin import load_net
from lab.runs.run import run

RICH = {"model.block": "conv-norm-act-drop", "model.norm": "batch", "model.drop_rate": 0.3, "model.aux_blocks": [1]}
RICH |= {"model.depth": 4, "data.scale": "standard", "optimizer.lr": 0.01}


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    job = make_job(changes=RICH)
    assert run(job)["status"] == "finished"
    return job


def own_outputs(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Test images as the data set stores them, and what the run's net says of them."""
    _, data, net = load_net(folder, torch.device("cpu"), trusted=True)
    with torch.no_grad():
        outputs = net(data.test.take(torch.arange(len(data.test)))[0]) * data.unit + data.offset
    return data.test.images[data.test.index], outputs


def read(path: Path, folder: Path, inputs: torch.Tensor) -> torch.Tensor:
    """What another program makes of `inputs` with the file."""
    if path.suffix == ".onnx":
        runtime: Any = pytest.importorskip("onnxruntime")
        (name,) = [one.name for one in runtime.InferenceSession(path).get_inputs()]
        return torch.from_numpy(runtime.InferenceSession(path).run(None, {name: inputs.numpy()})[0])
    if "torchscript" in path.name:
        return torch.jit.load(path)(inputs)
    net = lab.load_model(folder, scaled=True, own_parts=True)
    for value in net.state_dict().values():
        value.zero_()
    net.load_state_dict(torch.load(path, weights_only=True))
    return net(inputs)


@pytest.mark.parametrize("form", ["state_dict", "torchscript", pytest.param("onnx", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.torch.jit.*:DeprecationWarning")
@torch.no_grad()
def test_raw_pixels_go_in_and_the_runs_outputs_come_out(
    job: Job, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    skip_without(form)
    assert main(["export", str(job.folder), "--own-parts", "--format", form]) == 0
    path = job.folder / f"export{FORMS[form].suffix}"
    out = capsys.readouterr().out
    first, second = out.splitlines()
    assert first == f"{path}: {form}, uint8 (b, 1, 8, 8) as the data set gives them -> (b, 3)"
    assert second.startswith("checked on 30 test images")
    assert "outputs equal the run's within 1e-06 of the largest" in second
    assert second.endswith("; 30 get the class in predictions.npz")
    images, wanted = own_outputs(job.folder)
    for count in (30, 1, 5):
        assert (read(path, job.folder, images[:count]) - wanted[:count]).abs().max() <= 1e-6 * wanted.abs().max()


def skip_without(form: str) -> None:
    for package in FORMS[form].packages:
        pytest.importorskip(package)


MADE_FOR = {"blunder_a": "features39", "blunder_b": "grey28", "blunder_c": "colour241", "blunder_d": "colour100"}
MADE_FOR |= {name.replace("blunder", "repaired"): data for name, data in MADE_FOR.items()} | {"repaired_c": "colour100"}


def trained_net(make_job: MakeJob, name: str) -> Path:
    """The folder of a run of one step of a net of `lab list models`."""
    from lab.overrides.plan import one_job

    words = ["data=blank", "train.loss=value"] if name in SURFACES else ["data=digits", "data.limit=100"]
    words = [f"data.name=own_parts:{MADE_FOR[name]}", "train.batch_size=4"] if name in MADE_FOR else words
    out = f"out={make_job().config.out}"
    job = one_job("train", [f"model={name}", *words, out, "train.steps=1", "train.eval_limit=20", "train.device=cpu"])
    assert run(job)["status"] == "finished"
    return job.folder


@pytest.mark.parametrize("name", names("models"))
@pytest.mark.filterwarnings("ignore:train.loss")
@pytest.mark.slow
def test_every_named_net_equals_its_run_within_a_millionth(make_job: MakeJob, name: str) -> None:
    folder = trained_net(make_job, name)
    for form in FORMS:
        if form != "onnx":
            assert export(folder, form, trusted=True).difference <= 1e-6
    skip_without("onnx")
    assert export(folder, "onnx", trusted=True).difference <= 2e-6  # which rounds otherwise


@pytest.mark.parametrize(
    "changes",
    [
        {"data.name": "diabetes", "model.block": "linear-norm-act-drop"},
        {"data.name": "own_parts:colour32", "model.widths": [4, 4], "model.depth": 3, "model.skip": "add"},
        {"model.block": "conv-act", "model.act": "noisy_relu", "train.precision": "bf16"},
        {"data.shift": "noise", "data.shift_size": 0.2, "model.norm": "noisy_batch", "model.block": "conv-norm-act"},
        {"model.output": "softmax", "train.loss": "mse"},
        {"model.name": "own_parts:norm_net"},
    ],
    ids=["numbers", "colour", "bf16", "shifted", "probabilities", "own net"],
)
@pytest.mark.filterwarnings("ignore:.*has no effect")
def test_whatever_the_run_was(make_job: MakeJob, changes: dict[str, Any]) -> None:
    job = make_job(changes={"train.steps": 3, **changes})
    assert run(job)["status"] == "finished"
    for form in ("state_dict", "torchscript"):
        found = lab.export(job.folder, format=form, own_parts=True)
        assert found.difference <= 1e-6
        assert found.path.exists()


@pytest.mark.parametrize(
    ("name", "form", "message"),
    [
        ("branches", "torchscript", None),
        ("counts", "torchscript", r"has outputs there that differ by .* of the largest; allowed: 1e-06"),
        ("through_numpy", "state_dict", None),
        ("draws", "state_dict", "has other outputs each time that it is asked"),
        pytest.param("branches", "onnx", r"has steps that are not recorded \(TorchExportError", marks=pytest.mark.slow),
    ],
)
def test_what_does_not_go_into_a_file_is_one_message(
    make_job: MakeJob, name: str, form: str, message: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    skip_without(form)
    job = make_job(changes={"train.steps": 1, "model.name": f"own_parts:{name}"})
    assert run(job)["status"] == "finished"
    if message is None:
        assert export(job.folder, form, trusted=True).difference <= 1e-6
        return
    with pytest.raises(UserError, match=message) as raised:
        export(job.folder, form, trusted=True)
    assert "\n" not in str(raised.value)
    assert not [*job.folder.glob("export*")]
    assert tuple(capfd.readouterr()) == ("", "")


def test_the_code_of_a_configuration_runs_where_it_is_trusted_alone(job: Job) -> None:
    with pytest.raises(UserError, match=r"export: the run .* names code .* add --own-parts"):
        export(job.folder)
    with pytest.raises(lab.UserError, match=r"give own_parts=True"):
        lab.export(job.folder)


def test_nothing_is_overwritten_unless_it_is_said(job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, words = tmp_path / "net.pt", ["export", "--own-parts", str(job.folder), "--out"]
    path.write_text("mine")
    assert main([*words, str(path)]) == 2
    assert f"lab: {path} is there already; --replace writes it anew" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main([*words, str(path), "--replace"]) == 0
    assert torch.load(path, weights_only=True)["shift"].shape == (1, 1, 1)
    before = (job.folder / "checkpoint.pt").read_bytes()
    for name in ("checkpoint.pt", "result.json", "checkpoint.prev.pt"):
        assert main([*words, str(job.folder / name), "--replace"]) == 2
        assert "is a file of the run itself" in capsys.readouterr().err
    assert (job.folder / "checkpoint.pt").read_bytes() == before
    assert main([*words, str(tmp_path / "no" / "net.pt")]) == 2
    assert "no is not a folder" in capsys.readouterr().err
    assert main([*words, str(tmp_path)]) == 2
    assert "is a folder; name a file in it" in capsys.readouterr().err


def test_the_wrong_data_are_noticed(job: Job, make_job: MakeJob) -> None:
    other = make_job(changes={**RICH, "train.steps": 0})
    run(other)
    shutil.copy(other.folder / "checkpoint.pt", job.folder / "checkpoint.pt")
    with pytest.raises(UserError, match=r"\d+ of 30 test images get another class than in .*predictions\.npz"):
        export(job.folder, trusted=True)
    assert not [*job.folder.glob("export*")]


def test_a_missing_package_is_named_with_what_brings_it(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.runs.export_forms.find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(
        UserError, match=r"--format=onnx needs onnxscript, which .* pip install 'architecture-lab\[onnx"
    ):
        export(job.folder, out=Path("net.onnx"))
    with pytest.raises(UserError, match=r"--format=onx is unknown \(did you mean 'onnx'\?\); there are: state_dict"):
        export(job.folder, "onx")


def test_a_run_without_an_end_has_no_net(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0")
    with pytest.raises(UserError, match=r"export: the run .* is not finished"):
        export(tmp_path)
    with pytest.raises(UserError, match="export=nowhere is not a folder"):
        export(Path("nowhere"))
