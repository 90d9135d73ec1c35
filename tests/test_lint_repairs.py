"""`lab lint --fix`: the repaired overrides, and that nothing is left to repair."""

import pytest

from lab.checks.lint.configured import lint_config
from lab.checks.lint.repairs import repairs
from lab.overrides.plan import Options, one_job

FAULTS: dict[str, tuple[str, str]] = {
    # Overrides: (rule, repair that is among those printed).
    "model.block=conv-drop-pool-norm-act": ("drop-before-norm", "model.block=conv-norm-pool-drop-act"),
    "model.block=conv-conv-act-pool model.depth=5": ("act-none", "model.block=conv-act-conv-pool-act"),
    "model.block=linear model.depth=3": ("act-none", "model.block=linear-act"),
    "model.block=linear-act model.act=identity": ("act-none", "model.act=relu"),
    "model.block=conv-act-act-pool": ("act-twice", "model.block=conv-pool-act"),
    "model.act=sigmoid model.depth=8": ("act-saturates", "model.act=relu"),
    "model=lenet model.init=zeros": ("init-equal", "model.init=he_normal"),
    "model.init=exponential": ("init-sign", "model.init=he_normal"),
    "model.init=normal model.init_gain=1": ("init-scale", "model.init_gain=paper"),
    "model.output=sigmoid": ("out-activation", "model.output=identity"),
    "train.loss=mse": ("out-loss", "train.loss=auto"),
    "optimizer=sgd optimizer.lr=20": ("rate", "optimizer.lr=0.05"),
    "optimizer=sgd": ("optimizer-plain", "optimizer=adam"),
    "train.batch_size=1 model.block=conv-norm-act": ("norm-few", "train.batch_size=32"),
    "data.scale=zero_one": ("input-scale", "data.scale=standard"),
    "model.widths=[256,32]": ("width-first", "model.widths=[32,256]"),
    "model.block=conv-norm-act-drop-pool": ("norm-drop", "model.drop_rate=0.2"),
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_repair_repairs(words: str) -> None:
    code, repair = FAULTS[words]
    given = words.split()
    config = one_job("lint", given, Options()).config
    said = lint_config(config)
    assert code in [one.rule.code for one in said]
    found = repairs(said, config)
    assert repair in found
    keys = [text.partition("=")[0] for text in found]
    assert len(keys) == len(set(keys))
    kept = [word for word in given if word.partition("=")[0] not in keys]
    after = lint_config(one_job("lint", [*kept, *found], Options()).config)
    assert [one.rule.code for one in after if one.severity != "note"] == []


def test_a_net_that_is_no_recipe_gets_no_key_of_recipes() -> None:
    config = one_job("lint", ["model=blunder_b", "data.name=own_parts:grey28", "train.loss=mse"], Options()).config
    assert repairs(lint_config(config), config) == ["train.loss=auto"]
