"""`lab lint` on torchvision's nets at their own image size: findings and seconds, as a table.

    OMP_NUM_THREADS=1 python benchmarks/torchvision_nets.py [NAMES]

Each net is made without its trained weights and linted for 1,000 classes under cross-entropy; the seconds are those of
a processor for the rules, with the forward and backward pass of two random images, without the making of the net.
"""

import sys
import time
import warnings
from collections import Counter

import torch
from torch import nn

from lab.checks.lint.finding import SEVERITIES, Said
from lab.checks.lint.linter import examples, lint
from lab.checks.lint.task import Task
from lab.system.vision import torchvision

NAMES = (
    *("alexnet", "vgg11", "vgg11_bn", "resnet18", "resnet50", "googlenet", "squeezenet1_1", "mobilenet_v3_small"),
    *("densenet121", "efficientnet_b0", "convnext_tiny", "vit_b_16"),
)
TASK = Task("classes", 1000, "cross_entropy", "logits")


def make(name: str) -> nn.Module:
    """A net of torchvision by its name, drawn from seed 0."""
    torchvision()
    from torchvision.models import get_model

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # googlenet announces another default
        return get_model(name, weights=None)


def timed(net: nn.Module, side: int) -> tuple[list[Said], float]:
    """What is found in a net on colour images of that side, and the CPU seconds that it took."""
    inputs = examples((3, side, side), TASK)
    began = time.process_time()
    return lint(net, inputs, TASK), time.process_time() - began


def row(name: str, side: int) -> str:
    """A line of the table."""
    said, seconds = timed(make(name), side)
    counts = Counter(one.severity for one in said)
    codes = Counter(one.rule.code for one in said)
    told = ", ".join(f"{code} x {count}" if count > 1 else code for code, count in codes.items())
    numbers = " | ".join(str(counts[severity]) for severity in SEVERITIES)
    return f"| {name} at {side}x{side} | {numbers} | {told} | {seconds:.1f} |"


def main(names: list[str]) -> None:
    """Prints the table."""
    print("| net | errors | warnings | notes | which | CPU s |\n| --- | --- | --- | --- | --- | --- |")
    for name in names or NAMES:
        print(row(name, 224), flush=True)
    if not names:
        print(row("resnet18", 32))


if __name__ == "__main__":
    main(sys.argv[1:])
