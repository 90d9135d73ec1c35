"""`start.source`: the run that others start from is trained first, once, seed by seed, whatever asks for it."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeJob

import lab.launch.local
from lab.cli.main import main
from lab.errors import UserError
from lab.identity import arm_hash, flatten
from lab.launch.local import train_runs
from lab.launch.outlook import outlook
from lab.launch.sources import SourceError, missing_sources, refuse_unfinished
from lab.launch.tune import FIRST_SEED, make_trials, tuned_jobs
from lab.overrides.plan import all_jobs
from lab.records.places import Job, settled
from lab.records.results import read_result, read_run
from lab.records.sources import source_config, source_job, source_jobs
from lab.runs.build import assemble
from lab.runs.run import run
from lab.space import points
from lab.studies.claims.study import parse_study
from lab.studies.notebook.collect import cost
from lab.studies.notebook.texts import cost_text
from lab.studies.select.arms import differing_keys

SMALL = ["name=warm", "model.widths=[4]", "model.depth=2", "data.limit=100", "train.device=cpu", "train.threads=1"]
SOURCE = 'start.source=["data.classes=[0,1,2]",train.epochs=2]'

TINY = {"data.name": '"own_parts:tiny"', "model.widths": "[4]", "model.depth": "2", "train.batch_size": "20"}
"""What makes the runs of `make_job`, as `start.source` holds it."""


def jobs_of(*words: str) -> list[Job]:
    (jobs,) = all_jobs("train", [*SMALL, *words])
    return jobs


def sources_of(*words: str) -> set[str]:
    return {arm_hash(job.config) for job in source_jobs(jobs_of(*words))}


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def make(make_job: MakeJob) -> Any:
    """`make({"train.steps": 5}, {"seed": 1})`: a run of `make_job` with the second changes, whose source has the first
    ones."""

    def made(source: dict[str, Any], changes: dict[str, Any] | None = None) -> Job:
        words = {**TINY, "train.steps": "4", **source}
        return make_job(changes={"start.source": [f"{key}={value}" for key, value in words.items()], **(changes or {})})

    return made


def test_a_source_has_data_and_net_of_its_run_and_is_trained_alike_for_all_arms(there: Path) -> None:
    arms = "study.arms={frozen: {start.freeze_epochs: null}, short: {train.steps: 0}, fast: {optimizer.lr: 0.1}}"
    jobs = jobs_of(SOURCE, arms, "seeds=2", "train.batch_size=10", "model.act=tanh")
    (first, second) = source_jobs(jobs)
    assert [one.config.seed for one in (first, second)] == [0, 1]
    assert {source_job(job).config.seed == job.config.seed for job in jobs} == {True}  # pyright: ignore[reportOptionalMemberAccess]
    config = flatten(first.config)
    told = {key: config[key] for key in ("data.classes", "data.limit", "model.act", "model.widths", "train.epochs")}
    assert told == {
        "data.classes": ["0", "1", "2"],
        "data.limit": 100,
        "model.act": "tanh",
        "model.widths": [4],
        "train.epochs": 2.0,
    }
    assert (config["train.batch_size"], config["train.steps"], config["optimizer.lr"]) == (10, None, 0.001)
    assert (first.config.start.source, first.config.study.arms) == ([], {})
    assert first.folder.parent.parent == Path("outputs/_sources")
    assert first.folder.name == "seed=0"


def test_what_makes_another_source(there: Path) -> None:
    one = sources_of(SOURCE)
    assert len(one) == 1
    assert sources_of(SOURCE, "train.batch_size=10,20", 'start.source=["data.classes=[0,1,2]",train.epochs=2]') == one
    assert sources_of(SOURCE, "optimizer.lr=0.1,0.2", "start.prune_frac=0.1", "start.load=all", "seed=3") == one
    assert sources_of(SOURCE, "study.arms={a: {train.epochs: 1}, b: {train.steps: 0}}") == one
    for other in (["model.act=tanh"], ["train=smoke"], ["optimizer.lr=0.1"], ["data.limit=50"]):
        assert len(sources_of(SOURCE, *other)) == 1
        assert sources_of(SOURCE, *other) != one
    assert len(sources_of(SOURCE, "model.act=tanh,relu")) == 2
    assert len(sources_of(SOURCE, "study.arms={a: {model.act: tanh}, b: {model.act: relu}}")) == 2
    pinned = 'start.source=["data.classes=[0,1,2]",train.epochs=2,model.act=relu]'
    assert sources_of(pinned, "model.act=tanh,relu") == one
    assert sources_of("start.source=[optimizer=momentum,optimizer.lr=0.1]") == sources_of(
        "start.source=[optimizer.name=momentum,optimizer.lr=0.1]"
    )


def test_the_arm_depends_on_what_the_source_is_and_not_on_where_it_lies(there: Path) -> None:
    def digits(*words: str) -> str:
        return arm_hash(jobs_of(*words)[0].config)

    assert digits(SOURCE) == digits(SOURCE, "out=elsewhere", "name=other", "seed=4")
    assert digits(SOURCE) == digits('start.source=[train.epochs=2.0,"data.classes=[0,1,2]"]')
    assert digits(SOURCE) != digits('start.source=["data.classes=[0,1,2]",train.epochs=3]')
    assert not source_jobs(jobs_of(SOURCE, "start.load=none"))


def test_arms_that_differ_in_their_net_or_load_nothing_are_counterparts(there: Path) -> None:
    for swept in ("model.act=tanh,relu", "data.limit=50,100", "data.limit=null,50", "start.load=none,body,all"):
        own = 'start.source=["data.classes=[0,1]",data.limit=90,train.epochs=2]' if "limit" in swept else SOURCE
        configs = [flatten(job.config) for job in jobs_of(own, swept)]
        assert differing_keys(configs) == [swept.partition("=")[0]]
    (picked,) = source_jobs(jobs_of("start.source=[data=xor,model=mlp]", "data.limit=100"))
    assert (picked.config.data.name, picked.config.model.block) == ("xor", "linear-act")


def test_the_overrides_of_a_run_and_of_its_source_make_them_again(there: Path) -> None:
    for job in jobs_of(SOURCE, "study.arms={a: {train.steps: 1}, b: {}}", "seeds=2", "model.act=tanh"):
        again = all_jobs("train", job.overrides)[0][0].config
        assert again.start.source == job.config.start.source
        assert arm_hash(again) == arm_hash(job.config)
        source = source_job(job)
        assert source is not None
        assert arm_hash(all_jobs("train", source.overrides)[0][0].config) == arm_hash(source.config)


def test_tuning_trials_have_sources_of_their_seeds_at_no_tuned_value(there: Path) -> None:
    jobs = jobs_of(SOURCE, "study.tune={optimizer.lr: [0.01, 0.1]}", "start.freeze_epochs=0,1")
    study = jobs[0].config.study
    every = make_trials(jobs, parse_study(study).metric, points(study))
    trials = [job for members in every.values() for job in members]
    assert [job.config.seed for job in source_jobs(trials)] == [FIRST_SEED]
    of_trials, of_runs = source_jobs(trials)[0], source_jobs(jobs)[0]
    assert of_trials.folder.parent == of_runs.folder.parent
    assert of_trials.config.optimizer.lr == 0.001
    base = {arm: {"optimizer.lr": 0.1} for arm in every}
    assert source_jobs(tuned_jobs(jobs, base))[0].folder == of_runs.folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["start.source=[train.epochs=0]"], "train.epochs=0 it is not trained; give it a train.epochs above 0"),
        (["start.source=[model.act=tanh]", "train.steps=0"], "with train.steps=0 it is not trained"),
        (["start.source=[seed=3]"], "start.source: seed makes no arms, so start.source sets none"),
        (["start.source=[study.metric=x]"], "start.source: study.metric makes no arms"),
        (["start.source=[start.load=all]"], "start.source: start.load: a source starts from scratch"),
        (["start.source=['model.act=relu,tanh']"], "model.act=relu,tanh: start.source has one value of a key"),
        (["start.source=[modl.act=relu]"], r"start.source: modl.act is no key of .* \(did you mean 'model.act'"),
        (["start.source=[train.epochs=-1]"], "start.source: train.epochs=-1.0 is out of range"),
        (["start.source=[data.root=x]"], "start.source: data.root is that of the runs"),
        (["start.source=[model=plan]"], r"start.source: model=plan is unknown \(did you mean 'plain'"),
        (["start.source=train.epochs=3"], r"start.source=train.epochs=3 is no list; allowed: a list"),
        (["start.source=[train.epochs=3]", "start.run=body"], "start.run=body and start.source=.*; give one"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_source_is_told_before_anything_trains(words: list[str], message: str, there: Path) -> None:
    with pytest.raises(UserError, match=message):
        jobs_of(*words)


def test_the_plan_counts_sources(there: Path) -> None:
    text = outlook(jobs_of(SOURCE, "start.freeze_epochs=0,1", "seeds=3"), auto=False)
    assert "3 sources first, 0 finished" in text
    assert "source" not in outlook(jobs_of("start.prune_frac=0.1,0.2", "seeds=3"), auto=False)
    tuned = jobs_of(SOURCE, "study.tune={optimizer.lr: [0.01, 0.1]}", "start.freeze_epochs=0,1", "seeds=3")
    assert "4 sources first, 0 finished" in outlook(tuned, auto=False)


def test_arms_are_checked_before_their_source_is_trained(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, SOURCE, "start.freeze_epochs=0,null", "seeds=2", "train.epochs=40"]
    assert main(["lint", *words]) == 0
    assert "arms-idle" not in capsys.readouterr().out  # a stand-in tells them apart
    for wrong in ("start.prune=blocks", "start.source=[model.widths=[5]]"):
        assert main(["lint", *words, wrong]) == 1
    assert "do not fit: stage1.block1.conv.weight is (5, 1, 3, 3) there" in capsys.readouterr().out
    assert main(["probe", *SMALL, SOURCE]) == 2
    assert re.search(r"start.source: the run outputs/_sources/.*/seed=0 is not trained yet", capsys.readouterr().err)
    assert not list(there.rglob("result.json"))


def test_a_run_starts_from_its_source_and_never_from_a_stand_in(make: Any) -> None:
    job = make({}, {"seed": 1, "start.load": "all", "train.steps": 0})
    source = source_job(job)
    assert source is not None
    stand_in = assemble(job.config, stand_in=True).started_from
    assert (stand_in["status"], stand_in["steps"]) == ("planned", 0)
    with pytest.raises(UserError, match="is not trained yet"):
        assemble(job.config)
    assert (source.config.seed, source.config.train.steps, source.config.out) == (1, 4, job.config.out)
    run(source)
    assert missing_sources([job]) == []
    result = run(job)
    assert result["started_from"]["run"] == str(source.folder)
    states = [torch.load(one.folder / "checkpoint.pt", weights_only=True)["model"] for one in (source, job)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    scores = (read_result(source.folder) or {})["metrics"]
    assert result["metrics"]["val/accuracy"]["last"] == scores["val/accuracy"]["last"]


def test_a_source_that_did_not_end_well_is_one_message(make: Any) -> None:
    jobs = [
        make({"optimizer.lr": "1e30"}, {"seed": seed, "start.prune_frac": frac})
        for seed in (0, 1)
        for frac in (0.1, 0.2)
    ]
    sources = source_jobs(jobs)
    assert len(sources) == 2
    assert [run(source)["status"] for source in sources] == ["diverged"] * 2
    with pytest.raises(SourceError, match="2 sources did not end well, so no run starts") as caught:
        refuse_unfinished(jobs)
    assert caught.value.exit_code == 1
    assert len(str(caught.value).splitlines()) == 3
    assert all(f"{source.folder}: diverged at step" in str(caught.value) for source in sources)
    assert assemble(jobs[0].config, stand_in=True).started_from["status"] == "planned"  # lint says what it can


class NoSlot:
    """A worker that nothing is given to."""

    def __init__(self, *_: Any):
        self.process = None

    def close(self) -> None:
        pass


def test_sources_are_trained_first_and_once(
    make: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def drain(jobs: list[Job], *_: Any) -> dict[Path, str]:
        for job in jobs:
            done.append(f"{job.config.name} {job.config.seed} {run(job)['status']}")
        return {}

    monkeypatch.setattr(lab.launch.local, "Slot", NoSlot)
    monkeypatch.setattr(lab.launch.local, "_check", lambda *_: True)
    monkeypatch.setattr(lab.launch.local, "drain", drain)
    arms = [{"start.freeze_epochs": 0.0}, {"start.freeze_epochs": None}]
    jobs = [make({}, {"seed": seed, "train.steps": 1, **arm}) for seed in (0, 1) for arm in arms]
    assert train_runs(jobs[:2]) == (False, {})
    assert done == ["_sources 0 finished", *["scratch 0 finished"] * 2]
    assert "1 source first, which runs start from" in capsys.readouterr().out
    done.clear()
    assert train_runs(jobs[2:]) == (False, {})  # further seeds, as of seeds=+1 or seeds=auto
    assert done == ["_sources 1 finished", *["scratch 1 finished"] * 2]
    done.clear()
    extra = make({}, {"seed": 1, "train.steps": 2})
    train_runs([extra])
    assert done == ["scratch 1 finished"]
    runs = [found for job in (*jobs, extra) if (found := read_run(settled(job).folder))]
    found = cost(runs, None)
    assert (found["runs"], found["sources"]) == (5, 2)
    assert cost_text(found).endswith("; 2 sources, {:.2g} seconds".format(found["source_seconds"]))


def test_a_single_run_trains_its_source_and_no_comparison_has_it(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", *SMALL, "start.source=[train.steps=2]", "train.steps=1", "train.pictures=0"]
    assert main(words) == 0
    assert "1 source first, which the run starts from: outputs/_sources/" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in there.rglob("result.json")}
    assert len(before) == 2
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in there.rglob("result.json")} == before
    assert "first, which" not in capsys.readouterr().out
    assert main(["compare", "outputs"]) == 0
    assert "_sources" not in capsys.readouterr().out
    assert main([*words[:-3], "name=_sources", "seeds=2"]) == 2


def test_bookkeeping_of_a_source_is_that_of_its_run(make: Any) -> None:
    source = source_config(make({}, {"data.root": "there", "train.threads": 3, "force": True}).config)
    assert source is not None
    assert (source.data.root, source.train.threads, source.force) == ("there", 3, True)


@pytest.mark.slow
@pytest.mark.parametrize("more", [["seeds=2"], ["seeds=auto", "study.max_seeds=3"]], ids=["two", "auto"])
def test_a_tuned_sweep_from_sources(more: list[str], there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["train", *SMALL, "start.source=[train.steps=3]", "start.freeze_epochs=0,null", "train.steps=2", "jobs=1"]
    claim = "study.claims=[{say: same, same: [{start.freeze_epochs: 0}, {start.freeze_epochs: null}], within: 0.5}]"
    words += [claim, "study.tune={optimizer.lr: [0.01, 0.1]}", *more]
    assert main(words) == 0
    out = capfd.readouterr().out
    seeds = sorted(path.name for path in Path("outputs/_sources").glob("*/*"))
    assert seeds == ["seed=0", "seed=1", f"seed={FIRST_SEED}"] if more == ["seeds=2"] else len(seeds) == 4
    assert out.count("source first, which") + out.count("sources first, which") >= 2
    assert main(words) == 0
    assert "first, which" not in capfd.readouterr().out
