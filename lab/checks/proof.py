"""Proofs that two nets are one function: by their normal forms, and checked by evaluating both with shared weights."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lab.checks.identities import MAPS, NORMS, normal_form
from lab.checks.lint.operation import EXAMPLES
from lab.checks.rewriting import first
from lab.checks.terms import Bank, Leaf, Written, copied, in_order, term_of, written

TOLERANCE = 1e-10
"""Largest difference of two outputs, as a share of the largest output, that is rounding in float64."""


@dataclass(frozen=True)
class Form:
    """What a net computes, whatever its weights."""

    literal: str
    """Digest of the net as it is written: equal where only values of weights differ."""

    normal: str
    """Digest of its normal form: equal for nets that are one function of their weights."""

    reasons: tuple[tuple[str, int], ...]
    """The identities that lead to the normal form, and how often."""

    free: bool
    """Whether weights are joined in it."""

    maps: int
    """Linear layers and convolutions."""

    normed: int
    """Those of them that a norm follows directly, which divides by the scale of their weights."""


@dataclass(frozen=True)
class Proof:
    """Two nets are one function."""

    reasons: tuple[str, ...]
    """The identities that make them so."""

    free: bool
    """Whether they are so for some weights of one and all of the other, so that they train otherwise."""

    error: float
    """Largest difference of their outputs in float64, as a share of the largest output."""


def analysed(net: nn.Module, inputs: Tensor) -> tuple[Form, Written] | None:
    """The form of `net`, and its normal form with its weights; None where it is not understood in full."""
    bank = Bank()
    term = term_of(net, inputs, bank)
    if term is None:
        return None
    literal = written(term).digest
    normal, reasons, free = normal_form(term, bank)
    form = written(normal)
    maps = [one for one in in_order(normal) if one.name in MAPS]
    normed = {id(found) for one in in_order(normal) if one.name in NORMS and (found := first(one, *MAPS))}
    return Form(literal, form.digest, tuple(sorted(reasons.items())), free, len(maps), len(normed)), form


def form_of(net: nn.Module, inputs: Tensor) -> Form | None:
    """What `net` computes; None where it is not understood in full.

    Args:
        net: any module; it stays as it is.
        inputs: (b, ...), which go through a copy.
    """
    try:
        found = analysed(copied(net), as_inputs(inputs))
    except Exception:  # a net that refuses to be copied, or to work in float64
        return None
    return found and found[0]


def as_inputs(inputs: Tensor) -> Tensor:
    """Some of the examples, in float64 where they are no indices."""
    some = inputs[:EXAMPLES].detach().cpu()
    return some.double() if some.is_floating_point() else some


def prove(first: nn.Module, second: nn.Module, inputs: Tensor) -> Proof | None:
    """A proof that two nets are one function, with weights that correspond; None where none is found.

    Args:
        first: any module; it stays as it is.
        second: another.
        inputs: (b, ...), examples of both.
    """
    try:
        left, right, some = copied(first), copied(second), as_inputs(inputs)
        forms = [analysed(one, some) for one in (left, right)]
        if forms[0] is None or forms[1] is None or forms[0][0].normal != forms[1][0].normal:
            return None
        pairs = list(zip(forms[0][1].leaves, forms[1][1].leaves, strict=True))
        share((left, right), pairs)
        error = max(differences(left, right, some))
    except Exception:  # whatever a user's net does in float64: then nothing is claimed of it
        return None
    own = [dict(form.reasons) for form, _ in (forms[0], forms[1])]
    reasons = [one for one in sorted(own[0] | own[1]) if own[0].get(one, 0) != own[1].get(one, 0)]
    free = forms[0][0].free != forms[1][0].free or (forms[0][0].free and forms[0][0].literal != forms[1][0].literal)
    return Proof(tuple(reasons), free, error) if error <= TOLERANCE else None


def share(nets: Iterable[nn.Module], pairs: Iterable[tuple[Leaf, Leaf]]) -> None:
    """Draws all weights of two nets, and gives the second those that correspond to the first's."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in (parameter for net in nets for parameter in net.parameters()):
            size = one[0].numel() ** -0.5 if one.ndim > 1 else 0.5
            one.normal_(0, size, generator=generator)
        for left, right in pairs:
            right.assign(left.value())


def differences(left: nn.Module, right: nn.Module, inputs: Tensor) -> list[float]:
    """The differences of two nets' outputs as shares of the largest output: in training, and in evaluation after their
    running statistics are those of the inputs."""
    found = []
    for net in (left, right):
        for module in net.modules():
            if hasattr(module, "momentum") and hasattr(module, "running_mean"):
                vars(module)["momentum"] = 1.0
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(inputs.shape, generator=generator, dtype=torch.float64)
    for inputs_now in (drawn if inputs.is_floating_point() else inputs, inputs):
        for training in (True, False):
            outputs = [run(net, inputs_now, training) for net in (left, right)]
            size = float(outputs[0].abs().max()) or 1.0
            found.append(float((outputs[0] - outputs[1]).abs().max()) / size)
    return [one if one == one else float("inf") for one in found]  # NaN proves nothing


def run(net: nn.Module, inputs: Tensor, training: bool) -> Tensor:
    """The outputs of `net` side by side, with the same random numbers each time."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        output = net.train(training)(copy.deepcopy(inputs))
    parts = output if isinstance(output, tuple | list) else [output]
    return torch.cat([part.flatten(1) for part in parts], 1)
