"""Warnings of runs: kept in their results, and said once by whoever started them."""

import warnings

import pytest
from conftest import MakeJob

from lab.errors import UserError
from lab.launch.slots import Slot, make_context, stop_server
from lab.launch.sweep_log import SweepLog
from lab.metric import parse_metric
from lab.records.notes import noted, notes_text
from lab.records.results import read_result
from lab.runs.run import run
from lab.system.reporter import Keeper, note, reporting_to


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_warning_is_a_note_of_the_result(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_job(changes={"train.clip": "value", "train.clip_norm": 1.0})
    for job_again in (job, make_job("other", {"train.clip": "value", "train.clip_norm": 1.0})):
        result = run(job_again)
        assert result["notes"] == ["train.clip_norm=1.0 has no effect with train.clip=value"]
        assert (read_result(job_again.folder) or {})["notes"] == result["notes"]
    assert "clip_norm" not in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_other_warnings_and_filters_stay_as_they_are() -> None:
    with noted() as notes:
        for _ in range(2):
            warnings.warn("twice", stacklevel=1)
        with pytest.warns(DeprecationWarning, match="old"):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert notes == ["twice"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="raised"), noted():
            warnings.warn("raised", stacklevel=1)


def test_a_sweep_says_each_note_once(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_job()
    log = SweepLog([job] * 3, parse_metric("val/accuracy"), slots=1)
    for notes in (["a has no effect"], ["a has no effect", "b is damaged"], []):
        log.show(job, {"status": "finished", "notes": notes})
    log.close()
    assert capsys.readouterr().err.splitlines() == [
        "note: a has no effect (2 of 3 runs)",
        "note: b is damaged (1 of 3 runs)",
    ]
    assert notes_text([{"notes": ["a"]}]) == ["note: a"]
    assert notes_text([{"status": "finished"}]) == []  # an old one


def fails_with(remark: str) -> None:
    note(remark)
    raise UserError("wrong")


def test_what_a_worker_remarks_is_told_by_its_parent() -> None:
    """Also where it fails; nothing is printed by the worker, whom a notebook would not hear."""
    slot = Slot(make_context([]), bool)
    try:
        slot.submit(note, "first")
        with reporting_to(kept := Keeper()):
            slot.result()
            slot.submit(fails_with, "second")
            with pytest.raises(UserError, match="wrong"):
                slot.result()
    finally:
        slot.close()
        stop_server()
    assert kept.notes == ["first", "second"]
