"""`lab lint` of a configuration of the lab: its net on its own images."""

from collections.abc import Collection, Sequence

import torch

from lab.checks.lint.finding import SEVERITIES, Finding, Rule, Said
from lab.checks.lint.linter import RULES, lint
from lab.checks.lint.operation import enough
from lab.checks.lint.task import LOSSES, Task
from lab.config import ModelConfig, RunConfig
from lab.data.batches import Order, load_dataset
from lab.errors import LayerError
from lab.nets.recipe import obeys_init
from lab.runs.build import Parts, assemble, durations
from lab.training.losses import loss_name


def lint_config(config: RunConfig, rules: Collection[Rule] | None = None) -> list[Said]:
    """What is wrong with the net of `config`, and with how it is trained, worst first.

    Args:
        config: of one run.
        rules: those to apply; all if None.

    Raises:
        UserError: anything but the net is wrong.
    """
    try:
        parts = assemble(config, stand_in=True)
    except LayerError as error:
        if error.net is not None:
            return lint(error.net, torch.randn(enough(error.in_shape), *error.in_shape), task_of(config, None), rules)
        fix = "take fewer layers or pools, or larger images"
        return [Said(RULES["shape-fails"], Finding(f"no net: {error}", fix, error.layer, error.shape))]
    images, _ = parts.data.train.take(torch.arange(min(enough(parts.data.shape), len(parts.data.train))))
    return lint(parts.model.float().cpu(), images.cpu(), task_of(config, parts), rules)


def task_of(config: RunConfig, parts: Parts | None) -> Task:
    """What `config` trains its net for; of a net that is not to be built, what is known without it."""
    data = load_dataset(config.data, config.seed, torch.device("cpu")) if parts is None else parts.data
    order = Order(data.train, config.train.batch_size, config.seed, data.augment)
    loss = loss_name(config.train, bool(data.classes))
    what, takes = LOSSES.get(loss, ("", ""))
    images, labels = data.train.take(torch.arange(min(256, len(data.train))))
    numbers = not data.classes
    return Task(
        kind="numbers" if numbers else "classes",
        num_outputs=data.num_outputs,
        loss=what,
        takes=takes,
        optimizer=config.optimizer.name,
        lr=config.optimizer.lr,
        momentum=config.optimizer.momentum if config.optimizer.name in ("momentum", "nag") else 0.0,
        batch_size=config.train.batch_size,
        updates=durations(config, order.steps_per_epoch)[0],
        inputs=(float(images.min()), float(images.max())),
        targets=(float(labels.min()), float(labels.max())) if numbers else None,
        decay=decay_of(config),
        init=chosen_init(config),
    )


def decay_of(config: RunConfig) -> float:
    """The strength of weight decay and L2 penalty together, which act on all but biases and norms."""
    penalty = config.train.penalty_weight if config.train.penalty in ("l2", "elastic") else 0.0
    return config.optimizer.weight_decay + penalty


def chosen_init(config: RunConfig) -> str:
    """What was chosen of the initialisation, in words; empty where all of it is the default."""
    default = ModelConfig()
    keys = [key for key in ("init", "init_gain", "init_fan") if getattr(config.model, key) != getattr(default, key)]
    told = ", ".join(f"model.{key}={getattr(config.model, key)}" for key in keys)
    return told if obeys_init(config.model.name) else ""


def worst(said: Sequence[Said]) -> str:
    """The worst severity; empty if nothing was said."""
    return min((one.severity for one in said), key=SEVERITIES.index, default="")
