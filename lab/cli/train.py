"""`lab train`: one run, a sweep, or a whole experiment.

Flags that only show something (`--cfg`, `--info`, `--help`, completion) are Hydra's own.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from unittest import mock

from hydra import initialize_config_dir
from hydra import main as hydra_main
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from lab.cli.catalogue import config_dir
from lab.cli.compose import one_message, store_schema
from lab.cli.overrides import AUTO, rewritten
from lab.cli.plan import plan
from lab.config import RunConfig
from lab.errors import UserError
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
    store_schema()
    with help_of_any_kind():
        args = get_args_parser().parse_args(argv)
    try:
        if args.help or args.hydra_help or args.cfg or args.info or args.shell_completion:
            return _hydra_shows(argv)
        command = shlex.join(["lab", "train", *argv])
        searched = [Path(args.config_dir).resolve()] if args.config_dir else []
        for folder in searched:
            if not folder.is_dir():
                raise UserError(f"--config-dir={folder} is not a folder")
        folder = Path(args.config_path).resolve() if args.config_path else config_dir()
        with initialize_config_dir(str(folder), version_base="1.3"):
            extra = [f"hydra.searchpath=[{','.join(f'file://{path}' for path in searched)}]"] if searched else []
            batches = plan(args.overrides, command, args.config_name or "config", args.multirun, extra)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_message(error)) from error
    auto = f"seeds={AUTO}" in args.overrides
    code = 0
    for jobs in batches:
        code = max(code, _start(jobs, auto))
        if code == INTERRUPTED:
            break
    return code


def _start(jobs: list[Job], auto: bool) -> int:
    study = jobs[0].config.study
    if auto or len(jobs) > 1 or study.claims or study.tune:
        if num_processes() > 1:
            raise UserError(
                f"torchrun started {num_processes()} processes for one run, and this is a sweep of {len(jobs)} runs; "
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
    from lab.records.places import settled
    from lab.records.results import outcome, read_result

    first = is_first_process()
    if first and (changed := change_notes([job])):
        print(*changed, sep="\n", file=sys.stderr)
    if job.is_terminal():
        result = read_result(job.folder) or {}
        if first:
            print(f"{job.folder} is {result['status']} already; force=true starts over")
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
            begin = partial(register, [job], job.folder.parent.parent) if named else lambda: None
            result = run(job, Console() if first else None, begin=begin)
        if first and (notes := notes_text([result])):
            print(*notes, sep="\n", file=sys.stderr)
    if result["status"] == "failed":
        print(f"failed: {result['error']}", file=sys.stderr)
        return 1
    if not first:
        return INTERRUPTED if result["status"] == "interrupted" else 0
    last = {tag: one["last"] for tag, one in result["metrics"].items()}
    shown = [f"{tag} {value:.4f}" for tag, value in last.items() if value is not None and not tag.startswith("train/")]
    speed = f"{result['steps']} steps, {result['images_per_second']:,.0f} images/s"
    folder = settled(job).folder
    interrupted = result["status"] == "interrupted"
    with suppress(OSError) if interrupted else nullcontext():  # its terminal may be gone
        print("  ".join([f"{outcome(result)} after {speed}:", *shown]))
        print(f"results: {folder}\ncurves:  lab board {folder.parent.parent}")
    return INTERRUPTED if interrupted else 0


def _hydra_shows(argv: list[str]) -> int:
    """Hands the command to Hydra, for the flags that show something and train nothing."""
    sys.argv = ["lab train", *rewritten(argv)]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # its exceptions come to us, which turn them into one message
    with help_of_any_kind():
        hydra_main(config_path=str(config_dir()), config_name="config", version_base="1.3")(lambda config: None)()
    return 0


@contextmanager
def help_of_any_kind() -> Iterator[None]:
    """Lets Hydra 1.3.8 add an option whose help is no string, which argparse refuses from Python 3.14 on.

    Source: hydra's issue 3121.
    """
    with ExitStack() as stack:
        if hasattr(argparse.ArgumentParser, "_check_help"):
            stack.enter_context(mock.patch.object(argparse.ArgumentParser, "_check_help"))
        yield
