"""What every key admits: told once in the schema, checked by `validate`, printed by `lab list keys`."""

import math
import re
import time
from typing import Any

import pytest

from lab.cli.catalogue import KINDS, render_names
from lab.cli.keys import WIDTH, meanings, render_keys
from lab.cli.main import main
from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import default_leaves, with_values
from lab.tables import read_table
from lab.validation import Key, all_keys, validate

TINY = 1e-6
WHOLE = (
    *("data.limit", "data.resize", "model.widths", "model.aux_blocks"),
    *("train.steps", "train.eval_limit", "train.watch_steps"),
)
"""Keys of whole numbers whose default does not tell so."""


def beside(key: Key) -> list[tuple[float, bool]]:
    """Numbers just inside and just outside each bound of `key`, and whether they are allowed."""
    knob = key.knob
    whole = isinstance(key.default, int) or key.name in WHOLE
    step = 1 if whole else TINY
    found: list[tuple[float, bool]] = []
    if knob.above is not None:
        found += [(knob.above, False), (knob.above + step, True)]
    if knob.low is not None:
        found += [(knob.low - step, False), (knob.low, True)]
    if knob.below is not None:
        found += [(knob.below - step, True), (knob.below, False)]
    if knob.high is not None:
        found += [(knob.high, True), (knob.high + step, False)]
    kind = int if whole else float
    return [(kind(number), allowed) for number, allowed in found]


BOUNDS = [(key.name, *one) for key in all_keys().values() if key.knob.bounded for one in beside(key)]


def with_one(key: str, value: Any) -> RunConfig:
    """The default configuration with `value` for `key`, or a list of it, and what else that demands."""
    if isinstance(all_keys()[key].default, list):
        value = [value]
    if all_keys()[key].knob.choices:
        value = str(value)
    place = {"on.name": "slurm"} if key.startswith("on.") else {}
    return with_values(RunConfig(), {"train.watch": True, **place, key: value})


@pytest.mark.parametrize(("key", "value", "allowed"), BOUNDS)
def test_a_bound_is_where_the_schema_says(key: str, value: float, allowed: bool) -> None:
    config = with_one(key, value)
    if allowed:
        validate(config)
        return
    with pytest.raises(UserError, match=rf"^{re.escape(key)}=.*{re.escape(str(value))} is out of range; allowed: "):
        validate(config)


NUMBERS = [key.name for key in all_keys().values() if key.knob.bounded]


@pytest.mark.parametrize("key", NUMBERS)
def test_no_range_admits_nan_and_infinity_where_it_says_so(key: str) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(key)}=.*nan is out of range"):
        validate(with_one(key, math.nan))
    if all_keys()[key].knob.infinite:
        validate(with_one(key, math.inf))
        return
    with pytest.raises(UserError, match=rf"^{re.escape(key)}=.*inf is out of range"):
        validate(with_one(key, math.inf))


NAMED = [key.name for key in all_keys().values() if key.knob.choices or key.knob.tables]


@pytest.mark.parametrize("key", NAMED)
def test_every_name_is_accepted_and_no_other(key: str) -> None:
    known = all_keys()[key]
    for name in known.names():
        config = with_one(key, name)
        if key == "start.prune_by":
            config.start.prune = "blocks" if name in read_table("block_orders") else "none"
        validate(config)
    near = known.names()[-1]
    with pytest.raises(UserError, match=rf"^{re.escape(key)}=\[?{near}x.* is unknown.*did you mean '.*; there are: "):
        validate(with_one(key, f"{near}x"))
    own = with_one(key, "package.module:part")
    if known.knob.own:
        validate(own)
    else:
        with pytest.raises(UserError, match="is unknown"):
            validate(own)


@pytest.mark.parametrize("key", all_keys())
def test_every_key_has_a_meaning_and_says_what_it_takes(key: str) -> None:
    known = all_keys()[key]
    assert len(meanings()[key]) > 20
    assert known.knob.bounded or known.names() or known.knob.free
    assert known.allowed()


def test_all_keys_are_there_and_all_defaults_are_valid() -> None:
    assert [key for key in all_keys() if not key.startswith("study.")] == list(default_leaves())
    assert {key: one.default for key, one in all_keys().items() if not key.startswith("study.")} == default_leaves()
    for key in [*NUMBERS, *NAMED]:
        known = all_keys()[key]
        for value in known.default if isinstance(known.default, list) else [known.default]:
            if known.knob.words:
                assert set(value.split("-")) <= set(known.names())
            elif value is not None and not known.knob.choices and not known.knob.tables:
                assert known.knob.admits(value)
            elif value is not None:
                assert known.takes(str(value).lower() if isinstance(value, bool) else value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer.name": "nag", "optimizer.momentum": 0.0}, "optimizer.momentum=0.0 .* above 0 for nag"),
        ({"schedule.name": "plateau", "schedule.factor": 1.0}, "schedule.factor=1.0 .* below 1 for plateau"),
        ({"data.classes": ["a"]}, r"data.classes=\[a\] .* two classes or more, each once"),
        ({"data.classes": ["a", "b", "a"]}, r"data.classes=\[a, b, a\] .* two classes or more, each once"),
        ({"model.widths": []}, r"model.widths=\[\] .* none only with model.depth=1"),
        ({"model.aux_blocks": [1, 1]}, r"model.aux_blocks=\[1, 1\] .* different blocks"),
        ({"model.aux_blocks": [1], "model.aux_weights": []}, r"model.aux_weights=\[\] .* one for each of the 1"),
        ({"train.watch_steps": [3]}, r"train.watch_steps=\[3\] does nothing without train.watch=true"),
        ({"start.prune": "blocks", "start.prune_by": "curvature"}, "start.prune_by=curvature with start.prune=blocks"),
        ({"study.tune": {"optimizer.lr": [-1.0, 0.1]}}, "study.tune: optimizer.lr=-1.0 is out of range"),
        ({"study.tune": {"model.widths": [[4], [0]]}}, r"study.tune: model.widths=\[0\]: 0 is out of range"),
        ({"optimizer.lr": None}, "optimizer.lr=None is not a number; allowed: above 0"),
        ({"model.bias": None}, "model.bias=None is unknown; there are: true, false"),
        ({"model.init_gain": "-1"}, "model.init_gain=-1 is out of range; allowed: paper, auto, or a number above 0"),
    ],
)
def test_what_keys_demand_of_each_other(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        validate(with_values(RunConfig(), values))


def test_all_that_is_wrong_is_in_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model.act=relu,rleu,tahn", "optimizer.lr=-1", "start.load=haed", "model.block=conv-akt", "seed=-1"]
    assert main(["train", *words]) == 2
    out, err = capsys.readouterr()
    first, *lines = err.splitlines()
    assert (out, first, len(lines)) == ("", "lab: 6 things are wrong:", 6)
    for key, near in [("model.act=rleu", "relu"), ("model.act=tahn", "tanh"), ("start.load=haed", "head")]:
        (line,) = [line for line in lines if line.startswith(f"  {key} is unknown")]
        assert f"(did you mean '{near}'?)" in line or near == "head"
    assert "  optimizer.lr=-1.0 is out of range; allowed: above 0" in lines
    assert "  seed=-1 is out of range; allowed: 0 or more" in lines
    assert main(["train", "optimizer.lrr=1", "modle.act=relu", "data=mnits"]) == 2
    err = capsys.readouterr().err
    assert all(f"did you mean '{near}'?" in err for near in ("optimizer.lr", "model.act", "mnist"))


def test_a_thousand_configurations_are_checked_at_once() -> None:
    configs = [with_values(RunConfig(), {"optimizer.lr": 1e-4 * (i + 1), "seed": i}) for i in range(1000)]
    clock = time.process_time()
    validate(*configs)
    assert time.process_time() - clock < 0.3


# lab list keys


def test_keys_are_listed_with_default_range_and_meaning() -> None:
    text = render_keys()
    assert all(len(line) <= WIDTH for line in text.splitlines())
    heads = [line for line in text.splitlines() if line[:1].strip()]
    assert [head.partition(" = ")[0] for head in heads] == list(all_keys())
    assert render_keys("schedule.c") == (
        "schedule.cycles = 4   1 to 1,000,000\n"
        "    Cycles of `cosine_restarts`, `triangular` and `triangular2` in the run.\n"
    )
    for head in (
        "optimizer.lr = 0.001   above 0",
        "train.checkpoint_every = 60.0   0 or more (seconds)",
        "train.steps = null   0 (the net as it starts) or more (steps), or null",
        "train.clip = norm   none, norm, value, sign ('lab list clips'), or your own module:attribute",
        "model.act = relu   a name of 'lab list acts', or your own module:attribute",
        "model.block = conv-act-pool   names of 'lab list words' joined by dashes",
        "model.init_gain = paper   paper, auto, or a number above 0",
        "start.load = body   none, body, all",
        "train.device = auto   auto, cpu, cuda, mps, cuda:0",
        "model.bias = true   true, false",
        'start.run = ""   a path',
    ):
        assert head in heads


def test_keys_are_listed_by_their_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "keys", "model.i"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^\S+", out, re.MULTILINE) == ["model.init", "model.init_gain", "model.init_fan"]
    assert main(["list", "keys", "shedule"]) == 2
    assert "no key starts so (did you mean 'schedule'?); they start with: data, model" in capsys.readouterr().err
    assert main(["list", "acts", "re"]) == 0
    assert capsys.readouterr().out == f"relu  {read_table('acts')['relu']}\n"
    assert main(["list", "acts", "rleu"]) == 2
    assert "did you mean 'relu'?" in capsys.readouterr().err


def test_the_list_of_all_mentions_the_keys() -> None:
    text = render_names(None)
    assert text.startswith(
        f"keys:\n  {len(all_keys())} keys, with meaning, default and range: lab list keys [PREFIX]\n"
    )
    assert "schedule.cycles =" not in text
    assert re.findall(r"^(\w+):$", text, re.MULTILINE) == list(KINDS)
