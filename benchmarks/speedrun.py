"""Seconds and accuracy of `experiment=speedrun`, CIFAR-10 towards 94 %, and the ratio to the same recipe by hand.

    python benchmarks/speedrun.py --seeds 5 [--data cifar10|folder] [--root data] [--graph auto|on|off]
    python benchmarks/speedrun.py --smoke --seeds 2      # a few steps of a tiny net on a CPU, to see that it runs

Both train each seed whole, in one process, in turn; what counts is the ratio of medians. The clock runs from the first
step to the last validation, which both do after every epoch; it does not cover reading the data, making the net, the
test, or the steps that warm both up.

- lab: `fit` with its reports, written to its files, in bf16, with CUDA graphs where `--graph` lets it;
- by hand: the net of the lab, from the same weights, and a bare loop in torch: scaled images in memory, bf16
  autocast, channels last, SGD with Nesterov's momentum, the rate from LambdaLR, crop, flip and cutout drawn on the
  device, no CUDA graph. The order of the images is the lab's, so that both have the same first losses in fp32 without
  augmentation; that is checked before anything is timed.

Exit codes: 0; 1 where the first losses differ by more than `TOLERANCE` or the lab's mean accuracy on the test set is
below `TARGET`; 2 where there is no GPU or the data are missing.
"""

import argparse
import itertools
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.config import RunConfig
from lab.data.batches import Split
from lab.errors import UserError
from lab.identity import derive_seed
from lab.overrides.plan import one_job
from lab.records.writer import MetricsWriter
from lab.runs.build import Parts, assemble
from lab.system.devices import device_name
from lab.training.clock import synchronise
from lab.training.evaluation import eval_batch
from lab.training.fit import Point, fit
from lab.training.precision import PRECISIONS, choose_format

TARGET = 0.94

TOLERANCE = 1e-3
"""Relative, of each of the first `LOSS_STEPS` losses: a graph's rate is fp32, and its kernels add up in their order."""

LOSS_STEPS = 8

SMOKE = ["data=synthetic", "data.limit=128", "model.widths=[4,8,16]", "train.batch_size=32", "train.steps=6"]
SMOKE += ["train.eval_limit=64", "train.device=cpu"]


@dataclass(frozen=True)
class Outcome:
    """Result of one whole run."""

    seconds: float
    """From the first step to the last validation."""
    reached: float
    """Seconds until a validation first gave `TARGET`; infinity where none did."""
    accuracy: float
    """Of the test set, after the last step."""


def main(typed: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", choices=("cifar10", "folder"), default="cifar10")
    parser.add_argument("--root", default="data", help="folder of the data set's files; for folder, of its images")
    parser.add_argument("--graph", choices=("auto", "on", "off"), default="auto", help="train.graph of the lab's run")
    parser.add_argument("--smoke", action="store_true", help="a few steps on a CPU; the figures then mean nothing")
    args = parser.parse_args(typed)
    if args.seeds < 1:
        parser.error(f"--seeds {args.seeds} is out of range; allowed: 1 or more")
    if not torch.cuda.is_available() and not args.smoke:
        print("there is no GPU here; --smoke runs a few steps of a tiny net on a CPU", file=sys.stderr)
        return 2
    changes = SMOKE if args.smoke else [f"data={args.data}", f"data.root={args.root}", f"train.graph={args.graph}"]
    try:
        return compare(recipe(changes), args.seeds, args.smoke)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def recipe(changes: list[str]) -> RunConfig:
    """The experiment's arm in bf16, from its own file, with further overrides."""
    typed = ["experiment=speedrun", "train.precision=bf16", "seed=0", *changes]
    return one_job("train", typed).config


def compare(config: RunConfig, seeds: int, smoke: bool) -> int:
    """Trains `seeds` seeds both ways, prints the results, and returns the exit code."""
    parts = assemble(config)
    training, data = parts.training, parts.data
    name = device_name(training.clock.device).replace("cpu", "CPU")
    graph = "with" if training.train_step.graph else "without"
    print(f"{name}, torch {torch.__version__}, {config.train.precision}, the lab {graph} CUDA graphs")
    print(f"data={config.data.name}: {len(data.train):,} training, {len(data.val):,} validation images, ", end="")
    print(f"{len(data.test):,} of test; {training.steps:,} steps of {config.train.batch_size}", flush=True)
    pairs = list(zip(lab_losses(plain(config)), hand_losses(plain(config)), strict=True))
    deviation = max(abs(hand / lab - 1) for lab, hand in pairs)
    print(f"first {len(pairs)} losses in fp32 without augmentation: largest deviation {deviation:.1e}", flush=True)
    ways = {"lab": by_lab, "by hand": by_hand}
    for way in ways.values():  # warms up
        way(replace(config, train=replace(config.train, steps=min(training.steps, LOSS_STEPS))))
    outcomes: dict[str, list[Outcome]] = {way: [] for way in ways}
    for seed in range(seeds):
        for way in list(ways)[:: -1 if seed % 2 else 1]:
            outcome = ways[way](replace(config, seed=seed))
            outcomes[way].append(outcome)
            print(f"seed {seed}  {way:7}  {describe(outcome)}", flush=True)
    num_images = training.steps * config.train.batch_size
    for way, found in outcomes.items():
        print(f"{way:7}  {summary(found, num_images)}")
    medians = {way: statistics.median(one.seconds for one in found) for way, found in outcomes.items()}
    means = {way: statistics.fmean(one.accuracy for one in found) for way, found in outcomes.items()}
    ratio, difference = medians["by hand"] / medians["lab"], means["lab"] - means["by hand"]
    print(f"lab is {ratio:.2f} times as fast as by hand; its test accuracy is {difference:+.4f} of that by hand")
    failed = not deviation <= TOLERANCE
    if smoke:
        print("a smoke run: the figures mean nothing")
    elif not means["lab"] >= TARGET:
        failed = True
        print(f"the lab's mean test accuracy, {means['lab']:.4f}, is below {TARGET}")
    return 1 if failed else 0


def describe(outcome: Outcome) -> str:
    """One run in words."""
    reached = "never" if math.isinf(outcome.reached) else f"after {outcome.reached:.1f} s"
    return f"test accuracy {outcome.accuracy:.4f}, {outcome.seconds:6.1f} s, validation at {TARGET} {reached}"


def summary(outcomes: list[Outcome], num_images: int) -> str:
    """All seeds of one way in words."""
    accuracies = [one.accuracy for one in outcomes]
    spread = f", sd {statistics.stdev(accuracies):.4f}" if len(outcomes) > 1 else ""
    there = [one.reached for one in outcomes if math.isfinite(one.reached)]
    median = statistics.median(one.seconds for one in outcomes)
    reached = f"{len(there)} of {len(outcomes)} seeds" + (f", median {statistics.median(there):.1f} s" if there else "")
    return (
        f"test accuracy mean {statistics.fmean(accuracies):.4f}{spread}, {min(accuracies):.4f} to "
        f"{max(accuracies):.4f}; {median:.1f} s, {num_images / median:,.0f} images/s; "
        f"validation at {TARGET}: {reached}"
    )


def plain(config: RunConfig) -> RunConfig:
    """The same in fp32 without augmentation, where both ways see the same numbers."""
    return replace(config, data=replace(config.data, augment="none"), train=replace(config.train, precision="fp32"))


# The lab


def by_lab(config: RunConfig) -> Outcome:
    """A whole run by the lab's `fit`."""
    parts = assemble(config)
    training, reached = parts.training, math.inf
    with tempfile.TemporaryDirectory() as folder:
        writer = MetricsWriter(Path(folder), 0, {}, "speedrun")

        def report(point: Point) -> None:
            nonlocal reached
            writer.write(point)
            if point["val/accuracy"] >= TARGET:
                reached = min(reached, time.perf_counter() - started)

        synchronise(training.clock.device)
        started = time.perf_counter()
        fit(training, report, checkpoint_every=config.train.checkpoint_every)
        synchronise(training.clock.device)
        seconds = time.perf_counter() - started
        writer.close(succeeded=True)
    batch = eval_batch(parts.data.shape, training.clock.device)
    scores = parts.score(parts.data.test.batches(batch, config.train.eval_limit))
    return Outcome(seconds, reached, scores["accuracy"])


def lab_losses(config: RunConfig) -> list[float]:
    """The losses of the first steps."""
    training = replace(assemble(config).training, evaluate=dict, log_every=1)
    points: list[Point] = []
    fit(training, points.append, should_stop=lambda: training.step >= LOSS_STEPS)
    return [point["train/loss"] for point in points]


# By hand


def by_hand(config: RunConfig) -> Outcome:
    """A whole run by the bare loop."""
    parts = assemble_eager(config)
    model, training, limit = parts.model, parts.training, config.train.eval_limit
    images, labels = in_memory(parts.data.train)
    val, test = in_memory(parts.data.val, limit), in_memory(parts.data.test, limit)
    reached = math.inf
    synchronise(training.clock.device)
    started = time.perf_counter()
    for step, _ in enumerate(steps_by_hand(config, parts, images, labels), 1):
        if step % training.log_every == 0 or step == training.steps:
            if accuracy(model, *val, config) >= TARGET:
                reached = min(reached, time.perf_counter() - started)
            model.train()
    synchronise(training.clock.device)
    seconds = time.perf_counter() - started
    return Outcome(seconds, reached, accuracy(model, *test, config))


def hand_losses(config: RunConfig) -> list[float]:
    """The losses of the first steps."""
    parts = assemble_eager(config)
    images, labels = in_memory(parts.data.train)
    losses = itertools.islice(steps_by_hand(config, parts, images, labels), LOSS_STEPS)
    return [loss.item() for loss in losses]


def assemble_eager(config: RunConfig) -> Parts:
    """The net as the lab starts it, and the data; what the lab would train it with is left aside."""
    return assemble(replace(config, train=replace(config.train, graph="off")))


def in_memory(split: Split, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """The first `limit` images of `split`, scaled (n, c, h, w), and labels (n,)."""
    return next(split.batches(limit or len(split), limit))


def steps_by_hand(config: RunConfig, parts: Parts, images: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """Takes one step after another on `images` (n, c, h, w) and `labels` (n,), and gives the loss of each, ()."""
    train, optim, data, rise = config.train, config.optimizer, config.data, config.schedule.warmup_frac
    written = (optim.name, config.schedule.name, data.augment.replace("none", "crop-flip-cutout"), train.loss)
    assert written == ("nag", "linear", "crop-flip-cutout", "auto"), written
    model, device, steps = parts.model, images.device, parts.training.steps
    autocast = PRECISIONS[train.precision]
    layout = choose_format(train.channels_last, device, autocast)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},  # biases and norms
    ]
    optimizer = torch.optim.SGD(groups, optim.lr, optim.momentum, nesterov=True, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (step + 1) / (rise * steps + 1) if step / steps < rise else (1 - step / steps) / (1 - rise),
    )
    reach, side = round(data.crop_frac * images.shape[3]), round(data.cutout_frac * images.shape[3])
    step = 0
    model.train()
    for epoch in itertools.count():
        generator = torch.Generator().manual_seed(derive_seed(config.seed, "order", epoch))  # the lab's order
        order = torch.randperm(len(images), generator=generator).to(device).split(train.batch_size)
        for index in order[: len(images) // train.batch_size]:
            if step == steps:
                return
            batch = images[index]
            if data.augment != "none":
                batch = augment(batch, reach, side)
            with torch.autocast(device.type, autocast, enabled=autocast is not None):
                outputs = model(batch.contiguous(memory_format=layout))
                loss = F.cross_entropy(outputs, labels[index], label_smoothing=train.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            yield loss.detach()


def augment(images: Tensor, reach: int, side: int) -> Tensor:
    """Shifts by up to `reach` pixels with borders reflected, flips half of them, cuts a square of `side` out of each.

    The same laws as the lab's `crop-flip-cutout`, drawn on the device; (b, c, h, w) to (b, c, h, w).
    """
    b, _, h, w = images.shape
    device = images.device
    shifts = torch.randint(2 * reach + 1, (2, b, 1), device=device)
    rows = shifts[0] + torch.arange(h, device=device)  # (b, h)
    columns = shifts[1] + torch.arange(w, device=device)
    columns = torch.where(torch.rand(b, 1, device=device) < 0.5, columns.flip(1), columns)  # (b, w)
    padded = F.pad(images, (reach,) * 4, "reflect").permute(0, 2, 3, 1)  # (b, h + 2 reach, w + 2 reach, c)
    example = torch.arange(b, device=device)[:, None, None]
    images = padded[example, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    inside = []
    for length in (h, w):
        start = torch.randint(length, (b, 1), device=device) - side // 2
        at = torch.arange(length, device=device)
        inside.append((at >= start) & (at < start + side))  # (b, length)
    return images * ~(inside[0][:, :, None] & inside[1][:, None, :])[:, None]


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor, config: RunConfig) -> float:
    """Share of images that the model, in evaluation mode, gets right; this waits for the device."""
    model.eval()
    autocast = PRECISIONS[config.train.precision]
    layout = choose_format(config.train.channels_last, images.device, autocast)
    right = torch.zeros((), dtype=torch.int64, device=images.device)
    with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
        for some, answers in zip(images.split(1000), labels.split(1000), strict=True):
            right += (model(some.contiguous(memory_format=layout)).argmax(1) == answers).sum()
    return right.item() / len(labels)


if __name__ == "__main__":
    sys.exit(main())
