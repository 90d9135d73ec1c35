"""Monte-Carlo dropout: many passes with dropout active, and the spread of their predictions."""

import copy
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode

from lab.errors import UserError, check_range
from lab.identity import derive_seed
from lab.nets.parts.drops import GaussianDropout, VanillaDropout
from lab.system.vision import torchvision

LEVEL = 0.95
"""Share of the passes between the lower and the upper end of an interval."""

ROWS = 128
"""Maximum rows of a forward pass: memory grows with it, and the draws of a seed depend on it."""

GROUP = 64
"""Examples whose passes are held at once before they are summed up."""


@dataclass(frozen=True)
class Prediction:
    """Statistics of the passes for n examples, in float64 on the CPU."""

    mean: Tensor  # (n, k): the mean probability of each class, or of each output of a regression
    std: Tensor  # (n, k): its standard deviation across passes
    lower: Tensor  # (n,): quantile (1 - LEVEL) / 2 of the predicted class's probability, or of the first output
    upper: Tensor  # (n,): quantile (1 + LEVEL) / 2
    entropy: Tensor  # (n,): predictive entropy, nats; nan for a regression
    mutual_information: Tensor  # (n,): of prediction and weights (BALD), nats; nan for a regression


def mc_predict(model: nn.Module, images: Tensor, passes: int, seed: int, regression: bool = False) -> Prediction:
    """Mean and spread of `passes` predictions with all drops of `model` active (Gal and Ghahramani 2016).

    With p_t = softmax(logits of pass t): mean p = 1/T sum_t p_t, predictive entropy H(p) = -sum_c p_c ln p_c, and
    mutual information H(p) - 1/T sum_t H(p_t), the part of it that comes from uncertain weights (Houlsby et al.
    2011). Only the drops are in training mode: norms use their running statistics, noisy activations add no noise.
    `vanilla` dropout stays unscaled, as in training; its mean is what its evaluation computes.

    A pass is the same draw for every example, so that an example's result depends on itself and the seed alone, not on
    the rest of the batch; nets that drop both weights and units are the exception. A seed gives the same result on one
    kind of device; the generators of GPU and CPU draw different numbers.

    Args:
        model: any net; its modes are put back afterwards.
        images: examples (n, ...), scaled, on the net's device.
        passes: T, at least 1; 1 is the plain prediction, with the drops off and no spread.
        seed: decides the draws; the global generators are left as they were.
        regression: whether the outputs are the prediction itself, rather than logits.

    Raises:
        UserError: `passes` is below 1, or above it for a net that drops nothing.

    Warns:
        UserWarning: dropping that only the user's training mode reaches, and which is not sampled.
    """
    check_range("passes", passes, passes >= 1, "1 or more")
    check_sampled(model, images, passes)
    summarise = of_outputs if regression else of_logits
    parts = [summarise(outputs) for outputs in sample(model, images, passes, seed)]
    return Prediction(*(torch.cat([getattr(part, name) for part in parts]) for name in Prediction.__annotations__))


def check_sampled(model: nn.Module, images: Tensor, passes: int, key: str = "passes") -> None:
    """Raises `UserError` where several passes through `model` would all be the same, and warns of what is not sampled;
    see `mc_predict`.

    Args:
        model: any net.
        images: one or more (n, ...), on its device.
        passes: how many are asked for.
        key: what asks for them, for the message.
    """
    sampled, missed = calls(model, images[:1].expand(2, *images.shape[1:])) if passes > 1 else (0, [])
    if missed:
        warnings.warn(
            f"{key}={passes}: {', '.join(missed)} of the net's own code acts in training mode alone and is not "
            "sampled; call F.dropout(x, p, self.training) in all modes, or use nn.Dropout",
            stacklevel=3,
        )
    if passes > 1 and not sampled and not drops(model):
        raise UserError(
            f"{key}={passes}: the net has no active dropout (a word `drop` with a rate above 0), so all passes would "
            "be the same and every interval zero; allowed: 1, the plain prediction"
        )


def of_logits(logits: Tensor) -> Prediction:
    """The prediction from the logits (n, passes, k) of a classification."""
    p = logits.softmax(2)
    mean = p.mean(1)  # (n, k)
    chosen = p.gather(2, mean.argmax(1).view(-1, 1, 1).expand(-1, p.shape[1], 1)).squeeze(2)  # (n, passes)
    entropy = torch.special.entr(mean).sum(1)
    expected = torch.special.entr(p).sum(2).mean(1)
    lower, upper = _ends(chosen)
    return Prediction(mean, _std(p), lower, upper, entropy, (entropy - expected).clamp_min(0))


def of_outputs(outputs: Tensor) -> Prediction:
    """The prediction from the outputs (n, passes, k) of a regression; the interval is that of the first one."""
    lower, upper = _ends(outputs[:, :, 0])
    unknown = torch.full_like(lower, torch.nan)
    return Prediction(outputs.mean(1), _std(outputs), lower, upper, unknown, unknown)


@torch.no_grad()
def sample(model: nn.Module, images: Tensor, passes: int, seed: int) -> Iterator[Tensor]:
    """The outputs of all passes, (at most GROUP examples, passes, k) float64 on the CPU at a time."""
    devices = [images.device] if images.device.type == "cuda" else []
    with modes_kept(model), torch.random.fork_rng(devices), sampling() if passes > 1 else nullcontext():
        model.eval()
        if passes > 1:
            for module in drops(model):
                module.train()
        whole = any(_drops_weights(module) for module in model.modules())
        for group in images.split(GROUP):
            rows = _by_pass(model, group, passes, seed) if whole else _by_example(model, group, passes, seed)
            yield rows.cpu().double()


def _by_example(model: nn.Module, images: Tensor, passes: int, seed: int) -> Tensor:
    """(n, passes, k): the passes of one example are the rows of a batch, and each row drops different units.

    `dropblock` scales by the mean of a batch, here by the mean of these rows.
    """
    outputs = []
    for image in images:
        for start in range(0, passes, ROWS):
            _seed_global(derive_seed(seed, "passes", start), images.device)
            outputs.append(model(image.expand(min(ROWS, passes - start), *image.shape)))
    return torch.cat(outputs).view(len(images), passes, -1)


def _by_pass(model: nn.Module, images: Tensor, passes: int, seed: int) -> Tensor:
    """(n, passes, k): one forward pass for each draw of weights, with all examples."""
    outputs = []
    for one in range(passes):
        _seed_global(derive_seed(seed, "pass", one), images.device)
        outputs.append(model(images))
    return torch.stack(outputs, 1)


def _seed_global(seed: int, device: torch.device) -> None:
    """Seeds the generator that layers on `device` draw from; `torch.manual_seed` seeds them all, which takes 0.3 ms."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def drops(model: nn.Module) -> list[nn.Module]:
    """Modules of `model` that drop at a rate above 0: the lab's, torch's, and a user's own in a word `drop`."""
    ops = torchvision().ops
    kinds = (_DropoutNd, GaussianDropout, VanillaDropout, ops.StochasticDepth, ops.DropBlock2d)
    found = []
    for name, module in model.named_modules():
        own = name.rpartition(".")[2].rstrip("0123456789") == "drop"
        if isinstance(module, kinds) or (own and not any(module.children())):
            rate = getattr(module, "p", getattr(module, "rate", None))
            found += [module] if rate is None or rate > 0 else []
        elif isinstance(module, nn.MultiheadAttention) or (isinstance(module, nn.RNNBase) and module.num_layers > 1):
            found += [module] if module.dropout > 0 else []
    return found


FUNCTIONS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout)
"""What drops units as a function, `(x, p, training)`."""


class Functions(TorchFunctionMode):
    """Counts calls of what drops at a rate above 0, and calls it in training mode, whatever mode its module is in."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FUNCTIONS:
            rate = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
            self.calls[func.__name__] += rate > 0
            flag = "train" if func is torch.dropout else "training"
            args, kwargs = (*args[:2], *([True] if len(args) > 2 else []), *args[3:]), dict(kwargs)
            if len(args) < 3:
                kwargs[flag] = True
        elif func is F.scaled_dot_product_attention:
            rate = args[4] if len(args) > 4 else kwargs.get("dropout_p", 0.0)
            self.calls[func.__name__] += rate > 0
        return func(*args, **kwargs)


@contextmanager
def sampling() -> Iterator[Functions]:
    """While it lasts, functions that drop do so in every mode, and attention leaves torch's path without dropout."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with Functions() as functions:
            yield functions
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@torch.no_grad()
def calls(model: nn.Module, images: Tensor) -> tuple[int, list[str]]:
    """How often functions drop as `sample` runs the net, and those that only its training mode calls, on `images`.

    Only code from elsewhere is asked: modules of torch and of the lab drop in modules.
    """
    if all(type(module).__module__.partition(".")[0] in ("torch", "lab") for module in model.modules()):
        return 0, []
    with modes_kept(model), torch.random.fork_rng([images.device] if images.device.type == "cuda" else []):
        model.eval()
        for module in drops(model):
            module.train()
        with sampling() as sampled:
            model(images)
        twin = copy.deepcopy(model).train()
        for module in twin.modules():  # so few examples may have no statistics
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.eval()
        with sampling() as trained:
            twin(images)
    return sampled.calls.total(), list(trained.calls - sampled.calls)


def _drops_weights(module: nn.Module) -> bool:
    return isinstance(module, ParametrizationList) and any(isinstance(step, nn.Dropout) for step in module)


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Puts every module of `model` back into training or evaluation mode as it was."""
    before = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _std(values: Tensor) -> Tensor:
    """Standard deviation across passes (n, passes, k), with n - 1; 0 for a single one."""
    return values.std(1) if values.shape[1] > 1 else torch.zeros_like(values[:, 0])


def _ends(values: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper end of the interval of each row of (n, passes)."""
    lower, upper = torch.quantile(values, torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=values.dtype), 1)
    return lower, upper
