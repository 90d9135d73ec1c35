"""One run, from its folder's lock to its result: a stopped run is resumed, and a failure becomes one message."""

import math
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from typing import Any

import torch
import yaml

from lab.errors import DamagedFileError, UserError, described, is_interruption, own_line
from lab.identity import derive_seed
from lab.records.environment import environment
from lab.records.lock import Held, LostLockError
from lab.records.notes import noted
from lab.records.places import TERMINAL, Job, claimed
from lab.records.results import read_metrics, read_result
from lab.records.write import finite, remove_file, remove_scratch, write_atomically, write_json
from lab.records.writer import summarise
from lab.runs.build import Parts, assemble
from lab.runs.ending import chance, find_divergence, sampled_scores, says_probabilities, test_scores
from lab.runs.fingerprint import record_of
from lab.runs.further import go_on
from lab.runs.progress import Progress
from lab.runs.recorder import Recorder
from lab.runs.rehearsal import own_parts, to_blame
from lab.system.devices import device_name, is_out_of_memory
from lab.system.machine import keep_memory
from lab.system.signals import stop_signals
from lab.training.checkpoint import best_weights, kept_states, load_checkpoint, previous
from lab.training.fit import Training, fit

CPU = torch.device("cpu")


def run(
    job: Job,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    begin: Callable[[Collection[str]], None] = lambda _: None,
    side_by_side: int = 1,
) -> dict[str, Any]:
    """Trains one run to its end, resuming it where it was interrupted, and writes its folder (rank 0 does).

    A terminal run is left as it is. An exception during training becomes a result of status `failed`; the folder then
    holds the message. SIGINT, SIGTERM and SIGHUP end it with a checkpoint and status `interrupted`.

    Args:
        job: what to run, and where.
        progress: where to show it; nowhere if None.
        should_stop: asked after every step, besides the signals.
        begin: called with the tags that the run will log, once its configuration is found to be possible, before
            anything of it is written.
        side_by_side: how many runs this command trains at a time, which share the machine.

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
                begin(parts.tags)
                job, held = stack.enter_context(claimed(job))
                if ranks.size == 1 and job.is_terminal() and (result := read_result(job.folder)):
                    return result  # another process was faster
                start_folder(job)
        except OSError as error:
            what = f"cannot write {job.folder} ({error.strerror or error})"
            raise UserError(f"out={job.config.out}: {what}") from error
        return _run(job, parts, held, progress, lambda: bool(held and held.lost) or should_stop(), notes, side_by_side)


def _run(
    job: Job,
    parts: Parts,
    held: Held | None,
    progress: Progress | None,
    should_stop: Callable[[], bool],
    notes: list[str],
    side_by_side: int,
) -> dict[str, Any]:
    """The run in a folder that this process holds, if it is rank 0: trains it, and writes its result."""
    check = held.check if held else lambda: None
    result, ranks = job.record(), parts.training.train_step.ranks
    result["environment"] = environment(device_name(parts.training.clock.device), torch.get_num_threads())
    result["environment"] |= {"processes": ranks.size} if ranks.size > 1 else {}
    result["environment"]["side_by_side"] = side_by_side
    result["num_params"] = sum(p.numel() for p in parts.model.parameters())
    result |= {"started_from": parts.started_from} if parts.started_from else {}
    result |= {"start_point": start} if (start := parts.training.place()) else {}  # before a checkpoint is loaded
    result |= {"chance": chance(parts)} if parts.data.classes else {}
    result |= record_of(parts, job.config.train.eval_limit)
    try:
        with stop_signals() as signalled:
            if not ranks.rank and (about := go_on(job, parts, result)):
                notes.append(about)
            result.update(_train(job, parts, check, progress, lambda: signalled() or should_stop()))
    except LostLockError:
        raise
    except BaseException as error:  # whatever it is, it ends this run alone: the next one may be well
        if is_interruption(error):
            raise
        text = str(error) if isinstance(error, UserError) else described(error)
        if not isinstance(error, UserError) and (keys := to_blame(own_parts(job.config), own_line(error))):
            text = f"{', '.join(keys)}: {text}"
        if is_out_of_memory(error):
            batch = job.config.train.batch_size
            text = f"out of memory: train.batch_size={batch}, model.widths or data.resize is too large for this machine"
        result.update(error=text, traceback=traceback.format_exc())
        if isinstance(error, OSError):  # a full disk, say, and no matter of the run: repeated, it may end well
            result["ended_by"] = type(error).__name__
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
    job: Job, parts: Parts, check: Callable[[], None], progress: Progress | None, should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """The part of a run that can fail: resume, fit, test. Returns what it adds to the result."""
    config, folder, training = job.config, job.folder, parts.training
    alone = training.train_step.ranks.size == 1
    resume(job, training)
    found: dict[str, Any] = {}
    with closing(Recorder(job, parts, check, progress)) as recorder:

        def tick() -> bool:
            recorder.tick()
            return should_stop()

        recorder.start()
        keep_memory()  # not before: memory that loading the data has freed may go back
        fit(training, recorder.report, recorder.save, tick, config.train.checkpoint_every)
        if training.status == "diverged" and alone:
            found["diverged_at"] = find_divergence(config, folder / "checkpoint.pt", training.step, should_stop)
        metrics = summarise(read_metrics(folder))
        if training.status in TERMINAL:
            recorder.end()
            check()
            tested = test_scores(parts, config.train.eval_limit, folder if alone else None, says_probabilities(config))
            tested |= sampled_scores(parts, config.train.eval_limit, config.seed)
            recorder.tested({tag: one["last"] for tag, one in tested.items()})
            metrics |= tested
            if training.status == "finished" and not math.isfinite(tested["test/loss"]["last"]):
                training.status = "diverged"
                if alone:
                    found["diverged_at"] = find_divergence(config, folder / "checkpoint.pt", training.step, should_stop)
    seconds, num_images = training.clock.seconds, training.step * config.train.batch_size
    return {
        "status": training.status,
        **found,
        "stopped_by": training.stopped_by,
        "metrics": metrics,
        **({"best_kept": training.best.about()} if training.best and training.best.step is not None else {}),
        **({"continued_from": training.continued_from} if training.continued_from else {}),
        "steps": training.step,
        "steps_planned": training.steps,
        "train_seconds": round(seconds, 3),
        "images_per_second": round(num_images / max(seconds, 1e-9), 1),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def resume(job: Job, training: Training) -> None:
    """Brings `training` to the last checkpoint of the run, where there is one, on every rank."""
    device, ranks = training.clock.device, training.train_step.ranks
    state = ranks.from_first(lambda: load_checkpoint(job.folder / "checkpoint.pt", device if ranks.size == 1 else CPU))
    torch.manual_seed(derive_seed(job.config.seed, "dropout", *[ranks.rank] * (ranks.rank > 0)))
    if state is not None:
        try:
            training.load_state(state)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            path = job.folder / "checkpoint.pt"
            what = f"{path} is no checkpoint of this run ({type(error).__name__}: {' '.join(str(error).split()):.120})"
            raise DamagedFileError(f"{what}; force=true starts over") from error


def start_folder(job: Job) -> None:
    """Writes the configuration into the run's folder; removes the result of an earlier start."""
    folder = job.folder
    remove_scratch(folder)
    remove_file(folder / "result.json")
    if job.config.force:
        for path in (*kept_states(folder / "checkpoint.pt"), folder / "metrics.jsonl"):
            remove_file(path)
    if not job.config.train.keep_best:  # an earlier start of the run may have kept some, which grow old
        remove_file(best_weights(folder / "checkpoint.pt"))
    text = yaml.safe_dump(asdict(job.config), sort_keys=False)
    write_atomically(folder / "config.yaml", text.encode())
