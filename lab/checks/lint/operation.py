"""What a net does to its input, as a graph of operations: what the rules of `lab lint` read."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import Tensor, nn

EXAMPLES = 4
"""Examples that go through a net."""

LARGE = 20_000
"""Values of an example from which two are enough, as maps have many places each."""

INPUT = -1
"""Stands for the net's input among the inputs of an operation."""

SATURATING = ("sigmoid", "tanh", "hardsigmoid", "hardtanh", "softsign")
"""Activations that are flat on both sides."""

PASSIVE = ("shape", "dropout")
"""Kinds of operations that change neither sign nor range of what they pass on (dropout scales)."""

WEIGHTED = ("linear", "conv", "recurrent", "attention", "embedding")
"""Kinds of operations that hold weights and map their inputs linearly, or contain such maps."""


def enough(shape: Sequence[int]) -> int:
    """How many examples of this shape tell what the rules ask."""
    return 2 if prod(shape) > LARGE else EXAMPLES


@dataclass(frozen=True)
class Slot:
    """Stands for the result of an operation among the arguments of a call."""

    index: int


@dataclass(frozen=True)
class Call:
    """A call as it was made, to be made again with other data."""

    func: Callable[..., Any]
    args: Any
    """Positional arguments, with a `Slot` for each result of another operation."""
    kwargs: Any

    def __call__(self, values: Mapping[int, Tensor]) -> Any:
        """What it makes of `values` in place of the results of those indices."""
        return self.func(*filled(self.args, values), **filled(self.kwargs, values))


def filled(arguments: Any, values: Mapping[int, Tensor]) -> Any:
    """`arguments` with a value for each slot."""
    if isinstance(arguments, Slot):
        return values[arguments.index]
    if isinstance(arguments, dict):
        return {name: filled(one, values) for name, one in arguments.items()}
    if type(arguments) in (list, tuple):
        return type(arguments)(filled(one, values) for one in arguments)
    return arguments


@dataclass(eq=False)
class Operation:
    """One call: a convolution, an addition, `F.relu`."""

    index: int
    """Its place in the order of execution."""
    kind: str
    """`linear`, `conv`, `norm`, `act`, `softmax`, `pool`, `dropout`, `sum`, `cat`, `shape`, ..., `other`."""
    name: str
    """Which of its kind: `relu`, `max`, `batch`, `log_softmax`."""
    layer: str
    """Dotted name of the innermost module that made the call; empty for the net itself."""
    inputs: tuple[int, ...]
    """Indices of the operations whose results it takes, `INPUT` for the net's input."""
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    module: nn.Module | None = None
    """The module of `layer`."""
    weight: Tensor | None = None
    bias: Tensor | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Its arguments: `p`, `training`, `kernel`, `adaptive`, `stride`, `dilation`, `dim`, `groups`, `over`."""
    call: Call | None = None
    moment: float | None = None
    """Mean square of its result; None where it was not computed."""
    varies: float | None = None
    """Mean over units of the variance across examples."""
    dead: float | None = None
    """Share of units that are 0 for all examples."""

    @property
    def place(self) -> str:
        """What a message calls it: the layer's name, or the function with the module that calls it."""
        own = self.module is not None and all(name == "parametrizations" for name, _ in self.module.named_children())
        if own and self.layer:
            return self.layer
        return f"{self.layer}: {self.name}" if self.layer else self.name


@dataclass(eq=False)
class Graph:
    """The operations of one execution, in order."""

    operations: list[Operation]
    outputs: list[int]
    """Indices of the operations that made the net's outputs, the main one first."""
    out_shape: tuple[int, ...] = ()
    """Shape of the main output, (b, ...)."""
    failure: str = ""
    """Why the execution ended early; empty if it did not."""
    failed_layer: str = ""
    """Dotted name of the innermost module that failed."""
    failed_shape: tuple[int, ...] = ()
    """Shape that had reached it."""
    failed_module: nn.Module | None = None
    inputs: Tensor | None = None
    """What the net was given."""
    without_gradient: list[str] = field(default_factory=list)
    """Names of parameters that want a gradient and got none."""
    no_backward: str = ""
    """Why the backward pass failed; empty if it did not."""
    mixes: bool = False
    """Whether the outputs of an example hang on another one's inputs."""
    drops_always: list[str] = field(default_factory=list)
    """Layers whose dropout acts in evaluation mode, too."""
    not_held: list[str] = field(default_factory=list)
    """Names of tensors that want a gradient and are no parameters of the net."""
    frozen: list[str] = field(default_factory=list)
    """Names of parameters that want no gradient."""
    wanting: int = 0
    """How many parameters want one."""
    result: Tensor | None = None
    """The main output (b, ...)."""
    takers: dict[int, list[Operation]] = field(default_factory=lambda: defaultdict(list), init=False)
    """By the index of an operation, those that take its result."""

    def __post_init__(self) -> None:
        for one in self.operations:
            for index in one.inputs:
                self.takers[index].append(one)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def of_kind(self, *kinds: str) -> list[Operation]:
        """Operations of these kinds, in order."""
        return [one for one in self.operations if one.kind in kinds]

    def source(self, operation: Operation) -> Operation | None:
        """The operation that made the first input; None for the net's input."""
        first = operation.inputs[0] if operation.inputs else INPUT
        return None if first == INPUT else self.operations[first]

    def users(self, operation: Operation) -> list[Operation]:
        """The operations that take the result."""
        return self.takers[operation.index]

    def behind(self, operation: Operation, through: Sequence[str] = PASSIVE) -> list[Operation]:
        """The first operations of other kinds than `through` that the result reaches."""
        found: dict[int, Operation] = {}
        for user in self.users(operation):
            for one in self.behind(user, through) if user.kind in through else [user]:
                found[one.index] = one
        return list(found.values())

    def before(self, operation: Operation, through: Sequence[str] = PASSIVE) -> Operation | None:
        """The last operation of another kind than `through` on the way of the first input; None for the net's input."""
        one = self.source(operation)
        while one is not None and one.kind in through:
            one = self.source(one)
        return one

    def tail(self) -> list[Operation]:
        """The operations between the last one with weights, or where branches meet, and the main output, last first."""
        found: list[Operation] = []
        one = self.operations[self.outputs[0]] if self.outputs and self.outputs[0] != INPUT else None
        while one is not None and one.kind in ("act", "softmax", "pool", "norm", *PASSIVE):
            found.append(one)
            one = self.source(one)
        return found

    def head(self) -> Operation | None:
        """The last operation with weights on the way to the main output."""
        one = self.operations[self.outputs[0]] if self.outputs and self.outputs[0] != INPUT else None
        while one is not None and one.kind not in WEIGHTED:
            one = self.source(one)
        return one

    def closing(self) -> list[Operation]:
        """Activations and softmaxes of the tail, last first."""
        return [one for one in self.tail() if one.kind in ("act", "softmax")]

    def reaches(self, operation: Operation, test: Callable[[Operation], bool]) -> bool:
        """Whether an operation of which `test` is true lies on some way from `operation` to the outputs."""
        seen, todo = set(), [operation.index]
        while todo:
            for user in self.users(self.operations[todo.pop()]):
                if user.index not in seen:
                    if test(user):
                        return True
                    seen.add(user.index)
                    todo.append(user.index)
        return False

    def bypassed(self, operation: Operation) -> bool:
        """Whether some way from the net's input to its main output avoids `operation`."""
        reached = {INPUT}
        for one in self.operations:
            if one is not operation and reached.intersection(one.inputs):
                reached.add(one.index)
        return bool(self.outputs) and self.outputs[0] in reached
