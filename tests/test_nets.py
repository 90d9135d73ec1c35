"""A recipe becomes the layers that its words announce, or one message that names word, place and shape."""

import itertools
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lab.config import ModelConfig, RunConfig
from lab.errors import UserError
from lab.nets.init import initialise
from lab.nets.parts.acts import ACTS
from lab.nets.parts.drops import DROPS
from lab.nets.parts.heads import HEADS
from lab.nets.parts.norms import NORMS
from lab.nets.parts.pools import POOLS
from lab.nets.parts.skips import SKIPS, Add
from lab.nets.recipe import WORDS, build
from lab.validation import validate

EVEN_KERNELS = "ignore:Using padding='same' with even kernel"


def shapes(net: nn.Module, in_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The shape of one example after every named layer, in the order in which they act."""
    found = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: found.update({name: tuple(out.shape[1:])}))
        for name, module in net.named_modules()
    ]
    net.eval()(torch.zeros(2, *in_shape))
    for hook in hooks:
        hook.remove()
    return found


def num_weighted(net: nn.Module) -> int:
    """Convolutions and linear layers on the main path: neither of a shortcut, a pooling nor an auxiliary classifier."""
    names = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return sum(
        not any(part.startswith(("shortcut", "pool", "auxiliary")) for part in name.split(".")) for name in names
    )


@pytest.mark.parametrize("words", list(itertools.permutations(["conv", "norm", "act", "pool", "drop"])), ids="-".join)
def test_words_become_layers_in_their_order(words: tuple[str, ...]) -> None:
    net = build(ModelConfig(block="-".join(words), widths=[4, 6], depth=3), (3, 9, 8), 5)
    after = shapes(net, (3, 9, 8))
    assert [name.split(".")[-1] for name in after if name.startswith("stage1.block1.")] == list(words)
    assert after["stage1"] == (4, 4, 4)
    assert after["stage2"] == (6, 2, 2)
    assert after[""] == (5,)


def test_a_layer_is_made_for_the_shape_that_reaches_it() -> None:
    net = build(ModelConfig(block="norm-conv-norm-linear-norm", widths=[4], depth=3), (3, 5, 7), 2)
    before, maps, features = (m for m in net.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d))
    assert (before.num_features, maps.num_features, features.num_features) == (3, 4, 4)
    assert isinstance(features, nn.BatchNorm1d)
    linear = net.get_submodule("stage1.block1.linear.1")
    assert isinstance(linear, nn.Linear)
    assert linear.in_features == 4 * 5 * 7


def test_repeated_words_are_numbered() -> None:
    net = build(ModelConfig(block="conv-act-conv-act-conv", widths=[4], depth=4), (1, 4, 4), 2)
    block = net.get_submodule("stage1.block1")
    assert [name for name, _ in block.named_children()] == ["conv", "act", "conv2", "act2", "conv3"]


def test_pool_acts_in_the_last_block_of_a_stage_only() -> None:
    net = build(ModelConfig(block="pool-conv-act", widths=[4, 4], depth=6), (1, 8, 8), 2)
    pooled = [name for name, module in net.named_modules() if isinstance(module, nn.MaxPool2d)]
    assert pooled == ["stage1.block3.pool", "stage2.block2.pool"]


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize(
    ("block", "widths", "depth"),
    [
        ("conv-act-pool", [4], 2),
        ("conv-act-pool", [4, 4], 22),
        ("conv-norm-act-conv-norm-act-pool", [4, 6, 8], 7),
        ("conv-norm-act-conv-norm-act-pool", [4, 6], 13),
        ("linear-act", [5, 5, 5], 30),
        ("linear-act-linear", [5, 6], 9),
        ("conv-pool-act", [2, 3, 4], 11),
    ],
)
def test_depth_counts_the_layers_with_weights(block: str, widths: list[int], depth: int, skip: str) -> None:
    in_shape = (6,) if block.startswith("linear") else (1, 8, 8)
    net = build(ModelConfig(block=block, widths=widths, depth=depth, skip=skip, pool="stride"), in_shape, 3)
    assert num_weighted(net) == depth


@pytest.mark.parametrize(("depth", "blocks"), [(4, [1, 1, 1]), (5, [2, 1, 1]), (6, [2, 2, 1]), (22, [7, 7, 7])])
def test_blocks_are_spread_evenly_the_first_stages_first(depth: int, blocks: list[int]) -> None:
    net = build(ModelConfig(block="conv-act", widths=[2, 2, 2], depth=depth), (1, 4, 4), 2)
    assert [len(list(net.get_submodule(f"stage{i}").children())) for i in (1, 2, 3)] == blocks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": "conv-atc-pool"}, r"model\.block=conv-atc-pool: word 2, 'atc', is unknown \(did you mean 'act'\?\)"),
        ({"block": "conv--act"}, r"word 2, '', is unknown; there are: conv, linear, norm, act, pool, drop"),
        ({"block": "act-norm"}, r"model\.block=act-norm has no layer with weights; add one of: conv, linear"),
        ({"depth": 2}, r"model\.depth=2 is not possible .* in 2 stages: allowed are 3, 4, 5, .*nearest: 3"),
        ({"block": "conv-conv", "depth": 8}, r"model\.depth=8 is not possible .* 5, 7, 9, .*nearest: 7 or 9"),
        ({"depth": -3}, r"model\.depth=-3 is out of range; allowed: 1 to 2,000"),
        ({"widths": []}, r"model\.widths=\[\] is out of range"),
        ({"widths": [4, 0]}, r"model\.widths=\[4, 0\]: 0 is out of range; allowed: 1 to 1,000,000"),
        ({"kernel": 0}, r"model\.kernel=0 is out of range; allowed: 1 to 255"),
        ({"drop_rate": 1.0, "block": "conv-drop"}, r"model\.drop_rate=1\.0 is out of range; .*below 1"),
        ({"widths": [4] * 4, "depth": 5}, r"word 3, 'pool', of stage 4, block 1, cannot take shape \(4, 1, 1\): .*2x2"),
        ({"block": "linear-conv", "depth": 5}, r"word 2, 'conv', of stage 1, block 1, cannot take shape \(16,\)"),
        ({"block": "linear-pool"}, r"word 2, 'pool', of stage 1, block 1, cannot take shape \(16,\)"),
        ({"block": "linear-norm", "norm": "instance"}, r"word 2, 'norm', .*shape \(16,\): instance norm needs"),
        ({"block": "conv-linear", "depth": 3, "widths": [4], "skip": "add"}, r"model\.skip=add of stage 1, block 1"),
        ({"act": "rleu"}, r"model\.act=rleu is unknown \(did you mean 'relu'\?\); there are: identity, relu,"),
        ({"block": "conv-norm", "norm": "bacth"}, r"model\.norm=bacth is unknown \(did you mean 'batch'\?\)"),
        ({"pool": "maxx"}, r"model\.pool=maxx is unknown \(did you mean 'max'\?\)"),
        ({"block": "conv-drop", "drop": "out"}, r"model\.drop=out is unknown .*there are: dropout, spatial"),
        ({"skip": "ad"}, r"model\.skip=ad is unknown \(did you mean 'add'\?\)"),
        ({"head": "flat"}, r"model\.head=flat is unknown \(did you mean 'flatten'\?\)"),
    ],
)  # fmt: skip
def test_a_bad_recipe_is_named(changes: dict, message: str) -> None:
    def checked(config: RunConfig) -> None:
        validate(config)
        build(config.model, (1, 8, 8), 5)

    with pytest.raises(UserError, match=message):
        checked(RunConfig(model=ModelConfig(**changes)))


@pytest.mark.parametrize(
    ("block", "in_shape", "width"),
    [
        ("conv-act", (4, 6, 6), 4),  # same shape: the shortcut is x itself
        ("conv-act", (3, 6, 6), 4),  # another width
        ("conv-act-pool", (4, 6, 6), 4),  # another size
        ("conv-act-pool", (3, 7, 5), 4),  # odd sizes
        ("conv-pool-conv-pool", (2, 11, 7), 4),  # two halvings
        ("linear-act", (3,), 5),
    ],
)
def test_a_skip_adds_shortcut_and_block(block: str, in_shape: tuple[int, ...], width: int) -> None:
    depth = 1 + sum(word in ("conv", "linear") for word in block.split("-"))
    net = build(ModelConfig(block=block, widths=[width], depth=depth, skip="add"), in_shape, 2)
    add = net.get_submodule("stage1.block1")
    assert isinstance(add, Add)
    x = torch.randn(5, *in_shape)
    assert torch.equal(add(x), add.shortcut(x) + add.block(x))
    if in_shape[0] == width and "pool" not in block:
        assert torch.equal(add.shortcut(x), x)


def test_the_shortcut_of_a_pooled_block_averages_and_projects() -> None:
    net = build(ModelConfig(widths=[4], depth=2, skip="add"), (3, 7, 7), 2)
    add = net.get_submodule("stage1.block1")
    assert isinstance(add, Add)
    projection = next(module for module in add.shortcut.modules() if isinstance(module, nn.Conv2d))
    x = torch.randn(2, 3, 7, 7)
    squares = x[:, :, :6, :6].reshape(2, 3, 3, 2, 3, 2).mean((3, 5))  # (n, c, 3, 3)
    expected = torch.einsum("oc,ncij->noij", projection.weight[:, :, 0, 0], squares) + projection.bias[:, None, None]  # pyright: ignore[reportOptionalSubscript]
    torch.testing.assert_close(add.shortcut(x), expected)


@pytest.mark.parametrize(("head", "reduce"), [("gap", torch.mean), ("gmp", torch.amax)])
def test_global_pooling_leaves_one_number_a_map(head: str, reduce) -> None:
    net = build(ModelConfig(widths=[4], depth=2, head=head), (1, 8, 8), 2)
    x = torch.randn(3, 4, 5, 5)
    torch.testing.assert_close(net.get_submodule("head")(x), reduce(x, (2, 3)))
    assert net.get_submodule("classifier").in_features == 4


@pytest.mark.filterwarnings(EVEN_KERNELS)
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 9])
def test_conv_keeps_height_and_width(kernel: int) -> None:
    net = build(ModelConfig(block="conv", kernel=kernel, widths=[4], depth=2), (2, 5, 7), 3)
    assert shapes(net, (2, 5, 7))["stage1"] == (4, 5, 7)
    assert net.get_parameter("stage1.block1.conv.weight").shape == (4, 2, kernel, kernel)


def test_bias_can_be_left_out_of_the_blocks() -> None:
    net = build(ModelConfig(block="conv-act-linear-act-linear", widths=[4], depth=4, bias=False), (1, 4, 4), 2)
    assert [name for name, _ in net.named_parameters() if "bias" in name] == ["classifier.bias"]


@pytest.mark.parametrize("act", ["relu", "tanh", "leaky_relu", "sigmoid", "elu"])
def test_max_pooling_commutes_with_rising_activations(act: str) -> None:
    images = torch.randn(4, 1, 8, 8)
    logits = []
    for block in ("conv-act-pool", "conv-pool-act"):
        net = build(ModelConfig(block=block, widths=[4, 4], act=act), (1, 8, 8), 3)
        initialise(net, "he_normal", "paper", act, seed=1)
        logits.append(net(images))
    assert torch.equal(*logits)


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "group"])
@pytest.mark.parametrize("block", ["conv-norm", "linear-norm"])
@pytest.mark.parametrize("width", [6, 8, 16])
def test_a_norm_passes_on_differences_between_pictures(norm: str, block: str, width: int) -> None:
    if norm == "instance" and block == "linear-norm":
        pytest.skip("instance norm refuses features")
    net = build(ModelConfig(block=block, norm=norm, widths=[width], depth=2), (1, 4, 4), 2)
    initialise(net, "he_normal", "paper", "relu", seed=1)
    out = net.get_submodule("stage1")(torch.randn(6, 1, 4, 4))
    assert out.std(0).mean() > 0.1


def test_own_parts_are_used() -> None:
    config = ModelConfig(block="conv-norm-act", act="own_parts:half", norm="own_parts:gain", widths=[4], depth=2)
    block = build(config, (1, 4, 4), 2).get_submodule("stage1.block1")
    x = torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(block(x), block.get_submodule("conv")(x) * 0.1 / 2)


def test_own_whole_net_gets_shape_and_number_of_classes() -> None:
    net = build(ModelConfig(name="own_parts:whole_net"), (2, 3, 4), 7)
    assert net(torch.zeros(5, 2, 3, 4)).shape == (5, 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"act": "no_such_module:act"}, r"model\.act=no_such_module:act: cannot import 'no_such_module'"),
        ({"act": "own_parts:quarter"}, r"model\.act=own_parts:quarter: module 'own_parts' has no 'quarter'"),
        ({"act": "own_parts:no_module"}, r"word 2, 'act', of stage 1, block 1"),
        ({"name": "no_such_module:net"}, r"model\.name=no_such_module:net: cannot import 'no_such_module'"),
        ({"name": ":net"}, r"model\.name=:net"),
        ({"name": ".here:net"}, r"model\.name=\.here:net"),
        ({"pool": "own_parts:double_size", "skip": "add"}, r"model\.skip=add of stage 1, block 1, .*no shortcut"),
    ],
)
def test_a_bad_own_part_is_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(ModelConfig(**changes), (1, 8, 8), 5)


@st.composite
def recipes(draw: st.DrawFn) -> ModelConfig:
    """Configurations of which about half can be built."""
    flaw = draw(st.sampled_from([*[None] * 9, "word", "width", "depth", "kernel", "drop_rate"]))
    first = draw(st.lists(st.sampled_from(["conv", "norm", "act", "drop", "pool"]), max_size=4))
    words = [
        *first,
        draw(st.sampled_from(["conv", "linear"])),
        *draw(st.lists(st.sampled_from(list(WORDS)), max_size=2)),
    ]
    widths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    num_blocks = len(widths) + draw(st.integers(0, 2))
    return ModelConfig(
        block="-".join([*words, "pol"] if flaw == "word" else words),
        widths=[*widths, 0] if flaw == "width" else widths,
        depth=1 + num_blocks * sum(word in ("conv", "linear") for word in words) - 4 * (flaw == "depth"),
        kernel=0 if flaw == "kernel" else draw(st.integers(1, 5)),
        bias=draw(st.booleans()),
        act=draw(st.sampled_from(list(ACTS))),
        norm=draw(st.sampled_from(list(NORMS))),
        pool=draw(st.sampled_from(list(POOLS))),
        drop=draw(st.sampled_from(list(DROPS))),
        drop_rate=1.0 if flaw == "drop_rate" else draw(st.sampled_from([0.0, 0.5, 0.9])),
        skip=draw(st.sampled_from(list(SKIPS))),
        head=draw(st.sampled_from(list(HEADS))),
        output=draw(st.sampled_from(["identity", "identity", *ACTS])),
        aux_blocks=draw(st.sampled_from([[], [], [1], [2, 1]])),
        init=draw(st.sampled_from(["he_normal", "lsuv"])),
    )


@pytest.mark.filterwarnings(EVEN_KERNELS)
@settings(deadline=None, max_examples=80, derandomize=True, database=None)
@given(recipes(), st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)), st.integers(1, 4))
def test_any_recipe_trains_or_is_refused(config: ModelConfig, in_shape: tuple[int, int, int], num_outputs: int) -> None:
    try:
        net = build(config, in_shape, num_outputs)
    except UserError as error:
        assert re.match(r"model\.\w+=", str(error))  # noqa: PT017 (either outcome is right)
        return
    assert all(module.training for module in net.modules())
    initialise(net, config.init, "paper", config.act, seed=0, images=torch.randn(4, *in_shape))
    out = net(torch.randn(2, *in_shape))
    logits, beside = out if config.aux_blocks else (out, ())
    assert len(beside) == len(config.aux_blocks)
    for each in (logits, *(aux for _, aux in beside)):
        assert each.shape == (2, num_outputs)
        assert each.isfinite().all()
    logits.sum().backward()
    assert num_weighted(net) == config.depth
