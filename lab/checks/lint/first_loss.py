"""The rule about the loss before the first step."""

from collections.abc import Iterator
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import Graph
from lab.checks.lint.outputs import at
from lab.checks.lint.task import Task
from lab.checks.lint.training import unscaled_inputs

HIGH = 2.0
"""Times log(C) that are told."""

HARMFUL = 30.0
"""Times log(C) from which it is a warning: the first steps are spent on shrinking the outputs."""


def loss_far_from_chance(graph: Graph, task: Task) -> Iterator[Finding]:
    """A first loss far from log(C).

    A net that knows nothing should give each of C classes 1 / C, a loss of log(C). A higher one means large outputs
    that are sure and wrong: the first steps only shrink them (Karpathy 2019, "A recipe for training neural networks":
    "verify loss @ init"). Measured on random examples, over all labels alike.
    """
    head = graph.head()
    if graph.failure or graph.result is None or head is None or any(unscaled_inputs(graph, task)):
        return
    found = first_loss(graph.result, task)
    if found is None:
        return
    loss, chance = found
    if loss > HIGH * chance:
        what = f"the loss starts at {loss:.3g}, where a net that knows nothing has {chance:.3g}"
        fix = "draw the last layer smaller, or take a norm before it"
        yield at(head, what, fix, "warning" if loss > HARMFUL * chance else "note")


def first_loss(outputs: Tensor, task: Task) -> tuple[float, float] | None:
    """Expected loss of outputs (b, C) where every label is as likely, and log(C); None where it is not defined."""
    if not outputs.is_floating_point() or outputs.is_meta or outputs.ndim != 2:
        return None
    outputs = outputs.double()
    if task.loss == "cross_entropy" and task.exclusive and outputs.shape[1] == task.num_outputs:
        logs = {"logits": F.log_softmax(outputs, 1), "log-probabilities": outputs}
        if task.takes not in logs:
            return None
        loss = float(-logs[task.takes].mean())
    elif task.loss == "bce" and task.takes == "logits":
        loss = float(F.softplus(outputs).mean() - outputs.mean() / 2)
    else:
        return None
    chance = log(task.num_outputs) if task.exclusive else log(2)
    return (loss, chance) if torch.isfinite(outputs).all() else None


FIRST_LOSS_RULES = (Rule("loss-start", "note", loss_far_from_chance),)
