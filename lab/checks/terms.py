"""A net as a term: what its output is of its input and its weights, recorded from an execution, with every argument.

Unlike the graph of `lab lint`, which keeps what its rules read, a term holds all that determines the output, so that
two nets can be proved to be one function. What it does not understand in full, it refuses.
"""

import copy
import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lab.checks.lint.trace import tensors

ASKS = (
    *("__get__", "size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "element_size"),
    *("is_contiguous", "is_floating_point", "is_complex", "get_device", "__len__", "__hash__", "__repr__", "data_ptr"),
)
"""Calls that ask about a tensor's form and not about its values."""

RANDOM = ("dropout", "bernoulli", "rand", "normal", "multinomial", "exponential", "uniform", "rrelu", "fractional")
"""What the names of random calls contain: two of them are never one."""

PLAIN = (bool, int, float, str, slice, torch.dtype, torch.device, type(None), type(...))
"""What its `repr` says all of."""

CONV = {"input": None, "weight": None, "bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
POOL = {"input": None, "kernel_size": None, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
POOL |= {"return_indices": False}
ADAPTIVE = {"input": None, "output_size": None, "return_indices": False}
SIGNATURES: dict[str, dict[str, Any]] = {
    "linear": {"input": None, "weight": None, "bias": None},
    "clamp": {"input": None, "min": None, "max": None},
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), CONV),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), POOL),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), ADAPTIVE),
}
"""Arguments with their defaults, of functions that Python knows no signature of."""


def alike(value: Any) -> Any:
    """A size that is the same in all directions as one number."""
    same = isinstance(value, tuple | list) and value and all(one == value[0] for one in value)
    return value[0] if same and isinstance(value[0], int) else value


@dataclass(eq=False)
class Leaf:
    """A weight, or a buffer that does not change."""

    tensor: Tensor | None
    shape: tuple[int, ...]
    compute: Callable[[], Tensor] | None = None
    """Its value where it is made of other weights, as the product of two maps in a row."""
    spread: Callable[[Tensor], None] | None = None
    """Sets those other weights so that this has a value."""

    def value(self) -> Tensor:
        """The tensor as it stands."""
        if self.tensor is not None:
            return self.tensor.detach()
        assert self.compute is not None
        return self.compute()

    def assign(self, value: Tensor) -> None:
        """Gives it a value."""
        if self.tensor is not None:
            self.tensor.copy_(value)
        else:
            assert self.spread is not None
            self.spread(value)


@dataclass(eq=False)
class Term:
    """A call with its arguments: terms, leaves, `INPUT`, constants as text, and tuples of these."""

    name: str
    args: tuple[Any, ...]
    shape: tuple[int, ...] = ()
    """Of its value."""


INPUT = Term("input", ())


class UnclearError(Exception):
    """The net does something of which its term would not tell the truth."""


@dataclass
class Bank:
    """Terms, each of which is there once: so the same calculation is the same term."""

    known: dict[tuple[Any, ...], Term] = field(default_factory=dict)

    def term(self, name: str, args: tuple[Any, ...], shape: tuple[int, ...]) -> Term:
        """The term of a call; of a random one a new one each time."""
        key = (name, args, shape)
        if any(word in name for word in RANDOM):
            key = (*key, len(self.known))
        return self.known.setdefault(key, Term(name, args, shape))


class TermRecorder(TorchFunctionMode):
    """Sees each call of torch while a net runs, and keeps the term of each tensor."""

    def __init__(self, net: nn.Module, inputs: Tensor, bank: Bank):
        super().__init__()
        self.bank = bank
        self.of: dict[int, Term | Leaf] = {id(inputs): INPUT}
        self.held: list[Tensor] = [inputs]  # so that no address is used twice
        for one in (*net.parameters(), *net.buffers()):
            self.of[id(one)] = Leaf(one, tuple(one.shape))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ASKS:
            return func(*args, **kwargs)
        given = [id(one) for one in tensors([args, kwargs])]
        call = self.seen(name, func, args, kwargs)
        result = func(*args, **kwargs)
        made = list(tensors(result))
        if given and (not made or not isinstance(result, Tensor | tuple | list)):
            raise UnclearError(f"{name} reads values")
        if not given:
            return result  # a constant, known by its values
        for place, one in enumerate(made):
            if id(one) in given and self.is_shared(one):
                raise UnclearError(f"{name} changes what has another name")
            whole = self.bank.term(*call, tuple(one.shape))
            self.of[id(one)] = whole if isinstance(result, Tensor) else self.bank.term("item", (whole, place), ())
            self.held.append(one)
        return result

    def is_shared(self, tensor: Tensor) -> bool:
        """Whether another tensor that is known lies in the same memory."""
        where = tensor.untyped_storage().data_ptr()
        return any(one is not tensor and one.untyped_storage().data_ptr() == where for one in self.held)

    def seen(self, name: str, func: Any, args: Any, kwargs: Any) -> tuple[str, tuple[Any, ...]]:
        """Name and arguments of a call in one form, however it was written."""
        short = name.strip("_")
        kwargs = {key: one for key, one in sorted(kwargs.items()) if key != "inplace"}
        if short in SIGNATURES:
            keys = list(SIGNATURES[short])
            found = SIGNATURES[short] | dict(zip(keys, args, strict=False)) | kwargs
            found = {key: alike(one) for key, one in found.items()}
            if found.get("stride", 1) in (None, (), []):  # of a pool
                found["stride"] = found["kernel_size"]
            return short, tuple(map(self.argument, found.values()))
        try:
            bound = inspect.signature(func).bind(*args, **kwargs)
            bound.apply_defaults()
            values = [one for key, one in bound.arguments.items() if key != "inplace"]
        except (ValueError, TypeError):  # a function without a signature
            values = [*args, *kwargs.items()]
        return short, tuple(map(self.argument, values))

    def argument(self, value: Any) -> Any:
        """An argument as a term holds it."""
        if isinstance(value, Tensor):
            if id(value) in self.of:
                return self.of[id(value)]
            if value.requires_grad:
                raise UnclearError("a tensor comes from a call that was not seen")
            content = value.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy()
            return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(content.data).hexdigest()}"
        if isinstance(value, tuple | list | dict):
            items = value.items() if isinstance(value, dict) else value
            return tuple(map(self.argument, items))
        if isinstance(value, PLAIN):
            return repr(value)
        raise UnclearError(f"an argument of {type(value).__name__}")


def term_of(net: nn.Module, inputs: Tensor, bank: Bank) -> Term | None:
    """The output of `net` in training mode as a term; None where it is not understood in full.

    Args:
        net: any module, a copy: its running statistics move on.
        inputs: (b, ...).
        bank: to which the terms belong.
    """
    start = inputs.detach().clone().requires_grad_(inputs.is_floating_point())
    start = start.clone()  # no leaf, which could not be changed in place
    recorder = TermRecorder(net, start, bank)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            net.train()
            with recorder:
                output = net(start)
        found = recorder.argument(output)
    except Exception:  # a net that fails, or is unclear, has no term
        return None
    if isinstance(found, tuple):
        return bank.term("outputs", found, ())
    return found if isinstance(found, Term) else None


def copied(net: nn.Module) -> nn.Module:
    """A copy of `net` on the CPU in float64."""
    return copy.deepcopy(net).cpu().double()


@dataclass
class Written:
    """A term as text in which weights have numbers, by which two nets of one form can be compared."""

    lines: list[str] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    numbers: dict[int, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits: equal for nets of one form."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:12]

    def add(self, term: Term) -> None:
        """Writes a term whose arguments are written, after the weights that it takes."""
        text = f"{term.name}{self.named(term.args)}"
        self.numbers[id(term)] = f"#{len(self.lines)}"
        self.lines.append(text)

    def named(self, value: Any) -> str:
        """The name of an argument."""
        if isinstance(value, tuple):
            return f"({', '.join(map(self.named, value))})"
        if isinstance(value, Leaf) and id(value) not in self.numbers:
            self.numbers[id(value)] = f"#{len(self.lines)}"
            self.lines.append(f"w{len(self.leaves)} {value.shape}")
            self.leaves.append(value)
        return self.numbers[id(value)] if isinstance(value, Term | Leaf) else str(value)


def inside(args: Any) -> Iterator[Term]:
    """The terms in nested arguments."""
    for one in args:
        if isinstance(one, Term):
            yield one
        elif isinstance(one, tuple):
            yield from inside(one)


def in_order(term: Term) -> list[Term]:
    """`term` and all below it, each once, behind what it takes; without recursion."""
    found: dict[int, Term] = {}
    todo = [(term, False)]
    while todo:
        one, ready = todo.pop()
        if ready:
            found.setdefault(id(one), one)
        elif id(one) not in found:
            todo.append((one, True))
            todo += [(inner, False) for inner in reversed(list(inside(one.args))) if id(inner) not in found]
    return list(found.values())


def written(term: Term) -> Written:
    """`term` as text."""
    found = Written()
    for one in in_order(term):
        found.add(one)
    return found
