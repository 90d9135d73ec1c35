"""All rules, and one net put to them."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from lab.checks.lint.finding import SEVERITIES, Rule, Said
from lab.checks.lint.layers import LAYER_RULES
from lab.checks.lint.operation import EXAMPLES
from lab.checks.lint.outputs import OUTPUT_RULES
from lab.checks.lint.shapes import SHAPE_RULES
from lab.checks.lint.task import Task
from lab.checks.lint.trace import trace
from lab.checks.lint.training import TRAINING_RULES
from lab.checks.lint.weights import WEIGHT_RULES

RULES = {rule.code: rule for rule in (*SHAPE_RULES, *LAYER_RULES, *OUTPUT_RULES, *WEIGHT_RULES, *TRAINING_RULES)}


def lint(net: nn.Module, inputs: Tensor, task: Task, rules: Collection[Rule] | None = None) -> list[Said]:
    """What is wrong with a net, worst first, in the order of its layers.

    Args:
        net: any module; it stays as it is.
        inputs: some examples (b, ...), of the scale of training; `examples` draws some.
        task: what it is trained for, and how.
        rules: those to apply; all if None.
    """
    graph = trace(net, inputs)
    found = [
        Said(rule, finding)
        for rule in (RULES.values() if rules is None else rules)
        for finding in rule.check(graph, task)
    ]
    if graph.failure:  # of a net that stops half-way, nothing is known about its end
        unknown = {rule.code for rule in WEIGHT_RULES} | {"out-activation", "out-bounded", "out-missing", "out-twice"}
        found = [one for one in found if one.rule.code not in unknown]
    order = {name: place for place, name in enumerate(dict.fromkeys(one.layer for one in graph))}
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), order.get(one.finding.layer, len(order))))


def examples(shape: tuple[int, ...], task: Task, device: torch.device | str = "cpu", tokens: bool = False) -> Tensor:
    """Random examples (b, *shape): uniform over the inputs' range, N(0, 1) where it is not known, numbers of words."""
    generator = torch.Generator().manual_seed(0)
    if tokens:
        return torch.randint(0, 2, (EXAMPLES, *shape), generator=generator).to(device)
    if task.inputs is None:
        return torch.randn(EXAMPLES, *shape, generator=generator).to(device)
    low, high = task.inputs
    return (torch.rand(EXAMPLES, *shape, generator=generator) * (high - low) + low).to(device)
