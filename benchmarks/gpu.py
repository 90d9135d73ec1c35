"""Images per second on a GPU with and without CUDA graphs, the share of a step spent waiting, and the same losses.

    python benchmarks/gpu.py [--rounds 5] [--steps 200]

Each net trains from the same seed step by step (`train.graph=off`) and by replaying a recording (`on`), in one process,
in turn, round after round; what counts is the ratio of medians. Waiting is the share of a step in which the GPU does
nothing: 1 - time of its kernels (torch.profiler) / time of a step by the clock, without the profiler. The losses of
both must agree within `TOLERANCE`, or this fails: the graph's rate is fp32, and its kernels add up in their own order.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from lab.config import RunConfig
from lab.identity import with_values
from lab.runs.build import assemble
from lab.training.clock import synchronise
from lab.training.fit import Training, fit
from lab.training.graph import WARM_UP

TOLERANCE = 1e-2
"""Relative, of the mean training loss of the first `LOSS_STEPS` steps in fp32, without dropout."""

LOSS_STEPS = 40

NETS: dict[str, dict[str, Any]] = {
    "two convolutions, 28x28": {"block": "conv-act-pool", "widths": [32, 64], "depth": 3},
    "30 plain layers, 8x8": {"block": "conv-act-pool", "widths": [16, 32, 64], "depth": 30},
    "ResNet of 21 layers, 32x32": {
        "block": "conv-norm-act-conv-norm-act-pool",
        "skip": "add",
        "head": "gap",
        "widths": [16, 32, 64],
        "depth": 21,
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps a round")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no GPU here", file=sys.stderr)
        return 2
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, batch 128, {args.rounds} rounds of {args.steps}")
    failed = False
    for net in NETS:
        side = int(net.rpartition("x")[2])
        for precision in ("fp32", "bf16"):
            runs = {graph: make(net, side, precision, graph) for graph in ("off", "on")}
            speeds: dict[str, list[float]] = {graph: [] for graph in runs}
            for one_round in range(args.rounds + 1):
                for graph, training in runs.items():
                    seconds = run_steps(training, args.steps)
                    if one_round:  # the first warms up
                        speeds[graph].append(128 * args.steps / seconds)
            medians = {graph: statistics.median(values) for graph, values in speeds.items()}
            waits = {graph: waiting(training, medians[graph]) for graph, training in runs.items()}
            words = [f"{g}: {medians[g]:11,.0f} images/s, waits {100 * waits[g]:3.0f} %" for g in runs]
            ratio = medians["on"] / medians["off"]
            print(f"{net:28} {precision}  graph {';  '.join(words)};  {ratio:.2f} times as fast", flush=True)
        losses = [first_loss(net, side, graph) for graph in ("off", "on")]
        deviation = abs(losses[1] / losses[0] - 1)
        failed |= not deviation <= TOLERANCE
        print(f"{net:28} loss {losses[0]:.6f} and {losses[1]:.6f}: deviation {deviation:.1e}", flush=True)
    return 1 if failed else 0


def make(net: str, side: int, precision: str, graph: str) -> Training:
    config = with_values(RunConfig(), {f"model.{key}": value for key, value in NETS[net].items()})
    config.data.name, config.data.resize = "digits", side  # shapes matter here, not what is seen
    config.train.device, config.train.precision, config.train.graph = "cuda", precision, graph
    config.train.batch_size, config.train.steps, config.train.channels_last = 128, 10**9, precision == "bf16"
    return assemble(config).training


def run_steps(training: Training, steps: int) -> float:
    """Seconds of `steps` steps."""
    synchronise(training.clock.device)
    started = time.perf_counter()
    for _ in range(steps):
        training.train_step(training.step)
        training.step += 1
    synchronise(training.clock.device)
    return time.perf_counter() - started


def waiting(training: Training, images_per_second: float) -> float:
    """The share of a step in which the GPU does nothing."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        run_steps(training, 20)
    busy = sum(event.self_device_time_total for event in found.key_averages()) / 20e6  # seconds a step
    return max(0.0, 1 - busy * images_per_second / 128)


def first_loss(net: str, side: int, graph: str) -> float:
    """Mean training loss of the first steps."""
    training = replace(make(net, side, "fp32", graph), steps=LOSS_STEPS, log_every=LOSS_STEPS)
    rows: list[dict[str, Any]] = []
    torch.manual_seed(0)
    fit(training, rows.append)
    assert LOSS_STEPS > 2 * WARM_UP
    return rows[-1]["train/loss"]


if __name__ == "__main__":
    sys.exit(main())
