"""Auxiliary classifiers stand beside a net in training, and leave no trace in evaluation; outputs are activated."""

import copy
import io

import pytest
import torch
from torch import nn

from lab.config import ModelConfig, RunConfig
from lab.errors import UserError
from lab.nets.init import initialise
from lab.nets.recipe import build
from lab.validation import validate

MAPS, FEATURES = (2, 8, 8), (6,)


def net_of(in_shape: tuple[int, ...] = MAPS, **changes) -> nn.Module:
    block = "conv-norm-act-pool" if len(in_shape) == 3 else "linear-norm-act"
    config = RunConfig(model=ModelConfig(**{"block": block, "widths": [4, 6], "depth": 6, **changes}))
    validate(config)
    net = build(config.model, in_shape, 3)
    initialise(net, "he_normal", "paper", "relu", seed=0)
    return net


@pytest.mark.parametrize("in_shape", [MAPS, FEATURES], ids=str)
@pytest.mark.parametrize("skip", ["none", "add", "concat"])
def test_a_side_head_sees_the_mean_of_its_block(in_shape: tuple[int, ...], skip: str) -> None:
    net = net_of(in_shape, aux_blocks=[4, 2], aux_weights=[0.5, 0.1], skip=skip)  # blocks: 3 in stage 1, 2 in stage 2
    seen = {}
    for name in ("stage1.block2", "stage2.block1"):
        net.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    logits, beside = net(torch.randn(5, *in_shape))
    assert logits.shape == (5, 3)
    assert [weight for weight, _ in beside] == [0.1, 0.5]
    for (_, aux), name in zip(beside, ("stage1.block2", "stage2.block1"), strict=True):
        means = seen[name].flatten(2).mean(2) if len(in_shape) == 3 else seen[name]  # (n, c)
        layer = net.get_submodule(f"auxiliary.{name.replace('.', '_')}.classifier")
        torch.testing.assert_close(aux, means @ layer.weight.T + layer.bias)


def test_the_net_itself_is_the_same_with_and_without() -> None:
    plain, net = net_of(), net_of(aux_blocks=[1, 3])
    theirs, ours = plain.state_dict(), net.state_dict()
    assert [key for key in ours if not key.startswith("auxiliary.")] == list(theirs)
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())
    assert sorted({key.split(".")[1] for key in ours.keys() - theirs.keys()}) == ["stage1_block1", "stage1_block3"]
    x = torch.randn(5, *MAPS)
    logits, beside = net(x)
    assert torch.equal(logits, plain(x))
    assert len(beside) == 2
    assert torch.equal(net.eval()(x), plain.eval()(x))  # after a step of the running statistics in both


def test_the_gradient_of_a_side_head_reaches_its_block_and_no_later_one() -> None:
    net = net_of(aux_blocks=[3])
    _, ((_, aux),) = net(torch.randn(5, *MAPS))
    aux.square().sum().backward()
    reached = {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"stage1", "auxiliary"}


def test_one_weight_serves_all() -> None:
    _, beside = net_of(aux_blocks=[1, 2, 4])(torch.randn(5, *MAPS))
    assert [weight for weight, _ in beside] == [0.3, 0.3, 0.3]


def test_a_copy_and_a_saved_net_keep_their_side_heads() -> None:
    net, x = net_of(aux_blocks=[2]), torch.randn(5, *MAPS)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    expected = net(x)[1][0][1]
    for other in (copy.deepcopy(net), torch.load(file, weights_only=False)):
        other.classifier = nn.Linear(6 * 2 * 2, 7)  # another task
        logits, ((weight, aux),) = other(x)
        assert logits.shape == (5, 7)
        assert weight == 0.3
        torch.testing.assert_close(aux, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aux_blocks": [0]}, r"model\.aux_blocks=\[0\]: 0 is out of range; allowed: 1 or more \(blocks before the"),
        ({"aux_blocks": [1, 6]}, r"model\.aux_blocks=\[1, 6\] is out of range; .*from 1 to 4"),
        ({"aux_blocks": [5]}, r"model\.aux_blocks=\[5\] is out of range; .* 1 to 4, the blocks before the last"),
        ({"aux_blocks": [2, 2]}, r"model\.aux_blocks=\[2, 2\] is out of range; allowed: different blocks"),
        ({"aux_blocks": [1], "widths": [4], "depth": 2}, r"model\.aux_blocks=\[1\] .*allowed: \[\], as"),
        ({"aux_blocks": [1], "widths": [], "depth": 1}, r"model\.aux_blocks=\[1\] .*allowed: \[\], as"),
        (
            {"aux_blocks": [1, 2, 3], "aux_weights": [0.3, 0.1]},
            r"model\.aux_weights=\[0\.3, 0\.1\] is out of range; allowed: one weight for all, or one for each of the 3",
        ),
        ({"aux_blocks": [1], "aux_weights": []}, r"model\.aux_weights=\[\] is out of range"),
        ({"aux_blocks": [1], "aux_weights": [0.0]}, r"model\.aux_weights=\[0\.0\]: 0\.0 is out of range; .*above 0"),
        ({"output": "sofmax"}, r"model\.output=sofmax is unknown \(did you mean 'softmax'\?\)"),
        ({"output": "own_parts:no_module"}, r"model\.output=own_parts:no_module, called with \(\(3,\)\), returned 3"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        net_of(**changes)


@pytest.mark.parametrize(("name", "function"), [("softmax", lambda x: x.softmax(1)), ("sigmoid", torch.sigmoid)])
def test_an_output_acts_on_the_logits(name: str, function) -> None:
    plain, net = net_of(aux_blocks=[1]), net_of(aux_blocks=[1], output=name)
    x = torch.randn(5, *MAPS)
    (logits, ((_, aux),)), (out, ((_, aux_out),)) = plain(x), net(x)
    torch.testing.assert_close(out, function(logits))
    torch.testing.assert_close(aux_out, function(aux))
    assert [key for key, _ in net_of(output=name).named_children()][-2:] == ["classifier", "output"]


def test_no_output_is_no_module() -> None:
    assert [key for key, _ in net_of(output="identity").named_children()][-1] == "classifier"
