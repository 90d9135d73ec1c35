"""Every part computes what its line in the catalogue says: torch's reference, or its formula in float64."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.config import ModelConfig
from lab.errors import UserError
from lab.nets.init import initialise
from lab.nets.parts.acts import ACTS
from lab.nets.parts.drops import DROPS
from lab.nets.parts.heads import HEADS
from lab.nets.parts.norms import NORMS
from lab.nets.parts.pools import POOLS
from lab.nets.parts.skips import SKIPS, Concat, Gate
from lab.nets.recipe import build
from lab.nets.weights import DropConnect

MAPS, FEATURES = (6, 8, 8), (6,)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def double(module: nn.Module) -> nn.Module:
    return module.double().eval()


# Activations

FORMULAS: dict[str, Callable[[float], float]] = {
    "identity": lambda x: x,
    "relu": lambda x: max(0, x),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "prelu": lambda x: x if x > 0 else 0.25 * x,
    "rrelu": lambda x: x if x > 0 else (1 / 8 + 1 / 3) / 2 * x,
    "noisy_relu": lambda x: max(0, x),
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "mish": lambda x: x * math.tanh(math.log(1 + math.exp(x))),
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "scaled_tanh": lambda x: 1.7159 * math.tanh(2 * x / 3),
    "tanh_linear": lambda x: math.tanh(x) + 0.01 * x,
    "hard_sigmoid": lambda x: min(1, max(0, x / 6 + 0.5)),
    "hard_tanh": lambda x: min(1, max(-1, x)),
    "hard_swish": lambda x: x * min(1, max(0, x / 6 + 0.5)),
    "maxout": lambda x: max(x, 0),
    "gaussian": lambda x: math.exp(-(x**2) / 2),
    "laplace": lambda x: math.exp(-abs(x)),
    "inverse_quadratic": lambda x: 1 / (1 + x**2),
    "sine": math.sin,
}


def test_every_activation_has_its_formula() -> None:
    assert {*FORMULAS, "softmax"} == set(ACTS)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("shape", [(3, 5, 7), (3,)], ids=["maps", "features"])
def test_an_activation_follows_its_formula(name: str, shape: tuple[int, ...]) -> None:
    x = 3 * torch.randn(4, *shape, dtype=torch.float64)
    expected = torch.tensor([FORMULAS[name](value) for value in x.flatten().tolist()], dtype=torch.float64)
    torch.testing.assert_close(double(ACTS[name](shape))(x), expected.view_as(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 5, 7), (3,)], ids=["maps", "features"])
def test_softmax_shares_one_among_the_channels(shape: tuple[int, ...]) -> None:
    x = torch.randn(4, *shape, dtype=torch.float64)
    torch.testing.assert_close(ACTS["softmax"](shape)(x), x.exp() / x.exp().sum(1, keepdim=True))


def test_scaled_tanh_keeps_one() -> None:
    one = torch.ones(1, dtype=torch.float64)
    assert ACTS["scaled_tanh"]((1,))(one).item() == pytest.approx(1, abs=1e-4)


def test_noisy_relu_has_the_noise_of_the_paper_in_training() -> None:
    x = torch.tensor([-1.0, 0.0, 20.0]).repeat(200_000, 1)
    out = ACTS["noisy_relu"]((3,))(x)
    assert (out >= 0).all()
    # At 0 the noise has variance sigmoid(0) = 1/2, and max(0, e) of e ~ N(0, s^2) has the mean s / sqrt(2 pi).
    assert out[:, 1].mean().item() == pytest.approx(math.sqrt(0.5 / (2 * math.pi)), rel=0.02)
    assert out[:, 2].std().item() == pytest.approx(1, rel=0.01)
    assert (out[:, 0] > 0).float().mean().item() == pytest.approx(
        0.5 * math.erfc(1 / math.sqrt(2 / (1 + math.e))), abs=0.005
    )


def test_noisy_relu_passes_the_gradient_of_the_units_that_fire() -> None:
    x = torch.randn(50, 3, requires_grad=True)
    out = ACTS["noisy_relu"]((3,))(x)
    out.sum().backward()
    assert torch.equal(x.grad, (out > 0).float())  # pyright: ignore[reportArgumentType]


def test_rrelu_draws_its_slopes_in_training() -> None:
    out = ACTS["rrelu"]((1,))(torch.full((10_000, 1), -1.0))
    assert out.max() <= -1 / 8
    assert out.min() >= -1 / 3
    assert out.mean().item() == pytest.approx(-(1 / 8 + 1 / 3) / 2, rel=0.02)


@pytest.mark.parametrize("shape", [MAPS, FEATURES], ids=["maps", "features"])
def test_maxout_takes_the_larger_of_two_lines_of_each_channel(shape: tuple[int, ...]) -> None:
    act = ACTS["maxout"](shape).double()
    weight, bias = (nn.init.normal_(act.get_parameter(key)).detach() for key in ("weight", "bias"))
    x = torch.randn(4, *shape, dtype=torch.float64)
    out = act(x)
    for c in range(6):
        first, second = (weight[i] * x[:, c] + bias[i] for i in (c, 6 + c))
        torch.testing.assert_close(out[:, c], first.maximum(second))


@pytest.mark.parametrize("name", ACTS)
def test_an_activation_keeps_the_shape_and_has_a_gradient(name: str) -> None:
    act = ACTS[name](MAPS)
    x = torch.randn(2, *MAPS, requires_grad=True)
    out = act(x)
    assert out.shape == x.shape
    (out * torch.randn_like(out)).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.any()


# Norms

AXES = {  # over which mean and variance are 0 and 1: for maps, for features
    "batch": ((0, 2, 3), (0,)),
    "layer": ((1, 2, 3), (1,)),
    "instance": ((2, 3), None),
}


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("kind", ["maps", "features"])
def test_a_norm_standardises_its_axes(name: str, kind: str) -> None:
    axes = AXES[name][kind == "features"]
    if axes is None:
        pytest.skip("instance norm refuses features")
    shape = (16, 6, 6) if kind == "maps" else (64,)
    x = 3 + 2 * torch.randn(32, *shape, dtype=torch.float64)
    out = NORMS[name](shape).double()(x)
    torch.testing.assert_close(out.mean(axes), torch.zeros_like(out.mean(axes)), atol=1e-12, rtol=0)
    spread = x.var(axes, correction=0)
    torch.testing.assert_close(out.var(axes, correction=0), spread / (spread + 1e-5), rtol=1e-9, atol=0)


@pytest.mark.parametrize(("shape", "groups"), [((16, 6, 6), 8), ((12, 6, 6), 6), ((7, 6, 6), 7), ((64,), 8), ((8,), 4)])
def test_group_norm_standardises_groups(shape: tuple[int, ...], groups: int) -> None:
    x = 3 + 2 * torch.randn(5, *shape, dtype=torch.float64)
    members = NORMS["group"](shape).double()(x).reshape(5, groups, -1)
    torch.testing.assert_close(members.mean(2), torch.zeros(5, groups, dtype=torch.float64), atol=1e-12, rtol=0)
    spread = x.reshape(5, groups, -1).var(2, correction=0)
    torch.testing.assert_close(members.var(2, correction=0), spread / (spread + 1e-5), rtol=1e-9, atol=0)


@pytest.mark.parametrize("width", [1, 2, 6, 7, 8, 9])
def test_group_norm_of_features_leaves_no_unit_alone(width: int) -> None:
    norm = NORMS["group"]((width,))
    assert isinstance(norm, nn.GroupNorm)
    assert width == 1 or width // norm.num_groups > 1


def test_batch_norm_remembers_for_evaluation() -> None:
    norm = NORMS["batch"](MAPS).double()
    x = 3 + 2 * torch.randn(32, *MAPS, dtype=torch.float64)
    norm(x)
    mean, variance = 0.1 * x.mean((0, 2, 3)), 0.9 + 0.1 * x.var((0, 2, 3))
    expected = (x - mean.view(6, 1, 1)) / (variance.view(6, 1, 1) + 1e-5).sqrt()
    torch.testing.assert_close(norm.eval()(x), expected)


@pytest.mark.parametrize("name", [name for name in NORMS if "batch" not in name])
def test_other_norms_do_not_know_evaluation(name: str) -> None:
    norm, x = NORMS[name](MAPS), torch.randn(4, *MAPS)
    assert torch.equal(norm(x), norm.eval()(x))
    assert torch.equal(norm(x)[:1], norm(x[:1]))  # nor the other pictures of the batch


def test_the_noise_behind_batch_norm_has_another_distribution_in_each_channel_and_step() -> None:
    norm = NORMS["noisy_batch"]((6, 30, 30)).double()
    plain = NORMS["batch"]((6, 30, 30)).double()
    x = 3 + 2 * torch.randn(32, 6, 30, 30, dtype=torch.float64)
    steps = [norm(x) for _ in range(2)]
    standard = plain(x)
    moments = torch.stack([torch.stack([y.mean((0, 2, 3)), (y * standard).mean((0, 2, 3))]) for y in steps])
    centers, scales = moments[:, 0], moments[:, 1]  # (2, 6): of each step, the mean of m and of s
    assert (centers.abs() < 0.51).all()
    assert ((scales > 0.99) & (scales < 1.26)).all()
    assert (centers[0] - centers[1]).abs().max() > 0.05
    assert (scales[0] - scales[1]).abs().max() > 0.02
    assert centers[0].max() - centers[0].min() > 0.05
    rest = steps[0] - scales[0].view(6, 1, 1) * standard - centers[0].view(6, 1, 1)
    expected = 0.01 + 0.01 / 3  # the variance of s, at E[x^2] = 1, and that of U(-0.1, 0.1)
    torch.testing.assert_close(rest.var((0, 2, 3)), torch.full((6,), expected, dtype=torch.float64), rtol=0.1, atol=0)


def test_the_noise_is_not_in_evaluation_nor_in_the_statistics() -> None:
    norm, plain, x = NORMS["noisy_batch"](MAPS), NORMS["batch"](MAPS), 3 + torch.randn(8, *MAPS)
    for _ in range(3):
        norm(x)
        plain(x)
    torch.testing.assert_close(norm.eval()(x), plain.eval()(x))


def test_no_norm_is_nothing() -> None:
    x = torch.randn(4, *MAPS)
    assert torch.equal(NORMS["none"](MAPS)(x), x)


# Weight standardisation


def test_filters_are_standardised_at_every_use() -> None:
    net = build(ModelConfig(block="conv", widths=[4], depth=2, weight_std=True), (3, 8, 8), 2).double()
    initialise(net, "he_normal", "paper", "relu", seed=0)
    conv, x = net.get_submodule("stage1.block1.conv"), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    raw = conv.get_parameter("parametrizations.weight.original")
    nn.init.normal_(raw, 5.0, 3.0)
    flat = raw.detach().flatten(1)
    weight = (flat - flat.mean(1, keepdim=True)) / (flat.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(conv(x), F.conv2d(x, weight.view_as(raw), padding=1))
    conv(x).square().sum().backward()
    assert raw.grad is not None
    torch.testing.assert_close(raw.grad.sum((1, 2, 3)), torch.zeros(4, dtype=torch.float64), atol=1e-9, rtol=0)


def test_standardised_and_dropped_weights_start_as_plain_ones() -> None:
    weights = []
    for weight_std, drop in itertools.product((False, True), ("dropout", "dropconnect")):
        config = ModelConfig(block="conv-act-drop", widths=[4], depth=2, weight_std=weight_std, drop=drop)
        net = build(config, (3, 8, 8), 2)
        initialise(net, "he_normal", "paper", "relu", seed=0)
        weights.append(
            {key.replace("parametrizations.weight.original", "weight"): p for key, p in net.named_parameters()}
        )
    for other in weights[1:]:
        assert other.keys() == weights[0].keys()
        assert all(torch.equal(other[key], weights[0][key]) for key in other)


def test_filters_of_one_weight_cannot_be_standardised() -> None:
    config = ModelConfig(block="conv", widths=[4], depth=2, kernel=1, weight_std=True)
    with pytest.raises(UserError, match=r"word 1, 'conv'.*shape \(1, 8, 8\): .* filters of more than one weight"):
        build(config, (1, 8, 8), 2)


# Pools


def squares(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, h / 2, w / 2, 4), by slices."""
    return torch.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("max", lambda s: s.amax(-1)),
        ("avg", lambda s: s.mean(-1)),
        ("max_avg", lambda s: (s.amax(-1) + s.mean(-1)) / 2),
        ("stochastic", lambda s: (s * s).sum(-1) / s.sum(-1)),
    ],
)
def test_a_pool_follows_its_formula(name: str, formula: Callable[[Tensor], Tensor]) -> None:
    x = torch.rand(3, *MAPS, dtype=torch.float64)
    torch.testing.assert_close(double(POOLS[name](MAPS))(x), formula(squares(x)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 2, 7), (2, 9, 6), (2, 5, 5)], ids=str)
@pytest.mark.parametrize("name", [name for name in POOLS if name != "none"])
def test_a_pool_halves_and_leaves_the_odd_row_out(name: str, shape: tuple[int, int, int]) -> None:
    for training in (True, False):
        out = POOLS[name](shape).train(training)(torch.randn(3, *shape))
        assert out.shape == (3, 2, shape[1] // 2, shape[2] // 2)


def test_no_pool_is_nothing() -> None:
    x = torch.randn(2, *MAPS)
    assert torch.equal(POOLS["none"](MAPS)(x), x)


def test_stochastic_pooling_draws_in_proportion() -> None:
    x = torch.tensor([[1.0, 2.0], [0.0, 5.0]]).expand(40_000, 1, 2, 2)
    drawn = POOLS["stochastic"]((1, 2, 2))(x).flatten()
    for value, share in ((1, 1 / 8), (2, 2 / 8), (0, 0), (5, 5 / 8)):
        assert (drawn == value).float().mean().item() == pytest.approx(share, abs=0.01)


def test_stochastic_pooling_of_nothing_positive_draws_evenly() -> None:
    x = torch.tensor([[-1.0, -2.0], [0.0, -5.0]]).expand(40_000, 1, 2, 2)
    pool = POOLS["stochastic"]((1, 2, 2))
    drawn = pool(x).flatten()
    for value in (-1, -2, 0, -5):
        assert (drawn == value).float().mean().item() == pytest.approx(1 / 4, abs=0.01)
    torch.testing.assert_close(pool.eval()(x[:1]).item(), -2.0)


def test_stochastic_pooling_sends_the_gradient_to_the_drawn_unit() -> None:
    x = torch.rand(3, *MAPS, requires_grad=True)
    out = POOLS["stochastic"](MAPS)(x)
    out.sum().backward()
    assert x.grad is not None
    drawn = (squares(x.detach()) == out.detach().unsqueeze(-1)).float()
    assert torch.equal(squares(x.grad), drawn)


def test_blur_pooling_is_a_maximum_then_a_binomial_blur() -> None:
    x = torch.randn(3, *MAPS, dtype=torch.float64)
    dense = F.max_pool2d(x, 2, stride=1)  # (n, c, 7, 7)
    mirrored = torch.cat([dense[:, :, 1:2], dense, dense[:, :, -2:-1]], 2)
    mirrored = torch.cat([mirrored[..., 1:2], mirrored, mirrored[..., -2:-1]], 3)  # (n, c, 9, 9)
    expected = torch.zeros(3, 6, 4, 4, dtype=torch.float64)
    for i, down in enumerate((1, 2, 1)):
        for j, right in enumerate((1, 2, 1)):
            expected += down * right / 16 * mirrored[:, :, i : i + 7 : 2, j : j + 7 : 2]
    torch.testing.assert_close(double(POOLS["blur"](MAPS))(x), expected)


def test_blur_pooling_minds_a_shift_less_than_max_pooling() -> None:
    shape = (1, 32, 32)
    x = torch.zeros(8, *shape, dtype=torch.float64)
    x[:, :, 8:24, 8:24] = torch.rand(8, 1, 16, 16, dtype=torch.float64)
    change = {}
    for name in ("max", "blur"):
        pool = double(POOLS[name](shape))
        total, moved = pool(x).sum((2, 3)), pool(x.roll((1, 1), (2, 3))).sum((2, 3))
        change[name] = ((moved - total).abs() / total).max().item()
    assert change["blur"] < 1e-12  # (1, 2, 1) gives even and odd pixels the same weight in the sum
    assert change["max"] > 1e-3


def test_stride_pooling_is_a_learnt_convolution() -> None:
    pool = POOLS["stride"](MAPS)
    assert isinstance(pool, nn.Conv2d)
    assert (pool.kernel_size, pool.stride, pool.out_channels) == ((2, 2), (2, 2), 6)


# Heads


@pytest.mark.parametrize(
    ("name", "formula"),
    [("flatten", lambda x: x.reshape(4, -1)), ("gap", lambda x: x.mean((2, 3))), ("gmp", lambda x: x.amax((2, 3)))],
)
def test_a_head_makes_a_vector(name: str, formula: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(4, *MAPS)
    torch.testing.assert_close(HEADS[name](MAPS)(x), formula(x))
    features = torch.randn(4, *FEATURES)
    assert torch.equal(HEADS[name](FEATURES)(features), features)


# Drops

DROPPERS = [name for name in DROPS if name != "dropconnect"]  # which drops nothing by itself


@pytest.mark.parametrize("shape", [MAPS, FEATURES], ids=["maps", "features"])
@pytest.mark.parametrize("name", DROPS)
def test_a_drop_is_off_in_evaluation_and_at_rate_zero(name: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(5, *shape)
    scale = 0.7 if name == "vanilla" else 1.0
    assert torch.equal(DROPS[name](shape, 0.3).eval()(x), x * scale)
    torch.testing.assert_close(DROPS[name](shape, 0.0)(x), x)


@pytest.mark.parametrize("name", [name for name in DROPPERS if name != "gaussian"])
@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_a_drop_keeps_its_share(name: str, rate: float) -> None:
    kept = (DROPS[name](MAPS, rate)(torch.ones(8000, *MAPS)) != 0).float().mean().item()
    if name == "dropblock":  # torchvision ignores that squares overlap: a little too much is kept
        assert 1 - rate < kept < 1 - 0.8 * rate
    else:
        assert kept == pytest.approx(1 - rate, abs=0.01)


@pytest.mark.parametrize("shape", [MAPS, FEATURES], ids=["maps", "features"])
@pytest.mark.parametrize("name", DROPPERS)
def test_a_drop_keeps_the_expectation(name: str, shape: tuple[int, ...]) -> None:
    mean = DROPS[name](shape, 0.4)(torch.ones(20_000, *shape)).mean().item()
    assert mean == pytest.approx(0.6 if name == "vanilla" else 1.0, abs=0.02)


def test_what_is_dropped_together() -> None:
    x = torch.ones(400, 6, 16, 16)
    zero = {name: DROPS[name](MAPS, 0.3)(x) == 0 for name in ("dropout", "spatial", "stochastic_depth", "vanilla")}
    assert set(zero["spatial"].float().mean((2, 3)).unique().tolist()) == {0.0, 1.0}
    assert 0 < zero["spatial"].float().mean((1, 2, 3)).unique()[1] < 1
    assert set(zero["stochastic_depth"].float().mean((1, 2, 3)).unique().tolist()) == {0.0, 1.0}
    for name in ("dropout", "vanilla"):
        pairs = (zero[name][..., 1:] & zero[name][..., :-1]).float().mean().item()
        assert pairs == pytest.approx(0.09, abs=0.005)


@pytest.mark.parametrize(("shape", "side"), [((2, 28, 28), 7), ((2, 16, 20), 7), ((2, 8, 8), 3), ((2, 4, 4), 1)])
def test_dropblock_drops_squares(shape: tuple[int, int, int], side: int) -> None:
    zero = (DROPS["dropblock"](shape, 0.02)(torch.ones(200, *shape)) == 0).float()
    assert zero.any()
    # Every dropped pixel lies in a dropped square: opening the picture with that square changes nothing.
    squares = -F.max_pool2d(-zero, side, stride=1)
    full = F.max_pool2d(F.pad(squares, [side - 1] * 4), side, stride=1)
    assert torch.equal(full, zero)


def test_gaussian_dropout_has_the_variance_of_dropout() -> None:
    out = DROPS["gaussian"](FEATURES, 0.4)(torch.full((100_000, 6), 3.0))
    assert (out.std() / 3).item() == pytest.approx(math.sqrt(0.4 / 0.6), rel=0.01)


@pytest.mark.parametrize(
    ("block", "layer"),
    [
        ("conv-act-drop", "conv"),
        ("linear-drop", "linear.1"),
        ("conv-pool-conv-drop-act", "conv2"),
        ("conv-pool-drop", "conv"),
    ],
)
def test_dropconnect_drops_weights_of_the_layer_before_it(block: str, layer: str) -> None:
    depth = 1 + sum(word in ("conv", "linear") for word in block.split("-"))
    config = ModelConfig(block=block, widths=[20], depth=depth, pool="stride", drop="dropconnect", drop_rate=0.3)
    net = build(config, (20, 8, 8), 2).get_submodule("stage1.block1")
    owner = net.get_submodule(layer)
    weight, bias = owner.get_parameter("parametrizations.weight.original"), owner.get_parameter("bias")
    dropped = owner.weight
    assert isinstance(dropped, Tensor)
    kept = dropped != 0
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.03)
    torch.testing.assert_close(dropped[kept], weight[kept] / 0.7)
    assert not torch.equal(owner.weight, dropped), "the mask is drawn once and for all"  # pyright: ignore[reportArgumentType]
    assert sum("parametrizations" in name for name, _ in net.named_parameters()) == 1
    net.eval()
    assert torch.equal(owner.weight, weight)  # pyright: ignore[reportArgumentType]
    assert bias.any()
    assert isinstance(net.get_submodule("drop"), DropConnect)


@pytest.mark.parametrize("block", ["drop-conv", "act-drop-linear"])
def test_dropconnect_needs_weights_before_it(block: str) -> None:
    config = ModelConfig(block=block, widths=[4], depth=2, drop="dropconnect")
    with pytest.raises(UserError, match=r"'drop', of stage 1, block 1, is model\.drop=dropconnect, which needs one of"):
        build(config, (1, 8, 8), 2)


# Skips

SHAPES = [
    ("conv-act", (4, 6, 6)),
    ("conv-act", (3, 6, 6)),
    ("conv-act-pool", (3, 7, 5)),
    ("linear-act", (4,)),
    ("linear-act", (3,)),
]


@pytest.mark.parametrize(("block", "in_shape"), SHAPES)
def test_a_gate_mixes_block_and_shortcut(block: str, in_shape: tuple[int, ...]) -> None:
    net = build(ModelConfig(block=block, widths=[4], depth=2, skip="gate"), in_shape, 2).double()
    initialise(net, "he_normal", "paper", "relu", seed=0)
    gate, x = net.get_submodule("stage1.block1"), torch.randn(5, *in_shape, dtype=torch.float64)
    assert isinstance(gate, Gate)
    assert torch.equal(gate.bias, torch.full((4,), -2.0, dtype=torch.float64))
    shortcut = gate.shortcut(x)
    assert in_shape[0] != 4 or torch.equal(shortcut, x)
    weight = gate.shortcut_gate.get_parameter("weight").flatten(1)  # (4, 4)
    share = 1 / (1 + (2 - torch.einsum("oc,nc...->no...", weight, shortcut)).exp())
    torch.testing.assert_close(gate(x), share * gate.block(x) + (1 - share) * shortcut)


def test_a_gate_is_nearly_shut_at_first() -> None:
    net = build(ModelConfig(block="conv-act", widths=[4], depth=2, skip="gate"), (4, 6, 6), 2)
    initialise(net, "zeros", "paper", "relu", seed=0)
    x = torch.randn(5, 4, 6, 6)
    torch.testing.assert_close(net.get_submodule("stage1")(x), x * (1 - 1 / (1 + math.e**2)))


@pytest.mark.parametrize(("block", "in_shape"), SHAPES)
def test_concat_puts_block_beside_x(block: str, in_shape: tuple[int, ...]) -> None:
    net = build(ModelConfig(block=block, widths=[4], depth=4, skip="concat"), in_shape, 2)
    concat, x = net.get_submodule("stage1.block3"), torch.randn(5, *in_shape)
    assert isinstance(concat, Concat)
    x = net.get_submodule("stage1.block2")(net.get_submodule("stage1.block1")(x))
    out = concat(x)
    assert out.shape[1] == in_shape[0] + 3 * 4
    assert torch.equal(out[:, -4:], concat.block(x))
    kept = F.avg_pool2d(x, 2) if "pool" in block else x
    torch.testing.assert_close(out[:, :-4], kept)


@pytest.mark.parametrize("skip", ["add", "gate", "concat"])
def test_no_shortcut_leads_from_maps_to_features(skip: str) -> None:
    config = ModelConfig(block="conv-linear", widths=[4], depth=3, skip=skip)
    with pytest.raises(UserError, match=rf"model\.skip={skip} of stage 1, block 1, .* no shortcut leads from"):
        build(config, (1, 8, 8), 2)


def test_no_skip_is_the_block() -> None:
    block = nn.Identity()
    assert SKIPS["none"](block, MAPS, MAPS) is block
