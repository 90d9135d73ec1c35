"""All rules, and one net put to them."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from lab.checks.lint.batch import BATCH_RULES
from lab.checks.lint.finding import SEVERITIES, Rule, Said
from lab.checks.lint.first_loss import FIRST_LOSS_RULES
from lab.checks.lint.layers import LAYER_RULES
from lab.checks.lint.norms import NORM_RULES
from lab.checks.lint.operation import enough
from lab.checks.lint.outputs import OUTPUT_RULES
from lab.checks.lint.parameters import PARAMETER_RULES
from lab.checks.lint.receptive_field import FIELD_RULES
from lab.checks.lint.schemes import SCHEME_RULES
from lab.checks.lint.shapes import SHAPE_RULES
from lab.checks.lint.task import Task
from lab.checks.lint.trace import trace
from lab.checks.lint.training import TRAINING_RULES
from lab.checks.lint.weights import WEIGHT_RULES
from lab.checks.lint.widths import WIDTH_RULES

TABLES = (
    *(SHAPE_RULES, FIELD_RULES, WIDTH_RULES, LAYER_RULES, NORM_RULES, OUTPUT_RULES, BATCH_RULES),
    *(WEIGHT_RULES, SCHEME_RULES, FIRST_LOSS_RULES, PARAMETER_RULES, TRAINING_RULES),
)
RULES = {rule.code: rule for table in TABLES for rule in table}

CAUSES = {
    "signal-none": ("init-equal", "act-dead", "drop-all", "out-one-softmax", "grad-frozen"),
    "init-fades": ("act-softmax", "act-saturates", "input-saturates", "init-equal", "drop-all", "out-one-softmax"),
    "act-dead": ("init-equal", "drop-all"),
    "batch-mixed": ("out-rows",),
    "out-count": ("out-rows",),
}
"""What follows from other faults: it is not told beside its cause, whose repair repairs it."""


def lint(net: nn.Module, inputs: Tensor, task: Task, rules: Collection[Rule] | None = None) -> list[Said]:
    """What is wrong with a net, worst first, in the order of its layers.

    Args:
        net: any module; it stays as it is.
        inputs: some examples (b, ...), of the scale of training; `examples` draws some.
        task: what it is trained for, and how.
        rules: those to apply; all if None.
    """
    graph = trace(net, inputs)
    if isinstance(graph.failed_module, nn.Embedding | nn.EmbeddingBag) and inputs.is_floating_point():
        graph = trace(net, words(inputs.shape).to(inputs.device))
    found = [
        Said(rule, finding)
        for rule in (RULES.values() if rules is None else rules)
        for finding in rule.check(graph, task)
    ]
    if graph.failure:  # of a net that stops half-way, nothing is known about its end
        unknown = {rule.code for rule in WEIGHT_RULES} | {"out-activation", "out-bounded", "out-missing", "out-twice"}
        found = [one for one in found if one.rule.code not in unknown]
    codes = {one.rule.code for one in found if one.severity != "note"}
    found = [one for one in found if not codes.intersection(CAUSES.get(one.rule.code, ()))]
    order = {name: place for place, name in enumerate(dict.fromkeys(one.layer for one in graph))}
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), order.get(one.finding.layer, len(order))))


def examples(shape: tuple[int, ...], task: Task, device: torch.device | str = "cpu", tokens: bool = False) -> Tensor:
    """Random examples (b, *shape): uniform over the inputs' range, N(0, 1) where it is not known, numbers of words."""
    generator, count = torch.Generator().manual_seed(0), enough(shape)
    if tokens:
        return words((count, *shape)).to(device)
    if task.inputs is None:
        return torch.randn(count, *shape, generator=generator).to(device)
    low, high = task.inputs
    return (torch.rand(count, *shape, generator=generator) * (high - low) + low).to(device)


def words(shape: tuple[int, ...]) -> Tensor:
    """Numbers of words, each 0 or 1, which every vocabulary has."""
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(0))
