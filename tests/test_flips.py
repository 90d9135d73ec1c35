"""Test pictures that two sides tell differently: found in what runs keep of their predictions."""

import numpy as np
from fake_runs import compare, write_arms

from lab.studies.claims.flips import find_flips

CLAIM = {"say": "relu wins", "higher": {"model.act": "relu"}, "than": {"model.act": "tanh"}}


def keep(run, predicted, label=(0, 1, 2, 3), index=(40, 10, 30, 20)):
    np.savez_compressed(run.path / "predictions.npz", index=index, label=label, predicted=predicted)


def write_both(root):
    runs = write_arms(root, "model.act", {"relu": [0.75, 0.8], "tanh": [0.5, 0.55]})
    for run, predicted in zip(runs, ([0, 1, 2, 0], [0, 1, 2, 3], [0, 0, 0, 3], [0, 1, 0, 0]), strict=True):
        keep(run, predicted)
    return runs[:2], runs[2:]


def test_flips_are_counted_by_seed(tmp_path):
    flips = find_flips(*write_both(tmp_path))
    assert flips is not None
    assert (flips.seeds, flips.num_pictures) == ([0, 1], 4)
    assert (flips.gained, flips.lost) == ([2, 2], [1, 0])
    assert (flips.always_gained, flips.always_lost) == ([30], [])
    assert flips.p == [1.0, 0.5]
    assert flips.as_json()["num_always_gained"] == 1


def test_a_verdict_tells_of_them(tmp_path):
    left, right = write_both(tmp_path)
    (verdict,) = compare([*left, *right], {"claims": [CLAIM]}).verdicts
    assert (
        "Of 4 test images relu is right on 2 that tanh misclassifies, and wrong on 0.5 that it gets right"
        in verdict.explain
    )
    assert verdict.as_json()["flips"]["gained"] == [2, 2]
    (verdict,) = compare([*left, *right], {"claims": [{**CLAIM, "metric": "num_params"}]}).verdicts
    assert verdict.flips is None


def test_runs_without_the_same_pictures_are_left_out(tmp_path):
    left, right = write_both(tmp_path)
    keep(left[1], [0, 1, 2], label=(0, 1, 2), index=(40, 10, 30))
    (right[0].path / "predictions.npz").write_bytes(b"damaged")
    assert find_flips(left, right) is None
    assert find_flips([*left, *left], right) is None


def test_a_run_keeps_its_predictions(make_job):
    from lab.runs.run import run

    job = make_job()
    result = run(job)
    with np.load(job.folder / "predictions.npz") as file:
        assert {file[key].dtype for key in ("index", "label", "predicted")} == {np.dtype("uint8")}
        right = (file["predicted"] == file["label"]).mean()
        assert len(set(file["index"].tolist())) == len(file["label"])
    assert right == result["metrics"]["test/accuracy"]["last"]
