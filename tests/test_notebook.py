"""The notebook: pages from committed results and notes, whose numbers are the results', and `lab new` before them."""

import csv
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import SKETCH
from fake_runs import write_arms

from lab.cli.claim_text import read_claim
from lab.cli.main import main
from lab.errors import UserError
from lab.overrides.plan import Options, all_jobs
from lab.studies.claims.study import parse_study
from lab.studies.notebook.arms_table import arms_columns
from lab.studies.notebook.committed import read_results
from lab.studies.notebook.index import first_sentence
from lab.studies.notebook.literature import parse_entry
from lab.studies.notebook.notes import parse_notes
from lab.studies.notebook.scrub import plain_command, without_places
from lab.studies.report.publish import publish

ROOT = Path(__file__).parent.parent

NOTES = """\
# Which activation

## Question

Does it matter?

## Prediction

A little: see 1 of 3.

## What surprised us

Nothing did.

## Literature

Some.
"""

STUDY = {
    "question": "Is tanh worse than ReLU?",
    "metric": "val/accuracy",
    "claims": [
        {"say": "ReLU ends higher", "higher": {"model.act": "relu"}, "than": {"model.act": "tanh"}},
        {"say": "both end alike", "same": [{"model.act": "relu"}, {"model.act": "tanh"}], "within": 0.001},
    ],
}

SCORES = {"relu": [0.91, 0.92, 0.93, 0.92, 0.915], "tanh": [0.83, 0.85, 0.84, 0.85, 0.831]}

pytestmark = pytest.mark.figures("sketched")


def experiment(folder: Path, scores: Mapping[str, Any] = SCORES, **more: Any) -> Path:
    """The folder of an experiment as a sweep leaves it, with its report."""
    more = {"command": "lab train experiment=acts out=/home/me/runs data.root=/home/me/data jobs=2", **more}
    runs = write_arms(folder, "model.act", scores, finished_at="2026-02-03T04:05:06Z", **more)
    publish(runs, parse_study(STUDY), folder)
    study = {**STUDY, "tune": None}
    for run in runs:  # which registers nothing, so that the study is read from the configurations
        (run.path / "config.yaml").write_text(json.dumps({"study": study}))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the experiment `acts`, made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.studies.report.gallery.figure_bytes", lambda figure, kind: SKETCH)
        return experiment(tmp_path_factory.mktemp("outputs") / "acts")


@pytest.fixture
def here(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with notes and results of the experiment `acts`, in which one types."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / "outputs" / "acts")
    (tmp_path / "experiments" / "acts").mkdir(parents=True)
    (tmp_path / "experiments" / "acts" / "notes.md").write_text(NOTES)
    return tmp_path


@pytest.fixture
def page(here: Path) -> Path:
    """The page of `acts`, made from results."""
    assert main(["page", "acts", "--from", "outputs/acts"]) == 0
    return here / "experiments" / "acts" / "README.md"


def sections(text: str) -> list[str]:
    return re.findall(r"^## (.*)", text, re.MULTILINE)


def test_a_page_has_the_notes_around_the_results(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("<!-- made by lab page:")
    assert sections(text) == ["Question", "Prediction", "Literature", "Result", "What surprised us"]
    assert "```bash\nlab train experiment=acts\n```" in text
    assert "Cost: 10 runs, 5 minutes of training. Last run: 2026-02-03. Made with lab 0.1.0, torch 2.13.0" in text


def test_numbers_are_those_of_the_results(page: Path) -> None:
    text, folder = page.read_text(), page.parent
    stored = json.loads((folder / "verdict.json").read_text())
    assert stored == json.loads((folder.parents[1] / "outputs" / "acts" / "verdict.json").read_text())
    first, second = stored["claims"]
    assert f"| ReLU ends higher | *supported* | {first['effect']:+.3f} [" in text
    assert f"| both end alike | *refuted* | {second['effect']:+.3f} [" in text
    for claim in stored["claims"]:
        assert " ".join(claim["explain"].split()) in " ".join(text.split())
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    (results,) = read_results(folder)
    table = arms_columns(results)
    assert table["mean"] == [f"{float(row['mean']):.3f}" for row in rows]
    assert table["difference"] == ["reference", f"{float(rows[1]['difference']):+.3f}"]
    for row in zip(*table.values(), strict=True):
        assert f"| {' | '.join(row)} |" in text


def test_no_place_of_a_machine_gets_in(page: Path) -> None:
    for path in page.parent.parent.rglob("*"):
        if path.is_file() and path.suffix != ".png":
            assert "/home" not in path.read_text(), path


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("made in /home/me/lab/outputs/acts of it", "made in acts of it"),
        ("1,900 images/s, and val/accuracy/mean or he/xavier", "1,900 images/s, and val/accuracy/mean or he/xavier"),
        (r"C:\Users\me\x", "x"),
        ("~/data/mnist", "mnist"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
    ],
)
def test_places_are_cut_and_nothing_else(text: str, plain: str) -> None:
    assert without_places({"a": [text]}) == {"a": [plain]}


def test_a_command_keeps_what_it_compares() -> None:
    typed = "lab train model.act=relu,tanh 'model.widths=[4,8]' out=/tmp/x/y jobs=3 data.root=/data/mnist seed=0,1"
    assert plain_command(typed) == "lab train model.act=relu,tanh 'model.widths=[4,8]' seed=0,1"


def test_the_answer_is_the_notes_or_else_the_outcome(page: Path) -> None:
    notes, index = page.with_name("notes.md"), page.parents[1] / "README.md"
    assert "Of 2 claims, 1 supported and 1 refuted (supported: ReLU ends higher" in index.read_text()
    notes.write_text(NOTES + "\n## Answer\n\nReLU is the better one.\n\nMore of it.\n")
    assert main(["page", "acts"]) == 0
    assert "| ReLU is the better one. | +0.0" in index.read_text()
    assert "\n\nReLU is the better one.\n\n```bash" in page.read_text()
    assert "Answer" not in sections(page.read_text())


def test_check_names_what_was_edited(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["page", "--check"]) == 0
    page.write_text(page.read_text().replace("0.9", "0.8"))
    (page.parents[1] / "README.md").unlink()
    capsys.readouterr()
    assert main(["page", "--check"]) == 1
    said = capsys.readouterr().out
    assert "differs: experiments/acts/README.md" in said
    assert "missing: experiments/README.md" in said
    assert main(["page", "--all"]) == 0
    assert main(["page", "--check"]) == 0


def test_results_of_further_data_sets_have_their_sections(page: Path, here: Path) -> None:
    experiment(here / "outputs" / "acts_mnist", config={"data.name": "mnist", "name": "acts_mnist"})
    notes = page.with_name("notes.md")
    notes.write_text(NOTES + "\n## On MNIST\n\nShorter runs.\n")
    assert main(["page", "acts", "--from", "outputs/acts_mnist", "--as", "mnist"]) == 0
    text = page.read_text()
    assert sections(text)[3:] == ["Result", "On MNIST", "What surprised us"]
    assert "Shorter runs." in text.split("## On MNIST")[1]
    assert (page.parent / "mnist" / "verdict.json").exists()
    assert "(mnist/forest.png)" in text
    row = (here / "experiments" / "README.md").read_text().splitlines()[-1]
    assert "| digits, mnist | 20 runs, 10 minutes |" in row


def test_a_page_without_results_says_so(here: Path) -> None:
    assert main(["page", "acts"]) == 0
    assert "Not run yet." in (here / "experiments" / "acts" / "README.md").read_text()
    assert "| not run yet |" in (here / "experiments" / "README.md").read_text()


def test_a_page_of_a_person_is_never_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = here / "experiments" / "acts" / "README.md"
    page.write_text("mine")
    for words in (["acts"], ["acts", "--from", "outputs/acts"], ["--all"]):
        assert main(["page", *words]) == 2
        said = capsys.readouterr().err
        assert "experiments/acts/README.md was not made by lab page; move it away first, or give --replace" in said
    assert sorted(path.name for path in page.parent.iterdir()) == ["README.md", "notes.md"]
    assert page.read_text() == "mine"
    assert main(["page", "acts", "--from", "outputs/acts", "--replace"]) == 0
    assert page.read_text() != "mine"


def test_files_of_something_else_stay(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = here / "experiments" / "acts" / "table.csv"
    mine.write_text("mine")
    assert main(["page", "acts", "--from", "outputs/acts"]) == 2
    assert "holds table.csv of something else" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_pages_by_hand_keep_their_rows(page: Path, here: Path) -> None:
    by_hand = here / "experiments" / "xavier_vs_he" / "README.md"
    by_hand.parent.mkdir()
    by_hand.write_text("# By hand\n\n**Verdict.** Both are *supported* (by 0.02). More.\n")
    assert main(["page", "--all"]) == 0
    row = (here / "experiments" / "README.md").read_text().splitlines()[-1]
    assert "| Both are *supported* (by 0.02). | see the page | digits | (20 runs, about" in row
    assert by_hand.read_text().startswith("# By hand")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("None: **it never ran.** More.", "None: **it never ran.**"),
        ("**It never ran. Nowhere.**", "**It never ran.**"),
        ("Within 0.02 (all *supported*). With", "Within 0.02 (all *supported*)."),
        ("no stop", "no stop"),
    ],
)
def test_first_sentences(text: str, first: str) -> None:
    assert first_sentence(text) == first


def test_a_report_of_other_runs_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_arms(here / "outputs" / "acts", "model.act", {"gelu": [0.9, 0.9]}, command="lab train experiment=acts")
    assert main(["page", "acts", "--from", "outputs/acts"]) == 2
    assert "of other runs than the folder holds now; 'lab compare outputs/acts' writes it anew" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["page"], "give the name of an experiment, or --all or --check"),
        (["page", "act"], "page act is unknown (did you mean 'acts'?); there are: "),
        (["page", "../acts"], "page ../acts: allowed: the name of an experiment"),
        (["page", "--all", "acts"], "--all takes no name"),
        (["page", "acts", "--as", "mnist"], "give both"),
        (["page", "acts", "--from", "outputs/act"], "outputs/act is not a folder (did you mean 'acts'?)"),
        (["page", "acts", "--from", "outputs"], "outputs is not the folder of one experiment"),
        (["page", "acts", "--from", "outputs/acts", "--as", "a/b"], "--as a/b: allowed: letters"),
        (["page", "null", "--from", "outputs/acts"], "experiments/null/notes.md is missing"),
        (["page", "acts", "--form", "x"], "did you mean '--from'?"),
        (["page", "--check", "--to", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_what_is_wrong_is_one_message(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_results_of_another_experiment_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment(here / "outputs" / "others", command="lab train experiment=other")
    assert main(["page", "acts", "--from", "outputs/others"]) == 2
    assert "outputs/others has runs of experiment=other, and the page is of acts" in capsys.readouterr().err


def test_damaged_results_are_one_message(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("results.json", "{}"), ("verdict.json", "[]"), ("table.csv", None), ("results.json", "{")):
        path = page.with_name(name)
        whole = path.read_bytes()
        path.unlink() if content is None else path.write_text(content)
        capsys.readouterr()
        assert main(["page", "acts"]) != 0
        said = capsys.readouterr().err
        assert f"experiments/acts/{name} is " in said
        assert len(said.strip().splitlines()) == 1
        path.write_bytes(whole)


WRONG_NOTES = {
    "no title": "the first line is the title",
    "# A\n\ntext": "text belongs below a heading",
    "# A\n\n## B\n\n## B\n": "'## B' is there twice",
    "# A\n\n## Answer\n\nBy 0.2.\n": "'## Answer' has a digit",
}


@pytest.mark.parametrize("text", WRONG_NOTES)
def test_notes_that_are_wrong(text: str) -> None:
    with pytest.raises(UserError, match=re.escape(WRONG_NOTES[text])):
        parse_notes(text, Path("notes.md"))


def test_headings_in_code_are_code_and_comments_are_left_out() -> None:
    notes = parse_notes("<!-- x -->\n# A\n\n## B\n\n```bash\n## no heading\n```\n<!-- hint -->\n", Path("notes.md"))
    assert notes.sections == {"B": "```bash\n## no heading\n```"}


CLAIMS = """\
- claim: ReLU is better.
  source: a book
  figure: by .05
  answered_by:
    - experiment: acts
      say: [ReLU ends higher]
      against: [both end alike]
- claim: The rest.
  source: a book
  answered_by: [nowhere, acts]
- claim: Both are functions.
  source: a book
  proved: by looking up the word
"""


def test_claims_of_the_sources_stand_beside_what_was_found(page: Path, here: Path) -> None:
    (here / "experiments" / "claims.yaml").write_text(CLAIMS)
    assert main(["page", "--all"]) == 0
    rows = [line for line in (here / "experiments" / "claims.md").read_text().splitlines() if line.startswith("| ")]
    first, rest, proved = rows[2:]
    effects = [f"{one['effect']:+.3f}" for one in json.loads(page.with_name("verdict.json").read_text())["claims"]]
    assert first.startswith("| ReLU is better. | a book: by .05 | confirmed<br />not contradicted | +0.0")
    assert all(effect in first for effect in effects)
    assert "| 5 seeds, 64,810 parameters | digits |" in first
    assert "| not run yet<br />see the page |" in rest
    assert "| proved | - | by looking up the word | any | theory |" in proved
    assert "[claims.md](claims.md)" in (here / "experiments" / "README.md").read_text()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"claim": "x"}, "'source' is missing"),
        ({"claim": "x", "source": "y"}, "needs 'answered_by' or 'proved'"),
        ({"claim": "x", "sorce": "y"}, "'sorce' is unknown (did you mean 'source'?)"),
        ({"claim": "x", "source": "y", "answered_by": [{"experiment": "a", "says": "b"}]}, "did you mean 'say'?"),
        ({"claim": "x", "source": "y", "answered_by": [3]}, "allowed: experiment, say, against"),
        ("x", "allowed: claim, source"),
    ],
)
def test_entries_that_are_wrong(entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        parse_entry(entry, "claims.yaml, entry 1")


def test_the_notebook_of_the_lab_is_as_it_is_rendered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["page", "--check"]) == 0, capsys.readouterr().out


@pytest.mark.figures
def test_figures_are_those_of_the_report(here: Path) -> None:
    experiment(here / "outputs" / "drawn")
    assert main(["page", "acts", "--from", "outputs/drawn"]) == 0
    page = here / "experiments" / "acts" / "README.md"
    text = page.read_text()
    there = [path.name for path in page.parent.glob("*.png")]
    assert sorted(there) == sorted(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)) == ["forest.png"]
    assert page.with_name("forest.png").read_bytes() == (here / "outputs" / "drawn" / "forest.png").read_bytes()
    assert page.with_name("forest.png").stat().st_size > 1000


ARMS = ["--arms", "before: model.block=conv-norm-act-pool", "--arms", "after: model.block=conv-act-norm-pool"]


def new(*words: str, name: str = "places") -> int:
    return main(["new", name, "--question", "Before or after?", *words])


def test_new_writes_an_experiment_that_composes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*ARMS, "--sweep", "model.depth=3,5", "--set", "optimizer=sgd", "--set", "model.widths=[8,16]"]
    claims = ["--claim", "after > before by 0.01", "--claim", "model.depth=3 = model.depth=5 within 0.1"]
    assert new(*words, *claims, "--seeds", "3", "--dir", "mine") == 0
    said = capsys.readouterr().out
    assert "mine/experiment/places.yaml: 4 arms, 3 seeds, 12 runs, 2 claims" in said
    for verb in ("lab plan --config-dir mine experiment=places", "lab page places --from outputs/places"):
        assert f"  {verb}\n" in said
    (jobs,) = all_jobs("train", ["experiment=places"], Options(config_dir="mine"))
    assert len(jobs) == 12
    assert (jobs[0].config.optimizer.name, jobs[0].config.model.widths) == ("sgd", [8, 16])
    assert [claim["say"] for claim in jobs[0].config.study.claims] == [
        "after ends higher than before by more than 0.01",
        "model.depth=3 and model.depth=5 end alike (within 0.1)",
    ]
    assert main(["page", "places"]) == 0
    assert new(*words, "--dir", "mine") == 2
    assert "mine/experiment/places.yaml is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--arms", "a: model.act=relu"], "nothing is compared"),
        (["--arms", "a model.act=relu"], "write 'NAME: KEY=VALUE ...'"),
        (["--arms", "a: model.act"], "'model.act' is no KEY=VALUE"),
        (["--arms", "a: model.ac=relu", "--arms", "b: model.act=tanh"], "(did you mean 'model.act'?)"),
        (["--arms", "a: model.act=tnh", "--arms", "b: model.act=relu"], "(did you mean 'tanh'?)"),
        (["--sweep", "model.depht=3,5"], "(did you mean 'model.depth'?)"),
        (["--sweep", "model.depth"], "--sweep 'model.depth': write KEY=A,B"),
        ([*ARMS, "--set", "optimizer=admm"], "(did you mean 'adam'?)"),
        ([*ARMS, "--set", "model.depth=3,5"], "--sweep runs through several"),
        ([*ARMS, "--claim", "after>before"], "with spaces around the sign"),
        ([*ARMS, "--claim", "aftre > before"], "'aftre' is no arm (did you mean 'after'?)"),
        ([*ARMS, "--claim", "after = before"], "'=' needs 'within'"),
        ([*ARMS, "--claim", "after > model.depth=9"], "depth=9 picks no arm"),
        ([*ARMS, "--claim", "after > after"], "pick the same arm"),
        ([*ARMS, "--seeds", "0"], "--seeds=0 is out of range"),
    ],
)
def test_what_is_wrong_in_new_is_told_and_nothing_is_written(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new(*words, "--dir", "mine") == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_new_needs_a_folder_and_a_free_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new(*ARMS) == 2
    assert "--dir says where your configurations are" in capsys.readouterr().err
    assert new(*ARMS, "--dir", "mine", name="null") == 2
    assert "null.yaml is there already" in capsys.readouterr().err
    assert new(*ARMS, "--dir", "mine", name="a-b") == 2
    assert "allowed: a name of letters" in capsys.readouterr().err
    (tmp_path / "experiments" / "places").mkdir(parents=True)
    (tmp_path / "experiments" / "places" / "README.md").write_text("mine")
    assert new(*ARMS, "--dir", "mine") == 2
    assert "README.md is there already" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("a > b", {"say": "a ends higher than b", "higher": "a", "than": "b"}),
        ("a < b by 0.1", {"say": "a ends lower than b by more than 0.1", "lower": "a", "than": "b", "by": 0.1}),
        ("a = b within 1e-2", {"say": "a and b end alike (within 0.01)", "same": ["a", "b"], "within": 0.01}),
        ("a < b < c d", {"say": "from the highest: c d, then b, then a", "ordered": ["c d", "b", "a"]}),
        (
            "model.act=relu model.depth=3 > a",
            {
                "say": "model.act=relu model.depth=3 ends higher than a",
                "higher": {"model.act": "relu", "model.depth": 3},
                "than": "a",
            },
        ),
    ],
)
def test_claims_as_they_are_typed(text: str, claim: dict[str, Any]) -> None:
    assert read_claim(text, ["a", "b", "c d"]) == claim
