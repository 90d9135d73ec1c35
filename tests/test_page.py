"""The page of a report: what was done, scores on test images, tables that sort, and files beside it."""

import csv
import re

import pytest
from fake_runs import compare, write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lab.studies.comparison.means import arm_means, write_mean_runs
from lab.studies.report.board import hparam_metrics
from lab.studies.report.done import done
from lab.studies.report.page import write_report
from lab.studies.report.table import COLUMNS, columns

TESTED = {"num_images": {"train": 1150, "val": 288, "test": 359}, "steps_planned": 180}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A report of two arms with scores on test images, and its page."""
    root = tmp_path_factory.mktemp("told")
    runs = [
        write_run(
            root, {"model.act": act}, seed, {"val/accuracy": top + seed / 100, "test/accuracy": top - 0.1}, **TESTED
        )
        for act, top in (("relu", 0.9), ("tanh", 0.8))
        for seed in range(3)
    ]
    found = compare(runs, {})
    return found, write_report(found, root, root / "page" / "report.html").read_text(), root


def test_the_page_says_what_was_done(told):
    found, page, _ = told
    assert dict(done(found)) == {
        "data": "digits: 1,150 training, 288 validation and 359 test images",
        "net": "conv-act-pool, widths 16-32, depth 3",
        "parameters": "64,810",
        "initialisation": "he_normal",
        "optimizer": "adam",
        "learning rate": "0.001",
        "schedule": "constant",
        "batch": "64 images",
        "length": "10 epochs (180 steps)",
        "seeds": "seeds 0 to 2; 6 runs in all",
    }
    assert "<dt>data</dt><dd>digits: 1,150 training, 288 validation and 359 test images</dd>" in page


def test_what_was_done_has_several_values_where_runs_differ(tmp_path):
    configs = [{"optimizer.lr": 0.1, "train.steps": 1}, {"optimizer.lr": 0.2, "schedule.warmup_frac": 0.1}]
    runs = [
        write_run(tmp_path, {"model.act": "relu"}, seed, {"val/accuracy": 0.9}, config=config)
        for seed, config in enumerate(configs)
    ]
    facts = dict(done(compare(runs, {})))
    assert (facts["learning rate"], facts["length"]) == ("0.1; 0.2", "1 step; 10 epochs (880 steps)")
    assert facts["schedule"] == "constant; constant, warm-up over 0.1 of the run"


def test_scores_on_test_images_stand_beside_those_of_validation(told):
    found, page, root = told
    table = columns(found)
    assert list(table)[2:5] == ["mean", "95 % interval", "test"]
    assert table["test"] == ["0.800", "0.700"]
    assert "<b>test</b>: mean on the test images" in page
    rows = list(csv.DictReader((root / "table.csv").read_text().splitlines()))
    assert [float(row["test"]) for row in rows] == pytest.approx([0.8, 0.7])
    assert found.arms[0].test.n == 3


def test_without_scores_on_test_images_there_is_no_such_column(tmp_path):
    runs = [
        write_run(tmp_path, {"model.act": "relu"}, 0, {"val/accuracy": 0.9, "test/accuracy": 0.8}),
        write_run(tmp_path, {"model.act": "tanh"}, 0, {"val/accuracy": 0.9}),
    ]
    assert "test" not in columns(compare(runs, {}))
    assert "test" not in columns(compare(runs[:1], {"metric": "steps_to(val/accuracy >= 0.5)"}))


def test_files_are_linked_relative_to_the_page(told):
    _, page, root = told
    links = re.findall(r'href="(\.\./[^"]+)"', page)
    assert {"../table.csv", "../verdict.json", "../forest.svg"} <= set(links)
    assert all((root / "page" / link).is_file() for link in links)


def test_tables_are_sorted_by_a_script_within_the_page_and_whole_without_it(told):
    _, page, _ = told
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert "aria-sort" in script
    rows = re.findall(r'<th scope="row" data-label="act">(\w+)</th>', page)
    assert rows == ["relu", "tanh"]
    assert "<button" not in page.replace(script, "")


def test_every_column_that_needs_it_is_explained(told):
    found, page, _ = told
    for name in set(columns(found)) & set(COLUMNS):
        assert f"<b>{name}</b>: {COLUMNS[name]}" in page


def test_tensorboard_has_scores_on_test_images_in_means_and_hparams(told, tmp_path):
    found, _, _ = told
    write_mean_runs(arm_means(found), tmp_path)
    assert hparam_metrics(found)[:1] == ["test/accuracy"]  # these runs logged no curves
    (folder,) = (tmp_path / "_mean").glob("act=relu*")
    (file,) = folder.glob("events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    (point,) = events.Scalars("test/accuracy")
    assert (point.step, point.value) == (880, pytest.approx(0.8))
