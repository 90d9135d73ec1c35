"""One run, from its folder's lock to its result: a stopped run is resumed, and a failure becomes one message."""

import io
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from lab.config import RunConfig
from lab.data.batches import Split
from lab.errors import UserError
from lab.identity import derive_seed
from lab.records.environment import environment
from lab.records.lock import LostLockError
from lab.records.notes import noted
from lab.records.places import TERMINAL, Job, claimed
from lab.records.results import finite, read_metrics, read_result, write_atomically, write_json
from lab.records.writer import MetricsWriter, summarise
from lab.runs.build import Parts, assemble
from lab.runs.progress import Progress
from lab.runs.watch import Watch
from lab.system.devices import device_name
from lab.system.machine import keep_memory, stop_signals
from lab.training.checkpoint import load_checkpoint, pack, previous, read_checkpoint
from lab.training.divergence import is_well, locate
from lab.training.evaluation import eval_batch
from lab.training.fit import Point, fit

CPU = torch.device("cpu")


def run(job: Job, progress: Progress | None = None, should_stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Trains one run to its end, resuming it where it was interrupted, and writes its folder (rank 0 does).

    A terminal run is left as it is. An exception during training becomes a result of status `failed`; the folder then
    holds the message. SIGINT and SIGTERM end it with a checkpoint and status `interrupted`.

    Args:
        job: what to run, and where.
        progress: where to show it; nowhere if None.
        should_stop: asked after every step, besides the signals.

    Returns:
        The content of `result.json`.

    Raises:
        LockedError: another process holds the run's lock, or took it over while this one trained.
        UserError: the configuration is wrong, or the folder cannot be written.
    """
    held = None
    with ExitStack() as stack:
        notes = stack.enter_context(noted())
        parts = assemble(job.config)
        try:
            ranks = parts.training.train_step.ranks
            if ranks.rank == 0:
                job, held = stack.enter_context(claimed(job))
                if ranks.size == 1 and job.is_terminal() and (result := read_result(job.folder)):
                    return result  # another process was faster
                start_folder(job)
        except OSError as error:
            what = f"cannot write {job.folder} ({error.strerror or error})"
            raise UserError(f"out={job.config.out}: {what}") from error
        check = held.check if held else lambda: None
        return _run(job, parts, progress, lambda: bool(held and held.lost) or should_stop(), check, notes)


def _run(
    job: Job,
    parts: Parts,
    progress: Progress | None,
    should_stop: Callable[[], bool],
    check: Callable[[], None],
    notes: list[str],
) -> dict[str, Any]:
    """The run in a folder that this process holds: trains it, and writes its result.

    `check` raises `LostLockError` if another process took the folder over; it is called before every write.
    """
    result, ranks = job.record(), parts.training.train_step.ranks
    result["environment"] = environment(device_name(parts.training.clock.device), torch.get_num_threads())
    result["environment"] |= {"processes": ranks.size} if ranks.size > 1 else {}
    result["num_params"] = sum(p.numel() for p in parts.model.parameters())
    result |= {"started_from": parts.started_from} if parts.started_from else {}
    try:
        with stop_signals() as signalled:
            result.update(_train(job, parts, progress, lambda: signalled() or should_stop(), check))
    except LostLockError:
        raise
    except Exception as error:  # whatever it is, it ends this run alone: the next one may be well
        result.update(error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
    finally:
        if progress:
            progress.close()
    result = finite({**result, "notes": notes})
    if ranks.rank:
        return result
    check()
    try:
        write_json(job.folder / "result.json", result)
    except OSError as error:  # a full disk: the folder then says nothing, so the next start does the run again
        result.update(status="failed", error=result.get("error", f"{type(error).__name__}: {error}"))
    if result["status"] in TERMINAL:
        with suppress(OSError):
            previous(job.folder / "checkpoint.pt").unlink(missing_ok=True)
    return result


def _train(
    job: Job, parts: Parts, progress: Progress | None, should_stop: Callable[[], bool], check: Callable[[], None]
) -> dict[str, Any]:
    """The part of a run that can fail: resume, fit, test. Returns what it adds to the result."""
    config, folder, training = job.config, job.folder, parts.training
    device, ranks = training.clock.device, training.train_step.ranks
    checkpoint, alone = folder / "checkpoint.pt", ranks.size == 1
    state = ranks.from_first(lambda: load_checkpoint(checkpoint, device if alone else CPU))
    torch.manual_seed(derive_seed(config.seed, "dropout", *[ranks.rank] * (ranks.rank > 0)))
    if state is not None:
        training.load_state(state)
    # Only rank 0 writes; and a watch, which uses the net on one rank, would wait for the other ranks forever.
    writer = MetricsWriter(folder, training.step, job.arm, job.group, config.train.watch) if ranks.rank == 0 else None
    batch = training.train_step.batch
    watch = Watch(config.train, parts.model, parts.data, batch, writer) if writer and alone else None
    if progress:
        progress.start(f"{config.name}/{folder.parent.name}/{folder.name}", training.steps, training.step)

    def report(point: Point) -> None:
        check()
        if watch:
            watch.report(point["step"])
        if writer:
            writer.write(point)
        if progress:
            progress.log(point)

    def tick() -> bool:
        if watch:
            watch.tick(training.step)
        if progress:
            progress.step()
        return should_stop()

    def save(state: dict[str, Any]) -> None:
        # Where the sums are not finite the run diverges at its next logged point: the last good checkpoint stays.
        if writer and bool(state["totals"].isfinite().all()):
            check()
            writer.sync()
            write_atomically(checkpoint, pack(state), previous(checkpoint))

    found: dict[str, Any] = {}
    try:
        if watch:
            watch.start()
        keep_memory()  # not before: memory that loading the data has freed may go back
        fit(training, report, save, tick, config.train.checkpoint_every)
        if training.status == "diverged" and alone:
            found["diverged_at"] = _diverged_at(config, checkpoint, training.step, should_stop)
        if training.status in TERMINAL:
            save(training.state())
            if watch:
                watch.end(training.step, config.train.eval_limit)
    finally:
        if writer:
            writer.close(succeeded=training.status in TERMINAL)
    metrics = summarise(read_metrics(folder))
    if training.status in TERMINAL:
        check()
        metrics |= _test(parts, config.train.eval_limit, folder if alone else None)
    seconds, num_images = training.clock.seconds, training.step * config.train.batch_size
    return {
        "status": training.status,
        **found,
        "stopped_by": training.stopped_by,
        "metrics": metrics,
        "steps": training.step,
        "train_seconds": round(seconds, 3),
        "images_per_second": round(num_images / max(seconds, 1e-9), 1),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _test(parts: Parts, limit: int | None, folder: Path | None) -> dict[str, dict[str, float]]:
    """The metrics of the test images; for a classifier also writes `predictions.npz` into `folder`, if there is one."""
    data, training = parts.data, parts.training
    seen: list[torch.Tensor] = []
    scores = parts.score(data.test.batches(eval_batch(data.shape, training.clock.device), limit), seen=seen)
    if data.classes and seen and folder:
        write_atomically(folder / "predictions.npz", pack_predictions(data.test, torch.cat(seen)))
    return {f"test/{key}": {"last": v, "best": v, "best_step": training.step} for key, v in scores.items()}


def _diverged_at(config: RunConfig, checkpoint: Path, until: int, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """Step and layer at which a run diverged: trained again from the last checkpoint in which all was well."""
    try:
        training = assemble(replace(config, train=replace(config.train, compile=False, graph="off"))).training
        torch.manual_seed(derive_seed(config.seed, "dropout"))
        for file in (checkpoint, previous(checkpoint)):
            if file.exists() and is_well(state := read_checkpoint(file, training.clock.device)):
                training.load_state(state)
                break
        return locate(training, until, should_stop)
    except Exception as error:  # out of memory, say: the run has diverged all the same
        return {"step": until, "layer": None, "what": "loss", "note": f"{type(error).__name__}: {error}"}


def pack_predictions(test: Split, predicted: torch.Tensor) -> bytes:
    """`predictions.npz`: `index`, `label` and `predicted` of the test images that were read, in small integers.

    `index` is an image's place in the data set's test part; some kilobytes, so that two runs can be compared image by
    image.
    """
    index = test.index[: len(predicted)]
    columns = {"index": index, "label": test.labels[index], "predicted": predicted}
    arrays: dict[str, Any] = {key: column.cpu().numpy() for key, column in columns.items()}
    small: dict[str, Any] = {key: array.astype(np.min_scalar_type(array.max())) for key, array in arrays.items()}
    file = io.BytesIO()
    np.savez_compressed(file, **small)
    return file.getvalue()


def start_folder(job: Job) -> None:
    """Writes the configuration into the run's folder; removes the result of an earlier start."""
    folder = job.folder
    (folder / "result.json").unlink(missing_ok=True)
    if job.config.force:
        for path in (*folder.glob("checkpoint.*"), folder / "metrics.jsonl"):
            path.unlink(missing_ok=True)
    text = yaml.safe_dump(asdict(job.config), sort_keys=False)
    write_atomically(folder / "config.yaml", text.encode())
