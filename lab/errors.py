"""What the user got wrong, as one message: what was given, what is allowed, and the nearest name."""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any


class UserError(ValueError):
    """The user's input is wrong. The message says what was given, what is allowed and the nearest name; exit code 2."""

    exit_code = 2
    """Of the command; 130 where it stops as if it was interrupted."""


class DamagedFileError(UserError):
    """A file that was whole once is cut short or altered. A sweep goes on without the runs that need it."""


def nearest(given: str, names: Iterable[str]) -> str:
    """` (did you mean 'conv'?)` for the closest of `names`, or nothing where none is close."""
    there = list(names)
    alike = [name for name in there if name[:2] == given[:2]]  # `hee` is far from `he_normal`, yet meant
    close = difflib.get_close_matches(given, there, cutoff=0.5) or difflib.get_close_matches(given, alike, cutoff=0.3)
    return f" (did you mean '{close[0]}'?)" if close else ""


def choose(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    """The entry `name` of `table`; `package.module:attribute` imports a user's own part instead.

    Args:
        kind: what is looked up, as the user types it (`model.act`), for the message.
        name: the user's choice.
        table: the names there are.

    Raises:
        UserError: `name` is in neither the table nor an importable module; lists the names there are.
    """
    if name in table:
        return table[name]
    if ":" not in name:
        raise UserError(unknown(f"{kind}={name}", name, table))
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, ValueError, TypeError) as error:  # the last two for an empty or a relative module
        raise UserError(f"{kind}={name}: cannot import '{module}' ({error})") from error
    except AttributeError as error:
        raise UserError(f"{kind}={name}: module '{module}' has no '{attribute}'") from error


def unknown(given: str, name: str, names: Iterable[str], also: str = "") -> str:
    """The message for a `name` that is none of `names`; `given` says for what, `also` what else is allowed."""
    there = list(names)
    return f"{given} is unknown{nearest(name, there)}; there are: {', '.join([*there, also] if also else there)}"


def refuse(complaints: Iterable[str]) -> None:
    """Raises one `UserError` with all `complaints`, each once; none if there are none."""
    found = list(dict.fromkeys(complaints))
    if found:
        raise UserError("\n  ".join([f"{len(found)} things are wrong:", *found]) if len(found) > 1 else found[0])


def check_range(key: str, value: float, ok: bool, allowed: str) -> None:
    """Raises `UserError` naming key, value and what is allowed unless `ok`."""
    if not ok:
        raise UserError(f"{key}={value} is out of range; allowed: {allowed}")
