"""Rules about how wide the layers of a net are."""

from collections.abc import Iterator
from math import prod

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import Graph, Operation
from lab.checks.lint.outputs import at
from lab.checks.lint.shapes import kernel_of, strides
from lab.checks.lint.task import Task

MANY_MAPS = 256
"""Maps of a first convolution on single pixels that are far more than its patterns need."""

ABRUPT = 128
"""Features from which a single output in the next step is abrupt."""


def wide_first(graph: Graph, task: Task) -> Iterator[Finding]:
    """The first layer too wide.

    Patterns near the input are simple and few: a first convolution with more maps than numbers under its kernel draws
    the same few patterns again and again, at full resolution, where a map costs most (Zeiler and Fergus 2014, section
    4.1; Szegedy et al. 2016, principle 4).
    """
    convs = plain_convs(graph)
    if not convs or convs[0].weight is None or len(convs[0].in_shape) != 4:
        return
    first, maps = convs[0], convs[0].weight.shape[0]
    seen = prod(first.weight.shape[1:]) if first.weight is not None else 0
    patches = strides(first) >= kernel_of(first) > 1
    if maps >= MANY_MAPS and maps > seen and not patches:
        what = f"{maps} maps in the first convolution, each of {seen} numbers"
        yield at(first, what, "start with 16 to 64 maps, and widen where pixels get fewer")


def narrowing(graph: Graph, task: Task) -> Iterator[Finding]:
    """Convolutions that narrow with depth.

    Patterns near the input are simple and few, and later ones many; while pixels get fewer, maps should get more
    (Szegedy et al. 2016, principle 4).
    """
    convs = [one for one in plain_convs(graph) if not graph.bypassed(one)]  # branches have their share of the maps each
    wide = [one.weight.shape[0] for one in convs if one.weight is not None]
    if len(wide) > 1 and wide[0] == max(wide) and wide[0] >= 4 * wide[-1]:
        what = f"the first convolution has {wide[0]} maps, the last {wide[-1]}: it narrows with depth"
        yield at(convs[0], what, "start narrow and widen where pixels get fewer")


def plain_convs(graph: Graph) -> list[Operation]:
    """Convolutions without groups, whose weights are known, but for one that makes the outputs."""
    found = [one for one in graph.of_kind("conv") if one.weight is not None and one.options.get("groups", 1) == 1]
    return [one for one in found if one is not graph.head()]


def bottleneck(graph: Graph, task: Task) -> Iterator[Finding]:
    """An abrupt bottleneck.

    A layer that all must pass, with far fewer units than the outputs or than its neighbours, loses what they need
    (Szegedy et al. 2016, principle 1).
    """
    dense = [one for one in graph.of_kind("linear") if one.weight is not None and one.weight.ndim == 2]
    head = graph.head()
    for one in dense:
        assert one.weight is not None
        places = prod(one.out_shape[1:-1])  # of a sequence or of maps, each of which passes as much
        out, fan_in = (places * size for size in one.weight.shape[:2])
        if one is head:
            if fan_in >= ABRUPT and out == 1 and len(dense) > 1 and dense[0] is not one:
                what = f"{fan_in} features to {out} in one step is abrupt"
                yield at(one, what, "put a layer of a size between before it")
        elif (
            (out < min(task.num_outputs, fan_in) and task.kind != "numbers") or (out <= 4 and fan_in >= 4 * out)
        ) and not graph.bypassed(one):
            yield at(one, f"{out} units are all that passes from {fan_in} features to the rest", "make it wider")


WIDTH_RULES = (
    Rule("width-first", "note", wide_first),
    Rule("width-narrows", "note", narrowing),
    Rule("width-bottleneck", "note", bottleneck),
)
