"""Rules about parameters that do not train: no gradient reaches them, or no optimizer holds them."""

from collections.abc import Iterator, Sequence

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import Graph
from lab.checks.lint.outputs import at
from lab.checks.lint.task import Task

MOST_NAMED = 4

FLAT = ("round", "floor", "ceil", "trunc", "fix", "sign", "sgn", "heaviside", "floor_divide", "floordiv")
"""Operations whose gradient is 0."""


def no_gradient(graph: Graph, task: Task) -> Iterator[Finding]:
    """Parameters that no gradient reaches.

    They stay as they were drawn: a layer that is never called, a detached branch, an index instead of a value.
    """
    if graph.without_gradient and not graph.failure:
        what = f"{told(graph.without_gradient)} get no gradient from the outputs"
        yield Finding(what, "use the layer in forward, or remove it", owners(graph.without_gradient)[0])


def flat_step(graph: Graph, task: Task) -> Iterator[Finding]:
    """A step function that all gradients must pass.

    Rounding and signs have a gradient of 0 wherever they have one, so nothing before them trains; quantised nets pass
    the gradient around them (Bengio et al. 2013, "straight-through estimator").
    """
    for one in graph:
        detached = [other for other in graph.users(one) if other.name == "detach"]
        if one.name in FLAT and not detached and not graph.bypassed(one):
            yield at(one, f"{one.name} has a gradient of 0", "leave it out of the net, or pass the gradient around it")


def no_backward(graph: Graph, task: Task) -> Iterator[Finding]:
    """A net that fails on the way back.

    A tensor that the backward pass needs was changed in place, or a step has no derivative (PyTorch, "In-place
    correctness checks").
    """
    if graph.no_backward:
        fix = "change no tensor in place that a layer made: x = x + y instead of x += y, inplace=False"
        yield Finding(f"the backward pass fails: {graph.no_backward}", fix)


def not_held(graph: Graph, task: Task) -> Iterator[Finding]:
    """Parameters that the optimizer does not hold.

    `net.parameters()` finds what is an attribute of a module: layers in a plain list or dict, a tensor that is no
    `nn.Parameter`, and layers made anew in `forward` are not among it (documentation of `nn.ModuleList`). They are not
    trained, moved to a GPU or saved.
    """
    if graph.not_held:
        what = f"{told(graph.not_held)} are not among the parameters of the net"
        yield Finding(what, "take nn.ModuleList, nn.ModuleDict or nn.Parameter", owners(graph.not_held)[0])


def frozen(graph: Graph, task: Task) -> Iterator[Finding]:
    """Parameters that are frozen.

    `requires_grad=False` keeps them as they are: meant for a part that was trained elsewhere, a fault for one that was
    not (Yosinski et al. 2014).
    """
    if not graph.frozen:
        return
    if not graph.wanting:
        fix = "set requires_grad_(True) on what is to train"
        yield Finding("all parameters are frozen, so nothing trains", fix, severity="error")
    else:
        what = f"{told(graph.frozen)} are frozen"
        yield Finding(what, "set requires_grad_(True), if they were not trained before", owners(graph.frozen)[0])


def told(names: Sequence[str]) -> str:
    """How many parameters, and of which layers."""
    layers = owners(names)
    shown = ", ".join(layers[:MOST_NAMED]) + (" ..." if len(layers) > MOST_NAMED else "")
    return f"{len(names)} parameter{'s' * (len(names) > 1)} of {shown}"


def owners(names: Sequence[str]) -> list[str]:
    """The layers that hold parameters of these names."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


PARAMETER_RULES = (
    Rule("grad-none", "warning", no_gradient),
    Rule("grad-flat", "error", flat_step),
    Rule("grad-fails", "error", no_backward),
    Rule("grad-unheld", "error", not_held),
    Rule("grad-frozen", "note", frozen),
)
