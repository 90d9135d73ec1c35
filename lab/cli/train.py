"""The Hydra side of `lab train`: from what the user typed to the runs to do. The only file that imports Hydra.

Hydra composes and checks; the runs are started by `lab.launch.sweep`, which knows what is finished, so Hydra's own
sweeper and launchers are not used. Flags that only show something (`--cfg`, `--info`, `--help`, completion) are Hydra's
own.
"""

import copy
import itertools
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra import main as hydra_main
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.cli.overrides import asked_seeds, rewritten, take_seeds, whole_seed
from lab.config import RunConfig, StudyConfig, config_dir
from lab.errors import UserError, nearest
from lab.identity import NOT_IDENTITY, default_leaves, flatten
from lab.records.places import Job, arm_folder, arm_folders
from lab.studies.select.reference import check_form, check_keys
from lab.system.machine import is_first_process, local_rank, num_processes

GROUPS = ("data", "model", "optimizer", "schedule", "train", "experiment")


def store_schema() -> None:
    """Makes `RunConfig` the type of every configuration that Hydra composes."""
    ConfigStore.instance().store(name="run_config", node=RunConfig)


def train(argv: list[str]) -> int:
    """`lab train ARGV`: one run, a sweep, or a whole experiment.

    Returns:
        The exit code: 0, 1 if a run failed, 130 if interrupted.

    Raises:
        UserError: what the user typed is wrong.
    """
    store_schema()
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
        raise UserError(_one_message(error)) from error
    return max(_start(jobs) for jobs in batches)


def one_job(verb: str, typed: list[str]) -> Job:
    """The one run that the overrides `typed` of `lab VERB` stand for.

    Raises:
        UserError: an override is wrong, or they make a sweep.
    """
    store_schema()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            batches = plan(typed, shlex.join(["lab", verb, *typed]))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_one_message(error)) from error
    jobs = [job for batch in batches for job in batch]
    if len(jobs) > 1:
        raise UserError(
            f"lab {verb} takes one configuration, and this is a sweep of {len(jobs)} runs; "
            "give one value a key, and the keys of the arm instead of experiment=NAME"
        )
    return jobs[0]


def _start(jobs: list[Job]) -> int:
    study = jobs[0].config.study
    if len(jobs) > 1 or study.claims or study.tune:
        if num_processes() > 1:
            raise UserError(
                f"torchrun started {num_processes()} processes for one run, and this is a sweep of {len(jobs)} runs; "
                "without torchrun they train side by side (jobs=N)"
            )
        from lab.launch.sweep import sweep

        return sweep(jobs)
    check_keys(study.reference)
    return _run_alone(jobs[0])


def _run_alone(job: Job) -> int:
    """One run in this process, shown as it goes."""
    from lab.records.notes import notes_text
    from lab.records.places import settled
    from lab.records.results import outcome, read_result

    first = is_first_process()
    if job.is_terminal():
        result = read_result(job.folder) or {}
        if first:
            print(f"{job.folder} is {result['status']} already; force=true starts over")
    else:
        import lab.runs.preload  # noqa: F401 (first: it imports fast)
        from lab.runs.progress import Console
        from lab.runs.run import run, set_threads
        from lab.training.parallel import joined

        set_threads(job.config.train.threads)
        with joined(num_processes(), *local_rank(), job.config.train.device):
            result = run(job, Console() if first else None)
        if first and (notes := notes_text([result])):
            print(*notes, sep="\n", file=sys.stderr)
    if result["status"] == "failed":
        print(f"failed: {result['error']}", file=sys.stderr)
        return 1
    if not first:
        return 130 if result["status"] == "interrupted" else 0
    last = {tag: one["last"] for tag, one in result["metrics"].items()}
    shown = [f"{tag} {value:.4f}" for tag, value in last.items() if value is not None and not tag.startswith("train/")]
    speed = f"{result['steps']} steps, {result['images_per_second']:,.0f} images/s"
    print("  ".join([f"{outcome(result)} after {speed}:", *shown]))
    folder = settled(job).folder
    print(f"results: {folder}\ncurves:  lab board {folder.parent.parent}")
    return 130 if result["status"] == "interrupted" else 0


def plan(
    typed: list[str], command: str, config_name: str = "config", multirun: bool = False, extra: list[str] | None = None
) -> list[list[Job]]:
    """The runs that the overrides `typed` stand for, one list an experiment, inside an initialised Hydra.

    Args:
        typed: overrides as on the command line; commas and ranges make a sweep, `seeds=+5` further seeds.
        command: the whole command, for the record.
        config_name: the primary configuration.
        multirun: whether the user asked for a sweep even without commas.
        extra: overrides of Hydra itself.

    Raises:
        UserError, HydraException, OmegaConfBaseException: an override is wrong.
    """
    typed, asked = take_seeds(rewritten(typed))
    overrides = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(typed)
    for override in overrides:
        check_override(override, bool(extra))
    for override in overrides:
        if override.key_or_group == "experiment" and override.is_sweep_override():
            rest = [text for text, other in zip(typed, overrides, strict=True) if other is not override]
            rest += [f"seeds={asked}"] if asked else []
            names = [f"experiment={name}" for name in override.sweep_string_iterator()]
            return [jobs for name in names for jobs in plan([name, *rest], command, config_name, multirun, extra)]
    fixed = [_text(o) for o in overrides if not o.is_sweep_override()]
    master = compose(config_name, [*fixed, *(extra or [])], return_hydra_config=True)
    swept = multirun or str(master.hydra.mode or "").endswith("MULTIRUN")
    axes = sweep_axes(overrides, master.hydra.sweeper.get("params") if swept else None)
    seeds = axes.pop("seed", None)
    named = [key for key in axes or [o.key_or_group for o in overrides] if _names_arm(key)]
    composer = Composer(config_name, fixed, extra or [])
    jobs: dict[Path, Job] = {}  # by folder: a value given twice is one run
    known: dict[Path, dict[str, Path]] = {}
    for place, choice in enumerate(itertools.product(*axes.values())):
        config = composer(list(choice))
        typed_values = {key.lstrip("+"): value for key, _, value in (text.partition("=") for text in [*fixed, *choice])}
        flat = flatten(config)
        arm = {key: flat.get(key, typed_values[key]) for key in named}  # a group, as `optimizer`, has no value
        root = Path(config.out) / config.name
        if root not in known:
            known[root] = arm_folders(root)
        home = arm_folder(config, arm, known[root])
        for seed in asked_seeds(asked, seeds or [f"seed={config.seed}"], root):
            one = copy.copy(config)
            one.seed = whole_seed(seed)
            folder = home / f"seed={one.seed}"
            jobs[folder] = Job(one, folder, arm, [*fixed, *choice, seed], command, place)
    return [list(jobs.values())]


def sweep_axes(overrides: list[Override], params: Mapping[str, str] | None) -> dict[str, list[str]]:
    """What is swept: for each key its choices, each an override; the experiment's first, unless the user gave the key.

    Args:
        overrides: what the user typed.
        params: `hydra.sweeper.params` of the experiment, if there is one.
    """
    own = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in (params or {}).items()])
    axes = {override.key_or_group: _choices(override) for override in own}
    for override in overrides:
        axes.pop(override.key_or_group, None)
        if override.is_sweep_override():
            axes[override.key_or_group] = _choices(override)
    return axes


class Composer:
    """Composes one configuration after another; choices of group files are composed once and values set on copies.

    Hydra takes 0.1 s a composition, and applies values after all files in any case.
    """

    def __init__(self, config_name: str, fixed: list[str], extra: list[str]):
        self.config_name, self.fixed, self.extra = config_name, fixed, extra
        self._composed: dict[tuple[str, ...], Any] = {}
        self._groups = set(GlobalHydra.instance().config_loader().list_groups(""))

    def __call__(self, choice: list[str]) -> RunConfig:
        parsed = OverridesParser.create().parse_overrides(choice)
        simple = [o for o in parsed if o.key_or_group not in self._groups and o.type is not None and not o.is_add()]
        slow = tuple(_text(o) for o in parsed if o not in simple)
        if slow not in self._composed:
            self._composed[slow] = compose(self.config_name, [*self.fixed, *slow, *self.extra])
        config = copy.deepcopy(self._composed[slow])
        for override in simple:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        found = OmegaConf.to_object(config)
        assert isinstance(found, RunConfig)
        found.study.tune = typed_grid(found.study.tune)
        found.study.reference = found.study.reference or {}
        check_form(found.study.reference)
        return found


def typed_grid(grid: Any) -> Any:
    """`study.tune` with values as the fields of their keys hold them: a rate of 1 is that of 1.0, and the same arm.

    What is no mapping, no list, or of no key stays as it is: `lab.launch.tune` refuses it.

    Raises:
        UserError: a value is of the wrong type.
    """
    if not isinstance(grid, Mapping):
        return grid
    known, typed = default_leaves(), dict(grid)
    for key, values in grid.items():
        if key in known and isinstance(values, list):
            typed[key] = [typed_value(key, value) for value in values]
    return typed


def typed_value(key: str, value: Any) -> Any:
    """`value` as the field `key` of the configuration holds it."""
    config = scratch()
    try:
        OmegaConf.update(config, key, value)
    except OmegaConfBaseException as error:
        raise UserError(f"study.tune: {key}={value}: {_one_message(error)}") from error
    held = OmegaConf.select(config, key)
    return OmegaConf.to_container(held) if OmegaConf.is_config(held) else held


@cache
def scratch() -> Any:
    """A configuration to try values on; to build one takes longer than all the rest of `typed_value`."""
    return OmegaConf.structured(RunConfig)


def check_override(override: Override, extended: bool) -> None:
    """Raises `UserError` for a key or a group's file that does not exist, naming the nearest.

    Args:
        override: one override of the command line.
        extended: whether the user brought files of their own (`--config-dir`), which may hold more.
    """
    key = override.key_or_group
    if key.startswith(("hydra/launcher", "hydra.launcher", "hydra/sweeper")):
        raise UserError(f"{key}: the lab starts its runs itself; jobs=N says how many side by side")
    if key.startswith("study."):
        check_study(override)
    if key.startswith(("hydra.", "hydra/", "study.")):
        return
    keys = default_leaves()
    if key in GROUPS:
        files = {path.stem for path in (config_dir() / key).glob("*.yaml")}
        chosen = override.sweep_string_iterator() if override.is_sweep_override() else [str(override.value())]
        for name in chosen:
            if name not in files and not extended and override.value() is not None:
                raise UserError(f"{key}={name} is unknown{nearest(name, files)}; there are: {', '.join(sorted(files))}")
    elif key not in keys:
        there = [*keys, *GROUPS]
        same = [one for one in there if one.rpartition(".")[0] == key.rpartition(".")[0]] or list(GROUPS)
        raise UserError(f"{key} is no key of the configuration{nearest(key, there)}; there are: {', '.join(same)}")


def check_study(override: Override) -> None:
    """Raises `UserError` for a key of the study that does not exist, or that is swept: all runs have one study."""
    key, there = override.key_or_group, [f"study.{field.name}" for field in fields(StudyConfig)]
    if key.startswith("study.reference."):
        raise UserError(f"{key}: a reference is typed as a whole, as 'study.reference={{model.act:tanh}}'")
    if key not in there:
        raise UserError(f"{key} is no key of the configuration{nearest(key, there)}; there are: {', '.join(there)}")
    if override.is_sweep_override():
        text = key in ("study.question", "study.source")
        quotes = f"; a text with commas needs quotes of its own, as '{key}=\"a, b\"'" if text else ""
        raise UserError(f"{override.input_line}: all runs of a sweep have one {key}{quotes}")


def _choices(override: Override) -> list[str]:
    """The single overrides that a sweep over `override` runs through."""
    if not override.is_sweep_override():
        return [_text(override)]
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: a sweep needs single values, as a=1,2 or a=range(0,5)")
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _text(override: Override) -> str:
    assert override.input_line is not None
    return override.input_line


def _names_arm(key: str) -> bool:
    return key not in NOT_IDENTITY and key != "experiment" and not key.startswith(("hydra", "study"))


def _hydra_shows(argv: list[str]) -> int:
    """Hands the command to Hydra, for the flags that show something and train nothing."""
    sys.argv = ["lab train", *rewritten(argv)]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # its exceptions come to us, which turn them into one message
    hydra_main(config_path=str(config_dir()), config_name="config", version_base="1.3")(lambda config: None)()
    return 0


def _one_message(error: Exception) -> str:
    """Hydra's message and what caused it, on one line."""
    parts, one = [], error
    while one is not None and len(parts) < 3:
        lines = [line.strip() for line in str(one).splitlines() if line.strip()]
        parts += [line for line in lines[:2] if line not in parts and not line.startswith("reference_type")]
        one = one.__cause__
    return "; ".join(parts)
