"""How long a training step takes with the channels last, as a ratio to the ordinary memory format, net by net.

    python benchmarks/formats.py [--root data] [--rounds 5] [--device cpu] [--precision fp32]

Both sides take steps in turn in one process; on a CPU the processor's seconds of one thread are counted, which a busy
machine leaves alone, and the least of the rounds stands for each side.
"""

import argparse
import resource
import time
from pathlib import Path

import torch

from lab.config import RunConfig
from lab.identity import with_values
from lab.runs.build import assemble
from lab.training.clock import synchronise
from lab.training.step import TrainStep

CASES = {
    "plain on digits": {"data.name": "digits"},
    "30 layers on digits": {"data.name": "digits", "model.depth": 30},
    "highway on digits": {"data.name": "digits", "model.depth": 12, "model.skip": "gate"},
    "residual on digits": {
        "data.name": "digits",
        "model.block": "conv-norm-act",
        "model.depth": 12,
        "model.skip": "add",
    },
    "dense on digits": {
        "data.name": "digits",
        "model.block": "norm-act-conv",
        "model.depth": 12,
        "model.skip": "concat",
    },
    "two_conv on MNIST": {"data.name": "mnist", "model.widths": [32, 64]},
    "LeNet-5 on MNIST": {"data.name": "mnist", "model.name": "lenet"},
    "vgg on MNIST": {
        "data.name": "mnist",
        "model.block": "conv-norm-act-pool",
        "model.widths": [32, 64, 128],
        "model.depth": 7,
    },
    "residual on CIFAR-10": {
        "data.name": "folder",
        "model.block": "conv-norm-act-conv-norm-act-pool",
        "model.widths": [16, 32, 64],
        "model.depth": 19,
        "model.skip": "add",
        "model.head": "gap",
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="data", help="folder of the data sets")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, changes in CASES.items():
        sides = {last: make(changes, last, args.root, args.device, args.precision) for last in (False, True)}
        least = dict.fromkeys(sides, float("inf"))
        for one_round in range(args.rounds + 1):
            for last, side in sides.items():
                seconds = seconds_of_step(side, one_round)
                least[last] = min(least[last], seconds) if one_round else least[last]
        before, after = least[False] * 1e3, least[True] * 1e3
        print(
            f"{name:22} {before:7.1f} ms, channels last {after:7.1f} ms: {after / before:.2f} times as long", flush=True
        )


def make(changes: dict[str, object], channels_last: bool, root: str, device: str, precision: str) -> TrainStep:
    config = with_values(RunConfig(), changes)
    config.data.root = str(Path(root) / "cifar10-jpeg") if config.data.name == "folder" else root
    config.train.batch_size, config.train.channels_last = 64, channels_last
    config.train.device, config.train.precision = device, precision
    return assemble(config).training.train_step


def seconds_of_step(train_step: TrainStep, step: int) -> float:
    """Seconds of a step: the processor's on a CPU, the clock's elsewhere."""
    device = train_step.tally.totals.device
    synchronise(device)
    clock = cpu_seconds if device.type == "cpu" else time.perf_counter
    started = clock()
    train_step(step)
    synchronise(device)
    return clock() - started


def cpu_seconds() -> float:
    """What this process has used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
