"""Monte-Carlo dropout agrees with loops written by hand, keeps the net as it was, `lab predict` says what it saw."""

import copy
import csv
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import MakeJob
from scipy.stats import entropy
from torch import Tensor, nn

from lab.cli.main import main
from lab.config import ModelConfig
from lab.data.batches import Dataset, Split
from lab.errors import UserError
from lab.nets.init import initialise
from lab.nets.monte_carlo import drops, mc_predict, of_logits, sample
from lab.nets.parts.acts import NoisyReLU
from lab.nets.parts.drops import DROPS
from lab.nets.recipe import build
from lab.records.places import Job
from lab.records.predictions import CLASSES
from lab.runs.predict import Disturbance, disturbed, forecast, summary, table
from lab.runs.run import run

IMAGES = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def net(drop: str, rate: float = 0.3, act: str = "relu") -> nn.Module:
    config = ModelConfig(
        block="conv-norm-act-drop", widths=[4], depth=3, norm="batch", drop=drop, drop_rate=rate, skip="add", act=act
    )
    model = build(config, (1, 8, 8), 5)
    initialise(model, "he_normal", "paper", "relu", 1)
    model.get_submodule("classifier").weight.data.mul_(0.1)  # pyright: ignore  # no class is sure, none impossible
    return model


# The passes


@pytest.mark.slow
@pytest.mark.parametrize("drop", DROPS)
def test_it_agrees_with_2000_passes_by_hand(drop: str) -> None:
    model = net(drop)
    found = mc_predict(model, IMAGES, 2000, 7)
    torch.manual_seed(1)
    model.eval()
    for name, module in model.named_modules():
        if ".drop" in name or ".parametrizations.weight.0" in name:
            module.train()
    copies = 1 if drop == "dropconnect" else 100  # of which each drops units of its own
    with torch.no_grad():
        rows = [model(IMAGES.repeat(copies, 1, 1, 1)) for _ in range(2000 // copies)]
    passes = torch.cat(rows).double().softmax(1).view(2000, len(IMAGES), 5)
    error = (passes.var(0) * 2 / 2000).sqrt()  # of the difference of two means
    assert ((found.mean - passes.mean(0)).abs() < 5 * error + 1e-9).all()
    torch.testing.assert_close(found.std, passes.std(0), rtol=0.12, atol=0)
    torch.testing.assert_close(found.entropy, torch.special.entr(passes.mean(0)).sum(1), rtol=0.03, atol=0)
    assert found.std.max() > 0.02


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.slow
def test_an_example_does_not_depend_on_its_neighbours(drop: str) -> None:
    model = net(drop)
    whole = mc_predict(model, IMAGES, 150, 7)
    alone = mc_predict(model, IMAGES[4:5], 150, 7)
    torch.testing.assert_close(alone.mean[0], whole.mean[4], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(alone.lower[0], whole.lower[4], rtol=1e-4, atol=1e-6)
    many = mc_predict(model, IMAGES.repeat(15, 1, 1, 1), 150, 7)  # more than are held at once
    torch.testing.assert_close(many.mean[84:], whole.mean, rtol=1e-5, atol=1e-7)


def test_a_seed_decides_and_the_global_generator_stays() -> None:
    model = net("dropout")
    before = torch.get_rng_state()
    one, same, other = (mc_predict(model, IMAGES, 20, seed) for seed in (3, 3, 4))
    assert torch.equal(one.mean, same.mean)
    assert not torch.equal(one.mean, other.mean)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("drop", ["dropout", "dropconnect", "gaussian", "vanilla"])
def test_on_a_linear_net_the_mean_is_the_deterministic_output(drop: str) -> None:
    word = "linear-drop" if drop == "dropconnect" else "drop-linear"
    model = build(ModelConfig(block=word, widths=[6], depth=2, drop=drop, drop_rate=0.5), (1, 8, 8), 1)
    initialise(model, "he_normal", "paper", "identity", 1)
    found = mc_predict(model, IMAGES, 3000, 0, regression=True)
    with torch.no_grad():
        plain = model.eval()(IMAGES).double()
    assert ((found.mean - plain).abs() < 5 * found.std / 3000**0.5).all()
    assert found.std.min() > 0.1


def test_only_the_drops_are_at_work_and_all_is_put_back() -> None:
    model = net("dropout", act="noisy_relu")
    model.get_submodule("stage1.block2").eval()
    before = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    heard: dict[type, set[bool]] = {}
    handles = [
        module.register_forward_hook(lambda module, *_: heard.setdefault(type(module), set()).add(module.training))
        for module in model.modules()
    ]
    mc_predict(model, IMAGES, 10, 0)
    for handle in handles:
        handle.remove()
    assert {kind for kind, modes in heard.items() if modes == {True}} == {nn.Dropout}
    assert heard[NoisyReLU] == heard[nn.BatchNorm2d] == {False}
    assert [module.training for module in model.modules()] == before
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(model.eval()(IMAGES), model(IMAGES))


def test_one_pass_is_the_plain_prediction() -> None:
    model = net("dropout")
    found = mc_predict(model, IMAGES, 1, 0)
    with torch.no_grad():
        plain = model.eval()(IMAGES).double().softmax(1)
    torch.testing.assert_close(found.mean, plain, rtol=1e-5, atol=1e-7)
    assert (found.std == 0).all()
    assert torch.equal(found.lower, found.upper)
    assert (found.mutual_information == 0).all()


@pytest.mark.parametrize(
    "model", [net("dropout", 0.0), net("dropblock", 0.0), nn.Linear(3, 2)], ids=["0", "00", "none"]
)
def test_a_net_without_drops_has_no_intervals(model: nn.Module) -> None:
    with pytest.raises(UserError, match=r"passes=2: the net has no active dropout .*allowed: 1, the plain prediction"):
        mc_predict(model, IMAGES, 2, 0)


def test_there_is_at_least_one_pass() -> None:
    with pytest.raises(UserError, match=r"passes=0 is out of range; allowed: 1 or more"):
        mc_predict(net("dropout"), IMAGES, 0, 0)


class OwnDrop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand_like(x) * 2 if self.training else x


def test_a_drop_of_ones_own_is_found_by_its_word() -> None:
    model = net("dropout")
    model.set_submodule("stage1.block1.block.drop", OwnDrop())
    assert [type(module) for module in drops(model)] == [OwnDrop, nn.Dropout]


# The figures


class Sequence(nn.Module):
    """A user's net over the rows of an image."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body, self.classifier = body, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1, 2)  # (n, h, w)
        out = self.body(rows, rows, rows) if isinstance(self.body, nn.MultiheadAttention) else self.body(rows)
        return self.classifier((out[0] if isinstance(out, tuple) else out).mean(1))


class Functional(nn.Module):
    """A user's layer that drops by a function, in one of its ways."""

    def __init__(self, way: str):
        super().__init__()
        self.way, self.norm = way, nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "positional":
            return F.dropout(x, 0.3, self.training)
        if self.way == "named":
            return F.dropout1d(input=self.norm(x), p=0.3, training=self.training)
        if self.way == "torch":
            return torch.dropout(x, 0.3, self.training)
        if self.way == "branch" and self.training:
            return F.dropout(x, 0.3)
        if self.way == "attention":
            return F.scaled_dot_product_attention(x, x, x, dropout_p=0.3 if self.training else 0.0)
        return x


def encoder(layers: int = 1, **settings: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, **{"dropout": 0.3, "batch_first": True, **settings})
    return nn.TransformerEncoder(layer, layers) if layers > 1 else layer


BODIES: dict[str, Callable[[], nn.Module]] = {
    "encoder": encoder,
    "gelu": lambda: encoder(activation="gelu", norm_first=True),
    "two encoders": lambda: encoder(2),
    "attention": lambda: nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True),
    "lstm": lambda: nn.LSTM(8, 8, num_layers=2, dropout=0.3, batch_first=True),
    "gru": lambda: nn.GRU(8, 8, num_layers=2, dropout=0.3, batch_first=True),
    "rnn": lambda: nn.RNN(8, 8, num_layers=2, dropout=0.3, batch_first=True),
    **{way: partial(Functional, way) for way in ("positional", "named", "torch")},
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.slow
def test_what_drops_inside_is_sampled(name: str) -> None:
    torch.manual_seed(0)
    model = Sequence(BODIES[name]())
    images = torch.randn(5, 1, 8, 8)
    before = copy.deepcopy(model.state_dict())
    found = mc_predict(model, images, 100, 0)
    assert (found.upper - found.lower > 1e-3).all()
    assert torch.equal(found.mean, mc_predict(model, images, 100, 0).mean)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled()
    if name in ("encoder", "attention"):  # without norms over the batch, the mean is that of training mode
        with torch.no_grad():
            by_hand = torch.stack([model.train()(images).softmax(1) for _ in range(2000)]).double().mean(0)
        torch.testing.assert_close(mc_predict(model, images, 2000, 0).mean, by_hand, rtol=0, atol=0.02)


@pytest.mark.parametrize("way", ["branch", "attention"])
def test_what_only_training_mode_drops_is_named(way: str) -> None:
    model = nn.Sequential(nn.Dropout(0.3), Sequence(Functional(way)))
    word = "dropout" if way == "branch" else "scaled_dot_product_attention"
    with pytest.warns(UserWarning, match=rf"passes=20: {word} of the net's own code .* is not sampled"):
        mc_predict(model, torch.randn(2, 1, 8, 8), 20, 0)


@pytest.mark.parametrize("body", [lambda: encoder(dropout=0.0), lambda: nn.LSTM(8, 8, dropout=0.0, batch_first=True)])
def test_a_net_whose_rates_are_0_has_no_intervals(body: Callable[[], nn.Module]) -> None:
    with pytest.raises(UserError, match="no active dropout"):
        mc_predict(Sequence(body()), torch.randn(2, 1, 8, 8), 20, 0)


def test_entropy_information_and_quantiles() -> None:
    logits = torch.randn(3, 400, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2
    logits[0] = torch.tensor([2.0, 1.0, 0.0, 0.0])  # all passes agree
    found, p = of_logits(logits), logits.softmax(2).numpy()
    mean = p.mean(1)
    assert found.entropy.tolist() == pytest.approx(entropy(mean, axis=1).tolist(), rel=1e-12)
    information = entropy(mean, axis=1) - entropy(p, axis=2).mean(1)
    assert found.mutual_information.tolist() == pytest.approx(information.tolist(), abs=1e-12)
    assert found.mutual_information[0].item() == pytest.approx(0, abs=1e-12)
    chosen = [sorted(p[i, :, mean[i].argmax()]) for i in range(3)]
    for i in range(3):
        assert chosen[i][9] <= found.lower[i] <= chosen[i][10]  # 2.5 % of 399 steps is 9.975
        assert chosen[i][389] <= found.upper[i] <= chosen[i][390]
    assert found.std[1].tolist() == pytest.approx(p[1].std(0, ddof=1).tolist())


def test_a_sure_prediction_has_no_entropy() -> None:
    logits = torch.tensor([[[1000.0, 0.0]]], dtype=torch.float64)
    assert of_logits(logits).entropy.item() == 0


def test_memory_is_bounded_by_groups() -> None:
    model, sizes = net("dropout"), []
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    shapes = [tuple(part.shape) for part in sample(model, IMAGES.repeat(20, 1, 1, 1), 130, 0)]
    assert shapes == [(64, 130, 5), (56, 130, 5)]
    assert set(sizes) == {128, 2}


# Pictures that are not as they were


def tiny_data(classes: tuple[str, ...], labels: Tensor) -> Dataset:
    images = torch.randint(0, 256, (len(labels), 1, 8, 8), generator=torch.Generator().manual_seed(5)).to(torch.uint8)
    index = torch.randperm(len(labels), generator=torch.Generator().manual_seed(6))
    split = Split(images, labels, index, torch.full((1, 1, 1), 100.0), torch.full((1, 1, 1), 0.02))
    return Dataset(split, split, split, (1, 8, 8), classes, unit=1.0, offset=0.0, augment=None)


def test_noise_has_its_size_and_belongs_to_the_picture() -> None:
    split = tiny_data(("a",), torch.zeros(500, dtype=torch.int64)).test
    images, _ = split.take(torch.arange(500))
    noise = disturbed(images, split, Disturbance(0.3, 0.0), list(range(500)), 1) - images
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    assert noise.mean().abs().item() < 0.01
    again = disturbed(images[7:9], split, Disturbance(0.3, 0.0), [7, 8], 1)
    torch.testing.assert_close(again - images[7:9], noise[7:9])


def test_a_quarter_turn_is_exact_and_corners_are_black() -> None:
    split = tiny_data(("a",), torch.zeros(5, dtype=torch.int64)).test
    images, _ = split.take(torch.arange(5))
    turned = disturbed(images, split, Disturbance(0.0, 90.0), [], 1)
    torch.testing.assert_close(turned, images.rot90(1, (2, 3)), rtol=0, atol=1e-5)
    corner = disturbed(images, split, Disturbance(0.0, 45.0), [], 1)[:, 0, 0, 0]
    assert corner.tolist() == pytest.approx([-2.0] * 5)  # (0 - 100) * 0.02


# A regression


def test_a_regression_is_told_in_its_unit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 1))
    data = tiny_data((), torch.randn(30, 1))
    found = forecast(model, data, 50, Disturbance(0.0, 0.0), 20, 3)
    images, labels = data.test.take(torch.arange(20))
    by_hand = mc_predict(model, images, 50, int(found_seed()), regression=True)
    assert torch.equal(found.prediction.mean, by_hand.mean)
    rows = list(csv.DictReader(table(found).splitlines()))
    assert list(rows[0]) == ["index", "label", "predicted", "lower", "upper", "std"]
    assert len(rows) == 20
    assert float(rows[3]["label"]) == pytest.approx(labels[3].item(), rel=1e-5)
    assert float(rows[3]["lower"]) < float(rows[3]["predicted"]) < float(rows[3]["upper"])
    error = (by_hand.mean - labels).square().mean().sqrt().item()
    lines = summary(found)
    assert lines[0] == f"root mean square error {error:.4g}"
    assert re.match(r"mean width of the 95% interval [\d.]+, [\d.]+% of the labels inside$", lines[1])


def found_seed() -> int:
    from lab.identity import derive_seed

    return derive_seed(3, "predict")


# The verb


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    changes = {"model.block": "conv-norm-act-drop", "model.norm": "batch", "train.steps": 60, "optimizer.lr": 0.01}
    job = make_job(changes=changes)
    assert run(job)["status"] == "finished"
    return job


def test_it_writes_a_row_a_picture_and_a_summary(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--own-parts", str(job.folder), "--passes", "40"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("30 test images of own_parts:tiny, 40 passes\naccuracy ")
    rows = list(csv.DictReader((job.folder / "predictions.csv").read_text().splitlines()))
    assert tuple(rows[0]) == CLASSES
    assert sorted(int(row["index"]) for row in rows) == list(range(30))
    right = [row for row in rows if row["label"] == row["predicted"]]
    assert re.search(rf"accuracy {len(right) / 30:.4f}\n", out)
    width = sum(float(row["upper"]) - float(row["lower"]) for row in right) / len(right)
    assert re.search(rf"mean width of the 95% interval +{width:.3f} ", out)
    assert {row["label"] for row in rows} == {"top", "middle", "bottom"}
    assert all(0 <= float(row["lower"]) <= float(row["upper"]) <= 1 for row in rows)
    assert all(0 <= float(row["mutual_information"]) <= float(row["entropy"]) for row in rows)


def test_one_pass_says_that_it_has_no_intervals(job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(job)  # it is over; the test accuracy is the plain prediction's
    out = tmp_path / "plain.csv"
    assert main(["predict", "--own-parts", str(job.folder), "--passes", "1", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "one pass with the drops off, so no intervals" in said
    assert f"accuracy {result['metrics']['test/accuracy']['last']:.4f}" in said
    (row, *_) = csv.DictReader(out.read_text().splitlines())
    assert row["lower"] == row["upper"] == row["std"] == row["mutual_information"] == ""
    assert 0 <= float(row["entropy"]) < 1.1


def test_noise_and_rotation_make_it_worse(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    accuracies = []
    for words in ([], ["--noise", "3"], ["--rotate", "90"]):
        assert main(["predict", "--own-parts", str(job.folder), "--passes", "20", *words]) == 0
        out = capsys.readouterr().out
        assert all(
            word in out for word in {"--noise": ["noise 3"], "--rotate": ["rotated by 90"]}.get(str(words[:1]), [])
        )
        accuracies.append(float(re.search(r"accuracy ([\d.]+)", out).group(1)))  # pyright: ignore
    assert accuracies[0] > max(accuracies[1:])


def test_a_pruned_run_is_predicted_without_its_source(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks and masks come back from the run's own files."""
    shape = {"model.block": "conv-act-drop", "model.skip": "add", "model.depth": 5, "model.widths": [4]}
    first = make_job("first", shape)
    run(first)
    blocks = make_job("blocks", {**shape, "start.run": str(first.folder), "start.load": "all", "start.prune": "blocks"})
    run(blocks)
    change = {"start.run": str(blocks.folder), "start.load": "all", "start.prune": "weights"}
    last = make_job("last", {**shape, **change})
    result = run(last)
    for job in (first, blocks):
        (job.folder / "checkpoint.pt").unlink()
    assert main(["predict", "--own-parts", str(last.folder), "--passes", "1"]) == 0
    assert f"accuracy {result['metrics']['test/accuracy']['last']:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "lab: predict=nowhere is not a folder; runs are at"),
        (
            ["."],
            r"lab: predict=\. is neither a run nor an arm with a run of seed=0; name one; inside there are: outputs",
        ),
        (["{run}", "--passes", "0"], r"passes=0 is out of range; allowed: 1 or more"),
        (["{run}", "--limit", "0"], r"--limit=0 is out of range"),
        (["{run}", "--noise", "-1"], r"--noise=-1\.0 is out of range; allowed: 0 or more"),
        (["{run}", "--rotate", "nan"], r"--rotate=nan is out of range"),
        (["{run}", "--device", "tpu"], r"train\.device=tpu is not on this machine"),
        (["{run}", "--out", "/proc/nowhere/x.csv"], r"--out=/proc/nowhere/x\.csv: cannot write"),
    ],
)
def test_a_wrong_word_gets_one_message_and_exit_code_2(
    job: Job,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "--own-parts", *(word.replace("{run}", str(job.folder)) for word in words)]) == 2
    err = capsys.readouterr().err
    assert re.search(message, err)
    assert err.count("\n") == 1


def test_a_run_without_drops_has_no_intervals(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_job()
    run(job)
    assert main(["predict", "--own-parts", str(job.folder)]) == 2
    assert "passes=100: the net has no active dropout" in capsys.readouterr().err
    assert main(["predict", "--own-parts", str(job.folder), "--passes", "1", "--limit", "7"]) == 0
    assert capsys.readouterr().out.startswith("7 test images")
