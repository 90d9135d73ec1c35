"""The overrides as the user gave them, before Hydra: words that Hydra reads otherwise, and the lab's own `seeds=`."""

from pathlib import Path

from lab.errors import UserError, nearest
from lab.records.interim import read_interim

PATHS = ("start.run", "data.root", "out")
"""Keys that take a path, which the folder of an arm (`act=relu-f0c356a5`) is legal in, although Hydra stops at `=`."""

AUTO = "auto"
"""The `seeds=` with which the lab finds the number of seeds by itself."""

REPLACED = ("study.tune", "study.reference")
"""Mappings that an override replaces as a whole: Hydra would merge it into the one there is, if it allows new keys."""


def rewritten(typed: list[str]) -> list[str]:
    """The overrides `typed` as Hydra has to get them, so that they do what they say.

    `experiment=null` in quotes, as a bare null is no choice to Hydra and a name here; paths with `=` in quotes; and
    null before each mapping of `REPLACED`.
    """
    words = []
    for text in typed:
        key, sign, value = text.partition("=")
        if text == "experiment=null":
            words.append("experiment='null'")
        elif key in PATHS and "=" in value and not set(value) & set("\"'\\"):
            words.append(f"{key}=" + ",".join(f'"{path}"' for path in split_paths(value)))
        elif sign and key.lstrip("+") in REPLACED:
            words += [f"{key.lstrip('+')}=null", f"{key.lstrip('+')}={value}"]
        else:
            words.append(text)
    return words


def split_paths(value: str) -> list[str]:
    """The paths that `value` has between its commas, some of which may belong to a path that is there."""
    paths, begun = [], ""
    for part in value.split(","):
        begun = f"{begun},{part}" if begun else part
        if Path(begun).expanduser().exists():
            paths.append(begun)
            begun = ""
    return [*paths, *([begun] if begun else [])]


def take_seeds(typed: list[str]) -> tuple[list[str], str]:
    """Takes `seeds=10`, `seeds=+5` or `seeds=auto` out of the overrides; an empty text if there is none.

    Raises:
        UserError: it is given twice or beside `seed=`, or is no whole number above 0.
    """
    found = [text.partition("=")[2] for text in typed if text.startswith("seeds=")]
    if not found:
        return typed, ""
    rest = [text for text in typed if not text.startswith("seeds=")]
    asked = found[-1]
    if len(found) > 1:
        raise UserError(f"seeds is given {len(found)} times: {', '.join(found)}; once is enough")
    if asked == AUTO and any(text.startswith("seed=") for text in rest):
        raise UserError(f"seeds={AUTO} takes the seeds 0, 1, 2, ... as they are needed; leave seed= out")
    if not asked.startswith("+") and any(text.startswith("seed=") for text in rest):
        raise UserError(f"seeds={asked} says how many seeds and seed= which ones; give one of them")
    if asked != AUTO and (not asked.removeprefix("+").isdecimal() or not int(asked)):
        allowed = f"a number of 1 or more, as 10, or further ones, as +5, or {AUTO}"
        raise UserError(f"seeds={asked} is out of range; allowed: {allowed}{nearest(asked, [AUTO])}")
    return rest, asked


def asked_seeds(asked: str, seeds: list[str], root: Path, max_seeds: int) -> list[str]:
    """The seeds of an arm as overrides: `seeds`, or what `seeds=` made of them.

    `seeds=10` are 0 to 9. `seeds=+5` are those of the sweep and five new ones: after the largest of the sweep, or that
    an earlier `seeds=+5` of this experiment got to the end with. A sweep that was interrupted does not count, so that
    the same command goes on with it. `seeds=auto` may take all of 0 to `max_seeds` - 1.

    Args:
        asked: `10`, `+5`, `auto` or nothing.
        seeds: the sweep's own.
        root: the experiment's folder.
        max_seeds: of `seeds=auto`.
    """
    if asked == AUTO:
        return [f"seed={seed}" for seed in range(max(max_seeds, 1))]  # what is out of range is told later
    if not asked.startswith("+"):
        return [f"seed={seed}" for seed in range(int(asked))] if asked else seeds
    own = [whole_seed(text) for text in seeds]
    last = max([*own, read_interim(root).last_seed or 0])
    return [f"seed={seed}" for seed in dict.fromkeys([*own, *range(max(own) + 1, last + 1 + int(asked))])]


def whole_seed(text: str) -> int:
    """The number of the override `seed=3`; a `UserError` where it is none."""
    value = text.partition("=")[2]
    try:
        return int(value)
    except ValueError:
        raise UserError(f"seed={value} is not a whole number") from None
