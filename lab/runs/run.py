"""One run, from its folder's lock to its result: what is there is resumed, what goes wrong is told in one message."""

import io
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from lab.config import RunConfig
from lab.data.batches import Split
from lab.errors import UserError, check_range
from lab.identity import derive_seed
from lab.records.environment import environment
from lab.records.lock import LostLockError
from lab.records.notes import noted
from lab.records.places import TERMINAL, Job, claimed
from lab.records.results import finite, read_metrics, read_result, write_atomically, write_json
from lab.records.writer import MetricsWriter, summarise
from lab.runs.build import Parts, assemble, eval_batch
from lab.runs.progress import Progress, Silent
from lab.runs.watch import Watch
from lab.system.machine import keep_memory, local_rank, num_cores, on_first_stop_signal
from lab.training.checkpoint import load_checkpoint, pack, previous, read_checkpoint
from lab.training.divergence import is_well, locate
from lab.training.fit import Row, fit

CPU = torch.device("cpu")


def run(job: Job, progress: Progress | None = None, should_stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Trains one run to its end, resuming it where it was interrupted, and writes its folder (rank 0 does); one
    with a terminal status stays as it is.

    An exception while it trains becomes a result of status `failed`; the folder then holds the message. SIGINT and
    SIGTERM end it with a checkpoint and status `interrupted`.

    Args:
        job: what to run, and where.
        progress: where to show it; nowhere if None.
        should_stop: asked after every step, besides the signals.

    Returns:
        The content of `result.json`.

    Raises:
        LockedError: another process holds its lock, or took it over while this one trained.
        UserError: the configuration is wrong, or the folder cannot be written.
    """
    held = None
    with ExitStack() as stack:
        notes = stack.enter_context(noted())
        parts = assemble(job.config)
        try:
            if parts.member.ranks.rank == 0:
                job, held = stack.enter_context(claimed(job))
                if parts.member.ranks.size == 1 and job.is_terminal() and (result := read_result(job.folder)):
                    return result  # another process was faster
                start_folder(job)
        except OSError as error:
            what = f"cannot write {job.folder} ({error.strerror or error})"
            raise UserError(f"out={job.config.out}: {what}") from error
        check = held.check if held else lambda: None
        stops = lambda: bool(held and held.lost) or should_stop()  # noqa: E731
        return _run(job, parts, progress or Silent(), stops, check, notes)


def _run(
    job: Job,
    parts: Parts,
    progress: Progress,
    should_stop: Callable[[], bool],
    check: Callable[[], None],
    notes: list[str],
) -> dict[str, Any]:
    """The run in a folder that is locked; `check` raises `LostLockError` where it is not any more."""
    folder, ranks = job.folder, parts.member.ranks
    result = job.record()
    result["environment"] = environment(device_name(parts.member.device), torch.get_num_threads())
    result["environment"] |= {"processes": ranks.size} if ranks.size > 1 else {}
    result["num_params"] = sum(p.numel() for p in parts.model.parameters())
    result |= {"started_from": parts.started_from} if parts.started_from else {}
    try:
        with stop_signals() as signalled:
            result.update(_train(job, parts, progress, lambda: signalled() or should_stop(), check))
    except LostLockError:
        raise  # the folder is another process's
    except Exception as error:  # whatever it is, it is this run's, and the next one may be well
        result.update(error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
    finally:
        progress.close()
    result = finite({**result, "notes": notes})
    if ranks.rank:
        return result
    check()
    try:
        write_json(folder / "result.json", result)
    except OSError as error:  # a full disk: the folder then says nothing, so the next start does the run again
        result.update(status="failed", error=result.get("error", f"{type(error).__name__}: {error}"))
    if result["status"] in TERMINAL:
        with suppress(OSError):
            previous(folder / "checkpoint.pt").unlink(missing_ok=True)
    return result


def _train(
    job: Job, parts: Parts, progress: Progress, should_stop: Callable[[], bool], check: Callable[[], None]
) -> dict[str, Any]:
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
        check()
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
            check()
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
        if member.status in TERMINAL:
            member.save(member.state())
            if watch:
                watch.end(member.step, config.train.eval_limit)
    finally:
        if writer is not None:
            writer.close(succeeded=member.status in TERMINAL)
    metrics = summarise(read_metrics(folder))
    if member.status in TERMINAL:
        test = parts.data.test.batches(eval_batch(parts.data.shape, member.device), config.train.eval_limit)
        seen: list[torch.Tensor] = []
        scores = parts.score(test, seen)
        if parts.data.classes and seen and alone:  # a rank sees its share
            check()
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
