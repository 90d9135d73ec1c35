"""The one place that joins the parts of a run: configuration -> data -> net -> init -> optimizer -> `fit`'s member."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from lab.config import RunConfig
from lab.data.batches import Dataset, Order, load
from lab.errors import UserError
from lab.identity import derive_seed
from lab.nets.init import initialise
from lab.nets.recipe import build, obeys_init
from lab.runs.start import start
from lab.training.clipping import make_clip
from lab.training.fit import Member, evaluate
from lab.training.graph import make_graph, obstacles
from lab.training.losses import loss_name, make_losses
from lab.training.metrics import Metrics, make_metrics
from lab.training.optimizers import make_optimizer
from lab.training.parallel import Ranks, check_share, current_ranks, share_norms
from lab.training.penalties import make_bound, make_penalty
from lab.training.plateau import make_plateau
from lab.training.precision import choose_format, make_precision
from lab.training.schedules import interval_steps, make_schedule
from lab.training.stopping import make_stopping
from lab.validation import validate

EVAL_BATCH, EVAL_BATCH_GPU = 128, 1000
"""Most pictures an evaluation step; the result depends on it by rounding alone. On a CPU 1000 took up to three times as
long, as activations of more than 32 MB are mapped and cleared anew at every use."""

EVAL_VALUES = 256 * 3 * 32 * 32
"""Most values of its pictures, so that an evaluation is not the most that a run ever holds."""


@dataclass(frozen=True)
class Parts:
    """What a configuration stands for, ready to train."""

    data: Dataset
    model: nn.Module
    member: Member
    score: Callable[..., dict[str, float]]
    """Loss and metrics of the model as it stands, over batches of pictures and labels. A list given besides gets the
    number of the greatest output of each picture, a tensor (b,) a batch."""
    started_from: dict[str, Any]
    """What `result.json` says of another run's weights and of pruning; empty where there is neither."""


def assemble(config: RunConfig) -> Parts:
    """Builds all that `config` names, in the order in which it flows; `report` and `save` are the caller's to set.

    Raises:
        UserError: anything in the configuration is wrong.
    """
    validate(config)
    train, ranks = config.train, current_ranks()
    device = resolve_device(train.device)
    autocast, scaling = make_precision(train.precision, device)
    data = load(config.data, config.seed, device)
    order = Order(data.train, train.batch_size, config.seed, data.augment)
    check_share(train.batch_size, ranks.size)
    steps, log_every = durations(config, order.steps_per_epoch)
    model, memory_format = make_net(config, data, order, device, autocast, ranks)
    loss_in_use = loss_name(train, bool(data.classes))
    started = start(config.start, model, data, config.seed, order.steps_per_epoch, config.model, loss_in_use)
    optimizer = make_optimizer(model, config.optimizer)
    loss, plain_loss = make_losses(train, bool(data.classes))
    metrics, eval_metrics = make_metrics(len(data.classes), data.unit)
    if train.compile:
        model.compile()  # in place: torch.compile(model) would be another module, whose weights have other names
    found = obstacles(device, optimizer, train.compile, started.freeze is not None, scaling is not None, ranks.size)
    own_parts = any(":" in str(value) for value in (*vars(config.model).values(), train.loss))

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = ranks.share(*order.batch(step))
        return images.contiguous(memory_format=memory_format), labels

    def score(
        batches: Iterable[tuple[torch.Tensor, torch.Tensor]], seen: list[torch.Tensor] | None = None
    ) -> dict[str, float]:
        measured = eval_metrics if seen is None else seeing(eval_metrics, seen)
        return evaluate(model, batches, plain_loss, measured, autocast, ranks)

    reported = {"train": metrics.names, "val": eval_metrics.names}
    tags = [f"{split}/{name}" for split, names in reported.items() for name in ("loss", *names)]
    member = Member(
        model=model,
        optimizer=optimizer,
        schedule=make_schedule(**vars(config.schedule)),
        lr=config.optimizer.lr,
        loss=loss,
        metrics=metrics,
        batch=batch,
        evaluate=lambda: score(data.val.batches(eval_batch(data.shape, device), train.eval_limit)),
        report=lambda row: None,
        save=lambda state: None,
        steps=steps,
        log_every=log_every,
        steps_per_epoch=order.steps_per_epoch,
        device=device,
        autocast=autocast,
        rate_every=interval_steps(config.schedule.interval, order.steps_per_epoch),
        plateau=make_plateau(config.schedule, tags),
        clip=make_clip(train),
        penalty=make_penalty(train, model),
        bound=make_bound(train, model),
        stopping=make_stopping(train, tags),
        max_seconds=math.inf if train.max_seconds is None else train.max_seconds,
        freeze=started.freeze,
        scaling=scaling,
        graph=make_graph(train.graph, device, found, own_parts),
        ranks=ranks,
    )
    return Parts(data, model, member, score, started.record)


def make_net(
    config: RunConfig, data: Dataset, order: Order, device: torch.device, autocast: torch.dtype | None, ranks: Ranks
) -> tuple[nn.Module, torch.memory_format]:
    """The net with its first weights, where it trains, and the memory format that it takes its pictures in."""
    net = config.model
    seed = derive_seed(config.seed, "init", *[net.draw] * (net.draw > 0))  # 0 is the stream there was before others
    with torch.random.fork_rng(devices=[]):  # layers draw weights when they are made; `initialise` has the last word
        torch.manual_seed(seed)  # a user's own layers may keep what they drew
        model = build(net, data.shape, data.num_outputs)
        if obeys_init(net.name):
            images = order.batch(0)[0].cpu()  # of the first step, for `lsuv`
            initialise(model, net.init, net.init_gain, net.act, seed, net.init_fan, images)
    model = share_norms(model, ranks, device)
    memory_format = torch.contiguous_format
    if len(data.shape) == 3:
        memory_format = choose_format(config.train.channels_last, device, autocast, appends=net.skip == "concat")
    model = model.to(device=device).to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
    return model, memory_format


def seeing(metrics: Metrics, seen: list[torch.Tensor]) -> Metrics:
    """`metrics`, which add the number of the greatest output of each example to `seen` as they go."""

    def sums(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(outputs.argmax(1))  # (b,)
        return metrics.sums(outputs, labels)

    return replace(metrics, sums=sums)


def eval_batch(shape: tuple[int, ...], device: torch.device) -> int:
    """Pictures of `shape` an evaluation step on `device`."""
    most = EVAL_BATCH if device.type == "cpu" else EVAL_BATCH_GPU
    return max(1, min(most, EVAL_VALUES // math.prod(shape)))


def durations(config: RunConfig, steps_per_epoch: int) -> tuple[int, int]:
    """Length of the run and distance between two reports, in steps: the one place where durations become steps."""
    train = config.train
    steps = max(1, round(train.epochs * steps_per_epoch)) if train.steps is None else train.steps
    return steps, max(1, round(train.eval_every * steps_per_epoch))


def resolve_device(name: str) -> torch.device:
    """The device that `train.device` names; `auto` is the first GPU, else the CPU.

    Raises:
        UserError: no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    there += ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    if name not in there:
        raise UserError(f"train.device={name} is not on this machine; there are: auto, {', '.join(there)}")
    return torch.device(name)
