"""Where the gradient of one example goes: to which parameters, and to no other example."""

import torch
from torch import Tensor, nn

from lab.checks.lint.operation import Graph


def follow(graph: Graph, net: nn.Module, inputs: Tensor, outputs: list[Tensor]) -> None:
    """Notes in `graph` what no gradient reaches, whether examples mix, and why there is no gradient at all.

    Args:
        graph: of the execution that made `outputs`.
        net: with its parameters.
        inputs: (b, ...); whether examples mix is known only if they want a gradient.
        outputs: all of the net's.
    """
    wanting = {name: one for name, one in net.named_parameters() if one.requires_grad}
    count = len(inputs)
    # Of the last one, as a recurrent layer that takes examples for time hangs later ones on earlier ones.
    lasts = [one[-1] if one.ndim and len(one) == count else one for one in outputs]
    total = torch.stack([one.float().square().sum() for one in lasts]).sum()
    if not total.requires_grad:
        graph.without_gradient = list(wanting)
        return
    to_inputs = [inputs] if inputs.requires_grad else []
    try:
        found = torch.autograd.grad(total, [*wanting.values(), *to_inputs], allow_unused=True)
    except RuntimeError as error:
        graph.no_backward = str(error).strip().split("\n")[0]
        return
    graph.without_gradient = [name for name, one in zip(wanting, found, strict=False) if one is None]
    others = found[-1][:-1] if to_inputs and found[-1] is not None else None
    aligned = outputs[0].ndim > 0 and len(outputs[0]) == count
    graph.mixes = aligned and others is not None and bool(others.count_nonzero())
