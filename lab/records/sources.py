"""Runs that others start from, where `start.source` has them trained first: what they are, and where they lie.

They lie in `<out>/_sources/<arm>/seed=<n>`, whichever experiment asks for them, so that each is trained once.
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lab.config import RunConfig
from lab.identity import ARM, NOT_IDENTITY, flatten, identity, with_values
from lab.literals import literal
from lab.records.places import Job, run_folder
from lab.records.results import SOURCES

OWN = ("data", "model")
"""Sections that a source shares with its run, so that the weights fit, but for what `start.source` says."""


def as_words(source: RunConfig, typed: Collection[str]) -> list[str]:
    """What a source differs in from the defaults, and from its run, as the overrides that `start.source` then holds.

    The hash of a run thus depends on what its source is, not on where that lies.

    Args:
        source: its whole configuration.
        typed: the keys, and the groups of files, that `start.source` names.
    """
    flat = {**flatten(source), **identity(source)}
    named = [key for key in flat if section(key) in OWN and (key in typed or section(key) in typed)]
    rest = [key for key in identity(source) if section(key) not in OWN]
    return [f"{key}={json.dumps(flat[key], ensure_ascii=False)}" for key in sorted([*named, *rest])]


def section(key: str) -> str:
    """`model` of `model.act`."""
    return key.partition(".")[0]


def source_config(config: RunConfig) -> RunConfig | None:
    """The configuration of the run that a run of `config` starts from; None where none is trained for it.

    Data and net are those of `config`, where `start.source` says nothing else, and so are seed, threads and other
    bookkeeping.
    """
    if not config.start.source or config.start.load == "none":
        return None
    own = {key: value for key, value in flatten(config).items() if section(key) in OWN or key in NOT_IDENTITY - {ARM}}
    pairs = (text.partition("=") for text in config.start.source)
    return with_values(RunConfig(), {**own, "name": SOURCES, **{key: literal(value) for key, _, value in pairs}})


def source_folder(source: RunConfig) -> Path:
    """Where the run of `source`, result of `source_config`, lies."""
    return run_folder(source, shown(source))


def shown(source: RunConfig) -> dict[str, Any]:
    """What names the folder of a source's arm: all that makes it, but no path."""
    return {key: value for key, value in identity(source).items() if key != "data.root"}


def source_job(job: Job) -> Job | None:
    """The run that `job` starts from, if one is trained for it."""
    if (source := source_config(job.config)) is None:
        return None
    values = {**shown(source), "data.root": source.data.root}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    words = [*(f"{key}={text}" for key, text in texts.items()), f"name={SOURCES}", f"seed={source.seed}"]
    return Job(source, source_folder(source), shown(source), words, job.command)


def source_jobs(jobs: Sequence[Job]) -> list[Job]:
    """The runs that `jobs` start from, each once, in their order."""
    found = (source_job(job) for job in jobs if job.config.start.source)
    return list({one.folder: one for one in found if one}.values())
