"""From overrides to the runs to do.

Hydra's own sweeper and launchers are not used: the runs are started by `lab.launch.sweep`, which knows what is
finished.
"""

import copy
import hashlib
import itertools
import shlex
from collections.abc import Mapping
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from lab.cli.catalogue import config_dir
from lab.cli.check import check_override
from lab.cli.compose import Composer, one_message, override_text, store_schema
from lab.cli.overrides import asked_seeds, rewritten, take_seeds, whole_seed
from lab.config import RunConfig
from lab.errors import UserError, refuse
from lab.identity import NOT_IDENTITY, flatten
from lab.records.places import Job, arm_folder, arm_folders
from lab.validation import validate


def all_jobs(verb: str, typed: list[str]) -> list[list[Job]]:
    """The runs that the overrides `typed` of `lab VERB` stand for, one list an experiment.

    Raises:
        UserError: an override is wrong.
    """
    store_schema()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return plan(typed, shlex.join(["lab", verb, *typed]))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_message(error)) from error


def one_job(verb: str, typed: list[str]) -> Job:
    """The one run that the overrides `typed` of `lab VERB` stand for.

    Raises:
        UserError: an override is wrong, or they make a sweep.
    """
    jobs = [job for batch in all_jobs(verb, typed) for job in batch]
    if len(jobs) > 1:
        raise UserError(
            f"lab {verb} takes one configuration, and this is a sweep of {len(jobs)} runs; "
            "give one value a key, and the keys of the arm instead of experiment=NAME"
        )
    return jobs[0]


def plan(
    typed: list[str], command: str, config_name: str = "config", multirun: bool = False, extra: list[str] | None = None
) -> list[list[Job]]:
    """The runs that the overrides `typed` stand for, one list an experiment, inside an initialised Hydra.

    Args:
        typed: overrides as on the command line; commas and ranges make a sweep, `seeds=+5` further seeds, and
            `seeds=auto` all that it may take.
        command: the whole command, for the record.
        config_name: the primary configuration.
        multirun: whether the user asked for a sweep even without commas.
        extra: overrides of Hydra itself.

    Raises:
        UserError, HydraException, OmegaConfBaseException: an override is wrong.
    """
    typed, asked = take_seeds(rewritten(typed))
    overrides = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(typed)
    refuse(complaint for override in overrides for complaint in check_override(override, bool(extra)))
    for override in overrides:
        if override.key_or_group == "experiment" and override.is_sweep_override():
            rest = [text for text, other in zip(typed, overrides, strict=True) if other is not override]
            rest += [f"seeds={asked}"] if asked else []
            names = [f"experiment={name}" for name in override.sweep_string_iterator()]
            return [jobs for name in names for jobs in plan([name, *rest], command, config_name, multirun, extra)]
    fixed = [override_text(o) for o in overrides if not o.is_sweep_override()]
    master = compose(config_name, [*fixed, *(extra or [])], return_hydra_config=True)
    swept = multirun or str(master.hydra.mode or "").endswith("MULTIRUN")
    axes = sweep_axes(overrides, master.hydra.sweeper.get("params") if swept else None)
    seeds = axes.pop("seed", None)
    named = [key for key in axes or [o.key_or_group for o in overrides] if _names_arm(key)]
    if master.name == RunConfig().name and not any(o.key_or_group == "name" for o in overrides):
        fixed += [f"name={name}"] if (name := sweep_name(overrides, list(axes), bool(seeds or asked))) else []
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
        for seed in asked_seeds(asked, seeds or [f"seed={config.seed}"], root, config.study.max_seeds):
            one = copy.copy(config)
            one.seed = whole_seed(seed)
            folder = home / f"seed={one.seed}"
            jobs[folder] = Job(one, folder, arm, [*fixed, *choice, seed], command, place)
    validate(*(job.config for job in jobs.values()))
    return [list(jobs.values())]


def sweep_axes(overrides: list[Override], params: Mapping[str, str] | None) -> dict[str, list[str]]:
    """What is swept: for each key its choices, each an override; the experiment's first, unless the user gave the key.

    Args:
        overrides: those of the command line.
        params: `hydra.sweeper.params` of the experiment, if there is one.
    """
    own = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in (params or {}).items()])
    axes = {override.key_or_group: _choices(override) for override in own}
    for override in overrides:
        axes.pop(override.key_or_group, None)
        if override.is_sweep_override():
            axes[override.key_or_group] = _choices(override)
    return axes


MOST_NAME = 100
"""Characters of a sweep's own name, from which on it is cut and ends with a hash."""


def sweep_name(overrides: list[Override], keys: list[str], several: bool) -> str:
    """The name of a sweep that has none: its experiment's, else what is swept, `model-optimizer.lr`; empty for one run.

    It is the same for the same keys, so the same command lands in the same place.

    Args:
        overrides: those of the command line.
        keys: what is swept, the seed aside.
        several: whether there are several seeds.
    """
    experiment = next((str(o.value()) for o in overrides if o.key_or_group == "experiment" and o.value()), "")
    name = experiment.strip("'\"").replace("/", "-") or "-".join(keys or ["seed"] * several)
    digits = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 9]}-{digits}"


def _choices(override: Override) -> list[str]:
    """The single overrides that a sweep over `override` runs through."""
    if not override.is_sweep_override():
        return [override_text(override)]
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: a sweep needs single values, as a=1,2 or a=range(0,5)")
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _names_arm(key: str) -> bool:
    return key not in NOT_IDENTITY and key != "experiment" and not key.startswith(("hydra", "study"))
