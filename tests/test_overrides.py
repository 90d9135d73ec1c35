"""What is typed reaches the lab as typed, sweeps are counted before they are made, and Hydra's habits get an answer."""

import importlib.util
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lab.cli.lr_range
import lab.cli.train
import lab.overrides.plan
from lab.cli.main import main
from lab.errors import UserError
from lab.identity import flatten
from lab.literals import literal
from lab.overrides.choices import choices
from lab.overrides.compose import Composer
from lab.overrides.files import config_dir
from lab.overrides.plan import all_jobs, one_job
from lab.overrides.typed import typed
from lab.records.places import Job

ROOT = Path(__file__).parent.parent

Train = Callable[..., list[Job]]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """`train("seed=0,1")`: the runs that `lab train` would start, in an empty folder."""
    started: list[Job] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAB_CONFIG_DIR", raising=False)
    monkeypatch.setattr(lab.cli.train, "_start", lambda jobs, *_: started.extend(jobs) or 0)

    def run(*words: str) -> list[Job]:
        started.clear()
        assert main(["train", *words]) == 0
        return list(started)

    return run


KEYS = ("name", "out", "data.root", "start.run", "study.question", "study.source")


@pytest.mark.parametrize("text", ["2024_01_05", "1e5", "null", "0x10", "\u00fc b (1)#=,'{a}$~[", "a\\b"])
def test_text_stays_as_it_was_typed(text: str, train: Train) -> None:
    (job,) = train(*(f"{key}={text}" for key in KEYS))
    study = {f"study.{key}": value for key, value in vars(job.config.study).items()}
    assert {key: {**flatten(job.config), **study}[key] for key in KEYS} == dict.fromkeys(KEYS, text)
    assert [typed(*word.split("=", 1)) for word in job.overrides[:-1]] == [text] * len(KEYS)


def test_a_name_with_a_comma_is_one_name_in_quotes_or_not(train: Train) -> None:
    assert [job.config.name for job in train("name=a,b")] == ["a,b"]
    assert [job.config.name for job in train("name='a, b'")] == ["a, b"]


def test_folders_that_are_there_are_swept_and_one_with_a_comma_is_one(train: Train) -> None:
    for folder in ("one", "a,b", "1e5"):
        Path(folder).mkdir()
    assert [job.config.data.root for job in train("data=folder", "data.root=one,a,b,1e5")] == ["one", "a,b", "1e5"]
    assert [job.config.data.root for job in train("data=folder", "data.root=one,nowhere")] == ["one,nowhere"]
    assert [job.config.start.run for job in train("start.run='x','y,z'")] == ["x", "y,z"]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("train.steps", "1e3", 1000),
        ("train.steps", "1_000", 1000),
        ("train.steps", "NULL", None),
        ("optimizer.lr", ".001", 0.001),
        ("optimizer.lr", "1", 1.0),
        ("force", "True", True),
        ("force", "off", False),
        ("data.classes", "[2024_01_05, it's, 'a,b']", ["2024_01_05", "it's", "a,b"]),
        ("model.init_gain", "0.5", "0.5"),
        ("model.aux_weights", "[1,.5]", [1.0, 0.5]),
        ("study.reference", "{model.act:tanh, 'model.depth': 3}", {"model.act": "tanh", "model.depth": 3}),
        (
            "study.claims",
            '[{say: "a, b", metric: mean(val/loss, 5)}]',
            [{"say": "a, b", "metric": "mean(val/loss, 5)"}],
        ),
    ],
)
def test_a_value_is_what_its_field_holds(key: str, text: str, value: Any) -> None:
    assert typed(key, text) == value
    assert type(typed(key, text)) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("train.steps", "1.5", r"train\.steps=1\.5 is not a whole number; allowed: 0 "),
        ("seed", "9" * 30, "is too large; allowed: 0 or more, up to 9223372036854775807$"),
        ("seed", "9" * 5000, r"^seed=9+\.\.\. \(5005 characters\) is not a whole number"),
        ("optimizer.lr", "0x10", "is not a number; allowed: above 0$"),
        ("force", "maybe", "is neither true nor false$"),
        ("model.widths", "8", r"is no list; allowed: a list, as \[16, 32\]$"),
        ("model.widths", "[8,,16]", "is not complete: a value is missing beside a comma$"),
        ("study.reference", "{model.act:tanh", "is not complete: '}' is missing$"),
        ("study.reference", "{a: 1, a: 2}", "is not complete: a is there twice$"),
        ("study.claims", "[" * 99, "more than 30 brackets inside one another$"),
        ("study.tune", "{a: 'b}", "a second ' is missing$"),
    ],
)
def test_a_value_of_another_kind_is_told(key: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        typed(key, text)


def test_a_literal_is_what_it_spells() -> None:
    assert literal(" [1, .5, true, null, none, {a: [x, 'y, z']}, 1_0] ") == [
        *(1, 0.5, True, None, "none", {"a": ["x", "y, z"]}, "1_0")
    ]
    assert literal("-1e-3") == -0.001
    assert literal('"say \\"so\\""') == 'say "so"'


@pytest.mark.parametrize(
    ("key", "text", "found"),
    [
        ("model.act", "relu, tanh", ["relu", "tanh"]),
        ("model.act", "choice(relu,tanh)", ["relu", "tanh"]),
        ("model.act", "glob(s*u)", ["selu", "silu"]),
        ("model.depth", "3,range(5,8)", ["3", "5", "6", "7"]),
        ("model.depth", "range(8,2,-3)", ["8", "5"]),
        ("optimizer.lr", "range(0.1,0.4,0.1)", ["0.1", "0.2", "0.3"]),
        ("model.widths", "[8,16],[32]", ["[8,16]", "[32]"]),
        ("study.metric", "mean(val/loss, 5)", ["mean(val/loss, 5)"]),
    ],
)
def test_what_a_sweep_runs_through(key: str, text: str, found: list[str]) -> None:
    assert list(choices(key, text)) == found


def test_many_runs_are_counted_before_they_are_made(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, number in (
        (["seed=range(0,10000000)"], "10,000,000"),
        (["seeds=10000000"], "10,000,000"),
        (["model.depth=range(10000000)", "model.kernel=range(10000000)"], "100,000,000,000,000"),
        (["study.tune={optimizer.lr:[0.1,0.2]}", "study.tune_seeds=100000"], "200,001"),
    ):
        assert main(["train", *words]) == 2
        assert re.match(rf"lab: this is a sweep of {number} runs .*; --yes goes on", capsys.readouterr().err)
    assert main(["lr-range", "seeds=9999999"]) == 2
    assert "--yes" not in capsys.readouterr().err
    monkeypatch.setattr(lab.overrides.plan, "MANY", 2)
    assert main(["train", "seed=0,1,2"]) == 2
    assert len(train("seed=0,1,2", "--yes")) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=range(0)"], r"seed=range\(0\) has no values"),
        (["model.depth=range(3,3)"], r"model\.depth=range\(3,3\) has no values"),
        (["model.depth=range(0,1e30)"], "more than 1,000,000,000"),
        (["model.depth=range(1,5,0)"], r"is no range; allowed: range\(5\)"),
        (["jobs=1,2"], "jobs=1,2: jobs makes no arms, and all runs of a sweep have one value of it"),
        (["model.act=relu,,tanh"], "model.act=relu,,tanh is not complete: a value is missing beside a comma"),
        (["model.act=rel[u"], r"model\.act=rel\[u is not complete: '\]' is missing"),
        (["model.act=glob(zz*)"], r"glob\(zz\*\) fits no name; there are: identity, relu"),
        (["model.depth=shuffle(3,5)"], "a sweep needs single values"),
        (["~schedule"], "~schedule: nothing is ever taken out"),
        (["++x=1"], "x is no key of the configuration"),
        (["experiment=[null,speedrun]"], "one file of a group; experiment=a,b runs one after the other"),
        (["hydra.sweeper.params={a:1}"], "write a sweep as key=a,b"),
        (["hydra.run.dir=x"], "out=FOLDER and name=NAME say where results go"),
        (["hydra.verbose=true"], "hydra.verbose=true: there is no debug log; result.json of a failed run"),
        (["optimizer@x=sgd"], "each group has one place; write optimizer=NAME"),
        (["name=run_${seed}"], r"the lab fills in no \$\{\.\.\.\} that is typed"),
        (["data.root=${oc.env:HOME}"], r"the lab fills in no \$\{\.\.\.\} that is typed"),
        (
            ["xavier_vs_he"],
            r"'xavier_vs_he' is no override; write key=value \(did you mean 'experiment=xavier_vs_he'\?\)",
        ),
        (["=3"], "'=3' has no key"),
        (["name=a\nb"], "a word holds no control characters"),
        (["x" * 100_000], r"^lab: 'x+\.\.\. \(100000 characters\)' is no override"),
        (["model.block=" + "x" * 5000], r"\(5012 characters\) is too long; allowed: up to 4000 characters$"),
        (["name=" + "x" * 300], "is too long; allowed: up to 255 bytes between two slashes$"),
        (["--shell-completion"], r'eval "\$\(lab completion bash\)" completes'),
        (["--info"], "--cfg job shows the configuration"),
        (["--nonsense"], "--nonsense: unknown; flags: --help, --config-dir|did you mean"),
        (["--cfg", "hydra"], "invalid choice: 'hydra'"),
        (["--cfg", "job", "--package", "x"], "--package x is no section; there are: data, model"),
        (["--config-name", "x"], "--config-name=x is unknown; there are: config"),
        (
            ["model=mine:Net", "--no-own-parts"],
            "model.name=mine:Net names code of yours, which --no-own-parts does not",
        ),
        (["study.tune={model.act:[relu,a:b]}", "--no-own-parts"], "model.act=a:b names code of yours"),
    ],
)
def test_a_wrong_word_gets_one_message(
    words: list[str], message: str, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lab: ")
    assert err.count("\n") == 1
    assert re.search(message, err)


def test_an_own_part_takes_the_place_of_a_file(train: Train) -> None:
    jobs = train("model=resnet,twonet:Net", "data=mydata:blobs")
    assert [(job.config.model.name, job.config.data.name) for job in jobs] == [
        ("recipe", "mydata:blobs"),
        ("twonet:Net", "mydata:blobs"),
    ]


def test_a_value_that_is_given_twice_is_told(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    (job,) = train("train.steps=3", "train.steps=4", "seed=0", "seed=0")
    assert job.config.train.steps == 4
    assert job.overrides == ["train.steps=4", "seed=0"]
    assert capsys.readouterr().err == "note: train.steps=4 takes the place of train.steps=3\n"


def test_flags_stand_anywhere_and_show_a_section(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(train("seed=0", "-m", "model.depth=3")) == 1
    assert main(["train", "optimizer=sgd", "--cfg", "job", "optimizer.lr=.5", "-p", "optimizer", "seed=1,2"]) == 0
    assert capsys.readouterr().out.startswith("# swept: seed=1,2\nname: sgd\nlr: 0.5\n")


@pytest.mark.parametrize("name", ["blunders", "schedules", "batch_size", "prune_blocks", "norm_regularises", "xor"])
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["train.epochs=3", "optimizer.momentum=0", "train.watch=yes", "train.watch_steps=[1,2]", "data.root=a b"],
        ["train=smoke", "study.claims=[]", "study.tune={optimizer.weight_decay:[0,1]}", "study.reference=null"],
        ["train.max_seconds=7", "data.limit=null", "name='x,y'", "model.aux_blocks=[]", "train.threads=2.0"],
    ],
)
def test_the_quick_way_is_the_way_of_omegaconf(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    typed = [f"experiment={name}", *words]
    quick = [job.config for job in all_jobs("train", typed)[0]]
    monkeypatch.setattr(Composer, "plain", lambda self, picks, values: None)
    assert quick == [job.config for job in all_jobs("train", typed)[0]]


def test_a_file_that_was_edited_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process remembers what it composed of the lab's files: a notebook asks many times, between edits too."""
    folder = shutil.copytree(config_dir(), tmp_path / "configs")
    for module in ("compose", "files"):
        monkeypatch.setattr(f"lab.overrides.{module}.config_dir", lambda: folder)
    rates = []
    for rate in ("0.25", "0.25", "0.5"):
        (folder / "optimizer" / "sgd.yaml").write_text(f"name: sgd\nlr: {rate}\n")
        one, other = one_job("train", ["optimizer=sgd"]).config, one_job("train", ["optimizer=sgd"]).config
        assert one == other
        assert one.model is not other.model
        rates.append(one.optimizer.lr)
    assert rates == [0.25, 0.25, 0.5]


def test_thirty_hostile_command_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("fuzz_words", ROOT / "benchmarks" / "fuzz_words.py")
    assert spec is not None
    assert spec.loader is not None
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    monkeypatch.setattr(lab.cli.train, "_start", None)  # both are put back after this test
    monkeypatch.setattr(lab.cli.lr_range, "lr_range", None)
    monkeypatch.setenv("COLUMNS", os.environ.get("COLUMNS", "80"))
    found = [(words, *fuzz.tried(words)) for words in fuzz.lines(30, 7, tmp_path)]
    assert [one for one in found if one[1] not in ("works", "message")] == []
