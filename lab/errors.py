"""What the user got wrong, as one message: what was given, what is allowed, and the nearest name."""

import difflib
import errno
import importlib
import inspect
import os
import signal
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any


class UserError(ValueError):
    """The user's input is wrong. The message says what was given, what is allowed and the nearest name; exit code 2."""

    exit_code = 2
    """Of the command; 130 where it stops as if it was interrupted."""


class DamagedFileError(UserError):
    """A file that was whole once is cut short or altered. A sweep goes on without the runs that need it."""


class FailedRunError(UserError):
    """Runs failed, and what they were for is not there. What was computed stays; the same call goes on."""

    exit_code = 1


class InTheWayError(UserError, OSError):
    """A link, or a folder, stands where the lab writes a file, or makes a folder."""


class LayerError(UserError):
    """A layer cannot take the shape that reaches it."""

    net: Any = None
    """The layers up to that one, where they stand in a row."""
    in_shape: tuple[int, ...] = ()
    """Shape of one example at the first of them."""

    def __init__(self, message: str, layer: str = "", shape: tuple[int, ...] = ()):
        super().__init__(message)
        self.layer, self.shape = layer, shape


OF_PATHS = frozenset(
    {errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EPERM, errno.EROFS}
)
"""What the system answers where a path that the user chose is at fault, and neither disk nor machine."""


def check_no_folder(path: str | os.PathLike[str]) -> None:
    """Raises `InTheWayError` where `path` is a folder: what is in it may be anybody's."""
    if os.path.isdir(path) and not os.path.islink(path):
        raise InTheWayError(f"{path} is a folder, where the lab writes a file; move it away")


def nearest(given: str, names: Iterable[str]) -> str:
    """` (did you mean 'conv'?)` for the closest of `names`, or nothing where none is close."""
    there = list(names)
    alike = [name for name in there if name[:2] == given[:2]]  # `hee` is far from `he_normal`, yet meant
    close = difflib.get_close_matches(given, there, cutoff=0.5) or difflib.get_close_matches(given, alike, cutoff=0.3)
    return f" (did you mean '{close[0]}'?)" if close else ""


class OwnPartError(UserError):
    """A user's own part does not load, or fails. A sweep goes on without the runs that need it."""


OWN_PARTS = {
    **dict.fromkeys(("model.act", "model.norm", "model.pool", "model.head", "model.output"), "(shape) -> nn.Module"),
    "model.drop": "(shape, rate) -> nn.Module",
    "model.skip": "(block, shape_before, shape_after) -> nn.Module",
    "model.name": "(in_shape, num_outputs) -> nn.Module",
    "model.init": "(weight, gain, generator), which fills the weight in place",
    "optimizer.name": "(groups, lr, momentum) -> torch.optim.Optimizer",
    "schedule.name": "(progress) -> multiplier of the rate",
    "train.loss": "(outputs, labels, reduction) -> loss, one number",
    "train.clip": "(parameters, clip_norm, clip_value) -> whether it changed any",
    "train.penalty": "(weight) -> penalty, one number",
    "data.augment": "(images, generator, config) -> images",
    "data.scale": "(images, train) -> (shift, factor)",
    "data.name": "(root) -> lab.data.sources.Source",
}
"""By key, how the lab calls a user's own part."""


def choose(kind: str, name: str, table: Mapping[str, Any], makes: type | tuple[type, ...] = object) -> Any:
    """The entry `name` of `table`; `package.module:attribute` imports a user's own part instead.

    Args:
        kind: what is looked up, as the user types it (`model.act`), for the message.
        name: the user's choice.
        table: the names there are.
        makes: what a user's own part has to return.

    Raises:
        UserError: `name` is in neither the table nor an importable module; lists the names there are.
    """
    if name in table:
        return table[name]
    if ":" not in name:
        raise UserError(unknown(f"{kind}={name}", name, table))
    return OwnPart(kind, name, makes)


class OwnPart:
    """A user's own part, whose failing call, or result of another kind, is one message with the line of its file."""

    def __init__(self, kind: str, name: str, makes: type | tuple[type, ...]):
        self.given, self.makes = f"{kind}={name}", makes
        allowed = OWN_PARTS.get(kind)
        self.allowed = f"; {kind} is called as {allowed}" if allowed else ""
        module, _, attribute = name.partition(":")
        if os.getcwd() not in sys.path:  # last, and only now: a `yaml.py` there replaces no library of a run without
            sys.path.append(os.getcwd())
        try:
            self.part = getattr(importlib.import_module(module), attribute)
        except MemoryError:
            raise
        except BaseException as error:  # whatever its first lines do, `sys.exit` among them
            if is_interruption(error):
                raise
            if isinstance(error, AttributeError) and (there := sys.modules.get(module)):
                close = nearest(attribute, [one for one in vars(there) if one[0] != "_"])
                raise OwnPartError(f"{self.given}: module '{module}' has no '{attribute}'{close}") from error
            raise OwnPartError(f"{self.given}: cannot import '{module}' ({described(error)})") from error
        if not callable(self.part):
            raise OwnPartError(f"{self.given} is {short(self.part)}, not a function{self.allowed}")

    def __call__(self, *args: Any, **more: Any) -> Any:
        try:
            made = self.part(*args, **more)
        except (UserError, MemoryError):
            raise
        except BaseException as error:
            if is_interruption(error):
                raise
            what = described(error, self.part)
            raise OwnPartError(f"{self.called(args, more)} failed: {what}{self.allowed}") from error
        if not isinstance(made, self.makes):
            line = own_line(TypeError(), self.part)
            what = f"returned {short(made)}{f' ({line})' * bool(line)}"
            raise OwnPartError(f"{self.called(args, more)} {what}{self.allowed}")
        return made

    def called(self, args: Iterable[Any], more: Mapping[str, Any]) -> str:
        """`model.act=mine:cubic, called with ((4, 8, 8))`."""
        words = [*map(short, args), *(f"{key}={short(value)}" for key, value in more.items())]
        return f"{self.given}, called with ({', '.join(words)}),"


def short(value: Any) -> str:
    """A value in a message: a tensor by its shape, an object by its type, anything else by at most 60 characters."""
    if hasattr(value, "shape"):
        return f"{type(value).__name__}{tuple(value.shape)}"
    if isinstance(value, list) and value and not isinstance(value[0], int | float | str):
        return f"[{short(value[0])}{', ...' * (len(value) > 1)}]"
    if isinstance(value, dict):
        text = f"{{{', '.join(f'{key!r}: {short(one)}' for key, one in value.items())}}}"
    else:
        text = " ".join(repr(value).split())
    text = type(value).__name__ if " at 0x" in text else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_interruption(error: BaseException) -> bool:
    """Whether `error` is Ctrl-C, and no KeyboardInterrupt that a user's own code raised: commands take the signal
    another way (`lab.system.signals`)."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def described(error: BaseException, part: Any = None) -> str:
    """An error of a user's own code, with its line; where it has none, with the line that defines `part`."""
    text = " ".join(f"{'' if isinstance(error, ImportError) else f'{type(error).__name__}: '}{error}".split())
    line = "" if isinstance(error, SyntaxError) else own_line(error, part)  # which names file and line itself
    return f"{text.removesuffix(':')}{f', in {line}' * bool(line)}"


def own_line(error: BaseException, part: Any = None) -> str:
    """The last line that `error` came through in a file outside of the lab and of what is installed; where there is
    none, the line that defines `part`, if that is in such a file; else nothing."""
    lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    with suppress(TypeError, OSError):  # it has no source
        lines = [(inspect.getfile(part), inspect.getsourcelines(part)[1]), *lines]
    others = ("<", os.path.dirname(__file__), *sysconfig.get_paths().values())
    own = [f"{file}, line {line}" for file, line in lines if not file.startswith(others)]
    return own[-1] if own else ""


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
