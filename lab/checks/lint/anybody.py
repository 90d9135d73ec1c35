"""`lab lint --module`: a net that somebody made outside of the lab."""

from collections.abc import Collection

import torch
from torch import nn

from lab.checks.lint.finding import Rule, Said
from lab.checks.lint.linter import examples, lint
from lab.checks.lint.task import Task
from lab.errors import choose
from lab.system.vision import define_missing


def lint_own(name: str, shape: tuple[int, ...], task: Task, rules: Collection[Rule] | None = None) -> list[Said]:
    """What is wrong with the net that `name` makes, worst first.

    Args:
        name: `package.module:function`, called without arguments; the code of the module runs.
        shape: of one example.
        task: what it is trained for.
        rules: those to apply; all if None.

    Raises:
        UserError: there is no such module or attribute, or it makes no `nn.Module`.
    """
    define_missing()
    torch.manual_seed(0)
    return lint(choose("--module", name, {}, nn.Module)(), examples(shape, task), task, rules)
