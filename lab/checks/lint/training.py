"""Rules about how a net is trained: scale of inputs and targets, rate, length."""

from collections.abc import Iterator

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import SATURATING, WEIGHTED, Graph
from lab.checks.lint.outputs import closing
from lab.checks.lint.task import Task

LARGEST_INPUT = 20
LARGEST_TARGET = 50
FEW_UPDATES = 100

RATES = {  # optimizer: (a rate below stands still, one above diverges), of nets without a norm
    "adam": (1e-6, 0.03),
    "adamw": (1e-6, 0.03),
    "nadam": (1e-6, 0.03),
    "adamax": (1e-6, 0.1),
    "rmsprop": (1e-6, 0.03),
    "adagrad": (1e-4, 1.0),
    "adadelta": (0.02, 10.0),
    "lion": (1e-7, 0.003),
    "sign_sgd": (1e-7, 0.01),
    "muon": (1e-5, 0.3),
}


def unscaled_inputs(graph: Graph, task: Task) -> Iterator[Finding]:
    """Inputs that are not scaled.

    The curvature of the loss grows with the square of the inputs' size, so rates that suit inputs of size 1 diverge,
    and saturating units start flat. Inputs of one sign make the gradients of a unit's weights share their sign, so that
    steps zigzag (LeCun et al. 1998, "Efficient BackProp", section 4.3).
    """
    if task.inputs is None or normed_first(graph):
        return
    low, high = task.inputs
    if max(abs(low), abs(high)) > LARGEST_INPUT:
        yield Finding(
            f"the inputs run over {low:g}..{high:g}",
            "scale them to mean 0 and variance 1",
            repair=("data.scale=standard",),
        )
    elif low >= 0 and high > 0:
        yield Finding(f"all inputs are positive, {low:g}..{high:g}", "subtract their mean", severity="note")


def normed_first(graph: Graph) -> bool:
    """Whether the net scales its inputs itself: by a norm or a division before its first weights, or an embedding."""
    first = next((one for one in graph if one.kind != "shape"), None)
    if first is not None and first.kind in ("norm", "embedding"):
        return True
    weighted = next(iter(graph.of_kind(*WEIGHTED)), None)
    source = graph.source(weighted) if weighted is not None else None
    return source is not None and source.moment is not None and source.moment**0.5 < LARGEST_INPUT / 4


def unscaled_targets(graph: Graph, task: Task) -> Iterator[Finding]:
    """Numbers to predict that are not scaled.

    The last layer starts near 0 and has to travel the whole way; the gradient of a squared error grows with the
    distance.
    """
    if task.kind == "numbers" and task.targets and max(map(abs, task.targets)) > LARGEST_TARGET:
        low, high = task.targets
        yield Finding(f"the targets run over {low:g}..{high:g}", "scale them to mean 0 and variance 1")


def saturated_first(graph: Graph, task: Task) -> Iterator[Finding]:
    """A saturating activation fed with inputs that are not scaled.

    tanh and sigmoid are flat beyond 5: nearly no gradient passes (LeCun et al. 1998, section 4.4).
    """
    first = next(iter(graph.of_kind("act")), None)
    if task.inputs is None or first is None or first is closing(graph) or first.name not in SATURATING:
        return
    if max(map(abs, task.inputs)) > LARGEST_INPUT and not normed_first(graph):
        what = f"{first.name} is flat over most of inputs in {task.inputs[0]:g}..{task.inputs[1]:g}"
        yield Finding(what, "scale the inputs", first.layer, first.in_shape[1:])


def flat_units(graph: Graph, task: Task) -> Iterator[Finding]:
    """Hidden units that saturate, measured on random inputs.

    Where the weights or inputs are large, a sigmoid or tanh stands at its ends for almost all examples.
    """
    for one in graph.of_kind("act"):
        if one is closing(graph) or one.name not in ("tanh", "sigmoid") or one.moment is None:
            continue
        source = graph.source(one)
        if source is not None and source.moment is not None and source.moment > 100:
            what = f"{one.name} gets values of size {source.moment**0.5:.3g}, where it is flat"
            yield Finding(what, "scale inputs or weights", one.layer, one.in_shape[1:])


def rate_out_of_range(graph: Graph, task: Task) -> Iterator[Finding]:
    """A rate out of range for the optimizer, the net and the scale of its inputs.

    Adaptive optimizers move each weight by about the rate a step, whatever the gradient (Kingma and Ba 2015, section
    2.1). Plain descent needs a rate below 2 (1 + momentum) over the largest curvature, which without a norm grows
    with the inputs; with momentum m its long-run step is rate / (1 - m).
    """
    if task.lr is None or not task.optimizer:
        return
    what = f"a rate of {task.lr:g} under {task.optimizer}"
    if task.optimizer in RATES:
        low, high = RATES[task.optimizer]
        if task.lr < low:
            yield Finding(f"{what} hardly moves the weights", f"take {typical(task.optimizer)}", repair=repair(task))
        elif task.lr > high or (task.lr == high and not graph.of_kind("norm")):
            yield Finding(
                f"{what} moves every weight by its own size", f"take {typical(task.optimizer)}", repair=repair(task)
            )
        return
    step = task.lr / (1 - task.momentum) if task.momentum < 1 else float("inf")
    if task.momentum:
        what += f" with momentum {task.momentum:g} (a step of {step:.3g} in the long run)"
    if step > largest_step(graph, task):
        yield Finding(f"{what} is beyond what this net stands", "divide it by 10", repair=repair(task))
    elif step < 1e-4 and not (task.inputs and max(map(abs, task.inputs)) > LARGEST_INPUT):
        yield Finding(f"{what} hardly moves the weights", "take 0.01 to 0.1", repair=repair(task))


def largest_step(graph: Graph, task: Task) -> float:
    """The largest rate / (1 - momentum) that plain descent stands, by the parts of a net; generous."""
    if graph.of_kind("norm"):
        return 10.0
    bounded = [one for one in graph.of_kind("act") if one is not closing(graph)]
    limit = 2.0 if bounded and all(one.name in SATURATING for one in bounded) else 0.9
    if task.kind == "numbers" and task.inputs:  # curvature of a squared error: 2 (E|x|^2 + 1) of a linear layer
        first = next(iter(graph.of_kind("linear", "conv")), None)
        low, high = task.inputs
        square = (low * low + low * high + high * high) / 3
        count = first.in_shape[-1] if first is not None else 1
        limit = min(limit, 1.5 / (square * count + 1))
        if task.targets:  # the first gradients are errors of the size of the targets times the inputs
            limit = min(limit, 10 / max(1e-9, max(map(abs, task.targets)) * max(map(abs, task.inputs))))
    return limit


def typical(optimizer: str) -> str:
    """The usual rate of an optimizer, in words."""
    usual = {"adadelta": "1", "adagrad": "0.01", "lion": "0.0001", "sign_sgd": "0.0001", "muon": "0.02"}
    return f"{usual.get(optimizer, '0.001')}, its usual rate"


def repair(task: Task) -> tuple[str, ...]:
    """The override that sets a usual rate."""
    usual = {"adadelta": 1.0, "adagrad": 0.01, "lion": 1e-4, "sign_sgd": 1e-4, "muon": 0.02, "sgd": 0.05}
    usual |= {"momentum": 0.01, "nag": 0.01}
    return (f"optimizer.lr={usual.get(task.optimizer, 0.001):g}",)


def few_updates(graph: Graph, task: Task) -> Iterator[Finding]:
    """Too few updates to move.

    Epochs count for nothing if each has one batch: under a rate of 0.001 Adam moves no weight by more than 0.1 in a
    hundred steps. Who asks for no step at all wants the net as it starts.
    """
    if task.updates and task.updates < FEW_UPDATES:
        what = f"the whole training is {task.updates} update{'s' * (task.updates != 1)} of the weights"
        yield Finding(what, "train for more epochs, or take smaller batches", repair=("train.steps=1000",))


def plain_descent(graph: Graph, task: Task) -> Iterator[Finding]:
    """Gradient descent without momentum or adaptive rates.

    Where no experiment asks for it, Adam costs two numbers a weight and needs less tuning (Kingma and Ba 2015; Schmidt
    et al. 2021, "Descending through a crowded valley"); with momentum, plain descent is as good on images.
    """
    if task.optimizer == "sgd" and not task.momentum:
        fix = "take adam, or momentum"
        yield Finding("gradient descent without momentum", fix, repair=("optimizer=adam", "optimizer.lr=0.001"))


TRAINING_RULES = (
    Rule("input-scale", "warning", unscaled_inputs),
    Rule("target-scale", "warning", unscaled_targets),
    Rule("input-saturates", "warning", saturated_first),
    Rule("act-flat", "warning", flat_units),
    Rule("rate", "warning", rate_out_of_range),
    Rule("updates", "warning", few_updates),
    Rule("optimizer-plain", "note", plain_descent),
)
