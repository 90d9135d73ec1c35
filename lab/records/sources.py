"""Runs that others start from, where `start.source` has them trained first: what they are, and where they lie.

They lie in `<out>/_sources/<arm>/seed=<n>`, whichever experiment asks for them, so that each is trained once.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.config import RunConfig
from lab.identity import NOT_IDENTITY, flatten, identity, with_values
from lab.literals import literal
from lab.records.places import Job, run_folder
from lab.records.results import SOURCES


def as_words(source: RunConfig) -> list[str]:
    """All that makes the arm of a source, as the overrides that `start.source` of its runs holds: the hash of such a
    run thus depends on what its source is, not on where that lies."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(identity(source).items())]


def source_config(config: RunConfig) -> RunConfig | None:
    """The configuration of the run that a run of `config` starts from; None where none is trained for it.

    Seed, device threads and other bookkeeping are those of `config`.
    """
    if not (values := source_values(config)):
        return None
    own = {key: value for key, value in flatten(config).items() if key in NOT_IDENTITY and key != "arm"}
    return with_values(RunConfig(), {**own, "name": SOURCES, **values})


def source_values(config: RunConfig) -> dict[str, Any]:
    """The keys of `start.source`, as `as_words` wrote them."""
    pairs = (text.partition("=") for text in config.start.source)
    return {key: literal(value) for key, _, value in pairs}


def source_folder(source: RunConfig) -> Path:
    """Where the run of `source`, result of `source_config`, lies."""
    return run_folder(source, identity(source))


def source_job(job: Job) -> Job | None:
    """The run that `job` starts from, if one is trained for it."""
    if (source := source_config(job.config)) is None:
        return None
    values = source_values(job.config)
    shown = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    words = [*(f"{key}={text}" for key, text in shown.items()), f"name={SOURCES}", f"seed={source.seed}"]
    return Job(source, source_folder(source), values, words, job.command)


def source_jobs(jobs: Sequence[Job]) -> list[Job]:
    """The runs that `jobs` start from, each once, in their order."""
    found = (source_job(job) for job in jobs if job.config.start.source)
    return list({one.folder: one for one in found if one}.values())
