"""Images per second of the lab's `fit` against the bare loop and the loop of PyTorch's own MNIST example.

    python benchmarks/loop.py [--root data] [--rounds 5] [--steps 40]

All three train the same two-convolution net with the same Adam on the same MNIST pictures, in one process, in turn,
round after round; what counts is the ratio of medians, since a shared machine is as fast as its neighbours let it be.

- lab: `fit`, with its reports, evaluation left out (the others have none);
- bare: a hand-written step over scaled tensors in memory, nothing else: the limit;
- tutorial: torchvision's MNIST, ToTensor and Normalize, DataLoader (github.com/pytorch/examples, mnist/main.py).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.config import RunConfig
from lab.data.batches import load
from lab.run import assemble
from lab.training.fit import fit, synchronise
from lab.vision import torchvision

BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="data", help="folder of the data sets")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="optimizer steps a round")
    args = parser.parse_args()
    config = RunConfig()
    config.data.name, config.data.root, config.data.val_frac = "mnist", args.root, 0.1
    config.model.widths, config.train.batch_size, config.train.eval_limit = [32, 64], BATCH, 1
    config.train.steps = args.steps
    loops = {"lab": lab_loop(config), "bare": bare_loop(config), "tutorial": tutorial_loop(config)}
    speeds: dict[str, list[float]] = {name: [] for name in loops}
    for one_round in range(args.rounds + 1):
        for name, loop in loops.items():
            started = time.perf_counter()
            loop(args.steps)
            if one_round:  # the first warms up
                speeds[name].append(args.steps * BATCH / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    device = assemble(config).member.device
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, batch {BATCH}, fp32")
    for name, median in medians.items():
        print(f"{name:8}  {median:8,.0f} images/s  lab is {medians['lab'] / median:.2f} times as fast")


def lab_loop(config: RunConfig) -> Callable[[int], object]:
    """The lab's own loop; a fresh member a round, so that every round trains from its first step."""
    first = assemble(config).member

    def loop(steps: int) -> None:
        first.step, first.status = 0, "running"
        fit([first], checkpoint_every=1e9, should_stop=lambda: False)

    return loop


def net_and_optimizer(config: RunConfig) -> tuple[nn.Module, torch.optim.Optimizer, torch.device]:
    parts = assemble(config)
    return parts.model, torch.optim.Adam(parts.model.parameters(), 1e-3), parts.member.device


def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()


def bare_loop(config: RunConfig) -> Callable[[int], object]:
    model, optimizer, device = net_and_optimizer(config)
    images, labels = next(load(config.data, 0, device).train.batches(50_000))
    order = torch.randperm(len(images))

    def loop(steps: int) -> None:
        for i in range(steps):
            index = order[i * BATCH : (i + 1) * BATCH]
            step(model, optimizer, images[index], labels[index])
        synchronise(device)

    return loop


def tutorial_loop(config: RunConfig) -> Callable[[int], object]:
    model, optimizer, device = net_and_optimizer(config)
    vision = torchvision()
    from torchvision import transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    pictures = vision.datasets.MNIST(config.data.root, transform=transform)
    loader = torch.utils.data.DataLoader(pictures, BATCH, shuffle=True)

    def loop(steps: int) -> None:
        batches = iter(loader)
        for _ in range(steps):
            images, labels = next(batches)
            step(model, optimizer, images.to(device), labels.to(device))
        synchronise(device)

    return loop


if __name__ == "__main__":
    main()
