"""What runs predict of the test images: by class, by confidence, and the images that most of them misclassify."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import compare, write_run

from lab.records.predictions import read_predictions
from lab.records.results import Run, read_run
from lab.studies.claims.flips import predict_alike
from lab.studies.comparison.answers import MOST_ARMS, Answers, find_answers
from lab.studies.comparison.calibration import measure_calibration
from lab.studies.comparison.mistaken import most_mistaken
from lab.studies.figures.classes import draw_classes, shown_classes
from lab.studies.figures.confusion import draw_confusion, draw_confusion_difference, share_matrices
from lab.studies.figures.mistakes import draw_mistakes, pixels
from lab.studies.report.gallery import hang
from lab.studies.report.predictions import PREDICTIONS, percents, shown_text, tables
from lab.studies.report.subject import Subject
from lab.studies.select.pixels import Pixels

LABEL = [0, 0, 0, 0, 1, 1, 1, 2]
"""Of class 3 there is no test image."""
NAMES = ["ant", "bee", "cat", "dog"]

Numbers = Sequence[int] | np.ndarray


def keep(run: Run, predicted: Numbers, label: Numbers = LABEL, **more: Any) -> None:
    """Gives a run its predictions."""
    file = io.BytesIO()
    np.savez(file, index=np.arange(len(label)), label=np.array(label), predicted=np.array(predicted), **more)
    (run.path / "predictions.npz").write_bytes(file.getvalue())


def run(
    root: Path, act: str, seed: int, predicted: Sequence[int] | None, kept: Mapping[str, Any] | None = None, **more: Any
) -> Run:
    """A run of an arm, with what it predicted."""
    found = write_run(root, {"model.act": act}, seed, {"val/accuracy": 0.9}, **more)
    if predicted is not None:
        keep(found, predicted, **(kept or {"classes": np.array(NAMES)}))
    return found


def answers(runs: Sequence[Run], **study: Any) -> Answers:
    found = find_answers(compare(runs, study))
    assert found
    return found


@pytest.fixture
def four(tmp_path: Path) -> list[Run]:
    """Two arms of two seeds."""
    return [
        run(tmp_path, "relu", 0, [0, 0, 0, 1, 1, 1, 1, 2]),
        run(tmp_path, "relu", 1, [0, 0, 1, 1, 1, 1, 1, 2]),
        run(tmp_path, "tanh", 0, [0, 0, 0, 0, 1, 1, 0, 0]),
        run(tmp_path, "tanh", 1, [0, 0, 1, 1, 1, 0, 0, 0]),
    ]


def test_confusion_is_the_mean_over_seeds_of_shares_of_the_true_class(four: list[Run]) -> None:
    found = answers(four)
    assert found.classes == NAMES
    assert found.present == [0, 1, 2]
    relu, tanh = found.arms
    assert relu.confusion.mean(0)[:3].tolist() == [[0.625, 0.375, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert np.isnan(relu.confusion[:, 3]).all()
    assert tanh.accuracy[:, :3].tolist() == [[1.0, pytest.approx(2 / 3), 0.0], [0.5, pytest.approx(1 / 3), 0.0]]
    apart = found.paired(tanh, "accuracy")
    assert apart is not None
    assert apart[:, 0].tolist() == [0.25, 0.0]
    assert found.paired(relu, "accuracy") is None  # it is the reference
    assert share_matrices(found)[0].values[0, :2].tolist() == [62.5, 37.5]


def test_runs_of_a_seed_count_by_their_mean(tmp_path: Path) -> None:
    """As with `--by`, where an arm has several runs of one seed."""
    runs = [
        run(tmp_path, "relu", 0, [0] * 8),
        write_run(tmp_path, {"model.act": "relu", "model.depth": 5}, 0, {"val/accuracy": 0.9}),
        run(tmp_path, "relu", 1, LABEL),
    ]
    keep(runs[1], LABEL, classes=np.array(NAMES))
    found = find_answers(compare(runs, {}, by=["model.act"]))
    assert found is not None
    (one,) = found.arms
    assert one.seeds == [0, 1]
    assert one.accuracy[:, 1].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("seed", [0, 1])
def test_calibration_agrees_with_the_definition_image_by_image(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    label, predicted = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    confidence = rng.uniform(0.34, 1, 200).astype(np.float32)
    confidence[:2] = 1.0, 1 / 3
    one = run(tmp_path, "relu", 0, None)
    keep(one, predicted, label, confidence=confidence)
    found = measure_calibration([one])
    error, confidence = 0.0, confidence.astype(np.float64)
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            error += inside.mean() * abs((label == predicted)[inside].mean() - confidence[inside].mean())
    assert found.errors == [pytest.approx(error, abs=1e-7)]
    assert found.gaps == [pytest.approx(confidence.mean() - (label == predicted).mean())]
    assert found.counts.sum() == 200


def test_the_error_is_that_of_the_monte_carlo_passes(tmp_path: Path) -> None:
    import torch

    from lab.nets.uncertainty import calibration_error

    probabilities = torch.rand(300, 4, generator=torch.Generator().manual_seed(0)).softmax(1)
    confidence, predicted = probabilities.max(1)
    label = torch.arange(300) % 4
    one = run(tmp_path, "relu", 0, None)
    keep(one, predicted.tolist(), label.tolist(), confidence=confidence.numpy())
    expected = calibration_error(confidence, predicted == label)
    assert measure_calibration([one]).errors == [pytest.approx(float(expected), abs=1e-6)]


def test_images_are_ranked_by_the_runs_that_misclassify_them(four: list[Run]) -> None:
    found, first, left_out = most_mistaken(answers(four), 3)
    assert [(one.index, one.label, one.guess, one.wrong, one.runs) for one in found] == [
        (3, 0, 1, [2, 1], [2, 2]),
        (2, 0, 1, [1, 1], [2, 2]),
        (6, 1, 0, [0, 2], [2, 2]),
    ]
    assert found[0].share == 0.75
    assert first.path == four[0].path
    assert left_out == 0
    assert len(most_mistaken(answers(four), 50)[0]) == 5


def test_of_equally_many_runs_the_surest_mistakes_come_first(tmp_path: Path) -> None:
    confidence = np.array([0.5, 0.9, 0.6, 0.7, 1, 1, 1, 1], dtype=np.float32)
    one = run(tmp_path, "relu", 0, [1, 1, 1, 0, 1, 1, 1, 2], {"confidence": confidence})
    assert [found.index for found in most_mistaken(answers([one]), 9)[0]] == [1, 2, 0]


def test_runs_without_predictions_or_that_did_not_train_are_left_out(tmp_path: Path, four: list[Run]) -> None:
    more = [
        run(tmp_path, "gelu", 0, None),
        run(tmp_path, "elu", 0, [0] * 8, status="diverged"),
        run(tmp_path, "silu", 0, [3] * 8, status="finished"),
        run(tmp_path, "selu", 0, [], {"label": []}),
    ]
    (more[0].path / "predictions.npz").write_bytes(b"no archive")
    found = answers([*more[:2], *four, *more[2:]])
    assert [one.arm.label for one in found.arms] == ["act=relu", "act=tanh", "act=silu"]
    assert shown_text(found).startswith("Left out, as they kept no predictions of these classes: act=gelu, act=elu")
    assert "Without test images: dog." in shown_text(found)
    assert find_answers(compare(more[:2], {})) is None


def test_other_classes_and_other_images_do_not_meet(tmp_path: Path) -> None:
    runs = [run(tmp_path, "relu", seed, LABEL, scored_on="aa-11") for seed in (0, 1)]
    runs += [run(tmp_path, "tanh", seed, LABEL, scored_on="aa-22") for seed in (0, 1)]
    other = {"data.name": "mnist"}
    runs += [run(tmp_path, "gelu", seed, [1] * 8, scored_on="bb-33", config=other) for seed in (0, 1)]
    found = answers(runs)
    assert [one.arm.label for one in found.arms] == ["act=relu", "act=tanh"]
    assert found.left_out == ["act=gelu"]
    assert found.paired(found.arms[1], "accuracy") is None
    mistaken, _, left_out = most_mistaken(found, 9)
    assert (mistaken, left_out) == ([], 2)
    assert draw_confusion_difference(found) is None


def test_of_many_arms_the_first_are_shown_with_their_reference(tmp_path: Path) -> None:
    acts = ["relu", "tanh", "gelu", "elu", "silu", "selu", "mish", "celu"]
    runs = [run(tmp_path, act, 0, LABEL) for act in acts]
    found = answers(runs, reference={"model.act": "celu"})
    assert [one.arm.label for one in found.arms] == [f"act={act}" for act in ["celu", *acts[: MOST_ARMS - 1]]]
    assert "Shown are 6 of 8 arms." in shown_text(found)


def test_a_regression_has_no_predictions(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, {"model.act": act}, 0, {"val/rmse": 1.0}) for act in ("relu", "tanh")]
    subject = Subject(compare(runs, {"metric": "val/rmse"}))
    assert tables(subject) == {}
    assert all(one.draw(subject, narrow) is None for one in PREDICTIONS for narrow in (False, True))
    assert not {one.name for one in PREDICTIONS} & set(hang(subject, None))


@pytest.mark.parametrize("num_classes", [2, 10, 12, 13, 100, 300])
def test_any_number_of_classes_is_drawn(num_classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, num_classes, 1000)
    runs = []
    for act, share in (("relu", 0.9), ("tanh", 0.7)):
        for seed in (0, 1):
            one = run(tmp_path, act, seed, None)
            predicted = np.where(rng.random(1000) < share, label, rng.integers(0, num_classes, 1000))
            keep(
                one,
                predicted,
                label,
                confidence=rng.random(1000),
                classes=np.array([f"c{k}" for k in range(num_classes)]),
            )
            runs.append(one)
    images = np.zeros((24, 3, 8, 8), np.uint8)
    monkeypatch.setattr(
        "lab.studies.comparison.mistaken.Mistakes.pixels", lambda self: Pixels(images[: len(self.found)])
    )
    subject = Subject(compare(runs, {}))
    few = {"classes", "calibration", "mistakes"}
    every = {"confusion", "confusion_difference", *few}
    drawn = {one.name for one in PREDICTIONS if one.draw(subject, False) and one.draw(subject, True)}
    assert drawn == (every if num_classes <= 200 else few)
    for one in PREDICTIONS:
        description, caption = one.words(subject) if one.name in drawn else ("a.", "b.")
        assert len(description) < 2500
        assert caption.endswith(".")
        assert "nan" not in description + caption
    found = tables(subject)
    assert set(found) == drawn - {"confusion_difference"}
    for _, columns, rows in found.values():
        assert all(len(row) == len(columns) for row in rows)
    assert len(found["classes"][2]) == min(num_classes, 100 if num_classes <= 100 else 30)
    assert len(shown_classes(answers(runs))) == min(num_classes, 30)


def test_hard_classes_come_first_where_not_all_are_shown(tmp_path: Path) -> None:
    label = np.repeat(np.arange(40), 10)
    predicted = label.copy()
    predicted[[50, 51, 52, 70, 71, 90]] = 0
    one = run(tmp_path, "relu", 0, None)
    keep(one, predicted, label)
    assert shown_classes(answers([one]))[:3] == [5, 7, 9]


def test_cells_hold_intervals_where_seeds_differ() -> None:
    assert percents(np.array([[0.5, np.nan]])) == ["50.0", "-"]
    assert percents(np.array([[0.5], [0.5]])) == ["50.0"]
    (text,) = percents(np.array([[-0.1], [0.0], [0.05]]), (-1.0, 1.0))
    assert text.startswith("-1.7 [-")
    assert "+" in text


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 4), (2, 4, 4)])
def test_pixels_of_any_channels_become_colours(shape: tuple[int, ...]) -> None:
    whole = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert pixels(whole).shape == (4, 4, 3)
    assert pixels(whole)[0, 0, 0] == 0
    drawn = pixels(whole.astype(np.float32) - 7)
    assert (drawn.min(), drawn.max()) == (0, 255)
    flat = pixels(np.full(shape, np.nan, np.float32))
    assert flat.shape == (4, 4, 3)


def test_nothing_is_drawn_without_images(four: list[Run]) -> None:
    found, _, _ = most_mistaken(answers(four), 3)
    assert draw_mistakes(found, None, NAMES) is None
    assert draw_mistakes([], np.zeros((0, 1, 8, 8)), NAMES) is None
    assert draw_confusion(None) is None
    assert draw_classes(None) is None


# What runs keep.


def test_a_classifier_keeps_how_sure_it_is_and_the_names(make_job: Callable) -> None:
    from lab.runs.run import run as train

    job = make_job("outputs", {"train.steps": 2})
    assert train(job)["status"] == "finished"
    kept = read_predictions(job.folder)
    assert kept
    assert kept["confidence"].dtype == np.float32
    assert ((kept["confidence"] >= 1 / len(kept["classes"]) - 1e-6) & (kept["confidence"] <= 1)).all()
    assert kept["confidence"].shape == kept["label"].shape
    assert len(kept["classes"]) > kept["label"].max()


@pytest.mark.parametrize("changes", [{"model.output": "softmax"}, {"train.loss": "hinge"}], ids=str)
def test_outputs_that_are_no_logits_have_no_confidence(changes: dict[str, str], make_job: Callable) -> None:
    from lab.runs.run import run as train

    job = make_job("outputs", {"train.steps": 2, **changes})
    assert train(job)["status"] == "finished"
    kept = read_predictions(job.folder)
    assert kept
    assert "confidence" not in kept
    found = read_run(job.folder)
    assert found
    assert answers([found]).arms[0].calibration is None


def test_old_and_damaged_predictions_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    one = run(tmp_path, "relu", 0, LABEL, {"confidence": np.ones(3, np.float32), "classes": np.arange(4)})
    assert set(read_predictions(one.path) or ()) == {"index", "label", "predicted"}
    two = run(tmp_path, "tanh", 0, LABEL, {"classes": np.array(["a\x1b", "b", "c", "d"])})
    assert str((read_predictions(two.path) or {})["classes"][0]) == "a\\x1b"
    found = answers([one])
    assert found.classes == ["0", "1", "2"]
    assert found.arms[0].calibration is None


def test_other_confidence_is_no_other_prediction(tmp_path: Path) -> None:
    label = [0, 1] * 20
    runs = []
    for act, sure in (("relu", 0.8), ("tanh", 0.7)):
        one = run(tmp_path, act, 0, None)
        keep(one, [1] * 40, label, confidence=np.full(40, sure, np.float32))
        runs.append(one)
    assert predict_alike(runs[:1], runs[1:], [])


# Where the images are read.


def ask(
    config: Mapping[str, Any], index: Sequence[int], labels: Sequence[int], scored: str | None = None
) -> np.ndarray | None:
    from lab.data.test_images import test_images

    return test_images({"data.name": "digits", "seed": 3, **config}, index, labels, scored)


def test_images_are_those_that_a_run_was_scored_on() -> None:
    import torch

    from lab.config import DataConfig
    from lab.data.batches import load_dataset
    from lab.data.digest import scored_on

    data = load_dataset(DataConfig(name="digits"), 0, torch.device("cpu"))
    index = data.test.index[:4].tolist()
    labels = data.test.labels[data.test.index[:4]].tolist()
    found = ask({}, index, labels, scored_on(data, None))
    assert found is not None
    assert np.array_equal(found, data.test.images[torch.tensor(index)].numpy())
    assert found.dtype == np.uint8


def test_images_that_changed_or_are_not_there_are_told(tmp_path: Path) -> None:
    from lab.errors import UserError

    for labels, scored in (([99], None), ([0], "aa-11")):
        with pytest.raises(UserError, match="the data that are there now are not those that the runs were scored on"):
            ask({}, [0], labels, scored)
    with pytest.raises(UserError, match="is not a folder"):
        ask({"data.name": "folder", "data.root": str(tmp_path / "gone")}, [0], [0])
    with pytest.raises(UserError, match="names code, which a comparison does not run"):
        ask({"data.name": "own_parts:tiny"}, [0], [0])
    assert ask({"data.name": "xor"}, [0], [0], None) is None


def test_a_page_without_images_says_why(four: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.studies.report.page import render_page

    monkeypatch.setattr("lab.studies.comparison.mistaken.Mistakes.pixels", lambda self: Pixels(None, "they are gone"))
    subject = Subject(compare(four, {}))
    page = render_page(subject, hang(subject, None), four[0].path)
    assert "The images are not drawn: they are gone." in page
    assert '<h2 id="predictions">Predictions</h2>' in page
    assert '<th scope="col" class="number">act=tanh</th>' in page
    assert page.count('role="img" aria-label="') == page.count('role="img"') == len(hang(subject, None))
    assert page.count('role="region" aria-label="') == page.count('role="region"')


@pytest.mark.figures
def test_the_figures_are_in_tensorboard_and_read_from_the_data_set(tmp_path: Path, four: list[Run]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from lab.studies.claims.study import parse_study
    from lab.studies.report.publish import publish

    comparison = publish(four, parse_study({}), tmp_path / "out")
    assert comparison.runs
    events = EventAccumulator(str(tmp_path / "out" / "_study")).Reload()
    # These labels are not those of the digits, so that no image is drawn.
    assert set(events.Tags()["images"]) == {
        "predictions/confusion",
        "predictions/confusion_difference",
        "predictions/classes",
    }
    (image,) = events.Images("predictions/confusion")
    assert image.width > image.height > 300
    text = (tmp_path / "out" / "report.html").read_text()
    assert "The images are not drawn: the data that are there now are not those" in text
    assert (tmp_path / "out" / "confusion_column.svg").exists()
