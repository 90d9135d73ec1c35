"""Proofs that two nets are one function: the known identities are found, and no proof is wrong."""

import random

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lab.checks.proof import Proof, form_of, prove
from lab.config import ModelConfig
from lab.errors import UserError
from lab.nets.recipe import build

IMAGES = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
POOL = "max pooling and an activation that never decreases commute"


def net(block: str, **keys: object) -> nn.Module:
    settings: dict[str, object] = {"widths": [4, 5], "depth": 3, **keys}
    return build(ModelConfig(block=block, **settings), (2, 8, 8), 3)  # pyright: ignore[reportArgumentType]


def between(first: nn.Module, second: nn.Module) -> Proof | None:
    return prove(first, second, IMAGES)


@pytest.mark.parametrize(
    ("act", "commutes"),
    [
        *((name, True) for name in ("relu", "leaky_relu", "elu", "selu", "softplus", "sigmoid", "tanh")),
        *((name, True) for name in ("scaled_tanh", "tanh_linear", "hard_tanh", "hard_sigmoid")),
        *((name, False) for name in ("gelu", "silu", "mish", "hard_swish", "prelu", "rrelu", "noisy_relu", "softmax")),
    ],
)
def test_max_pooling_commutes_with_what_never_decreases(act: str, commutes: bool) -> None:
    proof = between(net("conv-act-pool", act=act), net("conv-pool-act", act=act))
    assert (proof is not None) == commutes
    if proof:
        assert proof.reasons == (POOL,)
        assert proof.error < 1e-10


@pytest.mark.parametrize("pool", ["avg", "max_avg", "stochastic", "stride", "blur"])
def test_other_pooling_does_not(pool: str) -> None:
    assert between(net("conv-act-pool", pool=pool), net("conv-pool-act", pool=pool)) is None


def test_nothing_commutes_across_what_is_random_or_normed() -> None:
    assert between(net("conv-drop-act-pool", drop_rate=0.5), net("conv-drop-pool-act", drop_rate=0.5)) is not None
    assert between(net("conv-act-drop-pool", drop_rate=0.5), net("conv-act-pool-drop", drop_rate=0.5)) is None
    assert between(net("conv-act-norm-pool"), net("conv-norm-act-pool")) is None


@pytest.mark.parametrize(
    ("norm", "idle"), [("batch", True), ("noisy_batch", True), ("instance", True), ("layer", False), ("group", False)]
)
def test_a_bias_before_a_norm(norm: str, idle: bool) -> None:
    proof = between(net("conv-norm-act", norm=norm), net("conv-norm-act", norm=norm, bias=False))
    assert (proof is not None) == idle
    if proof:
        assert proof.reasons == ("a bias straight before batch or instance norm does nothing",)


def test_dropout_of_nothing_and_beside_relu() -> None:
    none = between(net("conv-act-drop", drop_rate=0.0), net("conv-act"))
    assert none
    assert none.reasons == ("dropout at a rate of 0 does nothing",)
    swapped = between(net("conv-act-drop", drop_rate=0.5), net("conv-drop-act", drop_rate=0.5))
    assert swapped
    assert swapped.reasons == ("dropout and relu commute",)
    assert between(net("conv-act-drop", act="tanh"), net("conv-drop-act", act="tanh")) is None


@pytest.mark.parametrize(("widths", "depth"), [([200], 2), ([200, 130], 3), ([200, 150, 200], 4)])
def test_linear_maps_in_a_row_are_one(widths: list[int], depth: int) -> None:
    one = net("linear", widths=[], depth=1)
    proof = between(net("linear", widths=widths, depth=depth), one)
    assert proof
    assert proof.free
    assert proof.reasons == ("two linear maps in a row are one",)
    assert between(net("linear-act", widths=widths, depth=depth), one) is None


def test_a_bottleneck_is_not_one_map() -> None:
    assert between(net("linear", widths=[2], depth=2), net("linear", widths=[], depth=1)) is None


class Written(nn.Module):
    """A net as people write it, by functions."""

    def __init__(self, order: str, shared: bool = False):
        super().__init__()
        self.order = order
        self.one = nn.Conv2d(2, 4, 3, padding=1)
        self.two = self.one if shared else nn.Conv2d(2, 4, 3, padding=(1, 1), stride=1)
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.one(x), self.two(x)
        both = left + right if self.order == "plain" else right.add(left)
        if self.order == "plain":
            both = F.max_pool2d(torch.relu(both), 2)
        else:
            both = nn.functional.max_pool2d(both, kernel_size=(2, 2), stride=2).clamp(min=0)
        return self.head(both.flatten(1) if self.order == "plain" else both.view(x.shape[0], -1))


def test_functions_and_methods_are_read() -> None:
    proof = between(Written("plain"), Written("other"))
    assert proof
    assert proof.reasons == (POOL,)
    assert between(Written("plain"), Written("other", shared=True)) is None


class Odd(nn.Module):
    """A net whose output hangs on values, or on tensors that change behind its back."""

    def __init__(self, what: str):
        super().__init__()
        self.what, self.head = what, nn.Linear(128, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.what == "branch" and x.mean() > 100:
            return self.head(x.flatten(1)) * 2
        if self.what == "item":
            return self.head(x.flatten(1)) * x.max().item()
        if self.what == "written":
            x = x.clone()
            x[:, 0] = 0
        if self.what == "view":
            flat = x.flatten(1)
            x.relu_()
            return self.head(flat)
        return self.head(x.flatten(1))


@pytest.mark.parametrize("what", ["branch", "item", "written", "view"])
def test_what_is_not_understood_in_full_has_no_form(what: str) -> None:
    assert form_of(Odd(what), IMAGES) is None
    assert form_of(Odd("nothing"), IMAGES) is not None


def test_a_net_is_left_as_it_was() -> None:
    model, other = net("conv-norm-act-drop"), net("conv-norm-act")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    form_of(model, IMAGES)
    between(model, other)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())


def test_deep_nets_need_no_deep_stack() -> None:
    deep = nn.Sequential(*(layer for _ in range(400) for layer in (nn.Linear(2, 2), nn.Tanh())))
    assert prove(deep, deep, torch.randn(4, 2)) is not None


WORDS = ("conv", "norm", "act", "drop", "pool")


def random_net(draw: random.Random) -> nn.Module | None:
    """A net of a random recipe, or None where there is none."""
    block = "-".join(["conv", *draw.sample(WORDS[1:], draw.randint(0, 4))])
    try:
        return net(
            block,
            act=draw.choice(["relu", "tanh", "gelu", "leaky_relu"]),
            norm=draw.choice(["batch", "instance", "layer", "none"]),
            pool=draw.choice(["max", "avg"]),
            drop_rate=draw.choice([0.0, 0.5]),
            bias=draw.choice([True, False]),
            skip=draw.choice(["none", "add"]),
        )
    except UserError:
        return None


def outputs(model: nn.Module) -> Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return model.train()(IMAGES.double())


@pytest.mark.parametrize("seed", range(3))
def test_no_proof_of_random_pairs_is_wrong(seed: int) -> None:
    """With the same weights in the same order, the outputs of nets that are proved alike are alike."""
    draw = random.Random(seed)
    made = [model for _ in range(10) if (model := random_net(draw))]
    forms = [form_of(model, IMAGES) for model in made]
    for place, (left, form) in enumerate(zip(made, forms, strict=True)):
        for right, other in zip(made[:place], forms[:place], strict=True):
            proof = between(left, right)
            assert (proof is not None) == (form is not None and other is not None and form.normal == other.normal)
            shapes = [[value.shape for value in model.parameters()] for model in (left, right)]
            if proof and not proof.free and shapes[0] == shapes[1]:
                left, right = left.double(), right.double()
                right.load_state_dict(dict(zip(right.state_dict(), left.state_dict().values(), strict=True)))
                torch.testing.assert_close(outputs(left), outputs(right), rtol=1e-10, atol=1e-10)
