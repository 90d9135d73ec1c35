"""Activations by name."""

import torch
from torch import Tensor, nn

from lab.nets.parts.part import Part, Shape


class NoisyReLU(nn.Module):
    """max(0, x + e) with e of zero mean and variance sigmoid(x), drawn anew for every unit; max(0, x) in evaluation.

    The noise counts as a constant: no gradient runs through its variance (Nair and Hinton 2010, section 2).
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x + torch.randn_like(x) * x.detach().sigmoid().sqrt()
        return x.relu()


class ScaledTanh(nn.Module):
    """1.7159 tanh(2 x / 3), which maps -1 and 1 to themselves (LeCun et al. 1998, section 4.4)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)


class TanhLinear(nn.Module):
    """tanh(x) + slope x, whose derivative is never below slope (LeCun et al. 1998, section 4.4)."""

    def __init__(self, slope: float):
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh() + self.slope * x

    def extra_repr(self) -> str:
        return f"slope={self.slope}"


class Maxout(nn.Module):
    """max(w1 x + b1, w2 x + b2), with slopes and offsets for each channel; starts as ReLU.

    Goodfellow et al. 2013 take the larger of pairs of units, which halves the channels. Here both pieces see one
    unit, so that the shape stays and the width of an arm means the same under every activation.
    """

    def __init__(self, channels: int):
        super().__init__()
        # One dimension of 2c, so that weight decay leaves it alone; first all w1, then all w2.
        self.weight = nn.Parameter(torch.empty(2 * channels))
        self.bias = nn.Parameter(torch.empty(2 * channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Slopes 1 and 0, offsets 0: max(x, 0)."""
        nn.init.ones_(self.weight[: len(self.weight) // 2])
        nn.init.zeros_(self.weight[len(self.weight) // 2 :])
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        each = (-1, *[1] * (x.ndim - 2))  # (c, 1, 1), or (c,)
        w1, w2 = (w.view(each) for w in self.weight.chunk(2))
        b1, b2 = (b.view(each) for b in self.bias.chunk(2))
        return torch.maximum(w1 * x + b1, w2 * x + b2)

    def extra_repr(self) -> str:
        return str(len(self.weight) // 2)


class Gaussian(nn.Module):
    """exp(-x^2 / 2), the Gaussian kernel of x and 0."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-x.square() / 2)


class Laplace(nn.Module):
    """exp(-|x|), the Laplace kernel of x and 0."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-x.abs())


class InverseQuadratic(nn.Module):
    """1 / (1 + x^2), the rational quadratic kernel of x and 0."""

    def forward(self, x: Tensor) -> Tensor:
        return (1 + x.square()).reciprocal()


class Sine(nn.Module):
    """sin(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


def identity(shape: Shape) -> nn.Module:
    """x: no activation."""
    return nn.Identity()


def relu(shape: Shape) -> nn.Module:
    """max(0, x) (Nair and Hinton 2010)."""
    return nn.ReLU()


def leaky_relu(shape: Shape) -> nn.Module:
    """x where x > 0, else 0.01 x (Maas et al. 2013)."""
    return nn.LeakyReLU(0.01)


def prelu(shape: Shape) -> nn.Module:
    """x where x > 0, else a x, with a learnt for each channel from 0.25 (He et al. 2015)."""
    return nn.PReLU(shape[0])


def rrelu(shape: Shape) -> nn.Module:
    """x where x > 0, else a x, a from U(1/8, 1/3) at each unit, their mean in evaluation (Xu et al. 2015)."""
    return nn.RReLU()


def noisy_relu(shape: Shape) -> nn.Module:
    """max(0, x + e), e ~ N(0, variance sigmoid(x)); no noise in evaluation (Nair and Hinton 2010)."""
    return NoisyReLU()


def elu(shape: Shape) -> nn.Module:
    """x where x > 0, else exp(x) - 1 (Clevert et al. 2016)."""
    return nn.ELU()


def selu(shape: Shape) -> nn.Module:
    """Scaled ELU whose activations keep zero mean and unit variance (Klambauer et al. 2017)."""
    return nn.SELU()


def gelu(shape: Shape) -> nn.Module:
    """x Phi(x), with Phi the normal distribution function (Hendrycks and Gimpel 2016)."""
    return nn.GELU()


def silu(shape: Shape) -> nn.Module:
    """x sigmoid(x), also called swish (Elfwing et al. 2018)."""
    return nn.SiLU()


def mish(shape: Shape) -> nn.Module:
    """x tanh(log(1 + exp(x))) (Misra 2020)."""
    return nn.Mish()


def softplus(shape: Shape) -> nn.Module:
    """log(1 + exp(x)), a smooth ReLU (Dugas et al. 2001)."""
    return nn.Softplus()


def sigmoid(shape: Shape) -> nn.Module:
    """1 / (1 + exp(-x))."""
    return nn.Sigmoid()


def tanh(shape: Shape) -> nn.Module:
    """The hyperbolic tangent."""
    return nn.Tanh()


def scaled_tanh(shape: Shape) -> nn.Module:
    """1.7159 tanh(2 x / 3), which maps -1 and 1 to themselves (LeCun et al. 1998)."""
    return ScaledTanh()


def tanh_linear(shape: Shape) -> nn.Module:
    """tanh(x) + 0.01 x, which has no flat spots (LeCun et al. 1998)."""
    return TanhLinear(0.01)


def hard_sigmoid(shape: Shape) -> nn.Module:
    """x / 6 + 1 / 2, cut to [0, 1]."""
    return nn.Hardsigmoid()


def hard_tanh(shape: Shape) -> nn.Module:
    """x, cut to [-1, 1]."""
    return nn.Hardtanh()


def hard_swish(shape: Shape) -> nn.Module:
    """x times hard_sigmoid(x) (Howard et al. 2019)."""
    return nn.Hardswish()


def maxout(shape: Shape) -> nn.Module:
    """The larger of two learnt lines in x, a pair for each channel; starts as ReLU (after Goodfellow et al. 2013)."""
    return Maxout(shape[0])


def gaussian(shape: Shape) -> nn.Module:
    """exp(-x^2 / 2), the Gaussian kernel (Broomhead and Lowe 1988; Ramasinghe and Lucey 2022)."""
    return Gaussian()


def laplace(shape: Shape) -> nn.Module:
    """exp(-|x|), the Laplace kernel, with a kink at 0 (Ramasinghe and Lucey 2022)."""
    return Laplace()


def inverse_quadratic(shape: Shape) -> nn.Module:
    """1 / (1 + x^2), the rational quadratic kernel (Ramasinghe and Lucey 2022)."""
    return InverseQuadratic()


def sine(shape: Shape) -> nn.Module:
    """sin(x), which neither rises nor falls everywhere (Lapedes and Farber 1987; Sitzmann et al. 2020)."""
    return Sine()


def softmax(shape: Shape) -> nn.Module:
    """exp(x) / its sum across channels (or features): a mistake inside a net, included to show it."""
    return nn.Softmax(1)


ACTS: dict[str, Part] = {
    "identity": identity,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "prelu": prelu,
    "rrelu": rrelu,
    "noisy_relu": noisy_relu,
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "silu": silu,
    "mish": mish,
    "softplus": softplus,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "scaled_tanh": scaled_tanh,
    "tanh_linear": tanh_linear,
    "hard_sigmoid": hard_sigmoid,
    "hard_tanh": hard_tanh,
    "hard_swish": hard_swish,
    "maxout": maxout,
    "gaussian": gaussian,
    "laplace": laplace,
    "inverse_quadratic": inverse_quadratic,
    "sine": sine,
    "softmax": softmax,
}
