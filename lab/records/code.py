"""Which version of a user's own code a run was made by: a hash of the source behind each `package.module:name`."""

import hashlib
import re
import sysconfig
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

PATHS = ("name", "out", "data.root", "start.run")
"""Keys that hold paths and names of folders, never code."""

INSTALLED = tuple(Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib", "stdlib"))


def own_code(config: Mapping[str, Any]) -> dict[str, str]:
    """The hash of the source of each own part that a flat configuration names: `{"my.net": "1f3a9c02"}`."""
    texts = (str(value) for key, value in config.items() if key not in PATHS and ":" in str(value))
    modules = dict.fromkeys(name.partition(":")[0] for text in texts for name in NAME.findall(text))
    return {module: digest for module in modules if (digest := source_hash(module))}


@lru_cache
def source_hash(module: str) -> str | None:
    """Eight hexadecimal digits of the source of `module`, which is found without importing anything; None without any.

    Of a module in a package of the user's it is all Python files of that package, which may use one another; of one in
    an installed package, or of a module alone, its own file. It is read once a process, as the module is.
    """
    top, *rest = module.split(".")
    try:
        spec = PathFinder.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    roots = [Path(root) for root in spec.submodule_search_locations or ()]
    if not roots:
        return file_hash([Path(spec.origin)]) if spec.origin else None
    if not any(root.resolve().is_relative_to(place) for root in roots for place in INSTALLED):
        return file_hash(sorted(path for root in roots for path in root.rglob("*.py")))
    files = [root.joinpath(*rest) for root in roots]
    ends = [end for file in files for end in (file.with_suffix(".py"), file / "__init__.py")]
    return file_hash([path for path in ends if path.is_file()][:1])


def file_hash(paths: Iterable[Path]) -> str | None:
    """Eight hexadecimal digits of the content of files, in order; None without any, or where one is missing."""
    found = hashlib.sha256()
    try:
        contents = [path.read_bytes() for path in paths]
    except OSError:
        return None
    for content in contents:
        found.update(hashlib.sha256(content).digest())
    return found.hexdigest()[:8] if contents else None


def changes(now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    """The modules whose code is other `now` than it was `then`; those of which only one is known do not count."""
    return [module for module, digest in now.items() if then.get(module, digest) != digest]
