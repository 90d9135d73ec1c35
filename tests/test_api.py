"""`import lab`: what the command line does, as functions that return objects, print nothing and leave no trace."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from fake_runs import write_arms

import lab
from lab.overrides.plan import one_job
from lab.overrides.spelled import spelled
from lab.records.registration import Registration, new_entry, write_registration

ROOT = Path(__file__).parent.parent

SMALL: dict[str, Any] = {
    "data": {"name": "own_parts:tiny", "root": str(ROOT)},
    "model": {"widths": [4], "depth": 2},
    "train": {"steps": 12, "batch_size": 20, "eval_every": 0.5, "threads": 1, "device": "cpu"},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lab.train(SMALL, {"out": tmp_path_factory.mktemp("out"), "name": "one"})


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def silent(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No call prints."""
    yield
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize(
    ("given", "over", "words"),
    [
        (["a=1", {"optimizer.lr": 0.1}], None, ["a=1", "optimizer.lr=0.1"]),
        ({"seed": "0,1", "force": True, "data.limit": None}, None, ["seed=0,1", "force=true", "data.limit=null"]),
        ({"model.widths": (16, 32)}, None, ["model.widths=[16, 32]"]),
        ({"model": {"depth": 3}, "out": Path("a b")}, None, ["model.depth=3", "out=a b"]),
        ({"study.tune": {"optimizer.lr": [0.1]}}, None, ['study.tune={"optimizer.lr": [0.1]}']),
        ((), {"seed": range(3), "model.widths": [[8], [8, 16]]}, ["seed=0,1,2", "model.widths=[8],[8, 16]"]),
        ((), {"data.root": ["a,b", "c"], "seed": "0,1"}, ['data.root="a,b",c', "seed=0,1"]),
    ],
)
def test_python_values_are_spelled_as_overrides(given: Any, over: Any, words: list[str]) -> None:
    assert spelled(given, over) == words


@pytest.mark.parametrize(
    "text", ["plain", "a, b", 'quo"te', "it's", "back\\slash", "a\\", "[x]", "k: v", "true", "1", ""]
)
def test_texts_within_lists_come_back_as_they_were(text: str) -> None:
    claims = [{"say": text, "higher": {"model.act": "relu"}, "than": {"model.act": "tanh"}}]
    assert one_job("train", spelled({"study.claims": claims})).config.study.claims == claims


def test_names_of_arms_are_keys_of_a_dict() -> None:
    arms = {"it's \\ a: [x]": {"model.depth": 3}, "true": {"model.widths": [4]}}
    config = one_job("train", spelled({"study.arms": arms, "study.exclude": ["true"]})).config
    assert config.study.arms == arms


def test_numbers_of_numpy_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    assert spelled({"optimizer.lr": np.float64(0.1), "model.widths": np.array([4, 8])}) == [
        "optimizer.lr=0.1",
        "model.widths=[4, 8]",
    ]
    assert spelled((), {"seed": np.arange(2)}) == ["seed=0,1"]


def test_a_run_is_an_object(trained: Any) -> None:
    assert isinstance(trained, lab.RunResult)
    assert (trained.status, trained.seed, trained.config["model.depth"], trained.error) == ("finished", 0, 2, "")
    assert trained.metrics["val/loss"] == trained.history[-1]["val/loss"] > 0
    assert "test/accuracy" in trained.metrics
    assert list(trained.frame()["step"]) == [row["step"] for row in trained.history] == [3, 6, 9, 12]
    assert f"{trained.metrics['val/accuracy']:.4g}" in repr(trained)
    assert "<table>" in trained._repr_html_()
    again = lab.train(trained.result["overrides"])
    assert again.result == trained.result
    stored: Any = lab.load(trained.path)
    assert stored.metrics == trained.metrics


def test_a_run_leaves_the_caller_as_it_was(tmp_path: Path) -> None:
    import torch

    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    environment, threads = dict(os.environ), torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    lab.train(SMALL, {"train.steps": 2, "model.drop_rate": 0.5, "seed": 1, "train.threads": threads + 1})
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == threads
    assert dict(os.environ) == environment
    assert {one: signal.getsignal(one) for one in handlers} == handlers


def test_finished_runs_are_compared_without_a_process(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = trained.path.parent.parent.parent
    for act in ("relu", "tanh"):
        lab.train(SMALL, {"out": out, "name": "two", "model.act": act})
    found = lab.sweep(SMALL, {"out": out, "name": "two"}, over={"model.act": ["relu", "tanh"]})
    assert isinstance(found, lab.ComparisonResult)
    assert [run.config["model.act"] for run in found.runs] == ["relu", "tanh"]
    assert (found.failed, found.verdicts, found.metric) == ([], [], "val/accuracy")
    assert found.report == out / "two" / "report.html"
    assert (out / "two" / "report.html").exists()
    assert "act" in found.table
    assert list(found.frame()["model.act"]) == ["relu", "tanh"]
    assert len(found.frame("runs")) == 2
    assert len(found.frame("steps")) == 8
    assert "<table>" in found._repr_html_()


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Eight seeds of two arms with a claim that they support; nothing was compared yet."""
    claim = {"say": "tanh <beats> relu", "higher": {"model.act": "tanh"}, "than": {"model.act": "relu"}}
    scores = {"relu": [0.5 + seed / 100 for seed in range(8)], "tanh": [0.7 + seed / 90 for seed in range(8)]}
    write_arms(tmp_path / "acts", "model.act", scores)
    write_registration(tmp_path / "acts", Registration((new_entry({"claims": [claim]}, [], [], {}),)))
    return tmp_path / "acts"


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_loading_writes_nothing_and_reading_verdicts_is_an_analysis(judged: Path) -> None:
    before = listing(judged)
    found = lab.load(judged)
    assert isinstance(found, lab.ComparisonResult)
    assert len(found.runs) == 16
    assert found.frame()["n"].tolist() == [8, 8]
    assert listing(judged) == before
    (verdict,) = found.verdicts
    assert (verdict.claim, verdict.verdict, verdict.n) == ("tanh <beats> relu", "supported", 8)
    assert verdict.interval is not None
    assert verdict.estimate is not None
    assert verdict.interval[0] < verdict.estimate < verdict.interval[1]
    assert verdict.p < verdict.threshold
    assert listing(judged) - before == {"looks.json"}
    assert "tanh &lt;beats&gt; relu" in found._repr_html_()
    assert found.report is None
    written = lab.compare(judged)
    assert written.report == judged / "report.html"
    again: Any = lab.load(judged)
    assert again.report == written.report
    other = lab.compare(judged, by="model.act", where={"model.act": "tanh"})
    assert (len(other.runs), other.report) == (8, None)


@pytest.mark.figures("sketched")
def test_figures_are_those_of_the_report(judged: Path, trained: Any) -> None:
    from matplotlib.figure import Figure

    for figure in (lab.load(judged).figure("seeds"), lab.load(judged).figure("forest"), trained.figure()):
        assert isinstance(figure, Figure)
        assert getattr(figure, "_repr_png_")().startswith(b"\x89PNG")  # noqa: B009
    with pytest.raises(
        lab.UserError, match=r"figure 'curvs' is unknown \(did you mean 'curves'\?\); there are: forest"
    ):
        trained.figure("curvs")
    with pytest.raises(lab.UserError, match="figure 'forest': there is nothing to draw"):
        trained.figure("forest")


def test_a_trained_net_comes_back(trained: Any) -> None:
    import torch

    with pytest.raises(lab.UserError, match=r"load_model: the run .* names code .*; .* give own_parts=True"):
        lab.load_model(trained)
    net, scaled = trained.model(own_parts=True), lab.load_model(trained.path, scaled=True, own_parts=True)
    assert not net.training
    assert not scaled.training
    stored = torch.load(trained.path / "checkpoint.pt", weights_only=True)["model"]
    assert all(torch.equal(value, stored[name]) for name, value in net.state_dict().items())
    from lab.config import DataConfig
    from lab.data.batches import load_dataset

    data = load_dataset(DataConfig(name="own_parts:tiny"), 0, torch.device("cpu"))
    images, labels = data.test.take(torch.arange(len(data.test)))
    with torch.no_grad():
        outputs = net(images)
        assert torch.allclose(scaled(data.test.images[data.test.index]), outputs, atol=1e-5)
    accuracy = (outputs.argmax(1) == labels).float().mean().item()
    assert accuracy == pytest.approx(trained.metrics["test/accuracy"])


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: lab.train("model.act=rel"), r"model\.act=rel is unknown \(did you mean 'relu'\?\)"),
    (lambda: lab.train({"optimiser.lr": 0.1}), r"optimiser\.lr is no key of the configuration .*'optimizer\.lr'"),
    (lambda: lab.train(3), "3 is no override; give texts"),  # pyright: ignore[reportArgumentType]
    (lambda: lab.train({3: 4}), "3 is no key; a key is a text"),  # pyright: ignore[reportArgumentType]
    (lambda: lab.train({"optimizer.lr": {1}}), r"optimizer\.lr=\{1\} is no value of an override"),
    (
        lambda: lab.train("seed=0,1"),
        "lab.train trains one run, and this is a sweep of 2 runs; lab.sweep takes the same",
    ),
    (lambda: lab.train("experiment=xavier_vs_he"), "lab.train trains one run, and this is a sweep of 20 runs"),
    (lambda: lab.sweep(over={"model.act": 3}), "over: model.act=3 is no list of values"),
    (lambda: lab.sweep(over={"model.act": []}), "over: model.act has no values"),
    (lambda: lab.sweep("seed=range(0,6000)"), "this is a sweep of 6,000 runs .*yes=True in Python"),
    (lambda: lab.sweep("experiment=xavier_vs_he,norm_place"), "one experiment a call, and experiment= has 2"),
    (lambda: lab.train("model=mine", config_dir="nowhere"), "--config-dir=nowhere is not a folder"),
    (lambda: lab.compare(), "lab.compare needs a folder"),
    (lambda: lab.compare("nowhere"), "nowhere is not a folder"),
    (lambda: lab.load("nowhere"), "nowhere is not a folder"),
    (lambda: lab.load_model("nowhere"), "load_model=nowhere is not a folder"),
    (lambda: lab.probe(draws=0), "draws=0 is out of range; allowed: 1 to 1000"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message[:20] for _, message in WRONG])
def test_what_is_wrong_is_one_exception(call: Callable[[], object], message: str) -> None:
    with pytest.raises(lab.UserError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_a_run_without_an_end_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0")
    with pytest.raises(lab.UserError, match=r"is no run that ended: it has no result\.json yet"):
        lab.load(tmp_path)


def test_a_failed_run_is_an_exception_and_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("lab.runs.run.fit", fail)
    with pytest.raises(lab.FailedRunError, match=r"RuntimeError: boom.* \(.*result\.json has the traceback\)"):
        lab.train(SMALL)
    (path,) = (tmp_path / "outputs").rglob("result.json")
    found: Any = lab.load(path.parent)
    assert found.error.startswith("RuntimeError: boom")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_has_its_checkpoint_and_goes_on(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, trained: Any
) -> None:
    from lab.runs.recorder import Recorder

    before, tick, ticks = signal.getsignal(number), Recorder.tick, []

    def stopping(self: Recorder) -> None:
        ticks.append(tick(self))
        if len(ticks) == 4:
            signal.raise_signal(number)

    monkeypatch.setattr(Recorder, "tick", stopping)
    with pytest.raises(KeyboardInterrupt, match="stopped with a checkpoint; the same call goes on"):
        lab.train(SMALL)
    assert len(ticks) == 4
    assert signal.getsignal(number) is before
    assert len(list(Path("outputs").rglob("checkpoint.pt"))) == 1
    assert lab.train(SMALL).metrics == trained.metrics
    assert len(ticks) == 12


def test_a_stopped_sweep_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.launch.sweep.train_runs", lambda *_: (True, {}))
    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        lab.sweep(SMALL, "seed=0,1")


def test_a_sweep_in_which_everything_failed_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(jobs: list[Any], *_: object) -> tuple[bool, dict[Path, str]]:
        return False, {job.folder: "boom" for job in jobs}

    monkeypatch.setattr("lab.launch.sweep.train_runs", fail)
    with pytest.raises(lab.FailedRunError, match=r"2 of 2 runs failed:\n  .*seed=0: boom"):
        lab.sweep(SMALL, "seed=0,1")


def test_another_thread_may_train(tmp_path: Path) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(lab.train(SMALL, "train.steps=2")))
    thread.start()
    thread.join()
    assert found[0].status == "finished"


def test_findings_are_objects() -> None:
    from torch import nn

    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 10), nn.Softmax(1))
    found = lab.lint(net, shape=(3, 2, 2), loss="cross_entropy")
    assert "out-twice" in {one.code for one in found}
    assert found.worst in ("error", "warning")
    assert all(one.severity and one.what and one.why for one in found)
    assert "out-twice" in found._repr_html_()
    assert lab.lint(nn.Linear(3, 3), shape=[3], outputs=3).worst != "error"
    for more, message in (
        ({}, r"needs the shape of one example, as shape=\(3, 32, 32\)"),
        ({"shape": (3,), "task": "clases"}, r"task=clases is unknown \(did you mean 'classes'\?\)"),
        ({"shape": (3,), "loss": "cros"}, "^loss=cros: no such loss"),
        ({"shape": (3,), "inputs": (1, 0)}, r"inputs=\(1, 0\) is no range"),
    ):
        with pytest.raises(lab.UserError, match=message):
            lab.lint(nn.Linear(3, 3), **more)
    assert {one.severity for one in lab.lint(SMALL, "optimizer.lr=1000")} & {"warning", "error"}


def test_a_probe_has_rows_and_a_figure() -> None:
    found = lab.probe(SMALL, over={"model.act": ["relu", "tanh"]}, draws=2)
    assert len({row["configuration"] for row in found.rows}) == len(found.losses) == 2
    assert list(found.frame()["layer"]) == [row["layer"] for row in found.rows]
    assert found.rows[0]["signal"] > 0
    assert getattr(found.figure(), "_repr_png_")()[1:4] == b"PNG"  # noqa: B009
    assert "act=relu" in str(found)
    assert "<table>" in found._repr_html_()


def test_bars_are_for_those_who_see_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from lab.api.session import RunBar, Session, in_notebook

    assert not in_notebook()
    assert Session(True).bar(3, "step") is None
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook()
    assert Session(False).bar(3, "step") is None
    drawn: list[Any] = []
    bar = SimpleNamespace(
        update=lambda: drawn.append(1), close=lambda: drawn.append("closed"), set_description=lambda *_, **__: None,
        set_postfix_str=lambda text, refresh: drawn.append(text),
    )  # fmt: skip
    session = Session(True)
    monkeypatch.setattr(session, "bar", lambda *_: bar)
    shown = RunBar(session)
    shown.start("title", 2, 0)
    shown.step()
    shown.log({"step": 1, "val/loss": 0.5, "train/lr": 0.1})
    shown.close()
    assert drawn == [1, "val/loss 0.5000", "closed"]


def signature(function: Callable[..., object]) -> str:
    """Names and defaults, without annotations and `self`."""
    plain = inspect.signature(function)
    parameters = [one.replace(annotation=one.empty) for one in plain.parameters.values() if one.name != "self"]
    return str(plain.replace(parameters=parameters, return_annotation=plain.empty))


def test_the_page_has_every_signature_as_it_is() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    functions = {name: getattr(lab, name) for name in lab.__all__ if inspect.isfunction(getattr(lab, name))}
    said = dict(re.findall(r"^### `lab\.(\w+)(\(.*\))`$", page, re.MULTILINE))
    assert said == {name: signature(function) for name, function in functions.items()}
    for kind in (lab.RunResult, lab.ComparisonResult):
        section = page.split(f"\n### {kind.__name__}\n")[1].split("\n## ")[0].split("\n### ")[0]
        cells = " ".join(line.split(" | ")[0] for line in section.splitlines())
        public = {name for name in {*dir(kind), *kind.__annotations__} if not name.startswith("_")}
        hidden = {"run", "remember", "shown"}
        assert {*re.findall(r"`\.(\w+)", cells)} == public - hidden
        for name, given in re.findall(r"`\.(\w+)(\([^`]*\))`", cells):
            assert given == signature(getattr(kind, name)), name


def test_the_names_of_the_package_are_those_of_the_page_and_nothing_else() -> None:
    assert {*lab.__all__} <= {*dir(lab)}
    with pytest.raises(AttributeError, match="module 'lab' has no attribute 'trian'"):
        _ = lab.trian  # pyright: ignore[reportAttributeAccessIssue]


SCRIPT = """
import os
with open("main", "a") as file:
    file.write("x")
import lab
import lab.studies.report.gallery

lab.studies.report.gallery.EXHIBITS = ()  # which take time
SMALL = {"train": {"steps": 4, "eval_limit": 50}, "data.limit": 100, "train.batch_size": 20, "model.widths": [4]}
found = lab.sweep(SMALL, {"jobs": 2, "name": "two"}, over={"model.act": ["relu", "tanh"]})
assert sorted(run.config["model.act"] for run in found.runs) == ["relu", "tanh"]
assert any("the whole training is" in line for line in found.notes), found.notes
assert "PYTHONSAFEPATH" not in os.environ
assert open("main").read() == "x"
"""

WAYS = {
    "script": ["{file}"],
    "stdin": ["-"],
    "command": ["-c", SCRIPT],
    "ipython": ["-m", "IPython", "--no-banner", "--colors=NoColor", "{file}"],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_script_needs_no_guard(way: str, tmp_path: Path) -> None:
    if way == "ipython":
        pytest.importorskip("IPython")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, *(word.format(file="script.py") if word[0] == "{" else word for word in WAYS[way])]
    given = SCRIPT if way == "stdin" else None
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=300, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


AFTERWARDS = """
import multiprocessing as m
import lab
import lab.studies.report.gallery

lab.studies.report.gallery.EXHIBITS = ()  # which take time
before = m.forkserver._forkserver._preload_modules if hasattr(m, "forkserver") else None
lab.sweep({"train.steps": 2, "train.eval_limit": 50, "model.widths": [4], "seed": "0,1"})
if __name__ == "__main__":
    from multiprocessing import forkserver
    assert forkserver._forkserver._forkserver_pid is None
    assert forkserver._forkserver._preload_modules == ["__main__"]
    assert not m.active_children()
"""


@pytest.mark.slow
def test_a_sweep_leaves_no_process_and_no_setting_behind(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(AFTERWARDS)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


STOPPED = """
import signal
import sys
from pathlib import Path

import lab

handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
words = {"data.limit": 100, "train": {"batch_size": 20, "eval_limit": 50, "eval_every": 1}, "model.widths": [4]}
try:
    lab.sweep(words, {"train.steps": 10**6, "jobs": 2, "seed": "0,1"})
except KeyboardInterrupt:
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert len(list(Path("outputs").rglob("checkpoint.pt"))) == 2
    assert len(list(Path("outputs").rglob("result.json"))) == 2
    sys.exit(7)
"""


@pytest.mark.slow
def test_ctrl_c_of_a_sweep_leaves_checkpoints_and_handlers(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", STOPPED], stdout=PIPE, stderr=PIPE, text=True)
    deadline = time.monotonic() + 200
    while len([path for path in tmp_path.rglob("metrics.jsonl") if path.stat().st_size]) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert (*process.communicate(timeout=100), process.returncode) == ("", "", 7)


NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"


@pytest.mark.slow
def test_the_example_runs_in_jupyter(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nbformat, client = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    book = nbformat.read(NOTEBOOK, as_version=4)
    client.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    capfd.readouterr()  # the kernel has its own log
    outputs = [one for cell in book.cells if cell.cell_type == "code" for one in cell.outputs]
    assert not [one for one in outputs if one.output_type == "error"]
    shown = [one for one in outputs if one.output_type in ("execute_result", "display_data")]
    assert any("<table>" in one.data.get("text/html", "") for one in shown)
    assert any("image/png" in one.data for one in shown)


def test_the_example_is_stored_without_outputs() -> None:
    book = json.loads(NOTEBOOK.read_text())
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in book["cells"] if "outputs" in cell)
