"""What Hydra or OmegaConf found wrong in configuration files, in words of the lab, with file and line."""

import re

from hydra.errors import MissingConfigException
from omegaconf.errors import (
    GrammarParseError,
    InterpolationResolutionError,
    InterpolationValidationError,
    OmegaConfBaseException,
)

from lab.errors import nearest
from lab.overrides.own_files import OwnFiles
from lab.overrides.typed import short_word


def plain_message(error: Exception) -> str:
    """What Hydra or OmegaConf found wrong in files, in our words: the place, and the name or text it is about."""
    if isinstance(error, RecursionError):
        files = ", ".join(map(str, OwnFiles.loaded)) or "the configuration files"
        return f"{files}: defaults or values that lead back to themselves"
    if isinstance(error, MissingConfigException):
        name = (error.missing_cfg_file or "").removesuffix(".yaml")
        group, _, short = name.rpartition("/")
        there = [one.rpartition("/")[2] for one in error.options or ()]
        listed = f"{nearest(short, there)}; there are: {', '.join(there)}" if there else ", which is no file there"
        return f"{written(short)}: defaults name {group}{'/' * bool(group)}{short}{listed}"
    if isinstance(error, OmegaConfBaseException) and (key := str(error.full_key or error.key or "")):
        if isinstance(error, InterpolationValidationError) or not isinstance(error, InterpolationResolutionError):
            return f"{written(key.rpartition('.')[2])}: {key} gets a value that it does not take"
        return f"{written('${')}: {key} is not filled in, as its ${{...}} stands for nothing"
    if isinstance(error, GrammarParseError):
        return f"{written('${')}: a ${{...}} that is not complete"
    names = re.findall(r"'([^'\n]+)'", str(error).splitlines()[0] if str(error) else "")
    about = f" (see {', '.join(map(short_word, names))})" if names else ""
    return f"{written('defaults')}: files or values that do not fit together{about}"


def written(text: str) -> str:
    """File and line of the first place in the user's files that has `text`; the files alone where none has."""
    for path, content in OwnFiles.loaded.items():
        for number, line in enumerate(content.splitlines(), 1):
            if text in line.partition(" #")[0] and not line.startswith("#"):
                return f"{path}, line {number}"
    return ", ".join(map(str, OwnFiles.loaded)) or "the configuration files"
