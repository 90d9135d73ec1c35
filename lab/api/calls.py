"""The functions of `import lab`: what the verbs of the command line do, with objects as results and nothing printed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lab.api.asked import PathLike, jobs_of, selecting
from lab.api.session import RunBar, session, torch_untouched
from lab.errors import FailedRunError, UserError
from lab.overrides.spelled import spelled

if TYPE_CHECKING:
    from torch import nn

    from lab.api.checked_result import Findings, ProbeResult
    from lab.api.comparison_result import ComparisonResult
    from lab.api.run_result import RunResult

Overrides = str | Mapping[str, Any] | Sequence[Any]
"""`"optimizer.lr=0.1"`, `{"optimizer.lr": 0.1}`, or a list of such."""


def train(*overrides: Overrides, progress: bool = True, config_dir: PathLike | None = None) -> "RunResult":
    """Trains one run in this process, or finds it finished: `lab train`.

    Args:
        overrides: as on the command line, in texts or dicts.
        progress: whether to draw a bar, in a notebook or on a terminal.
        config_dir: a folder of your own configuration files.

    Raises:
        UserError: an override is wrong, or they make a sweep; `FailedRunError` if the run fails.
        KeyboardInterrupt: it was stopped, with a checkpoint; the same call goes on.
    """
    from lab.api.run_result import as_result
    from lab.overrides.seeds import wants_auto

    words = spelled(overrides)
    with session(progress) as told, torch_untouched():
        batches = jobs_of("train", words, config_dir)
        from lab.launch.alone import needs_sweep, train_alone
        from lab.records.places import settled
        from lab.records.results import as_run

        jobs = [job for batch in batches for job in batch]
        if needs_sweep(jobs, wants_auto(words)):
            what = f"a sweep of {len(jobs)} runs" if len(jobs) > 1 else "an experiment, or one for a cluster"
            raise UserError(f"lab.train trains one run, and this is {what}; lab.sweep takes the same overrides")
        result = train_alone(jobs[0], RunBar(told))
        folder = settled(jobs[0]).folder
    if result["status"] == "interrupted":
        raise KeyboardInterrupt(f"{folder}: stopped with a checkpoint; the same call goes on from there")
    if result["status"] == "failed":
        raise FailedRunError(f"{result['error']} ({folder / 'result.json'} has the traceback)")
    return as_result(as_run(folder, result), told.remarks)


def sweep(
    *overrides: Overrides,
    over: Mapping[str, Any] | None = None,
    progress: bool = True,
    config_dir: PathLike | None = None,
    yes: bool = False,
) -> "ComparisonResult":
    """Trains what is missing of a sweep in processes side by side, and compares all of it: `lab train` of several runs.

    Args:
        overrides: as on the command line, in texts or dicts; commas, `experiment=NAME` and `seeds=5` make several runs.
        over: keys with the values that they run through, a list each: `{"optimizer.lr": [0.1, 0.01]}`.
        progress: whether to draw a bar, in a notebook or on a terminal.
        config_dir: a folder of your own configuration files.
        yes: whether more than 5,000 runs are meant.

    Returns:
        The comparison; runs that failed are in its `failed`.

    Raises:
        UserError: an override, a claim or a file is wrong; nothing has been trained then. `FailedRunError` if nothing
            is left to compare.
        KeyboardInterrupt: it was stopped, with a checkpoint of each run under way; the same call goes on.
    """
    from lab.api.comparison_result import ComparisonResult
    from lab.overrides.seeds import wants_auto
    from lab.system.signals import INTERRUPTED

    words = spelled(overrides, over)
    with session(progress) as told:
        batches = jobs_of("train", words, config_dir, yes)
        if len(batches) > 1:
            raise UserError(f"lab.sweep takes one experiment a call, and experiment= has {len(batches)}")
        config = batches[0][0].config
        from lab.launch.auto import auto_sweep
        from lab.launch.slots import stop_server
        from lab.launch.sweep import sweep as launched

        try:
            ended = (auto_sweep if wants_auto(words) else launched)(batches[0])
        finally:
            stop_server()
    folder = Path(config.out) / config.name
    if ended.code == INTERRUPTED:
        raise KeyboardInterrupt(f"{folder}: stopped, with a checkpoint of each run; the same call goes on from there")
    if ended.comparison is None:
        raise FailedRunError("\n".join(ended.problems) or f"{folder}: nothing is left to compare")
    return ComparisonResult(folder, folder / "report.html", ended.comparison, told.remarks)


def compare(
    *folders: PathLike,
    by: str | Sequence[str] = (),
    metric: str | None = None,
    where: str | Mapping[str, Any] | Sequence[str] = (),
    reference: str | Mapping[str, Any] | Sequence[str] = (),
    html: PathLike | None = None,
) -> "ComparisonResult":
    """Compares stored runs, and writes the report of an experiment's folder: `lab compare`.

    With several folders, or any of the arguments, the files of the experiment stay as they are.

    Args:
        folders: with runs, as `outputs/NAME`.
        by: the keys that make an arm; those that differ if empty.
        metric: what is compared; the study's own if None.
        where: only the runs that have these values, `{"model.depth": 30}` or `"model.depth=30"`.
        reference: the arm to compare with, given as `where`; the study's own if empty.
        html: where the page goes.

    Raises:
        UserError: no such folder, no run in it, or an unknown key or metric.
    """
    from lab.api.comparison_result import ComparisonResult
    from lab.studies.report.publish import compare_folders

    if not folders:
        raise UserError("lab.compare needs a folder with runs, as outputs/NAME")
    paths, page = [Path(folder).expanduser() for folder in folders], Path(html).expanduser() if html else None
    keys = [by] if isinstance(by, str) else list(by)
    with session() as told:
        found, report = compare_folders(
            paths, keys or None, metric, page, selecting(where), reference=selecting(reference)
        )
    return ComparisonResult(paths[0], report, found, told.remarks)


def load(folder: PathLike) -> "RunResult | ComparisonResult":
    """A run, or the runs of an experiment, as they are stored; trains and writes nothing.

    Args:
        folder: of a run, `outputs/NAME/ARM/seed=0`, or one that holds runs, as `outputs/NAME`.

    Raises:
        UserError: there is no such folder, or no run in it that ended.
    """
    from lab.api.comparison_result import ComparisonResult
    from lab.api.run_result import as_result
    from lab.records.results import read_run, why_not
    from lab.studies.report.publish import gather, view

    path = Path(folder).expanduser()
    is_run = any((path / name).is_file() for name in ("config.yaml", "result.json"))
    with session() as told:
        if is_run:
            run = read_run(path)
            if run is None:
                why = why_not(path) if (path / "result.json").exists() else "it has no result.json yet"
                raise UserError(f"{path} is no run that ended: {why}")
            return as_result(run)
        comparison, remember = view(gather([path]), path)
    page = path / "report.html"
    return ComparisonResult(path, page if page.exists() else None, comparison, told.remarks, remember=remember)


def lint(
    *overrides: "Overrides | nn.Module",
    over: Mapping[str, Any] | None = None,
    shape: Sequence[int] | None = None,
    outputs: int = 10,
    task: str = "classes",
    loss: str = "",
    optimizer: str = "",
    lr: float | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: int | None = None,
    updates: int | None = None,
    inputs: tuple[float, float] | None = None,
    targets: tuple[float, float] | None = None,
    config_dir: PathLike | None = None,
) -> "Findings":
    """What is wrong with a net, or with a comparison, before it trains: `lab lint`.

    Args:
        overrides: of a configuration or a sweep; or one torch module, which the arguments below describe.
        over: keys with the values that they run through, a list each.
        shape: of one example of the module, as (3, 32, 32).
        outputs: classes, or numbers to predict.
        task: `classes`, `binary`, `labels` (several yes or no) or `numbers`.
        loss: as torch calls it; not known if empty.
        optimizer: `sgd`, `adam`, ...; not known if empty.
        lr: learning rate.
        momentum: of sgd.
        weight_decay: of all parameters.
        batch_size: examples a step.
        updates: steps of the whole training.
        inputs: range of the inputs.
        targets: range of the numbers to predict.
        config_dir: a folder of your own configuration files.

    Raises:
        UserError: an override or an argument is wrong.
    """
    from lab.api.checked_result import as_findings

    (first,) = overrides[:1] or ("",)
    if hasattr(first, "state_dict"):
        if len(overrides) > 1 or over:
            raise UserError("lab.lint takes one torch module, or overrides")
        from lab.api.own_net import lint_net

        described = {"task": task, "loss": loss, "optimizer": optimizer, "lr": lr, "momentum": momentum}
        described |= {"decay": weight_decay, "batch_size": batch_size, "updates": updates}
        with session(), torch_untouched():
            return as_findings(lint_net(cast("nn.Module", first), shape, outputs, inputs, targets, **described))
    words = spelled(overrides, over)
    with session(), torch_untouched():
        batches = jobs_of("lint", words, config_dir)
        from lab.launch.linted import lint_jobs
        from lab.tables import read_rules

        return as_findings(lint_jobs(batches, list(read_rules())))


def probe(
    *overrides: Overrides,
    over: Mapping[str, Any] | None = None,
    draws: int = 5,
    config_dir: PathLike | None = None,
) -> "ProbeResult":
    """Signals and gradients at the start, layer by layer, theory beside measurement: `lab probe`. Writes nothing.

    Args:
        overrides: as on the command line, in texts or dicts; commas put configurations side by side.
        over: keys with the values that they run through, a list each.
        draws: of the weights, 1 to 1000.
        config_dir: a folder of your own configuration files.

    Raises:
        UserError: an override is wrong, or `draws` is out of range.
    """
    from lab.api.checked_result import ProbeResult
    from lab.checks.probe.profile import check_draws
    from lab.checks.probe.profile import probe as profile
    from lab.studies.select.selectors import label
    from lab.system.devices import set_threads

    check_draws("draws", draws)
    words = spelled(overrides, over)
    with session(), torch_untouched():
        jobs = [job for batch in jobs_of("probe", words, config_dir) for job in batch]
        arms = {job.folder.parent: job for job in reversed(jobs)}
        set_threads(jobs[0].config.train.threads)
        named = [(job, label(job.arm) or job.config.name) for job in reversed(arms.values())]
        return ProbeResult([profile(job.config, draws, name) for job, name in named])
