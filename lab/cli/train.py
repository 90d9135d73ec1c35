"""`lab train`: one run, a sweep, or a whole experiment."""

import sys
from collections.abc import Collection
from contextlib import nullcontext, suppress
from typing import Any

from lab.cli.options import read_options
from lab.config import RunConfig
from lab.errors import UserError
from lab.overrides.plan import all_jobs, shown_configuration
from lab.overrides.seeds import wants_auto
from lab.records.places import Job
from lab.studies.claims.study import check_metrics, parse_study
from lab.studies.select.reference import check_keys
from lab.system.machine import is_first_process, local_rank, num_processes
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
    code, auto = 0, wants_auto(args.overrides)
    for jobs in all_jobs("train", args.overrides, options):
        code = max(code, _start(jobs, auto))
        if code == INTERRUPTED:
            break
    return code


def _start(jobs: list[Job], auto: bool) -> int:
    study = jobs[0].config.study
    if auto or len(jobs) > 1 or study.claims or study.tune:
        if num_processes() > 1:
            raise UserError(
                f"torchrun started {num_processes()} processes for one run, and this is a sweep of {len(jobs)} "
                f"run{'s' * (len(jobs) != 1)}; "
                "without torchrun they train side by side (jobs=N)"
            )
        if auto:
            from lab.launch.auto import auto_sweep

            return auto_sweep(jobs)
        from lab.launch.sweep import sweep

        return sweep(jobs)
    check_keys(study.reference)
    check_metrics(parse_study(study))
    return _run_alone(jobs[0])


def _run_alone(job: Job) -> int:
    """One run in this process, shown as it goes."""
    from lab.launch.changed import change_notes
    from lab.records.notes import notes_text
    from lab.records.outcome import next_steps, outcome
    from lab.records.places import settled
    from lab.records.results import read_result
    from lab.studies.statistics.numerals import count

    first = is_first_process()
    if first and (changed := change_notes([job])):
        print(*changed, sep="\n", file=sys.stderr)
    if job.is_terminal():
        result = read_result(job.folder) or {}
        if first:
            print(f"{job.folder} {is_already(result)}; force=true starts over")
    else:
        import lab.runs.preload  # noqa: F401 (first: it imports fast)
        from lab.launch.register import register
        from lab.runs.progress import Console
        from lab.runs.run import run
        from lab.system.devices import set_threads
        from lab.training.parallel import joined

        set_threads(job.config.train.threads)
        with joined(num_processes(), *local_rank(), job.config.train.device):
            named = job.config.name != RunConfig().name  # single runs under the default name are attempts

            def begin(tags: Collection[str]) -> None:
                check_metrics(parse_study(job.config.study), tags)
                if named:
                    register([job], job.folder.parent.parent)

            result = run(job, Console() if first else None, begin=begin)
        if first and (notes := notes_text([result])):
            print(*notes, sep="\n", file=sys.stderr)
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
