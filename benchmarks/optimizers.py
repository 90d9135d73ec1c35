"""Time of a step of torch's fused optimizers against its plain ones, and how far apart they end.

    python benchmarks/optimizers.py [--rounds 60] [--device cpu]

Both take the same steps on the same gradients, in one process, in turn; what counts is the ratio of medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lab.config import RunConfig
from lab.identity import with_values
from lab.runs.build import assemble
from lab.training.clock import synchronise

NETS: dict[str, dict[str, Any]] = {
    "two convolutions": {"block": "conv-act-pool", "widths": [32, 64], "depth": 3},
    "30 plain layers": {"block": "conv-act-pool", "widths": [16], "depth": 30},
    "ResNet of 21 layers": {"block": "conv-norm-act-conv-norm-act-pool", "skip": "add", "depth": 21},
}

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda weights, fused: torch.optim.SGD(weights, 1e-3, fused=fused),
    "momentum": lambda weights, fused: torch.optim.SGD(weights, 1e-3, 0.9, fused=fused),
    "nag": lambda weights, fused: torch.optim.SGD(weights, 1e-3, 0.9, nesterov=True, fused=fused),
    "adagrad": lambda weights, fused: torch.optim.Adagrad(weights, 1e-3, fused=fused),
    "adam": lambda weights, fused: torch.optim.Adam(weights, 1e-3, fused=fused),
    "adamw": lambda weights, fused: torch.optim.AdamW(weights, 1e-3, fused=fused),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{args.device}, 1 thread, torch {torch.__version__}, {args.rounds} rounds of 5 steps")
    for net in NETS:
        for name, make in OPTIMIZERS.items():
            if name == "adagrad" and args.device != "cpu":
                continue  # torch has it fused for CPUs alone
            models = {fused: with_gradients(net, args.device) for fused in (False, True)}
            optimizers = {fused: make(model.parameters(), fused) for fused, model in models.items()}
            seconds: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(args.rounds):
                for fused, optimizer in optimizers.items():
                    started = time.perf_counter()
                    for _ in range(5):
                        optimizer.step()
                    synchronise(torch.device(args.device))
                    seconds[fused].append((time.perf_counter() - started) / 5)
            plain, fast = (statistics.median(seconds[fused]) for fused in (False, True))
            ends = [nn.utils.parameters_to_vector(model.parameters()) for model in models.values()]
            deviation = (ends[0] - ends[1]).abs().max().item()
            print(
                f"{net:20} {name:9} plain {1e6 * plain:6.0f} us  fused {1e6 * fast:6.0f} us  "
                f"{plain / fast:5.2f} times as fast  largest deviation {deviation:.1e}",
                flush=True,
            )


def with_gradients(net: str, device: str) -> nn.Module:
    config = with_values(RunConfig(), {f"model.{key}": value for key, value in NETS[net].items()})
    config.train.device = device
    model = assemble(config).model
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(device)
    return model


if __name__ == "__main__":
    main()
