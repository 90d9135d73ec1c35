"""Activations by name."""

from torch import nn

from lab.nets.parts import Part, Shape


def identity(shape: Shape) -> nn.Module:
    """x: no activation."""
    return nn.Identity()


def relu(shape: Shape) -> nn.Module:
    """max(0, x) (Nair and Hinton 2010)."""
    return nn.ReLU()


def leaky_relu(shape: Shape) -> nn.Module:
    """x where x > 0, else 0.01 x (Maas et al. 2013)."""
    return nn.LeakyReLU(0.01)


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


def sigmoid(shape: Shape) -> nn.Module:
    """1 / (1 + exp(-x))."""
    return nn.Sigmoid()


def tanh(shape: Shape) -> nn.Module:
    """The hyperbolic tangent."""
    return nn.Tanh()


ACTS: dict[str, Part] = {
    "identity": identity,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "silu": silu,
    "sigmoid": sigmoid,
    "tanh": tanh,
}
