"""What TensorBoard shows of a sweep: verdicts as text, and charts side by side."""

import pytest
from fake_runs import write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util.tensor_util import make_ndarray

from lab.studies.board import write_board
from lab.studies.comparison import compare

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
    write_board(comparison, root)
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
    table = read_text(folder, "arms").splitlines()
    assert table[2].startswith("| depth=4 | 2 | 0.4 |")
    assert table[3].startswith("| depth=8 | 2 | 0.4 |")


def test_one_layout_puts_the_metric_first(board):
    folder, _ = board
    content = make_ndarray(load(folder).Tensors("custom_scalars__config__")[0].tensor_proto).item()
    layout = layout_pb2.Layout.FromString(content)  # pyright: ignore[reportAttributeAccessIssue]
    assert [category.title for category in layout.category] == ["val/accuracy", "training beside validation"]
    band, every = layout.category[0].chart
    (series,) = band.margin.series
    assert list(every.multiline.tag) == ["^val/accuracy$"]
    assert [list(chart.multiline.tag) for chart in layout.category[1].chart] == [["^train/loss$", "^val/loss$"]]
    # The band's three lines are in a run of each arm.
    arms = sorted(path for path in folder.iterdir() if path.is_dir())
    assert [arm.name.partition("-")[0] for arm in arms] == ["depth=4", "depth=8"]
    found = load(arms[0])
    assert sorted(found.Tags()["scalars"]) == sorted([series.value, series.lower, series.upper])
    assert [event.value for event in found.Scalars(series.value)] == pytest.approx([0.19, 0.29, 0.39])
    assert [event.value for event in found.Scalars(series.upper)] == pytest.approx([0.24, 0.34, 0.44])
