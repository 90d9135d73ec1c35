"""One run over two processes: the curve of one process, one writer, and nothing lost at a stop."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from conftest import MakeJob, output_of, rows
from own_parts import NormNet, NormReLU, OwnNorm
from torch import nn

from lab.cli.main import main
from lab.config import ModelConfig
from lab.errors import UserError
from lab.nets.recipe import build
from lab.runs.build import assemble
from lab.training.parallel import ALONE, Ranks, SharedBatchNorm, check_share, joined, share_norms

pytestmark = pytest.mark.usefixtures("every_core")

CPU = torch.device("cpu")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]

# All that acts between the gradient and the step, every kind of sum, and a norm that looks across the batch.
LIVELY = [
    *("model.block=conv-norm-act-pool", "model.depth=5", "model.widths=[8,16]", "model.aux_blocks=[1]"),
    *("optimizer.name=momentum", "optimizer.lr=0.05", "train.penalty=l2", "train.clip_norm=1"),
    *("data.augment=crop", "train.batch_size=64", "train.epochs=1", "train.eval_every=0.25", "train.threads=1"),
]


def start(folder: Path, launcher: list[str], *words: str) -> subprocess.Popen[str]:
    command = [*launcher, "-m", "lab", "train", *LIVELY, f"out={folder}", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(folder: Path, launcher: list[str], *words: str) -> str:
    return output_of(start(folder, launcher, *words))


def result(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("result.json")
    return json.loads(path.read_text())


def largest_deviation(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """The largest |a - b| / max(1, |b|) over all numbers of two curves."""
    assert [row.keys() for row in one] == [row.keys() for row in other]
    pairs = [(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in a]
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs)


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one_and_one_of_them_writes(tmp_path: Path) -> None:
    # With channels last torch's batch norm is ten times less exact than ours, and training makes that grow.
    words = ["train.channels_last=false"]
    finish(tmp_path / "one", [sys.executable], *words)
    said = finish(tmp_path / "two", TORCHRUN, *words)
    assert largest_deviation(rows(tmp_path / "two"), rows(tmp_path / "one")) < 1e-3
    assert said.count("finished after") == 1
    assert said.count("step 17/17") == 1
    assert result(tmp_path / "two")["environment"]["processes"] == 2
    assert result(tmp_path / "two")["arm_id"] == result(tmp_path / "one")["arm_id"]
    assert len(list((tmp_path / "two").rglob("events.out*"))) == 1
    test = [result(tmp_path / name)["metrics"]["test/loss"]["last"] for name in ("one", "two")]
    assert test[0] == pytest.approx(test[1], rel=1e-3)


@pytest.mark.slow
def test_an_interrupted_run_of_two_processes_goes_on_to_the_bit(tmp_path: Path) -> None:
    """With dropout, whose draws are each process's own, and the stop wherever it falls."""
    words = ["model.block=conv-norm-act-drop-pool", "model.drop_rate=0.2", "train.epochs=3"]
    finish(tmp_path / "whole", TORCHRUN, *words)
    process = start(tmp_path / "parts", TORCHRUN, *words)
    wait_for_report(tmp_path / "parts", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    stopped = result(tmp_path / "parts")
    assert stopped["status"] == "interrupted"
    assert 0 < stopped["steps"] < 51
    assert "resumed at step" in finish(tmp_path / "parts", TORCHRUN, *words)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert result(tmp_path / "parts")["metrics"] == result(tmp_path / "whole")["metrics"]


def wait_for_report(folder: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(3000):
        if any(path.stat().st_size for path in folder.rglob("metrics.jsonl")):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("no report within a minute")


def test_by_itself_a_run_has_nothing_to_share() -> None:
    images, labels = torch.rand(5, 3), torch.arange(5)
    assert ALONE.share(images, labels) == (images, labels)
    assert ALONE.agree(True, False) == (True, False)
    assert ALONE.gather("a") == ["a"]
    assert ALONE.total(images) is images


@pytest.mark.parametrize(("size", "num"), [(2, 8), (3, 8), (4, 3)])
def test_shares_make_up_the_batch(size: int, num: int) -> None:
    labels = torch.arange(num)
    shares = [Ranks(rank, size).share(labels, labels)[1] for rank in range(size)]
    assert torch.equal(torch.cat(shares), labels)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_that_does_not_divide_is_named() -> None:
    check_share(64, 4)
    with pytest.raises(UserError, match=r"train\.batch_size=63 does not divide among 2 processes; .* multiple of 2"):
        check_share(63, 2)


def test_one_device_for_all_is_named() -> None:
    with (
        pytest.raises(UserError, match=r"train\.device=cuda:1 is not possible with 2 processes; allowed: auto, cpu"),
        joined(2, 0, 2, "cuda:1"),
    ):
        pass


def test_a_sweep_under_torchrun_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    for key, value in {**known, "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(key, value)
    assert main(["train", "seed=0,1", f"out={tmp_path}"]) == 2
    assert "torchrun started 2 processes for one run, and this is a sweep of 2 runs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
@pytest.mark.slow
def test_no_thread_of_gloo_outlives_the_run() -> None:
    """One that does may abort the process while Python shuts down."""
    code = """
import os
from lab.training.parallel import joined
import torch
before = len(os.listdir("/proc/self/task"))
with joined(2, 0, 1, "cpu"):
    during = len(os.listdir("/proc/self/task"))
    torch.distributed.all_reduce(torch.ones(3))
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])  # imports torch.compile's module
print(during > before, len(os.listdir("/proc/self/task")) - before)
"""
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **alone}, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "0"], done.stderr


@pytest.fixture
def group_of_one(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("shape", [(6, 3, 4, 5), (7, 3)])
@pytest.mark.usefixtures("group_of_one")
def test_the_shared_norm_agrees_with_torch(shape: tuple[int, ...]) -> None:
    def made() -> nn.Module:
        norm = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3).double()
        nn.init.uniform_(norm.weight, -2, 2, generator=torch.Generator().manual_seed(1))
        return nn.Sequential(norm)

    theirs, ours = made(), share_norms(made(), Ranks(0, 2), CPU)
    (norm,) = ours.children()
    assert isinstance(norm, SharedBatchNorm)
    norm.num_ranks = 1
    assert list(ours.state_dict()) == list(theirs.state_dict())

    def ends(net: nn.Module) -> list[torch.Tensor | None]:
        """Outputs, gradients and statistics after three batches, and what evaluation makes of them."""
        generator = torch.Generator().manual_seed(0)
        found: list[torch.Tensor | None] = []
        for _ in range(3):
            x = (3 * torch.randn(shape, generator=generator, dtype=torch.float64) + 1).requires_grad_()
            y = net.train()(x)
            y.pow(3).sum().backward()
            found += [y, x.grad, net.eval()(x)]
        return [*found, *(parameter.grad for parameter in net.parameters()), *net.buffers()]

    for mine, reference in zip(ends(ours), ends(theirs), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("group_of_one")
def test_subclasses_and_shared_norms_stay_the_net_that_they_were() -> None:
    torch.manual_seed(0)
    theirs = NormNet((3, 8, 8), 4).double()
    ours = copy.deepcopy(theirs)
    parameters = list(ours.parameters())
    ours = share_norms(ours, Ranks(0, 2), CPU)
    assert isinstance(ours, NormNet)
    assert ours.norm is ours.again is ours.last[1]
    assert all(one is other for one, other in zip(ours.parameters(), parameters, strict=True))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    norms = [module for module in ours.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 3
    for norm in norms:
        assert isinstance(norm, SharedBatchNorm)
        norm.num_ranks = 1
    for _ in range(3):
        x = torch.randn(8, 3, 8, 8, dtype=torch.float64)
        for net in (ours, theirs):
            net.zero_grad()
            net.train()(x).pow(3).sum().backward()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-10, atol=1e-10)
    assert share_norms(NormReLU(3), Ranks(0, 2), CPU).state_dict().keys() == NormReLU(3).state_dict().keys()


@pytest.mark.usefixtures("group_of_one")
def test_a_norm_with_statistics_of_its_own_is_refused() -> None:
    norm = share_norms(nn.Sequential(OwnNorm(3)), Ranks(0, 2), CPU)
    norm.eval()(torch.randn(2, 3, 4, 4))
    with pytest.raises(UserError, match=r"own_parts\.OwnNorm works out .* of 2 processes .*allowed: one process, or"):
        norm.train()(torch.randn(2, 3, 4, 4))


@pytest.mark.slow
def test_own_norms_give_the_curve_of_one_process_and_its_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    words = ["model.name=own_parts:NormNet", "model.aux_blocks=[]", "train.channels_last=false", "train.epochs=1"]
    finish(tmp_path / "one", [sys.executable], *words)
    finish(tmp_path / "two", TORCHRUN, *words)
    assert largest_deviation(rows(tmp_path / "two"), rows(tmp_path / "one")) < 1e-4
    (path,) = (tmp_path / "two").rglob("result.json")
    assert main(["predict", "--own-parts", str(path.parent), "--passes", "1"]) == 0
    assert f"{result(tmp_path / 'two')['metrics']['test/accuracy']['last']:.4f}" in capsys.readouterr().out


def test_a_norm_with_noise_behind_it_is_shared() -> None:
    net = build(ModelConfig(block="conv-norm-act", widths=[4], depth=2, norm="noisy_batch"), (1, 8, 8), 3)
    names = list(net.state_dict())
    shared = share_norms(net, Ranks(0, 2), torch.device("cpu"))
    assert any(isinstance(module, SharedBatchNorm) for module in shared.modules())
    assert list(shared.state_dict()) == names


def test_a_run_by_itself_keeps_its_norms(make_job: MakeJob) -> None:
    model = assemble(make_job(changes={"model.block": "conv-norm-act-pool", "model.norm": "batch"}).config).model
    assert any(type(module) is nn.BatchNorm2d for module in model.modules())
    assert not any(isinstance(module, SharedBatchNorm) for module in model.modules())
