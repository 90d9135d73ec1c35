"""Named arms: sets of overrides crossed with what is swept, combinations left out, keys that move together."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.cli.main import main
from lab.errors import UserError
from lab.identity import default_leaves, flatten
from lab.overrides.formula import evaluate, is_formula
from lab.overrides.plan import all_jobs
from lab.records.places import Job
from lab.records.registration import read_registration
from lab.studies import load
from lab.studies.claims.study import check_claims, parse_study

TINY = ["model.widths=[4]", "model.depth=2", "data.limit=100", "train.steps=4", "train.pictures=0", "lint=off"]

PLACES = "study.arms={before:{model.block:conv-norm-act},after:{model.block:conv-act-norm},none:{model.norm:none}}"

RATES = "study.arms={fixed:{},scaled:{optimizer.lr:0.001*train.batch_size/64}}"


def jobs_of(*words: str) -> list[Job]:
    (jobs,) = all_jobs("train", [*TINY, *words])
    return jobs


def labels(jobs: list[Job]) -> list[str]:
    return [" ".join(map(str, job.arm.values())) for job in jobs]


def run(*words: str) -> int:
    return main(["train", *TINY, *words])


def table_rows(printed: str) -> list[list[str]]:
    """Arm and batch size of each row of the table."""
    lines = printed[printed.index("\n---") :].split("\n\n")[0].splitlines()
    return [line.split()[:2] for line in lines[2:]]


def test_names_stand_for_overrides_and_cross_what_is_swept():
    jobs = jobs_of(PLACES, "model.act=relu,tanh")
    assert labels(jobs) == [f"{arm} {act}" for act in ("relu", "tanh") for arm in ("before", "after", "none")]
    assert [job.config.model.block for job in jobs[:2]] == ["conv-norm-act", "conv-act-norm"]
    assert [job.config.model.norm for job in jobs[:3]] == ["batch", "batch", "none"]
    assert jobs[0].folder.parent.name.startswith("before,act=relu-")
    assert jobs[0].overrides[-2:] == ["arm=before", "seed=0"]


def test_a_name_makes_no_other_run():
    (named,) = jobs_of("study.arms={curve:{model.act:tanh}}")
    (plain,) = jobs_of("model.act=tanh")
    assert named.folder.parent.name[-8:] == plain.folder.parent.name[-8:]


def test_a_part_of_the_arms_is_chosen_by_name():
    assert labels(jobs_of(PLACES, "arm=none,before")) == ["none", "before"]
    (one,) = jobs_of(PLACES, "arm=after", "seed=3")
    assert one.config.arm == "after"


def test_an_arm_may_choose_files():
    adam, sgd = jobs_of("study.arms={a:{optimizer:adam},b:{optimizer:sgd,model.act:tanh}}")
    assert (adam.config.optimizer.name, sgd.config.optimizer.name) == ("adam", "sgd")
    assert sgd.config.optimizer.lr != adam.config.optimizer.lr


EXCLUDED = {
    "[{arm:none,model.act:tanh}]": ["before relu", "after relu", "none relu", "before tanh", "after tanh"],
    "[none]": ["before relu", "after relu", "before tanh", "after tanh"],
    "[{model.act:relu},{norm:none}]": ["before tanh", "after tanh"],
}


@pytest.mark.parametrize("exclude", EXCLUDED)
def test_combinations_are_left_out(exclude):
    assert labels(jobs_of(PLACES, "model.act=relu,tanh", f"study.exclude={exclude}")) == EXCLUDED[exclude]


def test_keys_move_together():
    jobs = jobs_of("train.batch_size=16,64,256", "optimizer.lr=0.001 * train.batch_size / 64")
    assert [job.config.optimizer.lr for job in jobs] == [0.00025, 0.001, 0.004]
    assert list(jobs[0].arm) == ["train.batch_size", "optimizer.lr"]


FORMULAS: Mapping[tuple[str, str], object] = {
    ("optimizer.lr", "0.001 * train.batch_size / 64"): 0.001,
    ("optimizer.lr", "-optimizer.momentum + 1"): 0.1,
    ("optimizer.lr", "0.01*(train.batch_size/16)**0.5"): 0.02,
    ("train.steps", "100*train.batch_size"): 6400,
    ("train.batch_size", "train.batch_size/2 - model.depth"): 29,
}


@pytest.mark.parametrize(("key", "text"), FORMULAS)
def test_formulas(key, text):
    assert is_formula(key, text)
    assert json.loads(evaluate(key, text, default_leaves())) == pytest.approx(FORMULAS[key, text])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("optimizer.lr", "0.001"),
        ("optimizer.lr", "abc"),
        ("optimizer.lr", "2*3"),
        ("optimizer.lr", "print(train.batch_size)"),
        ("optimizer.lr", "train.batch_size if train.steps else 1"),
        ("optimizer.lr", "train.batch_size.real"),
        ("optimizer.lr", "[train.batch_size]"),
        ("optimizer.lr", "train.batch_size % 3"),
        ("name", "train.batch_size/64"),
        ("data.root", "train.d/2"),
        ("model.widths", "train.batch_size/2"),
    ],
)
def test_what_is_no_formula(key, text):
    assert not is_formula(key, text)


WRONG = {
    "arm=x": "arm=x: no arms have names",
    f"{PLACES} arm=befor": "arm=befor is unknown (did you mean 'before'?); there are: before, after, none",
    f"{PLACES} model.norm=batch": "model.norm is set by arms of study.arms (none)",
    f"{PLACES} model.norm=batch,none": "model.norm is set by arms of study.arms (none)",
    "study.arms=3": "study.arms=3: allowed: names, each with keys and values",
    "study.arms={a:3}": "study.arms: a is 3; allowed: keys with values",
    "study.arms={a:{seed:3}}": "study.arms: a: seed makes no arms",
    "study.arms={a:{study.metric:x}}": "study.arms: a: study.metric makes no arms",
    "study.arms={a:{modl.depth:3}}": "study.arms: a: modl.depth is no key of the configuration (did you mean",
    "study.arms={a:{model.depth:0},b:{}}": "model.depth=0 is out of range",
    "study.arms={a:{optimizer:adm}}": "study.arms: a: optimizer=adm is unknown (did you mean 'adam'?)",
    'study.arms={a:{model.act:"relu,tanh"}}': "model.act=relu,tanh: an arm has one value of a key",
    "study.arms={a:{model:{depth:3}}}": "model has keys below it; write each in full, as model.depth",
    "study.arms={a:{},b:{}}": "study.arms: a and b are one configuration",
    "study.arms={a:{},b:{}} study.exclude=[a,b]": "study.exclude leaves no arm",
    "study.arms={a:{},b:{model.depth:3}} study.exclude=[{dept:3}]": "configuration key 'dept' is unknown",
    "study.arms={a:{}} study.exclude=[3]": "study.exclude: 3 is no selector",
    "optimizer.lr=0.01*train.batch_siz/3": "train.batch_siz is no key of the configuration (did you mean",
    "optimizer.lr=0.01*model.block/3": "model.block=conv-act-pool is not a number",
    "optimizer.lr=1/(train.batch_size-64)": "has no value: float division by zero",
    "train.batch_size=train.batch_size/3": "train.batch_size=21.333333333333332 is not a whole number",
    "optimizer.lr=9**train.batch_size**train.batch_size": "has no value",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_word_gets_one_message(words):
    with pytest.raises(UserError) as caught:
        all_jobs("train", words.split())
    assert WRONG[words].replace("float division", "division") in str(caught.value).replace("float division", "division")


@pytest.mark.parametrize("name", ["true", "null", "~", "on"])
def test_a_name_that_yaml_takes_for_something_else_wants_quotes(name, tmp_path, monkeypatch):
    (tmp_path / "experiment").mkdir()
    text = f"# @package _global_\nname: odd\nstudy: {{arms: {{{name}: {{}}, b: {{model.depth: 3}}}}}}\n"
    (tmp_path / "experiment" / "odd.yaml").write_text(text)
    monkeypatch.setenv("LAB_CONFIG_DIR", str(tmp_path))
    with pytest.raises(UserError, match="quotes"):
        all_jobs("train", ["experiment=odd"])


@pytest.mark.slow
def test_claims_tables_and_selectors_take_the_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    claims = (
        "study.claims=[{say: ranks, ordered: [after, before, none]}, {say: alike, same: [after, before], within: 1}]"
    )
    words = [PLACES, claims, "study.trained=val/accuracy >= 0", "study.reference=none", "seeds=3", "name=places"]
    assert run(*words) == 0
    out = capsys.readouterr().out
    table = out[out.index("differences to none") :]
    assert [line.split()[0] for line in table.splitlines()[4:7]] == ["before", "after", "none"]
    verdicts = json.loads(Path("outputs/places/verdict.json").read_text())["claims"]
    assert verdicts[1]["verdict"] == "supported"
    assert main(["compare", "outputs/places", "--by", "arm", "--reference", "arm=before"]) == 0
    assert "differences to before" in capsys.readouterr().out
    assert set(load("outputs/places")["arm"]) >= {"before", "after", "none"}


@pytest.mark.slow
def test_two_names_of_one_configuration_share_its_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    claims = "study.claims=[{say: tie, where: {train.batch_size: 64}, same: [scaled, fixed], within: 0.1}]"
    words = [RATES, claims, "train.batch_size=16,64", "seeds=2", "name=rates"]
    assert run(*words) == 0
    first = capsys.readouterr().out
    assert len(list(Path("outputs/rates").glob("*/seed=*"))) == 6
    rows = table_rows(first)
    assert rows == [["fixed", "16"], ["scaled", "16"], ["fixed", "64"], ["scaled", "64"]]
    assert "one and the same net" in " ".join(first.split())
    assert main(["compare", "outputs/rates"]) == 0
    again = capsys.readouterr().out
    assert table_rows(again) == rows
    assert run(*words) == 0
    assert "6 finished already, 0 to do" in capsys.readouterr().out


@pytest.mark.slow
def test_names_are_those_of_the_last_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("study.arms={a:{model.act:relu},b:{model.act:tanh}}", "seeds=2", "name=renamed") == 0
    capsys.readouterr()
    assert run("study.arms={relu:{model.act:relu},curve:{model.act:tanh}}", "seeds=2", "name=renamed") == 0
    assert "4 finished already" in capsys.readouterr().out
    assert main(["compare", "outputs/renamed"]) == 0
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines()[4:6]] == ["relu", "curve"]
    registration = read_registration(Path("outputs/renamed"))
    assert registration is not None
    assert sorted(registration.names.values()) == [["curve"], ["relu"]]


def test_a_run_of_an_arm_is_repeated_by_its_own_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = jobs_of(RATES, "train.batch_size=16,64", "seeds=2")[2]
    (again,) = all_jobs("train", job.overrides)[0]
    assert flatten(again.config) == flatten(job.config)
    assert again.folder.parent.name[-8:] == job.folder.parent.name[-8:]


def test_claims_may_tell_named_arms_apart_by_their_keys(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arms = "study.arms={relu:{model.act:relu},tanh:{model.act:tanh}}"
    claims = "study.claims=[{say: alike, same: [{model.act: relu}, {model.act: tanh}], within: 1}]"
    assert run(arms, claims, "study.trained=val/accuracy >= 0", "seeds=3", "name=keys") == 0
    (verdict,) = json.loads(Path("outputs/keys/verdict.json").read_text())["claims"]
    assert (verdict["verdict"], verdict["n"]) == ("supported", 3)


def test_a_formula_follows_its_arm():
    sides = "[{train.batch_size: 16}, {train.batch_size: 64}]"
    claims = f"study.claims=[{{say: x, where: {{arm: scaled}}, same: {sides}, within: 1}}]"
    jobs = jobs_of(RATES, claims, "train.batch_size=16,64", "seeds=3")
    study = parse_study(jobs[0].config.study)
    check_claims(study, [flat for job in jobs for flat, _ in job.views()])
