"""Pruning: chooses residual blocks or weights of a trained net and removes them."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, grad, vmap

from lab.errors import UserError, check_range, choose
from lab.nets.parts.skips import Add
from lab.nets.weights import mask_of, mask_place, mask_weights

CHUNK = 32
"""Examples whose gradients are held at once: memory is this many times that of the net's weights."""

Noise = Callable[[Tensor, Generator], Tensor]
"""From outputs (n, k) to random vectors r (n, k) with E[r r^T] the Hessian of one example's loss by its outputs."""

Layers = Mapping[str, nn.Conv2d | nn.Linear]
"""Layers by their names in the net."""


def smallest(norms: dict[str, float], generator: Generator) -> list[str]:
    """The block with the smallest |block(x)| / |shortcut(x)| goes first: it is nearest to the identity."""
    return sorted(norms, key=lambda name: norms[name])


def largest(norms: dict[str, float], generator: Generator) -> list[str]:
    """The block with the largest |block(x)| / |shortcut(x)| goes first: the opposite, as a control."""
    return sorted(norms, key=lambda name: -norms[name])


def random_block(norms: dict[str, float], generator: Generator) -> list[str]:
    """Any block, drawn with the run's seed."""
    names = list(norms)
    return [names[i] for i in torch.randperm(len(names), generator=generator).tolist()]


BLOCK_ORDERS: dict[str, Callable[[dict[str, float], Generator], list[str]]] = {
    "smallest": smallest,
    "largest": largest,
    "random": random_block,
}


def residual_blocks(model: nn.Module) -> dict[str, Add]:
    """The blocks that can be removed: those of `model.skip=add` whose shortcut is the identity."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Add) and isinstance(module.shortcut, nn.Identity)
    }


@torch.no_grad()
def branch_norms(model: nn.Module, images: Tensor) -> dict[str, float]:
    """|block(x)| / |shortcut(x)| of every removable block, as root mean squares of all `images`, in evaluation mode.

    All are measured in the unpruned net, not between removals.
    """
    sums: dict[str, list[float]] = {}

    def watch(name: str) -> Callable[[Add, tuple[Tensor], Tensor], None]:
        def hook(module: Add, inputs: tuple[Tensor], output: Tensor) -> None:
            x = inputs[0].double()
            pair = [(output.double() - x).square().sum().item(), x.square().sum().item()]
            sums[name] = [a + b for a, b in zip(sums.get(name, [0.0, 0.0]), pair, strict=True)]

        return hook

    handles = [block.register_forward_hook(watch(name)) for name, block in residual_blocks(model).items()]
    training = model.training
    model.eval()
    for part in images.split(256):
        model(part)
    model.train(training)
    for handle in handles:
        handle.remove()
    return {name: math.sqrt(branch / shortcut) if shortcut else math.inf for name, (branch, shortcut) in sums.items()}


def prune_blocks(model: nn.Module, by: str, count: int, images: Tensor, generator: Generator) -> dict[str, float]:
    """Removes `count` residual blocks from `model`, in the order `by` of `BLOCK_ORDERS`.

    Returns:
        Names and branch norms of all removable blocks, the removed ones first.

    Raises:
        UserError: an unknown order, or more blocks than can be removed.
    """
    order = choose("start.prune_by", by, BLOCK_ORDERS)
    norms = branch_norms(model, images)
    allowed = f"0 to {len(norms)}, the blocks of model.skip=add whose shortcut is the identity"
    check_range("start.prune=blocks with start.prune_count", count, 0 <= count <= len(norms), allowed)
    names = order(norms, generator)
    drop_blocks(model, names[:count])
    return {name: norms[name] for name in names}


def drop_blocks(model: nn.Module, names: list[str]) -> None:
    """Replaces blocks of `model` by the identity."""
    for name in names:
        model.set_submodule(name, nn.Identity())


def magnitude(model: nn.Module, layers: Layers, images: Tensor, noise: Noise, generator: Generator) -> list[Tensor]:
    """|a|, ranked in all layers together (Han et al. 2015)."""
    return [layer.weight.detach().abs() for layer in layers.values()]


def curvature(model: nn.Module, layers: Layers, images: Tensor, noise: Noise, generator: Generator) -> list[Tensor]:
    """a^2 / [H^-1]_ii for a diagonal H, which is a^2 H_ii (LeCun et al. 1990; Hassibi and Stork 1993).

    At a minimum the loss rises by half of it when the weight a is removed and no other changes. H is the Gauss-Newton
    matrix of the mean loss, mean_i J_i^T S_i J_i, with J the derivative of an example's outputs by the weights and S
    the Hessian of its loss by the outputs: never negative, and the Fisher matrix for cross-entropy (Martens 2020). Its
    diagonal is the mean of (J_i^T r_i)^2 over random r_i with E[r_i r_i^T] = S_i. The derivative by the mask m at 1 of
    m a is a times that by a, which gives a^2 H_ii for the weight as it is used, standardised or not.
    """
    masks = {f"{name}.{mask_place(layer)}".lstrip("."): mask_of(layer) for name, layer in layers.items()}
    sums = {place: torch.zeros_like(mask) for place, mask in masks.items()}

    def along(masks: dict[str, Tensor], image: Tensor, r: Tensor) -> Tensor:
        return (functional_call(model, masks, (image.unsqueeze(0),)).squeeze(0) * r).sum()

    one_by_one = grad(along)
    together = vmap(one_by_one, (None, 0, 0), randomness="different")  # for a user's layers that draw in evaluation

    def gradients(masks: dict[str, Tensor], part: Tensor, r: Tensor) -> dict[str, Tensor]:
        try:
            return together(masks, part, r)
        except RuntimeError:  # a layer that vmap does not know, as RReLU
            each = [one_by_one(masks, image, row) for image, row in zip(part, r, strict=True)]
            return {place: torch.stack([one[place] for one in each]) for place in masks}

    for part in images.split(CHUNK):
        with torch.no_grad():
            r = noise(model(part), generator)  # (n, k)
        for place, each in gradients(masks, part, r).items():
            sums[place] += each.detach().square().sum(0)
    return [total / len(images) for total in sums.values()]


def random_weight(model: nn.Module, layers: Layers, images: Tensor, noise: Noise, generator: Generator) -> list[Tensor]:
    """Any weight, drawn with the run's seed."""
    weights = [layer.weight for layer in layers.values()]
    return [torch.rand(weight.shape, generator=generator).to(weight.device) for weight in weights]


SALIENCIES: dict[str, Callable[[nn.Module, Layers, Tensor, Noise, Generator], list[Tensor]]] = {
    "magnitude": magnitude,
    "curvature": curvature,
    "random": random_weight,
}


def cross_entropy_noise(logits: Tensor, generator: Generator) -> Tensor:
    """e_y - p with y drawn from p = softmax(logits): S = diag(p) - p p^T."""
    p = logits.softmax(1)
    labels = torch.multinomial(p.cpu(), 1, generator=generator).to(p.device)  # (n, 1)
    return torch.zeros_like(p).scatter_(1, labels, 1.0) - p


def mse_noise(outputs: Tensor, generator: Generator) -> Tensor:
    """sqrt(2 / k) times random signs: S = 2 / k I, as the loss is the mean over k outputs; exact for one output."""
    signs = torch.randint(0, 2, outputs.shape, generator=generator).to(outputs) * 2 - 1
    return signs * math.sqrt(2 / outputs.shape[1])


NOISES: dict[str, Noise] = {"cross_entropy": cross_entropy_noise, "mse": mse_noise}
"""Draws for the curvature of each loss."""


def prune_weights(
    model: nn.Module, layers: Layers, by: str, frac: float, images: Tensor, noise: Noise, generator: Generator
) -> tuple[int, int]:
    """Masks the share `frac` of the weights of `layers`, least salient first, ranked in all layers together.

    Weights pruned before count first and stay pruned. Saliency is measured in evaluation mode.

    Args:
        model: the net.
        layers: its conv and linear layers that may lose weights.
        by: a key of `SALIENCIES`.
        frac: share of weights, in [0, 1); the number of weights is rounded as torch does.
        images: examples (n, ...) for `curvature`.
        noise: the value of `NOISES` for the loss.
        generator: for `random`, and the draws of `noise`.

    Returns:
        How many weights are zero, and how many there are.

    Raises:
        UserError: an unknown saliency, or no layer to prune.
    """
    saliency = choose("start.prune_by", by, SALIENCIES)
    if not layers:
        raise UserError("start.prune=weights: there is no conv or linear layer to prune")
    for layer in layers.values():
        mask_weights(layer, torch.ones_like(layer.weight))
    training = model.training
    model.eval()
    scores = saliency(model, layers, images, noise, generator)
    model.train(training)
    masks = [mask_of(layer) for layer in layers.values()]
    flat = torch.cat([torch.where(mask == 0, -1.0, s).flatten() for s, mask in zip(scores, masks, strict=True)])
    keep = torch.ones_like(flat)
    keep[flat.topk(round(frac * len(flat)), largest=False).indices] = 0.0
    sizes = [mask.numel() for mask in masks]
    for layer, mask, part in zip(layers.values(), masks, keep.split(sizes), strict=True):
        mask_weights(layer, part.view_as(mask))
    return sum(int((mask == 0).sum()) for mask in masks), sum(sizes)
