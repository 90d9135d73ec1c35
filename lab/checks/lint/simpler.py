"""Recorded operations put more simply, so that the rules need to know one way to write a thing."""

from collections.abc import Sequence

from lab.checks.lint.operation import INPUT, Operation

LOGS = {"softmax": "log_softmax", "sigmoid": "logsigmoid"}
"""What the logarithm of each is."""

NOTHING = 1e-3
"""Relative change of the mean square below which an operation did nothing."""


def simplify(operations: Sequence[Operation]) -> None:
    """Takes the log of a softmax for a log-softmax, and what guards it from log(0) (`+ 1e-8`, `clamp`) for nothing."""
    for one in operations:
        source = behind_shapes(one, operations, ())
        if source is not None and one.name in ("add", "clamp") and source.moment and one.moment is not None:
            one.kind = "shape" if abs(one.moment / source.moment - 1) < NOTHING else one.kind
        if one.name == "clamp":
            one.name = "hardtanh"
        source = behind_shapes(one, operations, ("shape",))
        if source is not None and one.name == "log" and source.name in LOGS:
            one.kind, one.name, one.options = source.kind, LOGS[source.name], source.options
            source.kind = "shape"


def behind_shapes(one: Operation, operations: Sequence[Operation], through: Sequence[str]) -> Operation | None:
    """What made the only input of an operation, behind kinds of `through`; None of others."""
    while len(one.inputs) == 1 and one.inputs[0] != INPUT:
        one = operations[one.inputs[0]]
        if one.kind not in through:
            return one
    return None
