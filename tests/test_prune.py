"""What goes first when a net is pruned, that it stays away, and that curvature is the curvature."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import MakeJob
from torch import Tensor, nn
from torch.autograd.functional import hessian as hessian_of
from torch.nn.utils import prune

from lab.config import ModelConfig
from lab.nets.init import initialise
from lab.nets.parts.acts import ACTS
from lab.nets.parts.drops import DROPS
from lab.nets.parts.norms import NORMS
from lab.nets.prune import (
    BLOCK_ORDERS,
    NOISES,
    SALIENCIES,
    branch_norms,
    prune_blocks,
    prune_weights,
    residual_blocks,
)
from lab.nets.recipe import build
from lab.nets.weights import mask_of, mask_weights, standardise
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.fit import fit


def net(**changes: Any) -> nn.Module:
    config = ModelConfig(**{"block": "conv-act-pool", "widths": [4, 6], "depth": 5, **changes})
    model = build(config, (1, 8, 8), 5)
    initialise(model, config.init, config.init_gain, config.act, 1)
    return model


def layers(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


IMAGES = torch.randn(40, 1, 8, 8, generator=seeded())
MSE = NOISES["mse"]


# Blocks


def resnet(**changes: Any) -> nn.Module:
    return net(skip="add", block="conv-norm-act", widths=[4, 6], depth=7, **changes)


def test_only_blocks_with_an_identity_beside_them_can_go() -> None:
    assert list(residual_blocks(resnet())) == ["stage1.block2", "stage1.block3", "stage2.block2", "stage2.block3"]
    for skip in ("none", "gate", "concat"):
        assert residual_blocks(net(skip=skip, block="conv-norm-act")) == {}


def test_branch_norms_are_those_of_a_hand_written_pass() -> None:
    model = resnet().eval()
    x, expected = IMAGES, {}
    block: Any
    for stage in (model.get_submodule("stage1"), model.get_submodule("stage2")):
        for block in stage.children():
            if isinstance(block.shortcut, nn.Identity):
                expected[block] = (block.block(x).norm() / x.norm()).item()
            x = block(x)
    model.train()
    found = branch_norms(model, IMAGES)
    assert list(found.values()) == pytest.approx(list(expected.values()), rel=1e-5)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_a_block_that_does_nothing_goes_first_and_is_not_missed() -> None:
    model = resnet()
    nn.init.zeros_(model.get_parameter("stage2.block2.block.conv.weight"))
    before = model.eval()(IMAGES)
    norms = prune_blocks(model, "smallest", 1, IMAGES, seeded())
    assert next(iter(norms)) == "stage2.block2"
    assert norms["stage2.block2"] == 0
    assert isinstance(model.get_submodule("stage2.block2"), nn.Identity)
    assert torch.equal(model(IMAGES), before)


@pytest.mark.parametrize("by", BLOCK_ORDERS)
def test_blocks_go_in_their_order(by: str) -> None:
    model = resnet()
    norms = branch_norms(model, IMAGES)
    pruned = prune_blocks(model, by, 2, IMAGES, seeded(3))
    gone = [name for name in norms if isinstance(model.get_submodule(name), nn.Identity)]
    assert sorted(gone) == sorted(list(pruned)[:2])
    order = sorted(norms, key=lambda name: norms[name])
    if by != "random":
        assert list(pruned) == (order if by == "smallest" else order[::-1])
    assert pruned == norms
    assert model(IMAGES).shape == (40, 5)


def test_random_blocks_follow_the_seed() -> None:
    orders = {tuple(prune_blocks(resnet(), "random", 1, IMAGES, seeded(seed))) for seed in (1, 1, 2, 3, 4)}
    assert 2 <= len(orders) <= 4


# Weights


@pytest.mark.parametrize("frac", [0.0, 0.1, 0.333, 0.5, 0.9])
def test_magnitude_is_torchs_global_pruning(frac: float) -> None:
    ours, theirs = net(), net()
    other: Any
    count, total = prune_weights(ours, layers(ours), "magnitude", frac, IMAGES, MSE, seeded())
    pairs = [(layer, "weight") for layer in layers(theirs).values()]
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=frac)
    for one, other in zip(layers(ours).values(), layers(theirs).values(), strict=True):
        assert torch.equal(mask_of(one), other.weight_mask)
        assert torch.equal(one.weight, other.weight)
    assert (count, total) == (round(frac * total), sum(layer.weight.numel() for layer in layers(net()).values()))


@pytest.mark.parametrize("by", SALIENCIES)
@pytest.mark.parametrize(
    "kind", [{}, {"weight_std": True}, {"block": "conv-drop-act-pool", "drop": "dropconnect"}], ids=str
)
def test_the_share_of_zeros_is_exact_and_its_net_still_works(by: str, kind: dict[str, Any]) -> None:
    model = net(**kind)
    count, total = prune_weights(model, layers(model), by, 0.4, IMAGES, NOISES["cross_entropy"], seeded())
    assert count == round(0.4 * total)
    assert sum(int((layer.weight == 0).sum()) for layer in layers(model.eval()).values()) == count
    assert model(IMAGES).isfinite().all()
    assert "weights are pruned" in str(model)


def test_what_is_pruned_goes_first_again() -> None:
    model = net()
    prune_weights(model, layers(model), "random", 0.3, IMAGES, MSE, seeded(1))
    first = [mask_of(layer).clone() for layer in layers(model).values()]
    count, total = prune_weights(model, layers(model), "magnitude", 0.5, IMAGES, MSE, seeded(2))
    assert count == round(0.5 * total)
    for before, layer in zip(first, layers(model).values(), strict=True):
        assert (mask_of(layer)[before == 0] == 0).all()


def test_random_weights_follow_the_seed() -> None:
    def masks(seed: int) -> Tensor:
        model = net()
        prune_weights(model, layers(model), "random", 0.5, IMAGES, MSE, seeded(seed))
        return torch.cat([mask_of(layer).flatten() for layer in layers(model).values()])

    assert torch.equal(masks(1), masks(1))
    assert not torch.equal(masks(1), masks(2))


@pytest.mark.parametrize("kind", [{}, {"model.weight_std": True}, {"model.drop": "dropconnect"}], ids=str)
@pytest.mark.parametrize("optimizer", ["momentum", "adamw", "sign_sgd"])
def test_pruned_weights_stay_zero_while_the_rest_learns(
    make_job: MakeJob, kind: dict[str, Any], optimizer: str
) -> None:
    changes = {"model.block": "conv-drop-act" if "model.drop" in kind else "conv-act", "model.depth": 3, **kind}
    changes |= {"optimizer.name": optimizer, "optimizer.weight_decay": 0.1, "start.prune": "weights"}
    parts = assemble(make_job(changes=changes).config)
    pruned = layers(parts.model)
    before = {name: layer.weight.detach().clone() for name, layer in pruned.items()}
    fit(parts.training)
    parts.model.eval()
    for name, layer in pruned.items():
        kept = mask_of(layer) == 1
        assert (layer.weight[~kept] == 0).all()
        assert (layer.weight[kept] != before[name][kept]).float().mean() > 0.9
        if "model.weight_std" not in kind or name == "classifier":
            assert (layer.get_parameter("parametrizations.weight.original")[~kept] == 0).all()


def test_the_masks_are_saved_with_the_run(make_job: MakeJob) -> None:
    job = make_job(changes={"start.prune": "weights", "model.weight_std": True})
    said = run(job)["started_from"]["pruned"]
    state = torch.load(job.folder / "checkpoint.pt", weights_only=True)["model"]
    masks = {key: value for key, value in state.items() if key.endswith(".mask")}
    assert list(masks) == [
        "stage1.block1.conv.parametrizations.weight.1.mask",
        "classifier.parametrizations.weight.0.mask",
    ]
    assert said["zeros"] == sum(int((mask == 0).sum()) for mask in masks.values())
    assert (said["kind"], said["by"], said["frac"], said["share"]) == ("weights", "magnitude", 0.5, 0.5)


def test_a_mask_comes_after_standardisation() -> None:
    conv = standardise(nn.Conv2d(2, 3, 3))
    whole = conv.weight.detach().clone()
    mask = (torch.rand(whole.shape, generator=seeded()) > 0.5).float()
    mask_weights(conv, mask)
    assert torch.equal(conv.weight, mask * whole)


# Curvature


def saliency(model: nn.Module, images: Tensor, loss: str, seed: int = 0) -> dict[str, Tensor]:
    """By layer, a^2 H_ii."""
    for layer in layers(model).values():
        mask_weights(layer, torch.ones_like(layer.weight))
    found = SALIENCIES["curvature"](model.eval(), layers(model), images, NOISES[loss], seeded(seed))
    return dict(zip(layers(model), found, strict=True))


@pytest.mark.parametrize("outputs", [1, 3])
def test_least_squares_has_the_exact_hessian(outputs: int) -> None:
    rows = torch.randn(70, 6, generator=seeded(), dtype=torch.float64)
    targets = torch.randn(70, outputs, generator=seeded(1), dtype=torch.float64)
    model = nn.Sequential(nn.Linear(6, outputs)).double()
    weight = model.get_parameter("0.weight").detach().clone()
    hessian: Any = hessian_of(lambda w: F.mse_loss(rows @ w.T, targets), weight)
    diagonal = hessian.reshape(weight.numel(), -1).diagonal().view_as(weight)
    torch.testing.assert_close(saliency(model, rows, "mse")["0"], weight**2 * diagonal, rtol=1e-12, atol=0)


def test_softmax_regression_has_the_hessian_up_to_sampling() -> None:
    """20,000 drawn labels: the largest of 24 relative errors is a few percent."""
    rows = torch.randn(20_000, 6, generator=seeded(), dtype=torch.float64)
    model = nn.Sequential(nn.Linear(6, 4)).double()
    weight, bias = (value.detach().clone() for value in model.parameters())
    labels = torch.zeros(20_000, dtype=torch.int64)  # the Hessian of a linear softmax does not depend on them
    hessian: Any = hessian_of(lambda w: F.cross_entropy(rows @ w.T + bias, labels), weight)
    exact = weight**2 * hessian.reshape(24, 24).diagonal().view_as(weight)
    torch.testing.assert_close(saliency(model, rows, "cross_entropy")["0"], exact, rtol=0.06, atol=0)


@pytest.mark.parametrize("weight_std", [False, True])
@pytest.mark.slow
def test_a_deep_net_has_the_fisher_diagonal_up_to_sampling(weight_std: bool) -> None:
    """Against the sum over all labels, one backward pass a picture and label, by the weights as they are used."""
    model = net(widths=[3], depth=2, act="tanh", norm="batch", block="conv-norm-act-pool", weight_std=weight_std)
    used = {name: layer.weight.detach().clone() for name, layer in layers(model).items()}
    plain = net(widths=[3], depth=2, act="tanh", norm="batch", block="conv-norm-act-pool").eval()
    for name, layer in layers(plain).items():
        layer.weight.data.copy_(used[name])
    images = torch.randn(25, 1, 8, 8, generator=seeded())
    exact = {name: torch.zeros_like(value) for name, value in used.items()}
    for image in images:
        log_p = plain(image.unsqueeze(0)).log_softmax(1)[0]
        for label in range(5):
            grads = torch.autograd.grad(log_p[label], [x.weight for x in layers(plain).values()], retain_graph=True)
            for name, gradient in zip(exact, grads, strict=True):
                exact[name] += log_p[label].exp().item() * gradient**2 / len(images)
    found = saliency(model, images.repeat(400, 1, 1, 1), "cross_entropy")
    for name, value in found.items():
        expected = used[name] ** 2 * exact[name]
        assert (value - expected).norm() / expected.norm() < 0.03, name


class Draws(nn.Module):
    """A user's layer that draws in evaluation, too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.01 * torch.randn_like(x)


class Reads(nn.Module):
    """A user's layer that reads a value, which vmap cannot."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.abs().max().item() > 1e9 else x


RANDOM = [nn.RReLU(), *(ACTS[name]((4,)) for name in ("rrelu", "noisy_relu")), nn.Dropout(), Draws(), Reads()]


@pytest.mark.parametrize("layer", RANDOM, ids=lambda layer: type(layer).__name__)
def test_curvature_of_a_net_with_layers_that_draw(layer: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), layer, nn.Linear(4, 3))
    slope = (1 / 8 + 1 / 3) / 2
    plain = {nn.RReLU: nn.LeakyReLU(slope), type(ACTS["noisy_relu"]((4,))): nn.ReLU()}.get(type(layer), nn.Identity())
    twin = nn.Sequential(copy.deepcopy(model[0]), plain, copy.deepcopy(model[2]))
    found = []
    for net in (model.eval(), twin.eval()):
        there = layers(net)
        for one in there.values():
            mask_weights(one, torch.ones_like(one.weight))
        images = torch.randn(50, 5, generator=seeded(1))
        found.append(SALIENCIES["curvature"](net, there, images, NOISES["cross_entropy"], seeded(2)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0.2 if isinstance(layer, Draws) else 1e-4, atol=1e-3)


PARTS = [("act", name) for name in ACTS] + [("norm", name) for name in NORMS] + [("drop", name) for name in DROPS]


@pytest.mark.parametrize(("key", "name"), PARTS)
def test_curvature_of_every_part(key: str, name: str) -> None:
    """A layer that `vmap` does not know is taken one example at a time."""
    config = ModelConfig(block="conv-norm-act-drop-pool", widths=[4], depth=2, drop_rate=0.2)
    setattr(config, key, name)
    torch.manual_seed(1)
    net = build(config, (3, 8, 8), 5).eval()
    there, images = layers(net), torch.rand(3, 3, 8, 8)
    for layer in there.values():
        mask_weights(layer, torch.ones_like(layer.weight))
    found = SALIENCIES["curvature"](net, there, images, NOISES["cross_entropy"], seeded(0))
    assert all(bool(one.isfinite().all()) and bool((one >= 0).all()) for one in found)
    assert sum(float(one.sum()) for one in found) > 0
