"""Rules about how much of an image a unit sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import INPUT, Graph, Operation
from lab.checks.lint.outputs import at
from lab.checks.lint.shapes import kernel_of
from lab.checks.lint.task import Task

NARROW = 0.5
"""Share of an image's side that a unit should see before all places are averaged."""

WIDE = 2.0
"""Times an image's side that a unit has seen already, where a further convolution adds little."""


@dataclass(frozen=True)
class Field:
    """Pixels on a side that a unit sees: on the shortest way through the net, and on all ways together."""

    least: float = 1
    most: float = 1
    jump: float = 1
    """Pixels between neighbouring units."""


def field_too_small(graph: Graph, task: Task) -> Iterator[Finding]:
    """A receptive field too small for the image.

    Where all places are averaged in the end, a unit of the last maps decides by what it sees: nothing larger can be
    told apart (Luo et al. 2016; Araujo et al. 2019, "Computing receptive fields").
    """
    pools = [one for one in graph.of_kind("pool") if len(one.in_shape) == 4 and over_all(one)]
    if not pools:
        return
    last, side = pools[-1], side_of(graph)
    field = fields(graph).get(last.inputs[0], Field()) if last.inputs else Field()
    if field.most < NARROW * side:
        what = f"a unit sees {field.most:.0f}x{field.most:.0f} of {side}x{side} pixels when all places are averaged"
        yield at(last, what, "add layers, a pool or a stride before it, or flatten instead")


def field_too_large(graph: Graph, task: Task) -> Iterator[Finding]:
    """Convolutions behind a receptive field far larger than the image.

    Where each unit has seen the whole image already, a further convolution finds no larger pattern and adds little
    (Richter et al. 2021, "Should you go deeper?"). Shortcuts are counted as the way that sees least.
    """
    found, side = fields(graph), side_of(graph)
    convs = [one for one in graph.of_kind("conv") if len(one.in_shape) == 4 and kernel_of(one) > 1 and one.inputs]
    late = [one for one in convs if WIDE * side < found.get(one.inputs[0], Field()).least < inf]
    if late:
        seen = found[late[-1].inputs[0]].least
        what = f"{len(late)} of {len(convs)} convolutions come after units have seen twice the image (in the end"
        yield at(late[0], f"{what} {seen:.0f} pixels of {side})", "take fewer layers, or fewer pools and strides")


def fields(graph: Graph) -> dict[int, Field]:
    """The receptive field behind each operation, by its index."""
    found = {INPUT: Field()}
    for one in graph:
        before = [found[index] for index in one.inputs]
        least = min((field.least for field in before), default=1)
        most, jump = (max((getattr(field, name) for field in before), default=1) for name in ("most", "jump"))
        if sees_all(one):
            least = most = inf
        elif one.kind in ("conv", "pool") and len(one.in_shape) > 2:
            kernel, stride = window(one)
            least, most, jump = least + (kernel - 1) * jump, most + (kernel - 1) * jump, jump * stride
        found[one.index] = Field(least, most, jump)
    return found


def window(one: Operation) -> tuple[float, float]:
    """Places that a convolution or pool takes together, on a side, and its stride."""
    before, after = (max(shape[2:], default=1) for shape in (one.in_shape, one.out_shape))
    if one.options.get("adaptive"):
        return before / max(after, 1), before / max(after, 1)
    kernel = kernel_of(one) or 1
    stride = largest(one.options.get("stride")) or (kernel if one.kind == "pool" else 1)
    return (kernel - 1) * (largest(one.options.get("dilation")) or 1) + 1, stride


def largest(option: object) -> int:
    """The largest of an option's numbers; 0 where there is none."""
    if isinstance(option, tuple | list):
        return max((one for one in option if isinstance(one, int)), default=0)
    return option if isinstance(option, int) else 0


def sees_all(one: Operation) -> bool:
    """Whether its result depends on all places: a global pool, a flatten, an attention, a recurrent layer."""
    if one.kind in ("attention", "recurrent", "matrix"):
        return True
    return len(one.in_shape) > 2 and (len(one.out_shape) <= 2 or (one.kind == "pool" and over_all(one)))


def over_all(pool: Operation) -> bool:
    """Whether a pool takes all places together, of several."""
    places = [size for size in pool.in_shape[2:] if size > 1]
    return bool(places) and (len(pool.out_shape) <= 2 or all(size == 1 for size in pool.out_shape[2:]))


def side_of(graph: Graph) -> int:
    """Pixels on a side of the images that reach the net."""
    first = next((one for one in graph if INPUT in one.inputs and len(one.in_shape) > 2), None)
    return max(first.in_shape[2:]) if first is not None else 0


FIELD_RULES = (
    Rule("field-small", "note", field_too_small),
    Rule("field-large", "note", field_too_large),
)
