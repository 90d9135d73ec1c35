"""Layer-sequential unit variance: the scale of every layer, measured on a batch of images."""

import warnings

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from lab.nets.auxiliary import WithAuxiliaries
from lab.nets.weights import Standardise

CONSTANT = 1e-10
"""Variance of a layer's outputs, as a share of their mean square, up to which it counts as rounding error."""


@torch.no_grad()
def scale_to_unit_variance(model: nn.Module, images: Tensor) -> None:
    """Divides the weight of each convolution and linear layer by the standard deviation of its outputs on `images`.

    Layers come in the order in which they act, each when those before it have been scaled, so one pass does it all
    (Mishkin and Matas 2016, algorithm 1; a bias of zero makes the outputs proportional to the weight, and their
    repetition up to a tolerance of 0.1 needless). As in the paper that holds for all layers, the classifier, shortcuts,
    gates and auxiliary classifiers included; the variance is that of all outputs of a layer together.

    Dropout and the like are off, batch norms use the statistics of the batch; neither their running statistics nor the
    global generator change. A layer whose outputs are all equal, or not finite, and one that does not act, keeps its
    weight; so does one with standardised weights, whose scale has no effect, with a warning.

    Args:
        model: a net that starts orthogonally, with biases of zero.
        images: training images (n, c, h, w), or features (n, f), on the model's device.
    """
    modules = list(model.modules())
    norms = [module for module in modules if isinstance(module, _BatchNorm)]
    training, tracking = [module.training for module in modules], [norm.track_running_stats for norm in norms]
    handles = _scale_when_called(model)
    try:
        for module in modules:
            # A norm in training uses the batch; a net with auxiliary classifiers calls them.
            module.training = isinstance(module, _BatchNorm | WithAuxiliaries)
        for norm in norms:
            norm.track_running_stats = False  # leaves its running statistics unchanged
        with torch.random.fork_rng(devices=[]):
            model(images)
    finally:
        for handle in handles:
            handle.remove()
        for module, was in zip(modules, training, strict=True):
            module.training = was
        for norm, was in zip(norms, tracking, strict=True):
            norm.track_running_stats = was


def _scale_when_called(model: nn.Module) -> list[RemovableHandle]:
    """Adds hooks that scale each layer, and its outputs, at its first call."""
    done: set[nn.Module] = set()

    def scale(layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        if layer in done:
            return outputs
        done.add(layer)
        values = outputs.double()
        std = values.std(correction=0)
        if not torch.isfinite(std) or std.square() <= CONSTANT * values.square().mean():
            return outputs
        weight = dict(layer.named_parameters()).get("parametrizations.weight.original", layer.weight)
        assert isinstance(weight, Tensor)
        weight /= std
        return (values / std).to(outputs.dtype)

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    fixed = [layer for layer in layers if any(isinstance(module, Standardise) for module in layer.modules())]
    if fixed:
        warnings.warn(
            f"model.init=lsuv leaves {len(fixed)} of {len(layers)} layers as they start, orthogonal: "
            f"model.weight_std=true sets the scale of their weights at every use",
            stacklevel=4,
        )
    return [layer.register_forward_hook(scale) for layer in layers if layer not in fixed]
