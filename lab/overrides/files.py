"""The configuration files that there are, by group and name: those of the lab, and the user's own."""

import os
from collections.abc import Mapping
from pathlib import Path

from lab.errors import UserError

GROUPS = ("data", "model", "optimizer", "schedule", "train", "lint", "on", "experiment")
"""The groups of configuration files."""

ENVIRONMENT = "LAB_CONFIG_DIR"
"""The environment variable that stands for `--config-dir`."""


def config_dir() -> Path:
    """The folder of YAML files: inside the package when installed from a wheel, beside it in a clone."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def own_dir(given: str | None) -> Path | None:
    """The user's folder of configuration files, from `--config-dir` or the environment; None without any.

    Raises:
        UserError: there is no such folder.
    """
    name, source = (given, "--config-dir") if given is not None else (os.environ.get(ENVIRONMENT), ENVIRONMENT)
    if given is None and not name:
        return None
    folder = Path(name or "").expanduser()
    if not name or not folder.is_dir():
        raise UserError(f"{source}={name} is not a folder; it holds files as experiment/NAME.yaml, model/NAME.yaml")
    return None if folder.resolve() == config_dir().resolve() else folder.resolve()


def group_files(own: Path | None) -> Mapping[str, dict[str, Path]]:
    """By group the files there are, by name: the lab's, then the user's.

    Raises:
        UserError: a file of the user's has the name of one of the lab's.
    """
    found = {}
    for group in GROUPS:
        there, others = yaml_files(config_dir() / group), yaml_files(own / group) if own else {}
        for name in there.keys() & others.keys():
            raise UserError(f"{others[name]} has the name of one of the lab's, {group}={name}; give it another name")
        found[group] = there | others
    return found


def yaml_files(folder: Path) -> dict[str, Path]:
    """The configuration files in `folder`, by name, in order."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.yaml"))
        if path.is_file()
    }
