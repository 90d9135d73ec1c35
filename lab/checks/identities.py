"""Identities by which two ways to write a net are one function, and the normal form that they lead to.

Each identity is a function from a term to an equal one, or None where it does not apply; its docstring says what is
equal, and where that ends. They hold whatever the weights, in training and in evaluation.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import torch

from lab.checks.rewriting import Identity, Rewriting, first, numbers, users
from lab.checks.terms import Bank, Leaf, Term

ALWAYS_RISING = ("relu", "relu6", "tanh", "sigmoid", "hardsigmoid", "logsigmoid", "softsign", "selu", "expm1")
"""Activations that never decrease, whatever their arguments."""

RISING_IF_POSITIVE = ("leaky_relu", "elu", "celu", "softplus")
"""Activations that never decrease if their first number is not negative."""

POINTWISE = (
    *ALWAYS_RISING,
    *RISING_IF_POSITIVE,
    *("hardtanh", "gelu", "silu", "mish", "hardswish", "abs", "square", "sin", "cos", "exp"),
)
"""Activations that act on each number by itself."""

HOMOGENEOUS = ("relu", "leaky_relu", "abs")
"""Activations f with f(c x) = c f(x) for every c that is not negative."""

MAX_POOLS = ("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "amax")

RESHAPES = ("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten")
"""Calls that keep the numbers in their order."""

SUMS = ("add", "iadd", "radd")

NOTHING = ("contiguous", "clone", "detach_", "identity", "alias", "positive")


def rises(term: Term) -> bool:
    """Whether a call never decreases in its first argument, number by number."""
    if term.name in RISING_IF_POSITIVE:
        return all(number >= 0 for number in numbers(term)[:1])
    return term.name in (*ALWAYS_RISING, "hardtanh") or scales(term) or (term.name in SUMS and len(numbers(term)) > 0)


def scales(term: Term) -> bool:
    """Whether a call multiplies by a positive number."""
    return term.name in ("mul", "rmul", "div", "truediv") and all(number > 0 for number in numbers(term) or [0])


def is_pointwise(term: Term) -> bool:
    """Whether a call acts on each number by itself."""
    return term.name in POINTWISE or rises(term)


def is_homogeneous(term: Term) -> bool:
    """Whether f(c x) = c f(x) for every c that is not negative."""
    return term.name in HOMOGENEOUS or scales(term)


def root(term: Any, fits: Callable[[Term], bool]) -> Term | None:
    """What `term` is a function of by calls that `fits` alone; sums of two such functions of one term are one, too."""
    if not isinstance(term, Term) or not term.args or not isinstance(term.args[0], Term):
        return term if isinstance(term, Term) else None
    if term.name in SUMS and isinstance(term.args[1], Term):
        left, right = (root(one, fits) for one in term.args[:2])
        return left if left is right and left is not None else term
    return root(term.args[0], fits) if fits(term) else term


def outside(rewriting: Rewriting, outer: Term, fits: Callable[[Term], bool]) -> Term | None:
    """outer(f(x)) as f(outer(x)), f made of calls that `fits`; None where there is no such f."""
    inner = outer.args[0]
    source = root(inner, fits)
    if source is None or source is inner:
        return None
    moved = rewriting.make(outer.name, (source, *outer.args[1:]), outer.shape)

    def again(term: Any) -> Any:
        if term is source:
            return moved
        return rewriting.make(term.name, tuple(map(again, term.args)), outer.shape) if isinstance(term, Term) else term

    return again(inner)


def no_dropout(rewriting: Rewriting, term: Term) -> Term | None:
    """dropout at a rate of 0 does nothing"""
    drops = term.name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout")
    return term.args[0] if drops and numbers(term)[:1] == [0.0] else None


def nothing(rewriting: Rewriting, term: Term) -> Term | None:
    """the identity does nothing"""
    if term.name in NOTHING and isinstance(term.args[0], Term):
        return term.args[0]
    shaped = term.name in (*RESHAPES, "reshaped") and isinstance(term.args[0], Term)
    reshaped = shaped and term.args[0].shape == term.shape != ()
    return term.args[0] if reshaped else None


def twice(rewriting: Rewriting, term: Term) -> Term | None:
    """relu after relu does nothing"""
    inner = first(term, term.name)
    idempotent = term.name in ("relu", "relu6", "abs", "hardtanh")
    return inner if idempotent and inner is not None and inner.args[1:] == term.args[1:] else None


def same_relu(rewriting: Rewriting, term: Term) -> Term | None:
    """clamping at 0 is relu"""
    limits = term.args[1:]
    clamped = term.name in ("clamp", "clamp_min") and limits[:1] in (("0",), ("0.0",)) and limits[1:] in ((), ("None",))
    below = term.name == "threshold" and numbers(term) == [0.0, 0.0]
    flat = term.name == "leaky_relu" and numbers(term) == [0.0]
    return rewriting.make("relu", term.args[:1], term.shape) if clamped or below or flat else None


def linear_leak(rewriting: Rewriting, term: Term) -> Term | None:
    """leaky_relu of slope 1 does nothing"""
    return term.args[0] if term.name == "leaky_relu" and numbers(term) == [1.0] else None


def one_shape(rewriting: Rewriting, term: Term) -> Term | None:
    """flatten, view and reshape are one"""
    again = first(term, "reshaped") if term.name in (*RESHAPES, "reshaped") else None
    if again or (term.name in RESHAPES and term.shape and isinstance(term.args[0], Term)):
        source = again or term
        return rewriting.make("reshaped", (source.args[0], str(term.shape)), term.shape)
    return None


def pool_commutes(rewriting: Rewriting, term: Term) -> Term | None:
    """max pooling and an activation that never decreases commute"""
    return outside(rewriting, term, rises) if term.name in MAX_POOLS else None


def shape_commutes(rewriting: Rewriting, term: Term) -> Term | None:
    """an activation acts on each number, whatever the shape"""
    return outside(rewriting, term, is_pointwise) if term.name in ("reshaped", "permute", "transpose") else None


def dropout_commutes(rewriting: Rewriting, term: Term) -> Term | None:
    """dropout and relu commute"""
    drops = term.name in ("dropout", "dropout1d", "dropout2d", "dropout3d")
    return outside(rewriting, term, is_homogeneous) if drops else None


CONVS = ("conv1d", "conv2d", "conv3d")
MAPS = ("linear", *CONVS)
NORMS = ("batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm")


def bias_before_norm(rewriting: Rewriting, term: Term) -> Term | None:
    """a bias straight before batch or instance norm does nothing"""
    inner = first(term, *MAPS)
    if term.name not in ("batch_norm", "instance_norm") or inner is None or not isinstance(inner.args[2], Leaf):
        return None
    if inner.name == "linear" and len(inner.shape) != 2:
        return None  # of several rows an example the norm averages along the rows, and the bias differs within one
    if term.name == "batch_norm" and term.args[5] != "True":
        return None  # by statistics that are fixed, the bias does act
    without = rewriting.make(inner.name, (*inner.args[:2], "None", *inner.args[3:]), inner.shape)
    return rewriting.make(term.name, (without, *term.args[1:]), term.shape)


def statistics(rewriting: Rewriting, term: Term) -> Term | None:
    """batch norm in training reads no running statistics"""
    if term.name == "batch_norm" and term.args[5] == "True" and isinstance(term.args[1], Leaf):
        source, _, _, *rest = term.args
        return rewriting.make(term.name, (source, "None", "None", *rest), term.shape)
    return None


def sum_order(rewriting: Rewriting, term: Term) -> Term | None:
    """sums have no order"""
    if term.name not in SUMS or len(term.args) < 2:
        return None
    left, right = term.args[:2]
    if not (isinstance(left, Term) and isinstance(right, Term)):
        return None
    pair = sorted((left, right), key=rewriting.form)
    same = term.name == "add" and pair == [left, right]
    return None if same else rewriting.make("add", (*pair, *term.args[2:]), term.shape)


def one_map(rewriting: Rewriting, term: Term) -> Term | None:
    """two linear maps in a row are one"""
    inner = first(term, *MAPS)
    if term.name not in MAPS or inner is None or not pointwise(term) or rewriting.uses.get(id(inner), 1) > 1:
        return None
    weights = [inner.args[1], term.args[1]]
    if not all(isinstance(one, Leaf) for one in weights) or inner.args[6:] not in ((), ("1",)):
        return None
    bottom, top = weights
    if bottom.shape[0] < min(prod(bottom.shape[1:]), top.shape[0]):
        return None  # a bottleneck: not every map passes it
    biases = [inner.args[2], term.args[2]]
    if not isinstance(biases[1], Leaf) and isinstance(biases[0], Leaf):
        return None
    shape = (top.shape[0], *bottom.shape[1:])
    weight = Leaf(None, shape, partial(product, top, bottom, shape), partial(factor, top, bottom))
    bias = biases[1]
    if isinstance(biases[0], Leaf) and isinstance(biases[1], Leaf):
        bias = Leaf(None, biases[1].shape, partial(carried, top, *biases), partial(carry, *biases))
    rewriting.free = True
    return rewriting.make(inner.name, (inner.args[0], weight, bias, *inner.args[3:]), term.shape)


def pointwise(term: Term) -> bool:
    """Whether a map is a linear layer, or a convolution of single pixels."""
    if term.name == "linear":
        return True
    stride, padding, _, groups = term.args[3:7]
    kernel = term.args[1].shape[2:] if isinstance(term.args[1], Leaf) else (0,)
    return {*kernel} == {1} and stride == groups == "1" and padding in ("0", "'same'", "'valid'")


def product(top: Leaf, bottom: Leaf, shape: tuple[int, ...]) -> torch.Tensor:
    """The weight of the one map that `top` after `bottom` is."""
    return (top.value().flatten(1) @ bottom.value().flatten(1)).reshape(shape)


def carried(top: Leaf, below: Leaf, above: Leaf) -> torch.Tensor:
    """The bias of that map."""
    return top.value().flatten(1) @ below.value() + above.value()


def factor(top: Leaf, bottom: Leaf, value: torch.Tensor) -> None:
    """Sets both so that their product is `value`: one of them is the identity, as far as it goes."""
    flat, inputs = value.flatten(1), prod(bottom.shape[1:])  # (out, in)
    low, high = (value.new_zeros(bottom.shape[0], inputs), value.new_zeros(top.shape[0], bottom.shape[0]))
    if bottom.shape[0] >= inputs:
        low[:inputs], high[:, :inputs] = torch.eye(inputs), flat
    else:
        low[: len(flat)], high[:, : len(flat)] = flat, torch.eye(len(flat))
    bottom.assign(low.reshape(bottom.shape))
    top.assign(high.reshape(top.shape))


def carry(below: Leaf, above: Leaf, value: torch.Tensor) -> None:
    """Sets both so that the map's bias is `value`."""
    below.assign(value.new_zeros(below.shape))
    above.assign(value)


IDENTITIES: tuple[Identity, ...] = (
    no_dropout,
    nothing,
    same_relu,
    linear_leak,
    one_shape,
    twice,
    pool_commutes,
    shape_commutes,
    dropout_commutes,
    statistics,
    bias_before_norm,
    sum_order,
    one_map,
)

SILENT = (nothing, one_shape, shape_commutes, statistics, sum_order, same_relu)
"""Identities that nobody needs to be told."""


def normal_form(term: Term, bank: Bank) -> tuple[Term, Counter[str], bool]:
    """The normal form of `term`, how often each identity led to it, in words, and whether weights were joined."""
    rewriting = Rewriting(bank, users(term), IDENTITIES, SILENT)
    found = rewriting.normal(term)
    return found, rewriting.reasons, rewriting.free
