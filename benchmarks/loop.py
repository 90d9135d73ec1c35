"""Images per second of the lab's `fit` against what people would use instead, on the same net, data and batch size.

    python benchmarks/loop.py [--nets two_conv plain30 resnet20] [--root data] [--rounds 5] [--set train.precision=bf16]

The loops train in turn, round after round, each in a separate process, which waits meanwhile; what counts is the
ratio of medians, since a shared machine is as fast as its neighbours let it be. `--set` changes the lab's run alone.

- lab: `fit` with its logged points: one a round, after validation on a ninth of the round's images, written to files;
- bare: a hand-written step over scaled tensors in memory, nothing logged, no validation, in the memory format that the
  lab takes: the limit;
- tutorial: the loop of github.com/pytorch/examples, mnist/main.py: a DataLoader that turns each image into a tensor;
- lightning: the same data set and net in Lightning with its defaults but the progress bar; left out where it is not
  installed (`pip install lightning`). Neither tutorial nor lightning validates here, nor puts channels last.

Nets: two convolutions on MNIST, 30 plain layers on digits, a residual net of 20 layers on CIFAR-10 images (class
folders, `--root`/cifar10-jpeg).
"""

import argparse
import importlib.util
import itertools
import logging
import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.config import RunConfig
from lab.data.batches import Dataset, load_dataset
from lab.identity import default_leaves, with_values
from lab.records.writer import MetricsWriter
from lab.runs.build import assemble
from lab.system.devices import resolve_device
from lab.system.machine import keep_memory
from lab.system.vision import torchvision
from lab.training.clock import synchronise
from lab.training.fit import fit
from lab.training.precision import choose_format

Loop = Callable[[int], float]
"""Trains for some steps; returns the seconds that they took."""


@dataclass(frozen=True)
class Case:
    """What is trained, and how many steps a round."""

    changes: dict[str, Any]
    steps: int


CASES = {
    "two_conv": Case({"data.name": "mnist", "model.widths": [32, 64], "train.batch_size": 128}, 40),
    "plain30": Case({"data.name": "digits", "model.depth": 30, "train.batch_size": 64}, 17),
    "resnet20": Case(
        {
            "data.name": "folder",
            "model.block": "conv-norm-act-conv-norm-act-pool",
            "model.widths": [16, 32, 64],
            "model.depth": 19,  # 18 convolutions in blocks and the classifier; the stem is a block's first
            "model.skip": "add",
            "model.head": "gap",
            "train.batch_size": 128,
        },
        8,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--root", default="data", help="folder of the data sets")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes to the lab's run")
    args = parser.parse_args()
    changed = " ".join(args.set) or "as it is"
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {args.rounds} rounds, lab {changed}")
    for net in args.nets:
        case = CASES[net]
        config = configure(case, args.root)
        speeds = measure(config, configure(case, args.root, args.set), case.steps, args.rounds)
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        for name, median in medians.items():
            ratio = medians["lab"] / median
            print(f"{net:9} {name:9}  {median:8,.0f} images/s  lab is {ratio:.2f} times as fast", flush=True)


def configure(case: Case, root: str, settings: list[str] | None = None) -> RunConfig:
    """The run of `case`: one logged point a round, after validation on a ninth of what the round trains."""
    given = dict(one.split("=", 1) for one in settings or [])
    defaults = {key: default_leaves()[key] for key in given}
    parsed = {k: v if isinstance(defaults[k], str) else type(defaults[k])(eval_literal(v)) for k, v in given.items()}
    config = with_values(RunConfig(), {**case.changes, **parsed})
    config.data.root = f"{root}/cifar10-jpeg" if config.data.name == "folder" else root
    config.data.val_frac = 0.1
    config.train.steps = case.steps
    config.train.eval_every = 1e6  # the last step is logged
    config.train.eval_limit = max(1, case.steps * config.train.batch_size // 9)
    return config


def eval_literal(text: str) -> Any:
    """`true` and `3` as the configuration would read them."""
    return {"true": True, "false": False}.get(text, text)


def measure(plain: RunConfig, own: RunConfig, steps: int, rounds: int) -> dict[str, list[float]]:
    """Images per second of every loop and round; the first round warms up and is not counted."""
    made = {"lab": (lab_loop, own), "bare": (bare_loop, plain), "tutorial": (tutorial_loop, plain)}
    if importlib.util.find_spec("lightning"):
        made["lightning"] = (lightning_loop, plain)
    spawn, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(ProcessPoolExecutor(1, spawn, make_loop, (make, config, threads)))
            for name, (make, config) in made.items()
        }
        speeds: dict[str, list[float]] = {name: [] for name in processes}
        for one_round in range(rounds + 1):
            for name, process in processes.items():
                seconds = process.submit(train, steps).result()
                if one_round:
                    speeds[name].append(steps * plain.train.batch_size / seconds)
    return speeds


def make_loop(make: Callable[[RunConfig], Loop], config: RunConfig, threads: int) -> None:
    """Prepares a loop in its process."""
    global _loop
    torch.set_num_threads(threads)
    _loop = make(config)


def train(steps: int) -> float:
    """Seconds of some steps of this process's loop."""
    assert _loop is not None
    return _loop(steps)


_loop: Loop | None = None


def lab_loop(config: RunConfig) -> Loop:
    """The lab's own loop with its logged points, its validation and its files."""
    keep_memory()  # as a run does
    training = assemble(config).training
    writer = MetricsWriter(Path(tempfile.mkdtemp()), 0, {}, "benchmark")

    def loop(steps: int) -> float:
        training.step, training.status, training.stopped_by = 0, "running", ""
        started = time.perf_counter()
        fit(training, writer.write, checkpoint_every=60)
        synchronise(training.clock.device)
        return time.perf_counter() - started

    return loop


def net_and_optimizer(config: RunConfig) -> tuple[nn.Module, torch.optim.Optimizer, torch.device]:
    """The same net as the lab's, and the optimizer that anybody would write beside it."""
    train = replace(config.train, channels_last=config.train.channels_last or False)
    parts = assemble(replace(config, train=train))
    return parts.model, torch.optim.Adam(parts.model.parameters(), config.optimizer.lr), parts.training.clock.device


def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()


def bare_loop(config: RunConfig) -> Loop:
    """Scaled images in memory and a step; nothing else."""
    device = resolve_device(config.train.device)
    layout = choose_format(config.train.channels_last, device, None)
    model, optimizer, device = net_and_optimizer(config)
    model.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    most = config.train.batch_size * (config.train.steps or 1)
    images, labels = next(load_dataset(config.data, 0, device).train.batches(max(20_000, most)))
    images = images.contiguous(memory_format=layout)

    def loop(steps: int) -> float:
        model.train()
        started = time.perf_counter()
        order = torch.randperm(len(images), device=device).split(config.train.batch_size)
        for index in itertools.islice(order, steps):
            step(model, optimizer, images[index], labels[index])
        synchronise(device)
        return time.perf_counter() - started

    return loop


class ByteImages(torch.utils.data.Dataset):
    """Byte images in memory, turned into tensors one by one, as torchvision's MNIST and CIFAR10 do it."""

    def __init__(self, data: Dataset):
        transforms = torchvision().transforms
        pixels = data.train.images[data.train.index].cpu().permute(0, 2, 3, 1)
        self.pixels = pixels.squeeze(3).numpy()  # (n, h, w), or (n, h, w, 3)
        self.labels = data.train.labels[data.train.index].tolist()
        mean, std = (data.train.shift / 255).flatten(), (1 / data.train.factor / 255).flatten()
        steps = [transforms.ToTensor(), transforms.Normalize(mean.tolist(), std.tolist())]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def loader(config: RunConfig) -> torch.utils.data.DataLoader:
    data = load_dataset(config.data, 0, torch.device("cpu"))
    return torch.utils.data.DataLoader(ByteImages(data), config.train.batch_size, shuffle=True, drop_last=True)


def tutorial_loop(config: RunConfig) -> Loop:
    """The loop of PyTorch's own MNIST example."""
    model, optimizer, device = net_and_optimizer(config)
    batches_of = loader(config)

    def loop(steps: int) -> float:
        model.train()
        started = time.perf_counter()
        for images, labels in itertools.islice(batches_of, steps):
            step(model, optimizer, images.to(device), labels.to(device))
        synchronise(device)
        return time.perf_counter() - started

    return loop


def lightning_loop(config: RunConfig) -> Loop:
    """Lightning's Trainer, timed from its first batch to the end of its last."""
    torchvision()  # Lightning imports it, and a build without its extension must be mended first
    import lightning  # pyright: ignore[reportMissingImports]

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model, optimizer, device = net_and_optimizer(config)
    batches_of = loader(config)
    clock: list[float] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            images, labels = batch
            loss = F.cross_entropy(self.net(images), labels)
            self.log("train/loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer

        def on_train_start(self) -> None:
            clock.append(time.perf_counter())

        def on_train_end(self) -> None:
            synchronise(device)
            clock.append(time.perf_counter())

    def loop(steps: int) -> float:
        clock.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = lightning.Trainer(
                max_steps=steps,
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=1,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=tempfile.mkdtemp(),
            )
            trainer.fit(Module(), batches_of)
        return clock[1] - clock[0]

    return loop


if __name__ == "__main__":
    main()
