"""Whole nets have the sizes of their papers and train on pictures of any size; the blunders fail as the sheet says."""

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from lab.config import ModelConfig, RunConfig
from lab.errors import UserError
from lab.nets.blunders import BLUNDERS
from lab.nets.init import initialise
from lab.nets.recipe import build, obeys_init
from lab.nets.surfaces import SURFACES
from lab.nets.zoo import NETS, Branches
from lab.overrides.files import config_dir
from lab.runs.build import assemble
from lab.validation import validate

FILES = sorted(path.stem for path in (config_dir() / "model").glob("*.yaml"))
FIT_ALL = [name for name in FILES if name not in (*BLUNDERS, *SURFACES)]  # these take no images
SIZES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]  # digits, MNIST, CIFAR-10


def configured(name: str) -> ModelConfig:
    return ModelConfig(**yaml.safe_load((config_dir() / "model" / f"{name}.yaml").read_text()))


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def examples(shape: tuple[int, ...], num: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    """Noisy copies of one random picture a class."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(num) % classes
    prototypes = torch.randn(classes, *shape, generator=generator)
    return prototypes[labels] + 0.5 * torch.randn(num, *shape, generator=generator), labels


def train(net: nn.Module, images: Tensor, labels: Tensor, steps: int, lr: float = 1e-3) -> list[float]:
    """Losses of `steps` steps of Adam."""
    optimizer, losses = torch.optim.Adam(net.parameters(), lr), []
    for _ in range(steps):
        out = net(images)
        logits, beside = out if isinstance(out, tuple) else (out, ())
        loss = F.cross_entropy(logits, labels) + sum(weight * F.cross_entropy(aux, labels) for weight, aux in beside)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def conv(before: int, after: int, kernel: int) -> int:
    """Weights and biases of a convolution."""
    return after * (before * kernel * kernel + 1)


# Files and sizes


@pytest.mark.parametrize("name", FIT_ALL)
@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.slow
def test_every_net_trains_on_every_size(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)  # dropout
    config = configured(name)
    net = build(config, shape, 10)
    assert isinstance(net.classifier, nn.Linear)
    assert net.classifier.out_features == 10
    images, labels = examples(shape, 16)
    initialise(net, config.init, "paper", config.act, seed=0)
    before = nn.utils.parameters_to_vector(net.parameters()).detach().clone()
    losses = train(net, images, labels, 4, lr=3e-4)
    assert losses[-1] < losses[0]
    assert not torch.equal(before, nn.utils.parameters_to_vector(net.parameters()))
    assert net.eval()(images).shape == (16, 10)


PAIRS = conv(1, 16, 3) + conv(16, 16, 3) + conv(16, 32, 3) + conv(32, 32, 3)
DEPTH_AND_SIZE = {
    "linear": (1, 64 * 10 + 10),
    "vgg": (7, PAIRS + conv(32, 64, 3) + conv(64, 64, 3) + 64 * 10 + 10),
    "all_conv": (5, PAIRS + conv(16, 16, 2) + conv(32, 32, 2) + 32 * 10 + 10),
    "highway": (
        11,
        # Convolutions; gates with a bias each; projections of the blocks that change width or size; classifier.
        (PAIRS + 3 * conv(16, 16, 3) + 3 * conv(32, 32, 3))
        + (5 * conv(16, 16, 1) + 5 * conv(32, 32, 1))
        + (conv(1, 16, 1) + conv(16, 16, 1) + conv(16, 32, 1) + conv(32, 32, 1))
        + (32 * 10 + 10),
    ),
}


@pytest.mark.parametrize("name", DEPTH_AND_SIZE)
def test_a_net_has_the_depth_and_size_that_its_file_says(name: str) -> None:
    depth, num_params = DEPTH_AND_SIZE[name]
    config = configured(name)
    text = (config_dir() / "model" / f"{name}.yaml").read_text()
    assert count(build(config, (1, 8, 8), 10)) == num_params
    assert config.depth == depth
    assert name == "linear" or (f"{depth} layers" in text and f"{num_params:,} parameters" in text)


def test_vgg_has_the_size_on_mnist_that_its_file_says() -> None:
    assert (
        count(build(configured("vgg"), (1, 28, 28), 10)) == DEPTH_AND_SIZE["vgg"][1] + 64 * 10 * (3 * 3 - 1) == 77_562
    )
    assert "77,562 on MNIST" in (config_dir() / "model" / "vgg.yaml").read_text()


@pytest.mark.parametrize("shape", [(39,), (1, 8, 8)], ids=str)
def test_logistic_regression_is_one_linear_map(shape: tuple[int, ...]) -> None:
    net, x = build(configured("linear"), shape, 3), torch.randn(5, *shape)
    layer = net.classifier
    assert isinstance(layer, nn.Linear)
    torch.testing.assert_close(net(x), x.flatten(1) @ layer.weight.T + layer.bias)


def test_no_stage_is_for_the_classifier_alone() -> None:
    with pytest.raises(
        UserError, match=r"model\.widths=\[\] is out of range; allowed: .* none only with model\.depth=1"
    ):
        validate(RunConfig(model=ModelConfig(widths=[], depth=2)))


@pytest.mark.parametrize(
    "name", [name for name in FILES if name not in ("linear", "mlp", "blunder_a", "repaired_a", *SURFACES)]
)
def test_features_are_refused_where_maps_are_needed(name: str) -> None:
    with pytest.raises(UserError, match=r"'conv', .*cannot take shape \(39,\): conv needs feature maps"):
        build(configured(name), (39,), 1)


@pytest.mark.parametrize("name", ["lenet", "inception"])
def test_a_picture_too_small_is_named_with_the_layer(name: str) -> None:
    with pytest.raises(UserError, match=rf"model\.name={name}: .*layer 'pool2?', cannot take shape \(\d+, 1, 1\)"):
        build(ModelConfig(name=name), (1, 3, 3), 10)
    assert build(ModelConfig(name=name), (1, 4, 4), 10).eval()(torch.zeros(2, 1, 4, 4)).shape == (2, 10)


def test_an_unknown_net_is_named() -> None:
    with pytest.raises(
        UserError, match=r"model\.name=lennet is unknown \(did you mean 'lenet'\?\); there are: recipe, "
    ):
        build(ModelConfig(name="lennet"), (1, 8, 8), 10)


@pytest.mark.parametrize("name", ["lenet", "own_parts:whole_net"])
def test_a_setting_without_effect_is_told(name: str) -> None:
    with pytest.warns(UserWarning, match=rf"model\.output=softmax has no effect on model\.name={name}"):
        build(ModelConfig(name=name, output="softmax"), (1, 8, 8), 10)


# LeNet-5


def test_lenet_has_the_sizes_of_the_paper() -> None:
    net = build(ModelConfig(name="lenet"), (1, 28, 28), 10)
    layers = [conv(1, 6, 5), conv(6, 16, 5), 120 * (16 * 5 * 5 + 1), 84 * (120 + 1), 10 * (84 + 1)]
    assert layers == [156, 2416, 48_120, 10_164, 850]
    assert count(net) == sum(layers) == 61_706
    sizes, x = [], torch.zeros(1, 1, 28, 28)
    for name, layer in net.named_children():
        x = layer(x)
        if name.startswith(("conv", "pool", "linear")):
            sizes.append(tuple(x.shape[1:]))
    assert sizes == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,)]


def test_lenet_is_the_same_on_32x32_as_on_the_28x28_within() -> None:
    net = build(ModelConfig(name="lenet"), (1, 28, 28), 10)
    other = build(ModelConfig(name="lenet"), (1, 32, 32), 10)
    other.load_state_dict(net.state_dict())
    images = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(net(images), other(F.pad(images, [2] * 4)))


def test_lenet_is_its_formula() -> None:
    net = build(ModelConfig(name="lenet"), (3, 32, 32), 10).double()
    weights = list(net.parameters())
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    x = images
    for weight, bias in (weights[:2], weights[2:4]):
        x = F.avg_pool2d(1.7159 * torch.tanh(2 / 3 * F.conv2d(x, weight, bias)), 2)
    x = x.flatten(1)
    for weight, bias in (weights[4:6], weights[6:8]):
        x = 1.7159 * torch.tanh(2 / 3 * (x @ weight.T + bias))
    torch.testing.assert_close(net(images), x @ weights[8].T + weights[9])


# Inception


def test_an_inception_module_has_the_shares_of_the_first_one_of_the_paper() -> None:
    net = build(ModelConfig(name="inception"), (1, 28, 28), 10)
    module = net.get_submodule("stage3.block1")
    assert isinstance(module, Branches)
    x = torch.randn(2, 64, 5, 5)
    out = {name: branch(x) for name, branch in module.named_children()}
    shares = {"branch1x1": 64, "branch3x3": 128, "branch5x5": 32, "branch_pool": 32}  # of 256, table 1, row 3a
    assert {name: part.shape[1] for name, part in out.items()} == {name: n // 2 for name, n in shares.items()}
    assert torch.equal(module(x), torch.cat(list(out.values()), 1))
    sizes = {name: layer.kernel_size[0] for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
    assert sizes == {
        "branch1x1.conv": 1,
        "branch3x3.conv": 1,
        "branch3x3.conv2": 3,
        "branch5x5.conv": 1,
        "branch5x5.conv2": 5,
        "branch_pool.conv": 1,
    }


def test_inception_has_two_side_heads_in_training() -> None:
    net = build(ModelConfig(name="inception"), (1, 8, 8), 7)
    images = torch.randn(2, 1, 8, 8)
    logits, beside = net(images)
    assert logits.shape == (2, 7)
    assert [weight for weight, _ in beside] == [0.3, 0.3]
    assert [tuple(aux.shape) for _, aux in beside] == [(2, 7), (2, 7)]
    assert net.eval()(images).shape == (2, 7)
    x = net.get_submodule("stage2.block1")(net.stage2.pool(net.stage1(net.stem(images))))  # pyright: ignore
    torch.testing.assert_close(net.auxiliary.stage2_block1(x), beside[0][1])  # pyright: ignore


@pytest.mark.parametrize("name", NETS)
def test_a_whole_net_obeys_init(name: str, make_job) -> None:
    weights = [
        assemble(make_job(changes={"model.name": name, "model.init": init}).config).model.state_dict()
        for init in ("zeros", "he_normal", "he_normal")
    ]
    assert not any(value.any() for value in weights[0].values())
    assert all(torch.equal(weights[1][key], weights[2][key]) for key in weights[1])
    assert all(value.any() for key, value in weights[1].items() if key.endswith("weight"))


# Blunders as they stand


def test_blunders_keep_their_own_start(make_job) -> None:
    assert [name for name in ("recipe", *NETS, *BLUNDERS, *SURFACES, "own_parts:whole_net") if obeys_init(name)] == [
        "recipe",
        *NETS,
    ]
    job = make_job(changes={"model.name": "repaired_b"})
    same = [assemble(job.config).model.state_dict() for _ in range(2)]
    assert all(torch.equal(same[0][key], same[1][key]) for key in same[0])
    assert same[0]["conv.bias"].any()  # torch's own; `initialise` would have set it to zero
    with pytest.warns(UserWarning, match=r"model\.init=zeros has no effect on model\.name=blunder_a"):
        build(ModelConfig(name="blunder_a", init="zeros"), (39,), 1)


def regression(net: nn.Module, steps: int) -> float:
    """Mean squared error after `steps` of plain descent towards |x|, which no linear map reaches."""
    x = torch.randn(64, 39, generator=torch.Generator().manual_seed(0))
    y = x[:, :3].abs().sum(1, keepdim=True)
    y = (y - y.mean()) / y.std()
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    for _ in range(steps):
        loss = F.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()  # pyright: ignore[reportPossiblyUnboundVariable]


def test_all_hidden_units_of_blunder_a_are_one_for_ever() -> None:
    torch.manual_seed(0)
    net = build(ModelConfig(name="blunder_a"), (39,), 1)
    out_weight = net.get_parameter("classifier.weight")
    with torch.no_grad():
        out_weight[0, :64] = 0.1  # units that the output sees alike
    assert not net.get_parameter("linear.weight").any()
    regression(net, 100)
    weight = net.get_parameter("linear.weight").detach()
    assert weight.any()
    torch.testing.assert_close(weight[:64], weight[:1].expand(64, 39))
    spectrum = torch.linalg.svdvals(weight.double())
    assert spectrum[1] < 1e-5 * spectrum[0]  # and all the others are multiples of them


def test_blunder_a_stays_linear_and_its_repair_does_not() -> None:
    torch.manual_seed(0)
    curved = {}
    for name in ("blunder_a", "repaired_a"):
        net = build(ModelConfig(name=name), (39,), 1)
        curved[name] = regression(net, 100)
        x, zero = torch.randn(2, 39), torch.zeros(1, 39)
        x, y, both, none = net.eval()(torch.cat([x, x.sum(0, keepdim=True), zero])).double()
        assert ((x + y - both - none).abs().item() < 1e-5) == (name == "blunder_a")
    assert curved["repaired_a"] < 0.2 * curved["blunder_a"]


def test_blunder_b_lets_one_unit_through_and_sends_cross_entropy_to_infinity() -> None:
    torch.manual_seed(0)
    images, _ = examples((1, 28, 28), 20)
    net = build(ModelConfig(name="blunder_b"), (1, 28, 28), 10)
    hidden = []
    net.get_submodule("act2").register_forward_hook(lambda _, __, out: hidden.append(out))
    out = net(images)
    torch.testing.assert_close(hidden[0].sum(1), torch.ones(20))
    assert (out == 0).any()  # dropped probabilities
    assert F.nll_loss(out.log(), out.argmin(1)).isinf()
    out = net.eval()(images)
    torch.testing.assert_close(out.sum(1), torch.ones(20))
    assert out.std(0).max() < 1e-3  # the same answer to every picture
    repaired = build(ModelConfig(name="repaired_b"), (1, 28, 28), 10)
    assert repaired.eval()(images).std(0).min() > 1e-2


def test_blunder_c_runs_out_of_pixels() -> None:
    message = r"model\.name=blunder_c: layer 'conv7', cannot take shape \(128, 1, 1\): .*Kernel size"
    with pytest.raises(UserError, match=message):
        build(ModelConfig(name="blunder_c"), (3, 100, 100), 10)


def test_blunder_d_learns_nothing_but_the_last_bias() -> None:
    torch.manual_seed(0)
    images, labels = examples((3, 32, 32), 4)
    net = build(ModelConfig(name="blunder_d"), (3, 32, 32), 10)
    F.cross_entropy(net(images), labels).backward()
    moved = [name for name, parameter in net.named_parameters() if parameter.grad is not None and parameter.grad.any()]
    assert moved == ["classifier.bias"]
    output = nn.Sequential(*list(net.children())[:-1])(images)  # before the dropout behind it
    assert torch.equal(output, output[:1].expand(4, 10))


def test_blunder_d_starts_as_xavier_says() -> None:
    net = build(ModelConfig(name="blunder_d"), (3, 32, 32), 10)
    weight = net.get_parameter("conv2.weight")
    bound = (6 / (9 * (512 + 128))) ** 0.5
    assert 0.999 * bound < weight.abs().max().item() <= bound
    assert not net.get_parameter("conv2.bias").any()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("repaired_b", (1, 28, 28)),
        ("repaired_c", (3, 100, 100)),
        ("repaired_d", (3, 32, 32)),
    ],
)
def test_a_repaired_net_trains(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    images, labels = examples(shape, 8, classes=2)
    losses = train(build(ModelConfig(name=name), shape, 10), images, labels, 10)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", ["blunder_d", "repaired_d"])
def test_the_last_sheet_fits_its_pictures(name: str) -> None:
    net = build(ModelConfig(name=name), (3, 100, 100), 10)
    features = net.get_submodule("linear").in_features
    assert features == {"blunder_d": 32 * 4 * 4, "repaired_d": 128 * 22 * 22}[name]
