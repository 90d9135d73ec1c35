"""Whether the keys and files that overrides name exist; their values are checked by `lab.validation`."""

from collections.abc import Iterator
from dataclasses import fields

from hydra.core.override_parser.types import Override

from lab.cli.catalogue import config_dir
from lab.config import StudyConfig
from lab.errors import nearest, unknown
from lab.identity import default_leaves

GROUPS = ("data", "model", "optimizer", "schedule", "train", "experiment")


def check_override(override: Override, extended: bool) -> Iterator[str]:
    """A line for a key or a group's file that does not exist, with the nearest.

    Args:
        override: one override of the command line.
        extended: whether the user brought configuration files (`--config-dir`), which may hold more.
    """
    key = override.key_or_group
    if key.startswith(("hydra/launcher", "hydra.launcher", "hydra/sweeper")):
        yield f"{key}: the lab starts its runs itself; jobs=N says how many side by side"
    elif key.startswith("study."):
        yield from _check_study(override)
    elif key in GROUPS:
        files = sorted(path.stem for path in (config_dir() / key).glob("*.yaml"))
        if override.value() is None and not override.is_delete():
            yield unknown(f"{key}=null", "null", files)
        chosen = override.sweep_string_iterator() if override.is_sweep_override() else [str(override.value())]
        for name in chosen:
            if name not in files and not extended and override.value() is not None:
                yield unknown(f"{key}={name}", name, files)
    elif key not in default_leaves() and not key.startswith(("hydra.", "hydra/")):
        there = [*default_leaves(), *GROUPS]
        same = [one for one in there if one.rpartition(".")[0] == key.rpartition(".")[0]] or list(GROUPS)
        yield f"{key} is no key of the configuration{nearest(key, there)}; there are: {', '.join(same)}"


def _check_study(override: Override) -> Iterator[str]:
    """A line for a key of the study that does not exist, or that is swept: all runs have one study."""
    key, there = override.key_or_group, [f"study.{field.name}" for field in fields(StudyConfig)]
    if key.startswith("study.reference."):
        yield f"{key}: give a reference as a whole, as 'study.reference={{model.act:tanh}}'"
    elif key not in there:
        yield f"{key} is no key of the configuration{nearest(key, there)}; there are: {', '.join(there)}"
    elif override.is_sweep_override():
        text = key in ("study.question", "study.source")
        quotes = f"; quote a text with commas, as '{key}=\"a, b\"'" if text else ""
        yield f"{override.input_line}: all runs of a sweep have one {key}{quotes}"
