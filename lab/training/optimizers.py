"""Optimizers by name: torch's wherever it has one, for two groups of parameters, with and without weight decay."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.config import OptimizerConfig
from lab.errors import choose
from lab.system.deferred import defer_dynamo
from lab.training.penalties import decayed

Groups = list[dict[str, Any]]


class SignSGD(Optimizer):
    """w - lr (sign(g) + weight_decay w): all weights move by the same length (Bernstein et al. 2018)."""

    def __init__(self, groups: Groups, lr: float):
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step for every parameter that has a gradient; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(weight.grad.sign(), alpha=group["lr"])


class Lion(Optimizer):
    """w - lr (sign(beta1 m + (1 - beta1) g) + weight_decay w), then m = beta2 m + (1 - beta2) g (Chen et al. 2023)."""

    def __init__(self, groups: Groups, lr: float, betas: tuple[float, float]):
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step for every parameter that has a gradient; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for weight in group["params"]:
                if weight.grad is not None:
                    state = self.state[weight]
                    mean = state["mean"] if state else state.setdefault("mean", torch.zeros_like(weight))
                    sign = mean.lerp(weight.grad, 1 - beta1).sign_()
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(sign, alpha=group["lr"])
                    mean.lerp_(weight.grad, 1 - beta2)


class MuonAdamW(Optimizer):
    """torch's Muon on the groups with `muon` set, each weight flattened to a matrix (out, the rest); AdamW on the rest.

    Both take the same rate: Muon's step is scaled to the root mean square of an AdamW step, 0.2 lr an entry
    (`adjust_lr_fn="match_rms_adamw"`, Liu et al. 2025), not by Jordan's sqrt(max(1, out / rest)), which needs
    another learning rate. Weight decay is decoupled in both.
    """

    def __init__(self, groups: Groups, lr: float, momentum: float):
        # `fused` makes `load_state_dict` put the step counts where the fused AdamW expects them.
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "fused": True})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step for every parameter that has a gradient; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
            # torch's optimizers are created at every step, which takes microseconds: the state stays in this one, which
            # therefore saves and loads like any other.
            if not group["muon"]:
                adamw = torch.optim.AdamW(weights, lr, (momentum, 0.999), weight_decay=decay, fused=True)
                adamw.state.update({weight: self.state[weight] for weight in weights})
                adamw.step()
                continue
            matrices = [weight.detach().flatten(1).clone() for weight in weights]  # (out, in k k)
            muon = torch.optim.Muon(matrices, lr, decay, momentum=momentum, adjust_lr_fn="match_rms_adamw")
            for weight, matrix in zip(weights, matrices, strict=True):
                matrix.grad = weight.grad.flatten(1)
                muon.state[matrix] = self.state[weight]
            muon.step()
            for weight, matrix in zip(weights, matrices, strict=True):
                weight.copy_(matrix.view(weight.shape))


def start_late(optimizer: torch.optim.SGD) -> torch.optim.SGD:
    """Gives weights whose first gradient comes late, as frozen ones, the momentum 0 that torch's fused SGD wants."""

    def fill(*_: Any) -> None:
        state = optimizer.state
        if not 0 < len(state) < sum(len(group["params"]) for group in optimizer.param_groups):
            return
        for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
            if weight.grad is not None and weight not in state:
                state[weight]["momentum_buffer"] = torch.zeros_like(weight)

    optimizer.register_step_pre_hook(fill)
    return optimizer


def sgd(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """w - lr g, without momentum."""
    return torch.optim.SGD(groups, lr, fused=True)


def momentum_sgd(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """v = momentum v + g; w - lr v (Polyak 1964; heavy ball)."""
    return start_late(torch.optim.SGD(groups, lr, momentum, fused=True))


def nag(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """Nesterov's accelerated gradient, in the form of Sutskever et al. 2013."""
    return start_late(torch.optim.SGD(groups, lr, momentum, nesterov=True, fused=True))


def adagrad(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """w - lr g / sqrt(sum of all g^2 so far) (Duchi et al. 2011)."""
    on_cpu = all(weight.device.type == "cpu" for group in groups for weight in group["params"])
    return torch.optim.Adagrad(groups, lr, fused=on_cpu)  # torch's fused version is for CPUs only


def adadelta(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """w - lr g RMS(steps so far) / RMS(g), running means of rate 0.9; lr is 1 in the paper (Zeiler 2012)."""
    return torch.optim.Adadelta(groups, lr, rho=0.9)


def rmsprop(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """w - lr g / sqrt(running mean of g^2, rate 0.99), without momentum (Tieleman and Hinton 2012)."""
    return torch.optim.RMSprop(groups, lr, alpha=0.99)


def adam(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """Adam (Kingma and Ba 2015), beta2 0.999, weight decay coupled."""
    return torch.optim.Adam(groups, lr, (momentum, 0.999), fused=True)


def adamw(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(groups, lr, (momentum, 0.999), fused=True)


def nadam(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """Adam with Nesterov's momentum, beta2 0.999, weight decay coupled (Dozat 2016)."""
    return torch.optim.NAdam(groups, lr, (momentum, 0.999))


def sign_sgd(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """w - lr sign(g), without momentum, weight decay decoupled (Bernstein et al. 2018)."""
    return SignSGD(groups, lr)


def lion(groups: Groups, lr: float, momentum: float) -> Optimizer:
    """w - lr sign(momentum m + (1 - momentum) g), m a mean of g at 0.99; decay decoupled (Chen et al. 2023)."""
    return Lion(groups, lr, (momentum, 0.99))


def muon(groups: Groups, lr: float, momentum: float, outputs: Sequence[Tensor]) -> Optimizer:
    """Momentum made orthogonal on hidden weights (Jordan 2024); AdamW on biases, norms and classifiers' weights.

    Without a module named `classifier` that is the last weight; of auxiliary heads it is all weights.
    """
    kept = {id(weight) for weight in outputs}
    cut: Groups = []
    for group in groups:
        hidden = [weight for weight in group["params"] if weight.ndim >= 2 and id(weight) not in kept]
        others = [weight for weight in group["params"] if weight.ndim < 2 or id(weight) in kept]
        cut += [{**group, "params": hidden, "muon": True}, {**group, "params": others, "muon": False}]
    return MuonAdamW([group for group in cut if group["params"]], lr, momentum)


def output_weights(model: nn.Module) -> list[Tensor]:
    """The weight that makes the outputs of `model`, and those of auxiliary heads (modules named `aux...`)."""
    named = [(name.split("."), weight) for name, weight in model.named_parameters() if weight.ndim >= 2]
    beside = [weight for path, weight in named if any(part.startswith("aux") for part in path)]
    main = [(path, weight) for path, weight in named if not any(part.startswith("aux") for part in path)]
    last = [weight for path, weight in main if "classifier" in path] or [weight for _, weight in main]
    return [*beside, *last[-1:]]


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": sgd,
    "momentum": momentum_sgd,
    "nag": nag,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
    "nadam": nadam,
    "sign_sgd": sign_sgd,
    "lion": lion,
    "muon": muon,
}


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """The optimizer of `config` for every parameter of `model`, each in exactly one group.

    Weight decay acts on weights of two dimensions or more, not on biases and norms.

    Raises:
        UserError: an unknown name.
    """
    defer_dynamo()  # which the optimizer would load, for as long as torch itself
    make = choose("optimizer.name", config.name, OPTIMIZERS, Optimizer)
    parameters = list(model.parameters())
    weights = decayed(model)
    plain = [p for p in parameters if p.ndim < 2]
    assert len(weights) + len(plain) == len(parameters)
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    more = {"outputs": output_weights(model)} if make is muon else {}
    return make([group for group in groups if group["params"]], config.lr, config.momentum, **more)
