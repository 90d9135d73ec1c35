"""Transfer: loads one net's weights into another, and freezes the body while the classifier learns."""

from collections.abc import Mapping

from torch import Tensor, nn

from lab.errors import UserError
from lab.nets.prune import drop_blocks
from lab.nets.weights import mask_weights


def is_head(name: str) -> bool:
    """Whether a module or parameter belongs to the classifier or to an auxiliary head (`aux`, `aux1`, ...)."""
    return any(part == "classifier" or part.startswith("aux") for part in name.split("."))


def check_head(model: nn.Module, why: str) -> None:
    """Raises `UserError` if no module of `model` is named `classifier`, as body and head are then the same."""
    if not any(is_head(name) for name, _ in model.named_modules()):
        raise UserError(
            f"{why} needs a net with a module named `classifier`, which tells head from body; this has none"
        )


def restructure(model: nn.Module, state: Mapping[str, Tensor], dropped: list[str]) -> None:
    """Prunes a fresh `model` like the net that saved `state`: removes the blocks `dropped`, adds the masks."""
    there = dict(model.named_modules())
    drop_blocks(model, [name for name in dropped if name in there])
    for key, mask in state.items():
        name, _, rest = key.partition(".parametrizations.weight.")
        layer = there.get(name)
        if rest.endswith(".mask") and isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.shape == mask.shape:
            mask_weights(layer, mask.to(next(model.parameters()).device))


def misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Why `state` does not fit a net with the weights `own`, a phrase for each weight; empty if it fits."""
    found = []
    for key in [*own, *(key for key in state if key not in own)]:
        here, there = (tuple(one[key].shape) if key in one else None for one in (own, state))
        if here != there:
            found.append(f"{key} is {there or 'missing'} there and {here or 'missing'} here")
    return found


class Freeze:
    """Freezes the body of a net until a step: no gradients, and norms and drops in evaluation mode.

    A function of the step alone, called before each one, so that a resumed run does the same.
    """

    def __init__(self, model: nn.Module, until: int | None):
        """
        Args:
            model: a net with a module named `classifier`.
            until: the first step, counted from 0, that trains all of it; never if None.
        """
        heads = [name for name, _ in model.named_modules() if is_head(name)]
        # A module that contains a head stays in training mode: it may call the head in that mode only.
        self.modules = [
            module
            for name, module in model.named_modules()
            if name and not is_head(name) and not any(head.startswith(f"{name}.") for head in heads)
        ]
        self.parameters = [p for name, p in model.named_parameters() if p.requires_grad and not is_head(name)]
        self.until = until

    def __call__(self, step: int) -> None:
        """Prepares the net for optimizer step `step`, counted from 0."""
        trained = self.until is not None and step >= self.until
        for module in self.modules:
            module.training = trained
        for parameter in self.parameters:
            parameter.requires_grad_(trained)
