"""What is known of an arm before it trains: what the rules about comparisons read."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lab.checks.lint.configured import task_of
from lab.checks.lint.finding import Said
from lab.checks.lint.linter import RULES, lint
from lab.checks.lint.operation import EXAMPLES
from lab.checks.proof import Form, form_of
from lab.config import RunConfig
from lab.identity import arm_hash, flatten
from lab.runs.build import Parts
from lab.runs.fingerprint import fingerprint
from lab.studies.select.arms import complete
from lab.training.optimizers import make_optimizer

MOST_IMAGES = 32
"""Images of the first batch by which the first update is measured."""


@dataclass(frozen=True)
class ArmFacts:
    """One arm, as it stands before its first step."""

    config: dict[str, Any]
    """Complete and flat."""
    arm: dict[str, Any]
    """The keys that were typed for it."""
    arm_id: str
    fingerprint: str | None
    form: Form | None
    """What its net computes; None where that is not understood in full."""

    num_params: int
    multiply_adds: int
    """Of one example, forward, by linear layers and convolutions."""

    update: float | None
    """Median over the weights of how far the first step moves them, as a share of their size; None if it fails."""

    said: tuple[Said, ...]
    """Errors and warnings of `lab lint`."""


def facts_of(config: RunConfig, arm: dict[str, Any], parts: Parts, ignore: Sequence[str] = ()) -> ArmFacts:
    """All that is known of the arm of `config`, built as `parts`, which stay as they are.

    Args:
        config: of any of its seeds.
        arm: the keys that were typed for it.
        parts: all that `config` names.
        ignore: codes of rules that do not apply.
    """
    digits = fingerprint(parts)  # first: nothing below may change what it reads
    images, _ = parts.data.train.take(torch.arange(min(EXAMPLES, len(parts.data.train))))
    model, images = on_cpu(parts.model), images.cpu()
    rules = [rule for code, rule in RULES.items() if code not in ignore]
    return ArmFacts(
        config=complete(flatten(config)),
        arm=arm,
        arm_id=arm_hash(config),
        fingerprint=digits,
        form=form_of(model, images),
        num_params=sum(parameter.numel() for parameter in model.parameters()),
        multiply_adds=count_multiply_adds(model, images),
        update=first_update(config, parts),
        said=tuple(one for one in lint(model, images, task_of(config, parts), rules) if one.severity != "note"),
    )


def bare_facts(config: RunConfig, arm: dict[str, Any], parts: Parts | None = None) -> ArmFacts:
    """Of an arm only its fingerprint, and not even that where it was not built."""
    digits = parts and fingerprint(parts)
    return ArmFacts(complete(flatten(config)), arm, arm_hash(config), digits, None, 0, 0, None, ())


def on_cpu(model: nn.Module) -> nn.Module:
    """The net itself, or a copy on the CPU."""
    device = next((one.device.type for one in model.parameters()), "cpu")
    return model if device == "cpu" else copy.deepcopy(model).cpu()


def count_multiply_adds(model: nn.Module, images: Tensor) -> int:
    """Multiplications with additions of one example, forward, by torch's own count; 0 where the net fails."""
    counter, training = FlopCounterMode(display=False), model.training
    try:
        with counter, torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.eval()(images)
    except Exception:  # a user's net may do anything; the count is not worth a run
        return 0
    finally:
        model.train(training)
    return counter.get_total_flops() // (2 * len(images))


def first_update(config: RunConfig, parts: Parts) -> float | None:
    """The median over the weights of a copy of how far one step of training moves them, as a share of their size."""
    step = parts.training.train_step
    try:
        model = copy.deepcopy(parts.model)
        with torch.random.fork_rng(devices=[]):
            images, labels = (part[:MOST_IMAGES] for part in step.batch(0))
            outputs = model.train()(images)
            loss = step.loss(outputs[0] if isinstance(outputs, tuple) else outputs, labels, "mean")
            loss.backward()
        if step.clip:
            step.clip(list(model.parameters()))
        return moved(model, make_optimizer(model, config.optimizer).step)
    except Exception:  # of a user's part: its own run says what is wrong
        return None


def moved(model: nn.Module, act: Callable[[], object]) -> float | None:
    """The median over the weights of `model` of how far `act` moves them, as a share of their size."""
    weights = [one for one in model.parameters() if one.ndim > 1 and one.requires_grad]
    before = [one.detach().clone() for one in weights]
    act()
    pairs = zip(weights, before, strict=True)
    shares = [float((new.detach() - old).norm() / old.norm()) for new, old in pairs if old.norm() > 0]
    finite = sorted(share for share in shares if 0 < share < float("inf"))
    return finite[len(finite) // 2] if finite else None
