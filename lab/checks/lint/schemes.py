"""Rules about the scheme by which first weights were drawn."""

from collections.abc import Iterator
from math import prod

from torch import Tensor

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import Graph, Operation
from lab.checks.lint.outputs import at
from lab.checks.lint.task import Task

FEWEST = 200
"""Weights from which their variance tells the scheme."""


def xavier_under_relu(graph: Graph, task: Task) -> Iterator[Finding]:
    """Xavier's initialisation under ReLU.

    It keeps the variance of a linear layer between as many units; ReLU halves what is left, at each layer (Glorot and
    Bengio 2010; He et al. 2015, section 2.2). Over few layers it slows the start, over many nothing arrives.
    """
    if graph.of_kind("norm"):
        return
    rectified = [one for one in graph.of_kind("linear", "conv") if known(one) and under_relu(graph, one)]
    if len(rectified) < 2 or not all(is_xavier(one.weight) for one in rectified if one.weight is not None):
        return
    left = prod(gain(one.weight) / 2 for one in rectified if one.weight is not None)
    if left < 0.5:
        what = (
            f"{len(rectified)} layers under relu are drawn by Xavier's scheme: by theory they leave {left:.2g} of the"
        )
        yield at(rectified[0], f"{what} variance", "take he_normal")


def one_sign(graph: Graph, task: Task) -> Iterator[Finding]:
    """First weights of one sign.

    All units of a layer then add up the same inputs with the same sign: they start alike, and the mean of the signal
    grows with every layer (Glorot and Bengio 2010 and He et al. 2015 assume a mean of 0).
    """
    for one in graph.of_kind("linear", "conv"):
        if not known(one) or one.weight is None or not one.weight.requires_grad:
            continue
        weight = one.weight.detach()
        positive, negative = (float((weight * sign > 0).float().mean()) for sign in (1, -1))
        if max(positive, negative) > 0.99 and not bool((weight == weight[:1]).all()):  # which has its own rule
            what = f"all {weight.numel()} weights are {'positive' if positive > negative else 'negative'}"
            yield at(one, what, "draw them with mean 0, by He or Xavier")


def known(layer: Operation) -> bool:
    """Whether a layer has enough weights to tell how they were drawn."""
    weight = layer.weight
    return weight is not None and not weight.is_meta and weight.ndim > 1 and weight.numel() >= FEWEST


def under_relu(graph: Graph, layer: Operation) -> bool:
    """Whether a ReLU takes the result of a layer, behind a max pool or not."""
    return any(one.kind == "act" and one.name == "relu" for one in graph.behind(layer, ("shape", "dropout", "pool")))


def is_xavier(weight: Tensor) -> bool:
    """Whether the mean square of weights is 2 / (fan_in + fan_out), within what chance allows."""
    fans = weight[0].numel() + weight[:, 0].numel()
    chance = 4 * (2 / weight.numel()) ** 0.5
    return abs(float(weight.detach().square().mean()) * fans / 2 - 1) < min(chance, 0.4)


def gain(weight: Tensor) -> float:
    """fan_in times the mean square of the weights: what a layer multiplies the variance of its inputs by."""
    return weight[0].numel() * float(weight.detach().square().mean())


SCHEME_RULES = (Rule("init-act", "note", xavier_under_relu), Rule("init-sign", "warning", one_sign))
