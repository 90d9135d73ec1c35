"""One run: the one place that joins the parts. Configuration -> data -> net -> init -> optimizer -> fit -> result."""

import io
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from lab.config import RunConfig, UserError, check_range, derive_seed
from lab.data.batches import Dataset, Order, Split, load
from lab.machine import keep_memory, local_rank, num_cores, on_first_stop_signal
from lab.nets.init import initialise
from lab.nets.recipe import build, obeys_init
from lab.progress import Progress, Silent
from lab.records.environment import environment
from lab.records.places import OVER, Job, claimed
from lab.records.results import finite, read_metrics, read_result, write_atomically, write_json
from lab.records.writer import MetricsWriter, summarise
from lab.start import start
from lab.training.checkpoint import load_checkpoint, pack, previous, read_checkpoint
from lab.training.clipping import make_clip
from lab.training.divergence import is_well, locate
from lab.training.fit import Member, Row, evaluate, fit
from lab.training.graph import make_graph, obstacles
from lab.training.losses import loss_name, make_losses
from lab.training.metrics import Metrics, make_metrics
from lab.training.optimizers import make_optimizer
from lab.training.parallel import check_share, current_ranks, share_norms
from lab.training.penalties import make_bound, make_penalty
from lab.training.plateau import make_plateau
from lab.training.precision import choose_format, make_precision
from lab.training.schedules import interval_steps, make_schedule
from lab.training.stopping import make_stopping
from lab.watch import Watch, check_watch

CPU = torch.device("cpu")

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


def run(job: Job, progress: Progress | None = None, should_stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Trains one run to its end, resuming it where it was interrupted, and writes its folder (rank 0 does); one that is
    over stays.

    An exception while it trains becomes a result of status `failed`; the folder then holds the message. SIGINT and
    SIGTERM end it with a checkpoint and status `interrupted`.

    Args:
        job: what to run, and where.
        progress: where to show it; nowhere if None.
        should_stop: asked after every step, besides the signals.

    Returns:
        The content of `result.json`.

    Raises:
        LockedError: another process is at it.
        UserError: the configuration is wrong, or the folder cannot be written.
    """
    parts = assemble(job.config)
    with ExitStack() as stack:
        try:
            if parts.member.ranks.rank == 0:
                job = stack.enter_context(claimed(job))
                if parts.member.ranks.size == 1 and job.is_over() and (result := read_result(job.folder)):
                    return result  # another process was faster
                start_folder(job)
        except OSError as error:
            what = f"cannot write {job.folder} ({error.strerror or error})"
            raise UserError(f"out={job.config.out}: {what}") from error
        return _run(job, parts, progress or Silent(), should_stop)


def _run(job: Job, parts: Parts, progress: Progress, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """The run in a folder that is its own."""
    folder, ranks = job.folder, parts.member.ranks
    result = job.record()
    result["environment"] = environment(device_name(parts.member.device), torch.get_num_threads())
    result["environment"] |= {"processes": ranks.size} if ranks.size > 1 else {}
    result["num_params"] = sum(p.numel() for p in parts.model.parameters())
    result |= {"started_from": parts.started_from} if parts.started_from else {}
    try:
        with stop_signals() as signalled:
            result.update(_train(job, parts, progress, lambda: signalled() or should_stop()))
    except Exception as error:  # whatever it is, it is this run's, and the next one may be well
        result.update(error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
    finally:
        progress.close()
    result = finite(result)
    if ranks.rank:
        return result
    try:
        write_json(folder / "result.json", result)
    except OSError as error:  # a full disk: the folder then says nothing, so the next start does the run again
        result.update(status="failed", error=result.get("error", f"{type(error).__name__}: {error}"))
    if result["status"] in OVER:
        with suppress(OSError):
            previous(folder / "checkpoint.pt").unlink(missing_ok=True)
    return result


def _train(job: Job, parts: Parts, progress: Progress, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """The part of a run that can fail: resume, fit, test. Returns what it adds to the result."""
    config, folder, member = job.config, job.folder, parts.member
    checkpoint, ranks = folder / "checkpoint.pt", member.ranks
    state = ranks.from_first(lambda: load_checkpoint(checkpoint, CPU if ranks.size > 1 else member.device))
    torch.manual_seed(derive_seed(config.seed, "dropout", *[ranks.rank] * (ranks.rank > 0)))
    if state is not None:
        member.load_state(state)
    # Only rank 0 writes; and what looks at the net by itself would wait for the other ranks for ever.
    writer = MetricsWriter(folder, member.step, job.arm, job.group, config.train.watch) if ranks.rank == 0 else None
    alone = ranks.size == 1
    watch = Watch(config.train, parts.model, parts.data, member.batch, writer) if writer and alone else None
    title = f"{config.name}/{folder.parent.name}/{folder.name}"
    progress.start(title, member.steps, member.step)

    def report(row: Row) -> None:
        if writer is None:
            return
        if watch:
            watch.report(row["step"])
        writer.write(row)
        progress.log(row)

    def tick() -> bool:
        if watch:
            watch.tick(member.step)
        progress.step()
        return should_stop()

    def save(state: dict[str, Any]) -> None:
        # Where the sums are not finite the run diverges at its next report: the last good checkpoint stays.
        if writer is not None and bool(state["totals"].isfinite().all()):
            writer.sync()
            write_atomically(checkpoint, pack(state), previous(checkpoint))

    member.report, member.save = report, save
    found: dict[str, Any] = {}
    try:
        if watch:
            watch.start()
        keep_memory()  # not before: what loading the data has freed may go back
        fit([member], config.train.checkpoint_every, tick)
        if member.status == "diverged" and alone:
            found["diverged_at"] = _diverged_at(config, checkpoint, member.step, should_stop)
        if member.status in OVER:
            member.save(member.state())
            if watch:
                watch.end(member.step, config.train.eval_limit)
    finally:
        if writer is not None:
            writer.close(succeeded=member.status in OVER)
    metrics = summarise(read_metrics(folder))
    if member.status in OVER:
        test = parts.data.test.batches(eval_batch(parts.data.shape, member.device), config.train.eval_limit)
        seen: list[torch.Tensor] = []
        scores = parts.score(test, seen)
        if parts.data.classes and seen and alone:  # a rank sees its share
            write_atomically(folder / "predictions.npz", pack_predictions(parts.data.test, torch.cat(seen)))
        metrics |= {f"test/{k}": {"last": v, "best": v, "best_step": member.step} for k, v in scores.items()}
    num_images = member.step * config.train.batch_size
    return {
        "status": member.status,
        **found,
        "stopped_by": member.stopped_by,
        "metrics": metrics,
        "steps": member.step,
        "train_seconds": round(member.train_seconds, 3),
        "images_per_second": round(num_images / max(member.train_seconds, 1e-9), 1),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _diverged_at(config: RunConfig, checkpoint: Path, until: int, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """Step and layer at which a run diverged: done over again, from the last checkpoint in which all was well."""
    try:
        member = assemble(replace(config, train=replace(config.train, compile=False, graph="off"))).member
        torch.manual_seed(derive_seed(config.seed, "dropout"))
        for file in (checkpoint, previous(checkpoint)):
            if file.exists() and is_well(state := read_checkpoint(file, member.device)):
                member.load_state(state)
                break
        return locate(member, until, should_stop)
    except Exception as error:  # of memory, say: the run has diverged all the same
        return {"step": until, "layer": None, "what": "loss", "note": f"{type(error).__name__}: {error}"}


def assemble(config: RunConfig) -> Parts:
    """Builds all that `config` names, in the order in which it flows; `report` and `save` are the caller's to set.

    Raises:
        UserError: anything in the configuration is wrong.
    """
    check_range("seed", config.seed, config.seed >= 0, "0 or more")
    train, ranks = config.train, current_ranks()
    check_watch(train)
    device = resolve_device(train.device)
    autocast, scaling = make_precision(train.precision, device)
    data = load(config.data, config.seed, device)
    order = Order(data.train, train.batch_size, config.seed, data.augment)
    check_share(train.batch_size, ranks.size)
    steps, log_every = durations(config, order.steps_per_epoch)
    net = config.model
    check_range("model.draw", net.draw, net.draw >= 0, "0 or more")
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
        memory_format = choose_format(train.channels_last, device, autocast, appends=net.skip == "concat")
    model = model.to(device=device).to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
    loss_in_use = loss_name(train, bool(data.classes))
    started = start(config.start, model, data, config.seed, order.steps_per_epoch, net, loss_in_use)
    optimizer = make_optimizer(model, config.optimizer)
    loss, plain_loss = make_losses(train, bool(data.classes))
    metrics, eval_metrics = make_metrics(len(data.classes), data.unit)
    if train.compile:
        model.compile()  # in place: torch.compile(model) would be another module, whose weights have other names
    found = obstacles(device, optimizer, train.compile, started.freeze is not None, scaling is not None, ranks.size)
    own_parts = any(":" in str(value) for value in (*vars(net).values(), train.loss))

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


def seeing(metrics: Metrics, seen: list[torch.Tensor]) -> Metrics:
    """`metrics`, which add the number of the greatest output of each example to `seen` as they go."""

    def sums(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(outputs.argmax(1))  # (b,)
        return metrics.sums(outputs, labels)

    return replace(metrics, sums=sums)


def pack_predictions(test: Split, predicted: torch.Tensor) -> bytes:
    """`predictions.npz`: `index`, `label` and `predicted` of the test pictures that were read, in small integers.

    `index` is a picture's place in the data set's own test part; some kilobytes, so that two runs can be compared
    picture by picture.
    """
    index = test.index[: len(predicted)]
    columns = {"index": index, "label": test.labels[index], "predicted": predicted}
    arrays: dict[str, Any] = {key: column.cpu().numpy() for key, column in columns.items()}
    small: dict[str, Any] = {key: array.astype(np.min_scalar_type(array.max())) for key, array in arrays.items()}
    file = io.BytesIO()
    np.savez_compressed(file, **small)
    return file.getvalue()


def eval_batch(shape: tuple[int, ...], device: torch.device) -> int:
    """Pictures of `shape` an evaluation step on `device`."""
    most = EVAL_BATCH if device.type == "cpu" else EVAL_BATCH_GPU
    return max(1, min(most, EVAL_VALUES // math.prod(shape)))


def durations(config: RunConfig, steps_per_epoch: int) -> tuple[int, int]:
    """Length of the run and distance between two reports, in steps: the one place where durations become steps."""
    train = config.train
    check_range("train.epochs", train.epochs, train.epochs > 0, "above 0")
    check_range("train.eval_every", train.eval_every, train.eval_every > 0, "above 0")
    check_range("train.checkpoint_every", train.checkpoint_every, train.checkpoint_every >= 0, "0 or more")
    if train.steps is not None:
        check_range("train.steps", train.steps, train.steps >= 0, "0 (the net as it starts) or more")
    if train.max_seconds is not None:
        check_range("train.max_seconds", train.max_seconds, train.max_seconds > 0, "above 0")
    if train.eval_limit is not None:
        check_range("train.eval_limit", train.eval_limit, train.eval_limit >= 1, "1 or more")
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


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def set_threads(threads: int) -> None:
    """Sets torch's CPU threads; 0 means all cores that this process may use, or its share of them under torchrun."""
    check_range("train.threads", threads, threads >= 0, "0 (automatic) or more")
    torch.set_num_threads(threads or max(1, num_cores() // local_rank()[1]))


def start_folder(job: Job) -> None:
    """Writes the configuration into the run's folder; removes what an earlier start may have left to mislead."""
    folder = job.folder
    (folder / "result.json").unlink(missing_ok=True)
    if job.config.force:
        for path in (*folder.glob("checkpoint.*"), folder / "metrics.jsonl"):
            path.unlink(missing_ok=True)
    text = yaml.safe_dump(asdict(job.config), sort_keys=False)
    write_atomically(folder / "config.yaml", text.encode())


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turns the first SIGINT or SIGTERM into a request to stop; a second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = threading.Event()
    with on_first_stop_signal(asked.set):
        yield asked.is_set
