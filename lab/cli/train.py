"""`lab train`: one run, a sweep, or a whole experiment."""

import math
import sys
from contextlib import nullcontext, suppress
from typing import Any

from lab.cli.options import read_options
from lab.errors import check_range
from lab.overrides.plan import all_jobs, shown_configuration
from lab.overrides.seeds import wants_auto
from lab.records.places import Job
from lab.system.machine import is_first_process
from lab.system.reporter import Printer, reporting_to
from lab.system.signals import INTERRUPTED


def train(argv: list[str]) -> int:
    """`lab train ARGV`: one run, a sweep, or a whole experiment.

    Returns:
        The exit code: 0, 1 if a run failed, 130 if interrupted.

    Raises:
        UserError: an override is wrong.
    """
    args, options = read_options("train", argv)
    if args.cfg:
        print(shown_configuration(args.overrides, options, args.package, args.resolve), end="")
        return 0
    every, code, auto = args.progress, 0, wants_auto(args.overrides)
    if every is not None:
        check_range("--progress", every, 0 <= every < math.inf, "0 or more seconds")
    if args.dry_run:
        from lab.cli.plan import plan

        return plan(args, options)
    with reporting_to(Printer(every)):
        for jobs in all_jobs("train", args.overrides, options):
            code = max(code, _start(jobs, auto, every))
            if code == INTERRUPTED:
                break
    return code


def _start(jobs: list[Job], auto: bool, every: float | None) -> int:
    from lab.launch.alone import needs_sweep

    if needs_sweep(jobs, auto):
        if auto:
            from lab.launch.auto import auto_sweep

            return auto_sweep(jobs).code
        from lab.launch.sweep import sweep

        return sweep(jobs).code
    return _run_alone(jobs[0], every)


def _run_alone(job: Job, every: float | None) -> int:
    """One run in this process, shown as it goes: without a terminal, at least `every` seconds apart."""
    first, done = is_first_process(), job.is_terminal()
    if not done:
        import lab.runs.preload  # noqa: F401 (first: it imports fast)
    from lab.launch.alone import train_alone
    from lab.records.outcome import next_steps, outcome
    from lab.records.places import settled
    from lab.runs.progress import Console
    from lab.studies.statistics.numerals import count

    result = train_alone(job, Console(every) if first else None)
    if first and done:
        print(f"{job.folder} {is_already(result)}; force=true starts over")
    if result["status"] == "failed":
        where = f"{settled(job).folder / 'result.json'} has the traceback"
        print(f"failed: {result['error']}", *next_steps([result]), where, sep="\n", file=sys.stderr)
        return 1
    if not first:
        return INTERRUPTED if result["status"] == "interrupted" else 0
    last = {tag: one["last"] for tag, one in result["metrics"].items()}
    shown = [f"{tag} {value:.4f}" for tag, value in last.items() if value is not None and not tag.startswith("train/")]
    words, speed = outcome(result), f"{result['images_per_second']:,.0f} images/s"
    words += "" if f" at step {result['steps']:,}" in words else f" after {count(result['steps'], 'step')}"
    folder = settled(job).folder
    interrupted = result["status"] == "interrupted"
    with suppress(OSError) if interrupted else nullcontext():  # its terminal may be gone
        print("  ".join([f"{words}, {speed}:", *shown]), *next_steps([result]), sep="\n")
        print(f"results: {folder}\ncurves:  lab board {folder.parent.parent}")
    return INTERRUPTED if interrupted else 0


def is_already(result: dict[str, Any]) -> str:
    """`is finished already`, `diverged at step 12 already`."""
    from lab.records.outcome import outcome

    words = outcome(result)
    return f"{'is ' * words.startswith('finished')}{words} already"
