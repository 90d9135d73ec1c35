"""From typed overrides to the runs that they stand for."""

import copy
import hashlib
import itertools
import math
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import OmegaConf

from lab.config import RunConfig
from lab.errors import UserError, refuse
from lab.identity import ARM, flatten, makes_arms
from lab.overrides.compose import PRIMARY, Composer, check_primary, configurations
from lab.overrides.files import group_files, own_dir
from lab.overrides.formula import is_formula
from lab.overrides.hydra_words import in_own_words
from lab.overrides.named_arms import chosen_arms, is_excluded, read_arms
from lab.overrides.seeds import asked_seeds, number_asked, read_seeds, take_seeds
from lab.overrides.source import read_source
from lab.overrides.typed import short_word
from lab.overrides.words import Files, Word, doubled, read_words, split_picks
from lab.records.places import Job, arm_folder, arm_folders
from lab.space import most_points, space
from lab.system.reporter import note
from lab.validation import all_keys, validate

MANY = 5000
"""Runs from which a command has to be told `--yes`."""


@dataclass(frozen=True)
class Options:
    """The flags of a verb that takes overrides."""

    config_dir: str | None = None
    config_name: str = PRIMARY
    multirun: bool = False
    own_parts: bool = True
    """Whether values may name a user's own code, `module:attribute`."""

    yes: bool | None = False
    """Whether any number of runs is meant; None where one run is."""


def all_jobs(verb: str, typed: list[str], options: Options | None = None) -> list[list[Job]]:
    """The runs that the overrides `typed` of `lab VERB` stand for, one list an experiment.

    Args:
        verb: for the record of the command.
        typed: as on the command line; commas and ranges make a sweep, `seeds=+5` further seeds, and `seeds=auto` all
            that it may take.
        options: the verb's flags.

    Raises:
        UserError: an override or a file is wrong, or there are very many runs.
    """
    options, (typed, said) = options or Options(), in_own_words(typed)
    if said:
        note(said)
    command = shlex.join(["lab", verb, *typed])
    own = own_dir(options.config_dir)
    files, (rest, asked) = group_files(own), take_seeds(typed)
    given = read_words(rest, files)
    for line in doubled(given):
        note(line)
    words = list({word.key: word for word in given}.values())
    experiments = next((word for word in words if word.key == "experiment" and word.swept), None)
    others = [word for word in words if word is not experiments]
    with configurations(own):
        composer = Composer(check_primary(options.config_name, own), [word.key for word in words], own)
        if experiments is None:
            chosen = [words]
        else:
            chosen = [[Word("experiment", [name], f"experiment={name}"), *others] for name in experiments.texts]
        return [
            with_whole(plan(one, asked, command, composer, files, options), one, command, composer, files, options)
            for one in chosen
        ]


def one_job(verb: str, typed: list[str], options: Options | None = None) -> Job:
    """The one run that the overrides `typed` of `lab VERB` stand for.

    Raises:
        UserError: an override is wrong, or they make a sweep.
    """
    jobs = [job for batch in all_jobs(verb, typed, options) for job in batch]
    if len(jobs) > 1:
        raise UserError(
            f"lab {verb} takes one configuration, and this is a sweep of {len(jobs)} runs; "
            "give one value a key, and the keys of the arm instead of experiment=NAME"
        )
    return jobs[0]


@dataclass(frozen=True)
class Span:
    """What the overrides of one experiment run through."""

    fixed: Mapping[str, str]
    """Keys with one text for all runs."""

    axes: Mapping[str, Sequence[str]]
    """What is crossed: for each key its texts, the names of arms last."""

    arms: Mapping[str, Mapping[str, str]]
    """What each name of an arm stands for."""

    seeds: Sequence[int]

    named: Sequence[str]
    """The keys that name the arms."""


def span(words: Sequence[Word], asked: str, composer: Composer, files: Files, options: Options) -> Span:
    """What `words` run through; arguments and errors as of `plan`."""
    fixed = {word.key: word.texts[0] for word in words if not word.swept and word.key not in ("seed", ARM)}
    picks, _ = split_picks(fixed)
    in_files, params = composer.settings(picks)
    params = {key: text for key, text in params.items() if key not in composer.settled_by(picks)}
    axes = sweep_axes(words, params if in_files or options.multirun else {}, files)
    axes.pop(ARM, None)
    first = composer(*split_picks({**fixed, **{key: axis[0] for key, axis in axes.items() if key != "seed"}}))
    arms = read_arms(first.study.arms, files)
    if names := chosen_arms(words, arms, axes):
        axes[ARM] = names
    typed_seed = next((word.texts for word in words if word.key == "seed"), None)
    seeds = axes.pop("seed", typed_seed) or [str(first.seed)]
    refuse_many(axes, number_asked(asked, len(seeds), first.study.max_seeds), first, options.yes)
    if first.name == RunConfig().name and not any(word.key == "name" for word in words):
        name = sweep_name(words, list(axes), len(seeds) > 1 or bool(asked))
        fixed |= {"name": name} if name else {}
    return Span(fixed, axes, arms, read_seeds(seeds), named_keys(words, axes))


def plan(
    words: Sequence[Word], asked: str, command: str, composer: Composer, files: Files, options: Options
) -> list[Job]:
    """The runs of one experiment, or of none, inside `configurations`.

    Args:
        words: the overrides, one experiment at most.
        asked: the `seeds=` among them.
        command: the whole command, for the record.
        composer: of the primary configuration.
        files: what there is to choose.
        options: the verb's flags.

    Raises:
        UserError: an override is wrong, or there are very many runs.
    """
    over = span(words, asked, composer, files, options)
    jobs: dict[Path, Job] = {}  # by folder: a value given twice is one run, and so are two names of one configuration
    known: dict[Path, dict[str, Path]] = {}
    homes: dict[tuple[Path, str], Path] = {}
    for place, choice in enumerate(itertools.product(*over.axes.values())):
        typed = {**over.fixed, **dict(zip(over.axes, choice, strict=True))}
        name = typed.get(ARM, "")
        texts = {**typed, **over.arms.get(name, {})}
        config = composer(*split_picks(texts))
        source = read_source(config, texts, over.fixed, files, composer)
        for one in [] if options.own_parts else [config, source or config]:
            refuse_own_parts(one)
        flat = flatten(config)
        arm = {key: flat.get(key, texts.get(key)) for key in over.named}  # a group, as `optimizer`, has no value
        if is_excluded(flat, arm, config.study.exclude):
            continue
        root = Path(config.out) / config.name
        if root not in known:
            known[root] = arm_folders(root)
        home = arm_folder(config, arm, known[root])
        home = homes.setdefault((root, home.name[-8:]), home)
        overrides = [f"{key}={text}" for key, text in typed.items()]
        for seed in asked_seeds(asked, over.seeds, root, config.study.max_seeds):
            one = copy.copy(config)
            one.seed = seed
            job = Job(one, home / f"seed={seed}", arm, [*overrides, f"seed={seed}"], command, place)
            first = jobs.setdefault(job.folder, job) if name else job
            jobs[job.folder] = replace(first, names=(*first.names, *filter(None, [name])))
    refuse_nothing(over.axes.get(ARM, ()), jobs.values())
    validate(*(job.config for job in jobs.values()))
    return list(jobs.values())


def with_whole(
    jobs: list[Job], words: Sequence[Word], command: str, composer: Composer, files: Files, options: Options
) -> list[Job]:
    """`jobs`, of which the first knows the arms that the experiment's file has by itself, where claims are about them.

    Typed words may leave some out: a value of a swept key, or of one that claims name, `arm=`, another set of arms.
    """
    study = jobs[0].config.study
    fixed = {word.key: word.texts[0] for word in words if not word.swept}
    named = f"{composer.settings(split_picks(fixed)[0])[1]} {study.claims} {study.reference} {study.arms}"
    narrowing = [
        word.key
        for word in words
        if word.key in (ARM, "study.arms", "study.exclude") or (_names_arm(word.key) and word.key in named)
    ]
    if not narrowing or not (study.claims or study.reference):
        return jobs
    kept = [word for word in words if word.key in ("experiment", "name", "out", "study.claims", "study.reference")]
    kept.append(Word("seed", ["0"], "seed=0"))
    try:
        whole = tuple(plan(kept, "", command, composer, files, options))
    except UserError:  # not complete without the other words
        return jobs
    return [replace(jobs[0], whole=whole), *jobs[1:]]  # once: every job goes to a worker


def refuse_nothing(names: Sequence[str], jobs: Collection[Job]) -> None:
    """Raises `UserError` where no run is left, or where all `names` of arms are one configuration."""
    if not jobs:
        raise UserError("study.exclude leaves no arm of this sweep")
    if len(names) > 1 and all(len(job.names) == len(names) for job in jobs):
        raise UserError(f"study.arms: {' and '.join(names)} are one configuration, and nothing is compared")


def named_keys(words: Sequence[Word], axes: Mapping[str, Sequence[str]]) -> list[str]:
    """The keys that name the arms: what is swept, with the arm's name first, else all that were typed; and formulas."""
    swept = sorted(axes, key=lambda key: key != ARM)
    formulas = [word.key for word in words if is_formula(word.key, word.texts[0])]
    keys = dict.fromkeys([*(swept or [word.key for word in words]), *formulas])
    return [key for key in keys if key == ARM or _names_arm(key)]


def sweep_axes(words: Sequence[Word], params: Mapping[str, str], files: Files) -> dict[str, Sequence[str]]:
    """What is swept: for each key the texts it runs through; the experiment's first, unless the user gave the key.

    Args:
        words: those of the command line.
        params: `hydra.sweeper.params` of the experiment, if there is one.
        files: what there is to choose.
    """
    typed = {word.key: word for word in words}
    try:
        own = read_words([f"{key}={text}" for key, text in params.items() if key not in typed], files)
    except UserError as error:
        raise UserError(f"hydra.sweeper.params: {error}") from None
    return {word.key: word.texts for word in [*own, *(word for word in words if word.swept)]}


MOST_NAME = 100
"""Characters of a sweep's own name, from which on it is cut and ends with a hash."""


def sweep_name(words: Sequence[Word], keys: Sequence[str], several: bool) -> str:
    """The name of a sweep that has none: its experiment's, else what is swept, `model-optimizer.lr`; empty for one run.

    It is the same for the same keys, so the same command lands in the same place.

    Args:
        words: the overrides.
        keys: what is swept, the seed aside.
        several: whether there are several seeds.
    """
    experiment = next((word.texts[0] for word in words if word.key == "experiment" and word.texts[0] != "null"), "")
    name = experiment.replace("/", "-") or "-".join(keys or ["seed"] * several)
    digits = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 9]}-{digits}"


def refuse_many(axes: Mapping[str, Sequence[str]], num_seeds: int, config: RunConfig, yes: bool | None) -> None:
    """Raises `UserError` if there are more than `MANY` runs, before any is made, unless the user said `yes`."""
    sizes = {key: len(axis) for key, axis in axes.items()} | {"seed": num_seeds}
    number = math.prod(sizes.values())
    if config.study.tune:
        number += math.prod(sizes[key] for key in axes) * most_points(config.study) * config.study.tune_seeds
    if number > MANY and not yes:
        factors = " x ".join(f"{size:,} of {key}" for key, size in sizes.items() if size > 1)
        hint = "" if yes is None else f", more than {MANY:,}; --yes goes on with them (yes=True in Python)"
        raise UserError(f"this is a sweep of {number:,} runs ({factors}){hint}")


def refuse_own_parts(config: RunConfig) -> None:
    """Raises `UserError` for each value of `config` that names a user's own code."""
    lists = [(key, axis) for key, axis in space(config.study.tune).items() if isinstance(axis, list)]
    given = [*flatten(config).items(), *((key, one) for key, values in lists for one in values)]
    parts = [(key, value) for key, value in given if key in all_keys() and all_keys()[key].knob.own]
    refuse(
        f"{short_word(f'{key}={value}')} names code of yours, which --no-own-parts does not run"
        for key, value in parts
        if ":" in str(value)
    )


def shown_configuration(typed: list[str], options: Options, package: str, resolve: bool) -> str:
    """The composed configuration as YAML, the typed sweeps aside, which a comment names.

    Args:
        typed: overrides.
        options: the verb's flags.
        package: the section to show; all if empty.
        resolve: whether `${...}` of files are filled in.

    Raises:
        UserError: an override or a file is wrong, or there is no such section.
    """
    own = own_dir(options.config_dir)
    rest, asked = take_seeds(typed)
    words = read_words(rest, group_files(own))
    swept = [word.text for word in words if word.swept] + ([f"seeds={asked}"] if asked else [])
    with configurations(own):
        composer = Composer(check_primary(options.config_name, own), [word.key for word in words], own)
        config = composer.filled(*split_picks({word.key: word.texts[0] for word in words if not word.swept}))
        part = OmegaConf.select(config, package) if package else config
        if not OmegaConf.is_config(part):
            there = [str(key) for key in config if OmegaConf.is_config(config._get_node(str(key)))]
            raise UserError(f"--package {short_word(package)} is no section; there are: {', '.join(there)}")
        notes = [f"# swept: {short_word(text)}\n" for text in swept]
        return "".join([*notes, OmegaConf.to_yaml(part, resolve=resolve)])


def _names_arm(key: str) -> bool:
    return makes_arms(key) and key != "experiment" and not key.startswith("study")
