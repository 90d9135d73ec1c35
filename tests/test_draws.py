"""`model.draw` gives a seed other weights, and nothing else: runs that differ in it alone differ by chance alone."""

import pytest
import torch
from conftest import MakeJob
from torch import nn

from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import arm_hash, derive_seed
from lab.nets.init import initialise
from lab.nets.recipe import build
from lab.runs.build import Parts, assemble
from lab.runs.run import run


def started(make_job: MakeJob, draw: int, init: str = "he_normal", name: str = "recipe") -> Parts:
    return assemble(make_job(changes={"model.draw": draw, "model.init": init, "model.name": name}).config)


def weights(parts: Parts) -> torch.Tensor:
    return nn.utils.parameters_to_vector(parts.model.parameters()).detach()


@pytest.mark.parametrize(
    ("init", "name"), [("he_normal", "recipe"), ("lsuv", "recipe"), ("he_normal", "own_parts:whole_net")]
)
def test_draws_share_pictures_and_no_weights(make_job: MakeJob, init: str, name: str) -> None:
    parts = [started(make_job, draw, init, name) for draw in (0, 1, 2)]
    assert torch.equal(weights(parts[1]), weights(started(make_job, 1, init, name)))
    drawn = [weights(one) for one in parts]
    for index, other in enumerate(parts[1:], start=1):
        for before in drawn[:index]:
            assert not ((drawn[index] == before) & (before != 0)).any()  # biases start at 0 in all
        assert torch.equal(other.data.val.index, parts[0].data.val.index)
        one, two = (part.training.train_step for part in (parts[0], other))
        for step in (0, 7):
            assert all(map(torch.equal, two.batch(step), one.batch(step)))


def test_draw_zero_is_the_start_there_was_before_draws(make_job: MakeJob) -> None:
    parts = started(make_job, 0)
    model = build(make_job().config.model, parts.data.shape, parts.data.num_outputs)
    initialise(model, "he_normal", "paper", "relu", derive_seed(0, "init"))
    assert torch.equal(weights(parts), nn.utils.parameters_to_vector(model.parameters()))
    assert arm_hash(make_job(changes={"model.draw": 0}).config) == arm_hash(make_job().config)


def test_a_draw_is_an_arm_of_its_own_that_learns_otherwise(make_job: MakeJob) -> None:
    jobs = [make_job(changes={"model.draw": draw, "train.steps": 10}) for draw in (0, 1)]
    assert len({job.folder for job in jobs}) == 2
    first, second = (run(job)["metrics"]["val/loss"]["last"] for job in jobs)
    assert first != second


def test_a_draw_below_zero_is_refused() -> None:
    config = RunConfig()
    config.model.draw = -1
    with pytest.raises(UserError, match=r"model\.draw=-1 is out of range; allowed: 0 or more"):
        assemble(config)
