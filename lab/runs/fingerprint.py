"""The fingerprint of a run: a digest of all that was built for it, by which runs that are one and the same are found.

Everything that a run can reach from its parts is read, as a copier would: classes and the code of functions, what
closures hold, every attribute, every tensor to the bit. So equal fingerprints mean equal training, also where a setting
acts late; what is not understood, as compiled code, gives no fingerprint at all, and nothing is claimed of it. The
reverse does not hold: two ways to build one function have two fingerprints.
"""

import hashlib
import sys
import types
import weakref
from collections import deque
from collections.abc import Mapping
from enum import Enum
from fractions import Fraction
from functools import cache, partial
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor, nn

from lab.data.augment import Augmentation
from lab.data.digest import bits, scored_on
from lab.runs.build import Parts
from lab.training.schedules import Rate

MOST_RATES = 10_000
"""Steps up to which a schedule is known by its rates, at 5 us each; that of a longer run by how it is made."""

PLAIN = (
    *(bool, int, float, complex, str, bytes, range, slice, Fraction, PurePath, Enum, type(None), type(Ellipsis)),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)
"""What its `repr` says all of."""

WRITTEN_IN_PYTHON = 1 << 9
"""The flag of a class that was made at run time (`Py_TPFLAGS_HEAPTYPE`)."""


def fingerprint(parts: Parts) -> str | None:
    """Twelve hexadecimal digits that stand for all of a run before its first step; None where part of it is opaque."""
    try:
        walk = Walk()
        walk.see(parts)
        return walk.digest.hexdigest()[:12]
    except Exception:  # a user's own part may hold anything, and a run does not fail for want of a fingerprint
        return None


def record_of(parts: Parts, limit: int | None) -> dict[str, Any]:
    """What `result.json` says of a run before its first step, for comparisons with others.

    Args:
        parts: the run's.
        limit: most images that an evaluation reads.

    Returns:
        `fingerprint`; `scored_on`, the same of two runs that are scored on the same test images; `num_images`, how many
        there are in `train`, `val` and `test`.
    """
    data, read = parts.data, {"train": None, "val": limit, "test": limit}
    num_images = {name: len(getattr(data, name).index[:most]) for name, most in read.items()}
    return {"fingerprint": fingerprint(parts), "scored_on": scored_on(data, limit), "num_images": num_images}


class Walk:
    """One way through all objects that can be reached, each of which is read once."""

    def __init__(self):
        self.digest = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._held: list[Any] = []  # so that no address is used twice

    def see(self, value: Any) -> None:
        """Reads `value` and all below it.

        Raises:
            TypeError: an object that holds its state where Python does not see it.
        """
        if isinstance(value, PLAIN):
            self.note(type(value).__name__, repr(value))
        elif isinstance(value, tuple):
            self.see_each(class_text(type(value)), *value)
        elif id(value) in self._seen:
            self.note("again", self._seen[id(value)])
        else:
            self._seen[id(value)] = len(self._seen)
            self._held.append(value)
            self.open(value)

    def open(self, value: Any) -> None:
        """Reads an object that was not met before."""
        match value:
            case Tensor():
                kind = (class_text(type(value)), value.device.type, value.stride(), value.requires_grad)
                self.note(*kind, bits(value))
                self.see_each("attributes", vars(value))
            case Rate(steps=steps) if steps <= MOST_RATES:
                moments = (Fraction(step - step % value.every, steps) for step in range(steps))
                self.see_each("rates", value.plateau, tuple(value.peak * value.schedule(moment) for moment in moments))
            case Augmentation():
                self.see_each("augmentation", value.seed, *value.words, *value.knobs().items())
            case torch.Generator():
                self.note("generator", value.device, bits(value.get_state()))
            case type():
                self.note("class", class_text(value))
            case types.ModuleType():
                self.note("module", value.__name__)
            case types.FunctionType():
                cells = [cell.cell_contents for cell in value.__closure__ or ()]
                self.note("function", value.__module__, value.__qualname__, code_text(value.__code__))
                self.see_each("bound", value.__defaults__, value.__kwdefaults__, tuple(cells), vars(value))
            case types.MethodType():
                self.see_each("method", value.__func__, value.__self__)
            case types.BuiltinFunctionType():
                self.see_each("builtin", value.__module__, value.__qualname__, value.__self__)
            case partial():
                self.see_each("partial", value.func, value.args, value.keywords)
            case weakref.ReferenceType():
                self.see_each("weak", value())
            case Mapping():
                self.note(class_text(type(value)), len(value))
                for key, item in value.items():
                    # Hooks are numbered through the whole process.
                    self.see_each("item", *([key] if "_hooks" not in str(key) else []), without_numbers(key, item))
            case list() | deque():
                self.see_each(class_text(type(value)), len(value), *value)
            case set() | frozenset():
                if not all(isinstance(item, PLAIN) for item in value):
                    raise TypeError("a set has no order to read its items in")
                self.see_each(class_text(type(value)), *sorted(value, key=repr))
            case _:
                self.see_state(value)

    def see_state(self, value: Any) -> None:
        """Reads the attributes of any other object."""
        kinds = type(value).__mro__[:-1]
        slots = [name for kind in kinds for name in vars(kind).get("__slots__", ()) if name[:2] != "__"]
        if isinstance(value, nn.Module) and value._compiled_call_impl is not None:
            raise TypeError("compiled code is not read")
        if not kinds or any(not kind.__flags__ & WRITTEN_IN_PYTHON for kind in kinds):
            raise TypeError(f"{type(value)} may hold its state where Python does not see it")
        self.note("object", class_text(type(value)))
        self.see_each("slots", *((name, getattr(value, name, None)) for name in slots))
        self.see(getattr(value, "__dict__", None))

    def see_each(self, *values: Any) -> None:
        """Reads several values in a row."""
        self.note("row", len(values))
        for value in values:
            self.see(value)

    def note(self, *words: Any) -> None:
        """Adds words to the digest."""
        self.digest.update(repr(words).encode())


def without_numbers(key: Any, item: Any) -> Any:
    """`item`, of hooks their functions alone."""
    return list(item.values()) if isinstance(key, str) and "_hooks" in key and isinstance(item, Mapping) else item


@cache
def class_text(kind: type) -> str:
    """Name of a class, with the code of its methods where it is neither Python's nor torch's."""
    words = []
    for one in kind.__mro__:
        words.append(f"{one.__module__}.{one.__qualname__}")
        if one.__module__.partition(".")[0] not in (*sys.stdlib_module_names, "torch", "torchvision", "numpy"):
            methods = {name: part for name, part in vars(one).items() if isinstance(part, types.FunctionType)}
            words += [f"{name}{code_text(part.__code__)}" for name, part in methods.items()]
    return " ".join(words)


@cache
def code_text(code: types.CodeType) -> str:
    """What a function does: its instructions, names and constants, wherever it stands in its file."""
    constants = [code_text(part) if isinstance(part, types.CodeType) else stable(part) for part in code.co_consts]
    return hashlib.sha256(repr((code.co_code, code.co_names, code.co_varnames, constants)).encode()).hexdigest()


def stable(constant: Any) -> str:
    """`repr` of a constant, the same in every process."""
    return repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)
