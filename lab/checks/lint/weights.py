"""Rules about the first weights, by their values and by what the recorded execution measured."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import Graph, Operation
from lab.checks.lint.outputs import at, rate
from lab.checks.lint.task import Task
from lab.checks.theory.forward import forward
from lab.checks.theory.weighted import measured_variance

FAINT = 1e-4
"""Share of the first layer's variance that has to be left at the last."""

SLOW = 2 / 3
"""Share of the variance that a layer leaves on average, from which a deep net fades by the luck of its draw: Xavier
under ReLU leaves 1/2, and He's layers of 16 maps, in a draw of ten, 0.73."""

LOUD = 1e4
"""Times the first layer's variance at the last."""


def layers(graph: Graph) -> list[Operation]:
    """Linear layers and convolutions with weights that hold numbers."""
    found = graph.of_kind("linear", "conv")
    return [one for one in found if one.weight is not None and not one.weight.is_meta and one.weight.numel() > 1]


def equal_units(graph: Graph, task: Task) -> Iterator[Finding]:
    """Units of a layer that start equal.

    They get the same gradient and stay equal forever: a layer of n such units is one unit (Goodfellow et al. 2016,
    section 8.4). Zero weights besides stop the gradient.
    """
    head = graph.head()
    for one in layers(graph):
        assert one.weight is not None
        weight = one.weight.detach().flatten(1) if one.weight.ndim > 1 else one.weight.detach()[:, None]
        if len(weight) < 2 or not bool((weight == weight[:1]).all()):
            continue
        zero = bool((weight == 0).all())
        if one is head and zero:
            continue  # the outputs' own gradients tell them apart
        how = "all weights are 0" if zero else f"all {len(weight)} units have the same weights"
        severity = "warning" if one is head else "error"
        yield at(one, f"{how}: its units start equal", "draw them, by He or Xavier", severity)


def fades(graph: Graph, task: Task) -> Iterator[Finding]:
    """A signal that dies out or explodes with depth.

    Each layer multiplies the variance by fan_in times the weights' variance times what the activation leaves (ReLU:
    1/2); He et al. 2015, section 2.2. Xavier under ReLU halves it at every layer.
    """
    if graph.of_kind("norm") or any(rate(one) >= 1 for one in graph.of_kind("dropout")):
        return
    found = [one for one in layers(graph) if one.varies is not None]
    if len(found) < 3 or found[0].varies is None or found[-1].varies is None:
        return
    first, last = found[0].varies, found[-1].varies
    if not first > 0:
        return
    ratio = last / first
    depth = len(found)
    if FAINT <= ratio < LOUD or (ratio < 1 and ratio ** (1 / (depth - 1)) > SLOW):
        return
    factor = predicted(graph, found)
    if factor is not None and math.sqrt(FAINT) < factor < math.sqrt(LOUD) and is_linear_in_size(graph):
        return  # one draw of narrow layers: the luck of this seed
    by = "" if factor is None else f" (by theory its second moment changes by a factor of {factor:.1e})"
    if ratio < FAINT:
        what = f"of the first layer's variance {ratio:.1e} is left at the last of {depth} layers{by}"
        yield at(found[-1], what, "take he_normal under relu, or a norm", "warning")
    else:
        what = f"the variance grows {ratio:.1e} times over {depth} layers{by}"
        yield at(found[-1], what, "take he_normal, or a norm")


def is_linear_in_size(graph: Graph) -> bool:
    """Whether a signal of twice the size leaves twice the size at the end, so that the second moment tells of the
    differences between examples, too: a sigmoid's mean, and biases, stay where these are long gone."""
    biased = any(one.bias is not None and bool(one.bias.any()) for one in layers(graph))
    acts = ("relu", "leaky_relu", "prelu", "rrelu")
    return not biased and all(one.name in acts for one in graph.of_kind("act", "softmax"))


@torch.no_grad()
def predicted(graph: Graph, found: list[Operation]) -> float | None:
    """The factor by which theory has the second moment change from the first to the last layer, if it says."""
    if graph.inputs is None or not graph.inputs.is_floating_point():
        return None
    weights = {one.index: one.weight for one in graph if one.weight is not None}
    known = forward(graph, graph.inputs.float(), lambda one: measured_variance([weights[one.index]]), {})
    first, last = known.get(found[0].index), known.get(found[-1].index)
    if first is None or last is None or not first.signal.second_moment:
        return None
    return float(last.signal.second_moment / first.signal.second_moment)


def init_scale(graph: Graph, task: Task) -> Iterator[Finding]:
    """First weights of a size that does not suit the layer.

    A layer keeps the variance of its inputs where fan_in times the variance of its weights is about 1 (Glorot and
    Bengio 2010) or 2 under ReLU (He et al. 2015).
    """
    head = graph.head()
    for one in layers(graph):
        assert one.weight is not None
        gain = gain_of(one.weight)
        if one is not head and gain > 100:
            size = f"{one.weight.std():.2g} over {fan_in(one.weight)} inputs"
            what = f"weights of size {size} multiply the variance by {gain:.0f}"
            yield at(one, what, "take he_normal or xavier_normal")


def gain_of(weight: Tensor) -> float:
    """fan_in times the mean square of the weights."""
    return fan_in(weight) * float(weight.detach().float().square().mean())


def fan_in(weight: Tensor) -> int:
    """Connections of a unit."""
    return weight[0].numel() if weight.ndim > 1 else 1


def dead_units(graph: Graph, task: Task) -> Iterator[Finding]:
    """ReLUs that are off for every input.

    They get no gradient and stay off (Maas et al. 2013): large negative biases, or weights of one sign.
    """
    for one in graph.of_kind("act"):
        source = graph.source(one)
        if one.name != "relu" or one.dead is None or one.dead <= 0.9 or source is None:
            continue
        if source.kind in ("linear", "conv", "norm") and one.out_shape[0] > 1 and one.out_shape[1] >= 8:
            what = f"{one.dead:.0%} of its units are off for all of {one.out_shape[0]} random examples"
            yield at(one, what, "take he_normal, and biases of 0")


def silent(graph: Graph, task: Task) -> Iterator[Finding]:
    """Outputs that do not change when the inputs do.

    Something on the way is constant: weights of 0, a softmax over one unit, dropout of everything.
    """
    head = graph.head()
    if head is None or head.varies is None or graph.failure:
        return
    source = graph.before(head)
    if source is not None and source.varies == 0 and head.in_shape[0] > 1:
        yield at(head, "what reaches it is the same for all inputs", "find the layer that is constant")


WEIGHT_RULES = (
    Rule("init-equal", "error", equal_units),
    Rule("init-fades", "warning", fades),
    Rule("init-scale", "note", init_scale),
    Rule("act-dead", "warning", dead_units),
    Rule("signal-none", "warning", silent),
)
