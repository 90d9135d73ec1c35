"""The one place that joins the parts of a run: configuration -> data -> net -> init -> train step -> training."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lab.config import DataConfig, RunConfig, TrainConfig
from lab.data.batches import Dataset, Order, load_dataset
from lab.errors import UserError
from lab.identity import arm_hash, derive_seed, flatten, with_values
from lab.nets.auxiliary import WithAuxiliaries
from lab.nets.init import initialise, scale_head
from lab.nets.monte_carlo import check_sampled
from lab.nets.recipe import build, obeys_init
from lab.nets.size import check_size
from lab.nets.surfaces import Point, check_loss
from lab.quantity import ALONG_STEP, SAMPLED, WATCHED
from lab.records.results import read_result
from lab.records.sources import source_config, source_folder
from lab.runs.origin import Origin, find_run, open_run
from lab.runs.rehearsal import check_single, format_of, materialise, own_parts, rehearse
from lab.runs.start import start
from lab.system.devices import free_bytes, resolve_device
from lab.system.vision import define_missing
from lab.training.best import make_best
from lab.training.clipping import make_clip
from lab.training.clock import Clock
from lab.training.evaluation import eval_batch, evaluate
from lab.training.fit import Training
from lab.training.graph import make_graph, obstacles
from lab.training.losses import Loss, loss_name, make_losses
from lab.training.optimizers import make_optimizer
from lab.training.parallel import Ranks, check_share, current_ranks, share_norms
from lab.training.penalties import make_bound, make_penalty
from lab.training.plateau import Plateau, make_plateau
from lab.training.precision import LossScaling, choose_format, guard_group_norms, make_precision
from lab.training.schedules import Rate, interval_steps, make_schedule
from lab.training.step import TrainStep
from lab.training.stopping import make_stopping
from lab.training.tally import Tally, make_metrics
from lab.validation import is_elsewhere, validate


@dataclass(frozen=True)
class Parts:
    """What a configuration stands for, ready to train."""

    data: Dataset
    model: nn.Module
    training: Training
    score: Callable[..., dict[str, float]]
    """Loss and metrics of the model as it stands, over batches of images and labels; `seen` as in `evaluate`."""
    started_from: dict[str, Any]
    """What `result.json` says of another run's weights and of pruning; empty where there is neither."""
    tags: tuple[str, ...]
    """What the run logs, and measures of the test images."""
    mc_passes: int = 0
    """Monte-Carlo passes by which the test images are predicted as well."""


@dataclass(frozen=True)
class Machine:
    """Where a run computes, with whom, and in which arithmetic."""

    device: torch.device
    ranks: Ranks
    autocast: torch.dtype | None
    scaling: LossScaling | None


def assemble(config: RunConfig, stand_in: bool = False) -> Parts:
    """Builds all that `config` names, in the order in which data flows.

    Args:
        config: of a run.
        stand_in: whether a source that is still to be trained (`start.source`) may be replaced by its net as it starts;
            and the GPU of a cluster by the CPU of this machine; never for a run itself.

    Raises:
        UserError: anything in the configuration is wrong.
    """
    validate(config)
    if stand_in and is_elsewhere(config.on):
        config = without_gpu(config)
    train, given = config.train, own_parts(config)
    if given:
        define_missing()
    given = ", ".join(part for part in given if not part.startswith("data.name="))  # data are checked as they are read
    machine = make_machine(train)
    data = load_dataset(config.data, config.seed, machine.device)
    order = Order(data.train, train.batch_size, config.seed, data.augment, left_by(config), config.data.shuffle)
    steps, log_every = durations(config, order.steps_per_epoch)

    model, memory_format = make_net(config, data, order, machine)
    loss_in_use = loss_name(train, bool(data.classes))
    check_loss(config.model.name, loss_in_use)
    origin = origin_of(config, stand_in)
    started = start(config.start, origin, model, data, config.seed, order.steps_per_epoch, config.model, loss_in_use)

    loss, plain_loss = make_losses(train, bool(data.classes))
    metrics, eval_metrics = make_metrics(len(data.classes), data.unit, loss_in_use != "value")
    measured = {"train": metrics.names, "val": eval_metrics.names}
    tags = [f"{split}/{name}" for split, names in measured.items() for name in ("loss", *names)]
    plateau = make_plateau(config.schedule, tags)
    rate = rate_of(config, steps, order.steps_per_epoch, plateau)
    batch = partial(own_share, order, machine.ranks, memory_format)
    if given:
        auxiliary = isinstance(model, WithAuxiliaries)
        rehearse(model, data, loss, partial(try_update, config), memory_format, auxiliary, given)
    train_step = make_step(config, machine, model, rate, batch, loss, Tally(metrics, machine.device), started.freeze)

    score = partial(
        evaluate, model, loss=plain_loss, metrics=eval_metrics, autocast=machine.autocast, ranks=machine.ranks
    )
    limit = train.eval_limit
    training = Training(
        train_step,
        evaluate=lambda: score(data.val.batches(eval_batch(data.shape, machine.device), limit)),
        clock=Clock(machine.device, math.inf if train.max_seconds is None else train.max_seconds),
        steps=steps,
        log_every=log_every,
        steps_per_epoch=order.steps_per_epoch,
        plateau=plateau,
        stopping=make_stopping(train, tags),
        best=make_best(train, tags),
        place=model.place if isinstance(model, Point) else dict,
    )
    check_passes(config, model, data)
    tested = (f"test/{name}" for name in ("loss", *eval_metrics.names, *(SAMPLED if train.mc_passes else ())))
    watched = (*WATCHED, *(ALONG_STEP if train.watch_smoothness else ()))
    watched = watched if train.watch and not train.watch_steps and machine.ranks.size == 1 else ()
    logged = (*tags, *tested, *(f"train/{name}" for name in (*own_figures(training), *watched)))
    return Parts(data, model, training, score, started.record, logged, train.mc_passes)


def rate_of(config: RunConfig, steps: int, steps_per_epoch: int, plateau: Plateau | None = None) -> Rate:
    """The learning rate of each step of a run of `steps`."""
    every = interval_steps(config.schedule.interval, steps_per_epoch)
    schedule = make_schedule(**vars(config.schedule), grain=Fraction(every, max(1, steps)))
    return Rate(config.optimizer.lr, schedule, steps, every, plateau)


def without_gpu(config: RunConfig) -> RunConfig:
    """`config` on the CPU, with what needs a GPU left out."""
    values = {"train.device": "cpu", "train.graph": "off"}
    return with_values(config, values | ({"train.precision": "fp32"} if config.train.precision == "fp16" else {}))


def check_passes(config: RunConfig, model: nn.Module, data: Dataset) -> None:
    """Raises `UserError` where `train.mc_passes` has nothing to measure."""
    passes = config.train.mc_passes
    if passes and not data.classes:
        raise UserError(
            f"train.mc_passes={passes} is of classes, and data.name={config.data.name} has numbers; allowed: 0, and "
            "`lab predict --passes` for the intervals of numbers"
        )
    if passes:
        first = torch.zeros(1, dtype=torch.int64, device=data.val.index.device)
        check_sampled(model, data.val.take(first)[0], passes, "train.mc_passes")


def origin_of(config: RunConfig, stand_in: bool) -> Origin | None:
    """The run whose weights a run of `config` starts from; `stand_in` as in `assemble`.

    Raises:
        UserError: it is missing, not finished or damaged.
    """
    if config.start.load == "none":
        return None
    if source := source_config(config):
        folder = source_folder(source)
        there = read_result(folder)
        if there is None and not stand_in:
            raise UserError(f"start.source: the run {folder} is not trained yet, as lab train does first")
        if not stand_in or (there and there["status"] == "finished"):
            return open_run(folder, "start.source")
        fresh = assemble(source).model.state_dict()
        about = {"config": flatten(source), "arm": {}, "arm_id": arm_hash(source), "seed": source.seed, "steps": 0}
        return Origin(folder, {**about, "status": "planned"}, {name: value.cpu() for name, value in fresh.items()})
    return open_run(find_run(config.start.run, config.seed), "start.run") if config.start.run else None


def try_update(config: RunConfig, probe: nn.Module) -> None:
    """Penalty, clipping and optimizer of `config` on a copy of its net that has gradients."""
    if penalty := make_penalty(config.train, probe):
        penalty().backward()
    if clip := make_clip(config.train):
        clip([parameter for parameter in probe.parameters() if parameter.grad is not None])
    make_optimizer(probe, config.optimizer).step()


def own_figures(training: Training) -> list[str]:
    """What a run logs of its training besides loss and metrics."""
    step, stopping = training.train_step, training.stopping
    there = {
        "lr": True,
        "weight_norm": True,
        "near_zero": True,
        "skipped": step.scaling,
        "clipped": step.clip,
        "penalty": step.penalty,
        "restored_step": stopping and stopping.restore_best,
    }
    return [*(name for name, has in there.items() if has), *training.place()]


def make_machine(train: TrainConfig) -> Machine:
    """The device, the processes and the arithmetic that `train` asks for."""
    device, ranks = resolve_device(train.device), current_ranks()
    check_share(train.batch_size, ranks.size)
    return Machine(device, ranks, *make_precision(train.precision, device))


def left_by(config: RunConfig) -> str:
    """The keys that leave fewer training images than there are, with their values; empty if none does."""
    data, default = config.data, DataConfig()
    names = [
        name for name in ("limit", "imbalance", "classes", "unseen") if getattr(data, name) != getattr(default, name)
    ]
    return ", ".join(f"data.{name}={getattr(data, name)}" for name in ["val_frac", *names])


def own_share(order: Order, ranks: Ranks, memory_format: torch.memory_format, step: int) -> tuple[Tensor, Tensor]:
    """Images (b, c, h, w) and labels (b,) of this rank at `step`."""
    images, labels = ranks.share(*order.batch(step))
    return images.contiguous(memory_format=memory_format), labels


def make_net(config: RunConfig, data: Dataset, order: Order, machine: Machine) -> tuple[nn.Module, torch.memory_format]:
    """The net with its first weights, where it trains, and the memory format in which it takes images."""
    net = config.model
    seed = derive_seed(config.seed, "init", *[net.draw] * (net.draw > 0))  # 0 keeps the stream of runs before the key
    with torch.random.fork_rng(devices=[]):  # layers draw weights when they are made; `initialise` has the last word
        check_size(net, data.shape, data.num_outputs, order.batch_size, free_bytes(machine.device))
        torch.manual_seed(seed)  # a user's own layers may keep what they drew
        model = build(net, data.shape, data.num_outputs)
        materialise(model, data.shape, f"model.name={net.name}")
        if obeys_init(net.name):
            images = order.batch(0)[0].cpu()  # of the first step, for `lsuv`
            initialise(model, net.init, net.init_gain, net.act, seed, net.init_fan, images)
            scale_head(model, net.head_gain)
        if config.train.batch_size == machine.ranks.size:
            check_single(model, data.shape, config)
    model = share_norms(model, machine.ranks, machine.device)
    memory_format = torch.contiguous_format
    if len(data.shape) == 3:
        last, appends = config.train.channels_last, net.skip == "concat"
        memory_format = choose_format(last, machine.device, machine.autocast, appends)
    if memory_format == torch.channels_last:
        guard_group_norms(model)
        if given := [part for part in own_parts(config) if part.startswith("model.")]:
            images = data.val.take(torch.zeros(2, dtype=torch.int64, device=machine.device))[0].cpu()
            memory_format = format_of(model, images, bool(config.train.channels_last), ", ".join(given))
    model = model.to(device=machine.device).to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
    return model, memory_format


def make_step(
    config: RunConfig,
    machine: Machine,
    model: nn.Module,
    rate: Rate,
    batch: Callable[[int], tuple[Tensor, Tensor]],
    loss: Loss,
    tally: Tally,
    freeze: Callable[[int], None] | None,
) -> TrainStep:
    """The step of a run: its optimizer, and what acts on loss, gradients and weights."""
    train, scaling, num_ranks = config.train, machine.scaling, machine.ranks.size
    optimizer = make_optimizer(model, config.optimizer)
    if train.compile:
        model.compile()  # in place: torch.compile(model) would be another module, whose weights have other names
    found = obstacles(machine.device, optimizer, train.compile, freeze is not None, scaling is not None, num_ranks)
    own_code = any(":" in str(value) for value in (*vars(config.model).values(), train.loss))
    return TrainStep(
        model=model,
        optimizer=optimizer,
        rate=rate,
        batch=batch,
        loss=loss,
        tally=tally,
        autocast=machine.autocast,
        scaling=scaling,
        penalty=make_penalty(train, model),
        clip=make_clip(train),
        bound=make_bound(train, model),
        freeze=freeze,
        graph=make_graph(train.graph, machine.device, found, own_code),
        ranks=machine.ranks,
    )


def durations(config: RunConfig, steps_per_epoch: int) -> tuple[int, int]:
    """Length of the run and distance of two logged points, in steps: the one place where durations become steps."""
    train = config.train
    epochs = max(int(train.epochs > 0), round(train.epochs * steps_per_epoch))
    steps = epochs if train.steps is None else train.steps
    return steps, max(1, round(train.eval_every * steps_per_epoch))
