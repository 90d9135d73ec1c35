"""`lab lint` on published faulty nets: `lint` has the form that the scorer of the benchmark of faulty nets asks for.

    python FAULTY_NETS/score.py benchmarks/faulty_nets.py:lint --codes benchmarks/faulty_nets_codes.csv --details

Notes are left out: they are no faults.
"""

from typing import Any

from torch import nn

from lab.checks.lint.linter import examples
from lab.checks.lint.linter import lint as check
from lab.checks.lint.task import Task


def lint(net: nn.Module, in_shape: tuple[int, ...], meta: dict[str, Any]) -> list[tuple[str, str]]:
    """Codes and layers of errors and warnings."""
    task = task_of(meta)
    device = next(net.parameters()).device
    said = check(net, examples(in_shape, task, device, meta["input_range"] == "tokens"), task)
    whole = isinstance(net, nn.Sequential)
    return [
        (one.rule.code, one.finding.layer.partition(".")[0] if whole else one.finding.layer)
        for one in said
        if one.severity != "note"
    ]


def task_of(meta: dict[str, Any]) -> Task:
    """The settings of a case as a task of the lab."""
    known = {"cross_entropy", "bce", "hinge", "mse", "mae", "accuracy"}
    loss = meta["loss"] if meta["loss"] in known else "cross_entropy" if "cross" in meta["loss"] else "mae"
    batch, epochs, examples_there = meta["batch_size"], meta["epochs"], meta["num_examples"]
    updates = epochs * -(-examples_there // batch) if epochs and batch and examples_there else None
    takes = meta["loss_takes"]
    return Task(
        kind="classes" if meta["task"] == "sequence" else meta["task"],
        num_outputs=meta["num_outputs"],
        loss=loss,
        takes=takes,
        optimizer=meta["optimizer"],
        lr=meta["lr"],
        momentum=meta["momentum"],
        batch_size=batch,
        updates=updates,
        inputs=span(meta["input_range"]),
        targets=span(meta["target_range"]),
        metric=meta["metric"],
    )


def span(text: str) -> tuple[float, float] | None:
    """`0..255` as numbers; None of anything else."""
    low, dots, high = text.partition("..")
    return (float(low), float(high)) if dots else None
