"""Rules about the examples of a batch: each has its own outputs, which hang on no other example."""

from collections.abc import Iterator

from torch import nn

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import INPUT, Graph, Operation
from lab.checks.lint.outputs import at
from lab.checks.lint.task import Task


def softmax_over_examples(graph: Graph, task: Task) -> Iterator[Finding]:
    """A softmax over another axis than that of the classes.

    Over the first axis the examples of a batch compete with each other, so that an example's probabilities hang on its
    neighbours and do not add up to 1 (documentation of `torch.nn.Softmax`: `dim`).
    """
    closing = {one.index for one in graph.closing()}
    for one in graph.of_kind("softmax"):
        shape, dim = one.out_shape, axis(one)
        if one.index not in closing or not shape or not -len(shape) <= dim < len(shape) or len(shape) < 2:
            continue
        right = 1 if task.exclusive and shape[1] == task.num_outputs else None
        if dim % len(shape) == 0:
            what = f"{one.name} runs over the {shape[0]} examples of the batch"
            yield at(one, what, f"take dim={1 if len(shape) == 2 else right or -1}")
        elif right is not None and dim % len(shape) != right and shape[dim] != task.num_outputs:
            what = (
                f"{one.name} runs over axis {dim % len(shape)} of {shape[1:]}, not over the {task.num_outputs} classes"
            )
            yield at(one, what, "take dim=1")


def axis(softmax: Operation) -> int:
    """The axis that a softmax runs over; torch's guess where none is given."""
    dim = softmax.options.get("dim")
    guess = 0 if len(softmax.out_shape) in (0, 1, 3) else 1
    return guess if dim is None else int(dim)


def other_batch(graph: Graph, task: Task) -> Iterator[Finding]:
    """Outputs for another number of examples than came in.

    A `view` or `reshape` with other numbers than the layer before it makes, or an axis taken for the batch that is not,
    spreads one example over several rows. The loss then fails, or compares rows with labels of other examples.
    """
    if graph.failure or not graph.out_shape or not graph.operations:
        return
    count = next((one.in_shape[0] for one in graph if INPUT in one.inputs and one.in_shape), 0)
    rows = graph.out_shape[0]
    if not count or rows == count:
        return
    moved = next((one for one in graph if one.in_shape[:1] == (count,) != one.out_shape[:1]), graph.operations[-1])
    merged = moved.name in ("view", "reshape", "flatten") and rows % count == 0
    if merged and graph.of_kind("recurrent", "attention", "embedding"):
        return  # a row for each word of each example
    over_time = [one for one in graph.of_kind("recurrent", "attention") if time_first(one.module)]
    culprit = over_time[0] if over_time else moved
    fix = "make it with batch_first=True" if over_time else "flatten from axis 1 on: x.flatten(1)"
    yield at(culprit, f"of {count} examples come {rows} rows of outputs", fix)


def mixed_examples(graph: Graph, task: Task) -> Iterator[Finding]:
    """Outputs of an example that hang on other examples.

    The gradient of one example's outputs reaches the inputs of another: a recurrent layer or an attention that
    takes the first axis for time (`batch_first=False`), a `view` that cuts across examples, a sum over the batch
    (Karpathy 2019, "A recipe for training neural networks": "use backprop to chart dependencies"). Batch norm mixes
    examples, too, and is meant.
    """
    if not graph.mixes or any(one.kind == "norm" and one.name == "batch" for one in graph):
        return
    count = graph.out_shape[0]
    if any(one.name in ("mean", "var", "std", "var_mean") and one.out_shape[:1] != (count,) for one in graph):
        return  # statistics of the batch, written by hand
    if any(axis(one) % max(1, len(one.out_shape)) == 0 for one in graph.of_kind("softmax") if one in graph.closing()):
        return  # which has its own rule
    over_time = [one for one in graph.of_kind("recurrent", "attention") if time_first(one.module)]
    moved = [one for one in graph if one.kind == "shape" and one.in_shape[:1] != one.out_shape[:1]]
    culprit = next(iter([*over_time, *moved]), None)
    what = "the outputs of an example hang on other examples"
    if culprit is None:
        yield Finding(what, "keep the first axis as it is")
    elif culprit in over_time:
        yield at(culprit, f"{what}: its first axis is time", "make it with batch_first=True")
    else:
        yield at(culprit, f"{what}: {culprit.name} moves the first axis", "keep the first axis as it is")


def time_first(module: nn.Module | None) -> bool:
    """Whether a recurrent layer or an attention takes its first axis for time."""
    return getattr(module, "batch_first", True) is False


BATCH_RULES = (
    Rule("softmax-axis", "error", softmax_over_examples),
    Rule("out-rows", "error", other_batch),
    Rule("batch-mixed", "error", mixed_examples),
)
