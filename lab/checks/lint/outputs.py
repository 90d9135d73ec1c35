"""Rules about the end of a net: its outputs, the loss that reads them, and what they are meant to be."""

from collections.abc import Iterator

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import Graph, Operation
from lab.checks.lint.task import Task

PROBABILITIES = ("softmax", "sigmoid", "hardsigmoid")
RECTIFIED = ("relu", "relu6", "softplus", "threshold", "exp", "square", "abs")
BOUNDS = {"sigmoid": (0.0, 1.0), "hardsigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}
BOUNDS |= {"softsign": (-1.0, 1.0), "hardtanh": (-1.0, 1.0), "relu6": (0.0, 6.0)}
REAL = (*BOUNDS, *RECTIFIED)


def closing(graph: Graph) -> Operation | None:
    """The activation or softmax that makes the outputs; None where a layer with weights does."""
    found = graph.closing()
    return found[0] if found else None


def width(graph: Graph) -> int | None:
    """Outputs for each example (for each place of a sequence or map); None where it is not known."""
    shape, head = graph.out_shape, graph.head()
    if len(shape) > 2 and head is not None and head.kind == "conv":
        return shape[1]
    return shape[-1] if len(shape) > 1 else 1 if shape else None


def says(task: Task) -> str:
    """The output that a task wants, in words."""
    if task.kind == "numbers":
        return "no activation"
    if task.takes == "logits" or task.takes == "scores":
        return f"no activation: the loss takes {task.takes}"
    return "softmax" if task.exclusive else "sigmoid"


def one_softmax(graph: Graph, task: Task) -> Iterator[Finding]:
    """A softmax over a single unit.

    exp(x) / exp(x) is 1 whatever the input, so the output never changes and no gradient reaches the net
    (Bridle 1990 defines softmax for two classes and more).
    """
    for one in graph.of_kind("softmax"):
        if over(one) == 1:
            fix = "take no activation" if task.kind == "numbers" else "take a sigmoid, or two outputs"
            yield at(one, f"{one.name} over a single unit is the same number for every input", fix)


def over(softmax: Operation) -> int | None:
    """The number of units that a softmax runs over; None where its dimension is not said."""
    dim = softmax.options.get("dim")
    shape = softmax.out_shape
    if dim is None:  # torch's guess, which it warns of
        dim = 0 if len(shape) in (0, 1, 3) else 1
    return shape[dim] if shape and -len(shape) <= dim < len(shape) else None


def at(one: Operation, what: str, fix: str, severity: str = "") -> Finding:
    """A finding at an operation."""
    return Finding(what, fix, one.layer or one.place, one.in_shape[1:], severity=severity)


def wrong_output(graph: Graph, task: Task) -> Iterator[Finding]:
    """An output activation that does not fit the task and its loss.

    Classes that exclude each other need outputs that compete (softmax); a yes or no needs a sigmoid; what loses its
    sign (ReLU) or is centred (tanh) is no probability (Bishop 2006, section 4.3; Goodfellow et al. 2016, section
    6.2.2).
    """
    one = closing(graph)
    head = graph.head()
    if one is None and head is not None and task.loss == "bce" and task.takes == "logits" and independent(graph, task):
        yield at(head, f"the loss puts a separate sigmoid on each of {task.num_outputs} classes", "take cross_entropy")
    if one is None or task.kind == "numbers" or over_one(one):
        return
    if one.name in ("softmax", "log_softmax"):
        if task.kind == "labels":
            yield at(one, "softmax makes labels compete that may all be true at once", "take a sigmoid for each label")
        return
    if one.name in ("sigmoid", "hardsigmoid"):
        if independent(graph, task) and (task.takes not in ("logits", "scores") or task.loss == "cross_entropy"):
            what = f"each of the {task.num_outputs} classes has its own sigmoid, though an example has only one class"
            yield at(one, what, f"take {says(task)}, and cross-entropy as the loss")
        return
    if task.takes in ("values", "") and one.name not in RECTIFIED:
        return
    if one.name in (*RECTIFIED, "tanh", "hardtanh", "softsign", "elu", "selu", "leaky_relu", "gelu", "silu"):
        takes = task.takes or "scores of either sign"
        lost = "loses all scores below 0" if one.name in RECTIFIED else "bends the scores"
        # Averaged over many places (SqueezeNet), it is rarely off at all of them, and nets train.
        averaged = any(other.kind == "pool" and other.name == "avg" for other in graph.tail())
        severity = "note" if averaged and len(one.in_shape) > 2 else ""
        what = f"{one.name} makes the outputs and {lost}, where the loss takes {takes}"
        yield at(one, what, f"take {says(task)}", severity)


def independent(graph: Graph, task: Task) -> bool:
    """Whether sigmoids would treat classes that exclude each other as independent: one for two classes says both."""
    return task.exclusive and not (task.num_outputs == 2 and width(graph) == 1)


def over_one(one: Operation) -> bool:
    """Whether `one` is a softmax over a single unit, which has its own rule."""
    return one.kind == "softmax" and over(one) == 1


def bounded_numbers(graph: Graph, task: Task) -> Iterator[Finding]:
    """Outputs that cannot reach the numbers to predict.

    A regression needs outputs over the whole range of its targets; a rectified output besides gets no gradient while
    it is off (Bishop 2006, section 5.2).
    """
    one = closing(graph)
    if one is None or task.kind != "numbers" or over_one(one) or one.name not in REAL:
        return
    low, high = BOUNDS.get(one.name, (0.0, float("inf")))
    if one.name == "softmax":
        yield at(one, "softmax makes outputs that add up to 1, where numbers are to be predicted", "take no activation")
    elif task.targets and (task.targets[0] < low or task.targets[1] > high):
        span = f"{task.targets[0]:g}..{task.targets[1]:g}"
        yield at(one, f"{one.name} stays within {low:g}..{high:g}, the targets within {span}", "take no activation")
    elif not task.targets:
        what = f"{one.name} keeps the outputs within {low:g}..{high:g}, and nothing says that the targets are"
        yield at(one, what, "take no activation, or scale the targets", "warning" if low == 0 else "note")
    elif one.name == "relu":
        what = "a ReLU makes the outputs: a unit that is off for all examples gets no gradient and stays off"
        yield at(one, what, "take no activation, or softplus")


def missing_output(graph: Graph, task: Task) -> Iterator[Finding]:
    """No output activation where the loss takes probabilities.

    Cross-entropy of numbers that are no probabilities is no loss: log of negative numbers, or a minimum at infinity.
    """
    head = graph.head()
    if closing(graph) is not None or head is None or graph.failure:
        return
    if task.takes in ("probabilities", "log-probabilities"):
        right = "log_softmax" if task.takes == "log-probabilities" else says(task)
        what = f"the outputs are raw scores, where {task.loss} takes {task.takes}"
        yield at(head, what, f"add {right}, or take the loss that has it inside")
    elif task.takes == "values" and task.kind in ("classes", "binary", "labels"):
        what = f"the outputs are raw scores, and {task.loss} compares them with 0 and 1"
        yield at(head, what, "take cross-entropy, which has softmax inside, as the loss")


def twice(graph: Graph, task: Task) -> Iterator[Finding]:
    """Softmax or sigmoid in the net and again in the loss, or twice in a row.

    Softmax of numbers in [0, 1] is nearly uniform: with ten classes no probability exceeds 0.23, so the loss cannot
    fall below 1.46 (log(9 + e) - 1), and gradients are small.
    """
    found = graph.closing()
    if task.takes in ("logits", "scores") and found and found[0].name in (*PROBABILITIES, "logsigmoid", "softmin"):
        separate = found[0].name in ("sigmoid", "hardsigmoid") and task.loss == "cross_entropy"
        if not over_one(found[0]) and not (separate and independent(graph, task)):  # which has its own rule
            what = f"{found[0].name} makes the outputs, and the loss takes {task.takes}"
            yield at(found[0], what, f"leave the {found[0].name} out")
    elif task.takes == "log-probabilities" and found and found[0].name in PROBABILITIES:
        yield at(found[0], f"the loss takes log-probabilities, the net makes {found[0].name}", "take log_softmax")
    elif task.takes == "probabilities" and found and found[0].name == "log_softmax":
        yield at(found[0], "the loss takes probabilities, the net makes their logarithms", "take softmax")
    for one in graph.of_kind("softmax"):
        before = graph.before(one)
        if before is not None and before.kind == "softmax":
            yield at(one, f"{one.name} of a {before.name}", "leave one of the two out")


def wrong_count(graph: Graph, task: Task) -> Iterator[Finding]:
    """Another number of outputs than the task has classes or numbers.

    Labels beyond the outputs fail in the loss, a single number against several is broadcast, and further outputs learn
    only to be unlikely.
    """
    found, wanted = width(graph), task.num_outputs
    if found is None or found == wanted or graph.failure:
        return
    if task.kind in ("binary",) and found == 2 and task.loss == "cross_entropy":
        return
    if task.kind == "classes" and wanted == 2 and found == 1 and task.loss not in ("cross_entropy", "hinge"):
        one = closing(graph)
        if (one is not None and one.name in ("sigmoid", "hardsigmoid")) or task.takes == "logits":
            return  # one probability says both
    layer = graph.head()
    what = f"the net has {found} output{'s' * (found != 1)}, the task {wanted}"
    shape = layer.in_shape[1:] if layer else ()
    fix = f"give the last layer {wanted} output{'s' * (wanted != 1)}"
    yield Finding(what, fix, layer.layer if layer else "", shape)


def wrong_loss(graph: Graph, task: Task) -> Iterator[Finding]:
    """A loss that does not fit the task.

    A squared or absolute error of probabilities has hardly any gradient where the net is wrong and sure (Golik et al.
    2013); a two-way cross-entropy sees classes that exclude each other as independent; cross-entropy of real numbers
    has no meaning; accuracy is piecewise constant, so that its gradient is 0.
    """
    if not task.loss:
        return
    if task.loss == "accuracy":
        yield Finding(
            "accuracy is no loss: its gradient is 0 wherever it exists", "take cross_entropy", severity="error"
        )
    elif task.kind == "numbers":
        unit = task.targets is not None and task.targets[0] >= 0 and task.targets[1] <= 1
        if task.loss in ("cross_entropy", "hinge", "bce"):
            what = f"{task.loss} is a loss of classes, and numbers are to be predicted"
            yield Finding(what, "take mse or mae", severity="warning" if unit and task.loss == "bce" else "error")
    elif task.loss in ("mse", "mae"):
        right = "cross_entropy" if task.exclusive else "bce"
        what = (
            f"{task.loss} measures distances, and the task is to tell {'classes' if task.exclusive else 'yes from no'}"
        )
        yield Finding(what, f"take {right}", repair=("train.loss=cross_entropy",))
    elif task.loss == "bce" and independent(graph, task):
        what = (
            f"a two-way cross-entropy treats the {task.num_outputs} classes as independent, and an example has only one"
        )
        yield Finding(what, "take softmax with cross_entropy")
    elif task.loss == "hinge" and any(one.name in PROBABILITIES for one in graph.closing()):
        yield Finding("a margin loss takes scores of any size, the net makes probabilities", "take cross_entropy")
    elif task.loss == "cross_entropy" and task.kind in ("binary", "labels") and (width(graph) or 1) == task.num_outputs:
        what = "cross-entropy of classes runs over outputs that exclude each other"
        yield Finding(what, "take bce", severity="error" if task.num_outputs == 1 else "warning")


def wrong_metric(graph: Graph, task: Task) -> Iterator[Finding]:
    """Accuracy of numbers.

    Two real numbers are almost never equal, so it says nothing about how near the prediction is.
    """
    if task.kind == "numbers" and task.metric == "accuracy":
        yield Finding("accuracy counts numbers that are exactly right", "take the mean absolute or squared error")


def drop_behind_output(graph: Graph, task: Task) -> Iterator[Finding]:
    """Dropout behind the output.

    It sets scores or probabilities to 0 at random: the cross-entropy of a class whose probability became 0 is
    infinite.
    """
    for one in graph.tail():
        if one.kind == "dropout" and rate(one) > 0:
            yield at(one, "dropout acts on the outputs", "put it before the last layer with weights, or leave it out")


def rate(drop: Operation) -> float:
    """The rate of a dropout."""
    found = drop.options.get("p", 0.5)
    return float(found) if isinstance(found, int | float) else 0.0


OUTPUT_RULES = (
    Rule("out-one-softmax", "error", one_softmax),
    Rule("out-activation", "warning", wrong_output),
    Rule("out-bounded", "error", bounded_numbers),
    Rule("out-missing", "error", missing_output),
    Rule("out-twice", "warning", twice),
    Rule("out-count", "error", wrong_count),
    Rule("out-loss", "warning", wrong_loss),
    Rule("out-metric", "warning", wrong_metric),
    Rule("out-dropout", "error", drop_behind_output),
)
