"""What TensorBoard shows of a sweep: verdicts as text, and charts side by side."""

import os
import re
import signal
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from fake_runs import compare, write_run
from google.protobuf.json_format import ParseDict
from scipy import special, stats
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.util.tensor_util import make_ndarray

from lab.cli.board import main as serve
from lab.cli.main import main
from lab.records.events import EventFile, buckets, write_scalars
from lab.studies.comparison.means import arm_means
from lab.studies.report.board import means_query, write_board

STUDY = {
    "question": "Is deeper better?",
    "claims": [{"say": "deeper is better", "higher": {"model.depth": 8}, "than": {"model.depth": 4}}],
}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    root = tmp_path_factory.mktemp("board")
    runs = []
    for depth, seed in ((4, 0), (4, 1), (8, 0), (8, 1)):
        rows = [
            {
                "step": step,
                "train/loss": 1 / step,
                "val/loss": 2 / step,
                "val/accuracy": step / 10 + depth / 100 + seed / 10,
            }
            for step in (1, 2, 3)
        ]
        runs.append(write_run(root, {"model.depth": depth}, seed, {"val/accuracy": rows[-1]["val/accuracy"]}, rows))
    stale = root / "_study" / "old" / "events.out.tfevents.1"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    comparison = compare(runs, STUDY)
    write_board(comparison, arm_means(comparison), root)
    assert not stale.exists()
    return root / "_study", comparison


def load(folder) -> EventAccumulator:
    (file,) = folder.glob("events.out.tfevents.*")
    found = EventAccumulator(str(file))
    found.Reload()
    return found


def read_text(folder, tag: str) -> str:
    return str(make_ndarray(load(folder).Tensors(tag)[0].tensor_proto).item(), "utf-8")  # pyright: ignore[reportArgumentType]


def test_the_text_has_question_and_verdicts(board):
    folder, comparison = board
    text = read_text(folder, "verdicts")
    (verdict,) = comparison.verdicts
    assert "## Is deeper better?" in text
    assert f"- **{verdict.verdict}**: deeper is better. {verdict.explain}" in text
    table = read_text(folder, "verdicts/arms").splitlines()
    assert table[2].startswith("| depth=4 | 2 | 0.4 |")
    assert table[3].startswith("| depth=8 | 2 | 0.4 |")


def test_one_layout_puts_the_metric_first(board):
    folder, _ = board
    content = make_ndarray(load(folder).Tensors("custom_scalars__config__")[0].tensor_proto).item()
    layout = layout_pb2.Layout.FromString(content)  # pyright: ignore[reportAttributeAccessIssue]
    titles = ["val/accuracy", "training beside validation, means", "val/accuracy of every run"]
    assert [category.title for category in layout.category] == titles
    (band,), (beside,), (every,) = (category.chart for category in layout.category)
    (series,) = band.margin.series
    assert list(every.multiline.tag) == ["^val/accuracy$"]
    means = ["with_interval/train/loss/mean", "with_interval/val/loss/mean"]
    assert list(beside.multiline.tag) == [f"^{tag}$" for tag in means]
    # The band's three lines are in a run of each arm, and the means beside them.
    arms = sorted(path for path in folder.iterdir() if path.is_dir())
    assert [arm.name.partition("-")[0] for arm in arms] == ["depth=4", "depth=8"]
    found = load(arms[0])
    assert sorted(found.Tags()["scalars"]) == sorted([series.value, series.lower, series.upper, *means])
    assert [event.value for event in found.Scalars(series.value)] == pytest.approx([0.19, 0.29, 0.39])
    half = 0.05 * stats.t.isf(0.025, 1)  # two seeds know little, and no accuracy exceeds 1
    shares = np.array([0.19, 0.29, 0.39])
    upper = special.expit(special.logit(shares) + half / (shares * (1 - shares)))
    assert [event.value for event in found.Scalars(series.upper)] == pytest.approx(
        np.maximum(upper, shares + half).clip(max=1).tolist()
    )


def test_hparams_has_the_metric_first_and_knows_every_value(board):
    folder, _ = board
    content = load(folder).PluginTagToContent("hparams")["_hparams_/experiment"]
    found = HParamsPluginData.FromString(content).experiment
    assert [info.name.tag for info in found.metric_infos] == ["val/accuracy", "val/loss", "train/loss"]
    (depth,) = found.hparam_infos
    assert (depth.name, depth.differs) == ("model.depth", True)
    assert (depth.domain_interval.min_value, depth.domain_interval.max_value) == (4, 8)


def test_hparams_columns_have_the_types_of_their_values(tmp_path):
    rows = [{"lr": 0.1, "bias": True, "norm": "batch", "limit": None}, {"lr": 1, "bias": False, "limit": 500}]
    with EventFile(tmp_path) as events:
        events.hparams_columns(rows, ["val/loss"])
    content = load(tmp_path).PluginTagToContent("hparams")["_hparams_/experiment"]
    infos = {info.name: info for info in HParamsPluginData.FromString(content).experiment.hparam_infos}
    assert list(infos) == ["lr", "bias", "norm", "limit"]
    assert (infos["lr"].domain_interval.min_value, infos["lr"].domain_interval.max_value) == (0.1, 1.0)
    assert list(infos["bias"].domain_discrete) == [True, False]
    assert list(infos["norm"].domain_discrete) == ["batch"]
    assert not infos["norm"].differs
    assert (infos["limit"].domain_interval.min_value, infos["limit"].domain_interval.max_value) == (500, 500)
    assert infos["limit"].differs


@pytest.mark.parametrize(
    ("words", "port"), [([], 6006), (["--port=7007"], 7007), (["--port", "7008", "--bind_all"], 7008)]
)
def test_board_says_where_the_means_are(tmp_path, monkeypatch, capsys, words, port):
    started = []
    monkeypatch.setattr(os, "execv", lambda _program, command: started.append(command))
    main(["board", str(tmp_path), *words])
    assert f"http://localhost:{port}/{means_query()}\n" in capsys.readouterr().out
    assert started[0][4:] == ["--logdir", str(tmp_path), *words]


@pytest.fixture(params=["_tune/scratch", "scratch/_tune"], ids=["beside", "inside"])
def tuned(request, tmp_path):
    """Outputs with a run, its mean and two trials, beside the experiment or, as once, inside; and their place."""
    for name in ("scratch/act=relu-01234567/seed=0", "scratch/_mean/act=relu-01234567"):
        write_scalars(tmp_path / name, {"val/accuracy": [(1, 0.5)]})
    for name in ("act=relu,lr=0.1-01234567", "act=relu,lr=1-76543210"):
        write_scalars(tmp_path / request.param / name / "seed=1000000", {"val/accuracy": [(1, 0.5)]})
    return tmp_path, tmp_path / request.param


def runs_in(folder) -> set[str]:
    return set(EventMultiplexer().AddRunsFromDirectory(str(folder)).Runs())


def test_trials_are_on_a_board_of_their_own(tuned):
    root, trials = tuned
    assert len(runs_in(trials)) == 2
    own = {"act=relu-01234567/seed=0", "_mean/act=relu-01234567"}
    inside = {f"_tune/{name}" for name in runs_in(trials)} if trials.parent.name == "scratch" else set()
    assert runs_in(root / "scratch") == own | inside


def test_the_address_shows_means_and_no_trials_whatever_lists_the_runs(tuned):
    root, _ = tuned
    (shown,) = parse_qs(urlsplit(means_query()).query)["runFilter"]
    assert {name for name in runs_in(root) if re.search(shown, name)} == {"scratch/_mean/act=relu-01234567"}


def test_board_says_where_trials_are(tuned, monkeypatch, capsys):
    root, trials = tuned
    started = []
    monkeypatch.setattr(os, "execv", lambda _program, command: started.append(command[1:]))
    for folder in (root, root / "scratch"):
        main(["board", str(folder)])
        assert started.pop() == ["-P", "-m", "lab.cli.board", "--logdir", str(folder)]
        said = capsys.readouterr().out
        assert said.splitlines()[-1].endswith(means_query())
        if folder not in trials.parents:
            assert said.startswith(f"its tuning trials: lab board {trials}\n")
            continue
        there = trials if trials.name == "_tune" else trials.parent
        found = re.search(r"^the runs of (.*) are tuning trials; the run filter (.*) hides them\n", said)
        assert found
        assert found[1] == str(there)
        kept = {name for name in runs_in(folder) if re.search(found[2], name)}
        assert kept == {name for name in runs_in(folder) if "seed=1000000" not in name} < runs_in(folder)
    for folder in (trials, root / "scratch" / "act=relu-01234567"):
        main(["board", str(folder), "--port=7007"])
        assert started.pop() == ["-P", "-m", "lab.cli.board", "--logdir", str(folder), "--port=7007"]
        said = capsys.readouterr().out
        assert ("tuning trials: http://localhost:7007/#timeseries" in said) == (folder == trials)
        assert "hides them" not in said


def test_values_that_almost_overflow_have_a_histogram(tmp_path):
    with EventFile(tmp_path) as events:  # warnings are errors
        events.histogram("weights", np.array([-3e38, 0.0, 3e38], dtype=np.float32), 1)
    buckets = make_ndarray(load(tmp_path).Tensors("weights")[0].tensor_proto)
    assert buckets[:, 2].sum() == 3


def sorted_groups(folder, key: str, **asked) -> list[str]:
    """The rows that the HParams tab shows, sorted or filtered by a column, as its own backend answers."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder))))
    request = {"allowedStatuses": ["STATUS_SUCCESS"], "sliceSize": 10, "colParams": [{"hparam": key, **asked}]}
    request = ParseDict(request, api_pb2.ListSessionGroupsRequest())  # pyright: ignore[reportAttributeAccessIssue]
    found = list_session_groups.Handler(RequestContext(), context, "experiment", request).run()
    return [group.name for group in found.session_groups]


COLUMNS = {
    "data.limit": [None, 200, 30],
    "train.clip_norm": [0.5, None, 1],
    "train.channels_last": [True, None, False],
    "model.widths": [[16, 32], [], [4]],
    "model.act": ["relu", "tanh", "gelu"],
    "train.steps": [None, None, None],
}


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    root = tmp_path_factory.mktemp("columns")
    rows = [{key: values[index] for key, values in COLUMNS.items()} for index in range(3)]
    for index, row in enumerate(rows):
        with EventFile(root / f"run{index}") as events:
            events.hparams(row, f"arm{index}")
            events.scalar("val/loss", 0.5, 1)
            events.hparams_end(True)
    with EventFile(root / "_study") as events:
        events.hparams_columns(rows, ["val/loss"])
    return root


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        ("data.limit", "210"),
        ("train.clip_norm", "021"),
        ("train.channels_last", "201"),
        ("model.widths", "021"),
        ("model.act", "201"),
        ("train.steps", "012"),
    ],
)
def test_hparams_columns_of_mixed_values_sort_with_empty_cells_last(columns, key, rows):
    assert sorted_groups(columns, key, order="ORDER_ASC") == [f"arm{row}" for row in rows]
    assert len(sorted_groups(columns, key, order="ORDER_DESC")) == 3


def test_hparams_columns_of_mixed_values_filter(columns):
    few = {"filterInterval": {"minValue": 0, "maxValue": 100}, "excludeMissingValues": True}
    assert sorted_groups(columns, "data.limit", **few) == ["arm2"]
    only = {"filterDiscrete": [True], "excludeMissingValues": True}
    assert sorted_groups(columns, "train.channels_last", **only) == ["arm0"]
    assert sorted_groups(columns, "model.widths", filterDiscrete=["[4]"]) == ["arm2"]


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's imports
def test_ctrl_c_before_it_serves_is_one_line(monkeypatch, capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tensorboard.main.run_main", interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert serve() == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.slow
def test_no_module_of_the_working_directory_takes_the_place_of_a_library(monkeypatch, tmp_path):
    """`lab board`, and the processes of a sweep: Python puts the folder where one types first for `-m` and `-c`."""
    for name in ("tensorboard", "random", "multiprocessing"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    started = []
    monkeypatch.setattr(os, "execv", lambda _program, command: started.append(command))
    main(["board", str(tmp_path)])
    subprocess.run([*started[0][: started[0].index("--logdir")], "--version"], capture_output=True, timeout=60)
    script = "from lab.launch.slots import make_context as m; p = m([]).Process(target=print); p.start(); p.join()"
    subprocess.run([sys.executable, "-P", "-c", script], timeout=60, check=True)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "values",
    [[0.0, 1e-45, 2e-45], [-3e38, 3e38, 1.0], [1.0, 1.0 + 1e-7], [0.0, 1e-30], [-1.0, 0.0, 0.5, 1.0]],
    ids=["denormal", "widest", "narrow", "tiny", "ordinary"],
)
def test_every_value_has_its_bucket(values: list[float]) -> None:
    found = buckets(np.array(values, np.float32))
    assert found[:, 2].sum() == len(values)
    assert found[0, 0] == np.float32(min(values))
    assert found[-1, 1] == np.float32(max(values))
    assert np.isnan(buckets(np.array([*values, np.inf], np.float32))).all()
