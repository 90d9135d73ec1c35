"""`lab.lint` of a torch module."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from lab.checks.lint.finding import Said
from lab.checks.lint.linter import examples, lint
from lab.checks.lint.task import TASKS, Task, loss_of
from lab.errors import UserError, unknown


def lint_net(
    net: nn.Module,
    shape: Sequence[int] | None,
    outputs: int,
    inputs: tuple[float, float] | None,
    targets: tuple[float, float] | None,
    *,
    task: str,
    loss: str,
    **described: Any,
) -> list[Said]:
    """What is wrong with `net`, worst first; arguments as of `lab.lint`.

    Raises:
        UserError: an argument is wrong.
    """
    sizes = list(shape or ())
    if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise UserError(f"shape={shape}: lab.lint of a module needs the shape of one example, as shape=(3, 32, 32)")
    if task not in TASKS:
        raise UserError(unknown(f"task={task}", str(task), TASKS))
    for name, ends in (("inputs", inputs), ("targets", targets)):
        if ends is not None and not (len(ends) == 2 and ends[0] < ends[1]):
            raise UserError(f"{name}={ends} is no range; give the least and the greatest value, as (0, 255)")
    what, takes = loss_of(loss, "loss") if loss else ("", "")
    goal = Task(task, outputs, what, takes, inputs=inputs, targets=targets, decays_all=True, **described)
    device = next((one.device for one in net.parameters()), "cpu")
    return lint(net, examples(tuple(sizes), goal, device), goal)
