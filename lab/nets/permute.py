"""Permutes hidden units: each keeps its weights and gets another place, which leaves a net's function as it is."""

import copy
from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Generator, Tensor, nn

from lab.errors import UserError
from lab.nets.weights import mask_place

NUM_COMPARED = 8
"""Images by which the permuted net is compared with the net itself."""

TOLERANCE = 1e-8
"""How far their outputs may differ in double precision, as a share of the largest."""

Weighted = nn.Conv2d | nn.Linear


@torch.no_grad()
def permute(model: nn.Module, share: float, images: Tensor, generator: Generator) -> int:
    """Moves `model`, in place, by `share` of the straight way to a copy of it with permuted hidden units.

    Args:
        model: layers in a row, as recipes without skips make them.
        share: 0 leaves it as it is, 1 makes it the copy.
        images: a few (n, ...), by which it is checked that the copy is the same function in evaluation.
        generator: draws the permutation.

    Returns:
        How many hidden units there are.

    Raises:
        UserError: the net is no such row, has no hidden units, was pruned, or has a layer that tells units apart.
    """
    layers = in_a_row(model)
    weighted = [layer for layer in layers.values() if isinstance(layer, Weighted)]
    if len(weighted) < 2:
        raise UserError("start.permute: the net has no hidden units, as it is a single layer")
    if any(mask_place(layer) for layer in weighted):
        raise UserError("start.permute: the net to start from was pruned; allowed: one with all of its weights")
    permuted = copy.deepcopy(model)
    units = move_units(permuted, widths(model, layers, images), generator)
    check_alike(model, permuted, images)
    theirs = dict(tensors(permuted))
    for name, own in tensors(model):
        if own.is_floating_point():
            own.copy_(torch.lerp(own, theirs[name], share))
    return units


def in_a_row(model: nn.Module, prefix: str = "") -> dict[str, nn.Module]:
    """The layers of nested `nn.Sequential`, by their names, in the order in which they act.

    Raises:
        UserError: one of them has layers with weights inside, and is no row.
    """
    found: dict[str, nn.Module] = {}
    for name, layer in model.named_children():
        if isinstance(layer, nn.Sequential):
            found |= in_a_row(layer, f"{prefix}{name}.")
        else:
            found[prefix + name] = layer
    if not prefix:
        inside = {type(layer).__name__ for layer in found.values() if not isinstance(layer, Weighted) and deep(layer)}
        inside |= set() if isinstance(model, nn.Sequential) else {type(model).__name__}
        inside |= {"grouped Conv2d" for one in found.values() if isinstance(one, nn.Conv2d) and one.groups > 1}
        if inside:
            what = ", ".join(sorted(inside))
            raise UserError(f"start.permute: allowed: a net of layers in a row (model.skip=none), and this has {what}")
    return found


def deep(layer: nn.Module) -> bool:
    """Whether a layer has others with weights inside."""
    return any(isinstance(one, Weighted) for one in layer.modules())


def widths(model: nn.Module, layers: Mapping[str, nn.Module], images: Tensor) -> dict[str, int]:
    """How many maps, or features, leave each of `layers`."""
    found: dict[str, int] = {}

    def note(name: str, layer: nn.Module, inputs: object, output: Tensor) -> None:
        found[name] = output.shape[1]

    handles = [layer.register_forward_hook(partial(note, name)) for name, layer in layers.items()]
    training = model.training
    model.eval()(images)
    model.train(training)
    for handle in handles:
        handle.remove()
    return found


def move_units(model: nn.Module, after: Mapping[str, int], generator: Generator) -> int:
    """Permutes all hidden units of `model`, in place.

    Args:
        model: layers in a row.
        after: how many maps, or features, leave each of them (`widths`).
        generator: draws the permutation.

    Returns:
        How many units there are.
    """
    layers = list(in_a_row(model).items())
    places = [place for place, (_, layer) in enumerate(layers) if isinstance(layer, Weighted)]
    order, units = None, 0  # the order in which units arrive; None: that of the input
    for place, (name, layer) in enumerate(layers):
        if isinstance(layer, Weighted):
            last = place == places[-1]
            follow = [] if last else [one for _, one in layers[place + 1 : places[places.index(place) + 1]]]
            leave = None if last else draw(after[name], follow, generator)
            for _, tensor in tensors(layer):
                rearrange(tensor, leave, order if tensor.ndim > 1 else None)
            order, units = leave, units + (0 if last else after[name])
        elif order is not None:
            for _, tensor in tensors(layer):
                if tensor.ndim and len(tensor) % len(order) == 0:  # as of Maxout, several values a unit, in blocks
                    blocks = torch.arange(0, len(tensor), len(order))
                    rearrange(tensor, (blocks.unsqueeze(1) + order).flatten(), None)
            order = spread(order, after.get(name, len(order)))
    return units


def draw(width: int, follow: list[nn.Module], generator: Generator) -> Tensor:
    """The new order of `width` units: groups of a group norm among `follow` stay together, and change places.

    Raises:
        UserError: there are several, with different groups.
    """
    groups = {one.num_groups for one in follow if isinstance(one, nn.GroupNorm)} - {1}
    if len(groups) > 1:
        raise UserError(f"start.permute: group norms of {sorted(groups)} groups in a row leave units no other places")
    each = width // next(iter(groups), 1)
    blocks = torch.randperm(width // each, generator=generator) * each if groups else torch.zeros(1, dtype=torch.int64)
    return torch.cat([block + torch.randperm(each, generator=generator) for block in blocks])


def spread(order: Tensor, width: int) -> Tensor:
    """The order of `width` features to which maps in `order` are flattened."""
    pixels = torch.arange(width // len(order))
    return (order.unsqueeze(1) * len(pixels) + pixels).flatten()


def rearrange(tensor: Tensor, rows: Tensor | None, columns: Tensor | None) -> None:
    """Puts the slices of a tensor into another order along its first and its second dimension, in place."""
    for dim, order in enumerate((rows, columns)):
        if order is not None:
            tensor.copy_(tensor.index_select(dim, order.to(tensor.device)))


def tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, those that are not saved included."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def check_alike(model: nn.Module, other: nn.Module, images: Tensor) -> None:
    """Raises `UserError` where two nets are not one function of `images`, in double precision and in evaluation."""
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        pair = [copy.deepcopy(one).double().eval()(images.double()) for one in (model, other)]
    difference = (pair[0] - pair[1]).abs().max().item()
    if not difference <= TOLERANCE * max(1.0, pair[0].abs().max().item()):
        kinds = {type(one).__name__ for one in in_a_row(model).values() if not isinstance(one, Weighted)}
        raise UserError(
            f"start.permute: with permuted units the outputs of this net differ by {difference:.2g}, as a layer tells "
            f"units apart by their place; its layers without weights: {', '.join(sorted(kinds))}"
        )
