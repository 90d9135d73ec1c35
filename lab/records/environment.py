"""The environment of a run: the code's commit, versions, machine."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lab


@lru_cache(maxsize=1)
def code_version() -> dict[str, Any]:
    """Commit of the clone that `lab` runs from and whether it has uncommitted changes; both None outside a clone."""
    here = Path(lab.__file__).parent
    commit = _git(here, "rev-parse", "HEAD")
    if commit is None or _git(here, "ls-files", "__init__.py") in (None, ""):
        return {"git_commit": None, "git_dirty": None}
    return {"git_commit": commit, "git_dirty": bool(_git(here, "status", "--porcelain", "--untracked-files=no"))}


def working_copy() -> dict[str, Any]:
    """Commit of the working directory, uncommitted changes (both None outside a clone), version of the lab."""
    here = Path.cwd()
    commit = _git(here, "rev-parse", "HEAD")
    dirty = None if commit is None else bool(_git(here, "status", "--porcelain", "--untracked-files=no"))
    return {"git_commit": commit, "git_dirty": dirty, "lab": lab.__version__}


def environment(device: str, threads: int) -> dict[str, Any]:
    """The entry `environment` of `result.json`."""
    return {
        **code_version(),
        "lab": lab.__version__,
        "python": platform.python_version(),
        "torch": _version("torch"),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        "threads": threads,
    }


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
