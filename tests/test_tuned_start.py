"""Tuned arms that start from the runs of another experiment, which is named by its folder or that of an arm."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeJob

import lab.cli.train
import lab.overrides.plan
from lab.cli.main import main
from lab.errors import UserError
from lab.launch.tune import FIRST_SEED
from lab.launch.worker import check
from lab.records.places import Job
from lab.records.tuning import Tried, TunedArm, Tuning, write_tuning
from lab.records.write import write_json
from lab.runs.origin import find_run

OLD, NEW, OTHER = "0123abcd", "4567abcd", "89ababcd"
"""The hash of an arm that was picked once, of one that is picked now, and of another arm."""


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """`source("act=relu-01234567/seed=0")`: an experiment with runs in these folders."""

    def make(*places: str) -> Path:
        for place in places:
            folder = tmp_path / "body" / place
            folder.mkdir(parents=True)
            write_json(folder / "result.json", {"status": "finished"})
        return tmp_path / "body"

    return make


def tune(root: Path, *picked: str) -> None:
    """Writes a tuning that picked the arms with these hashes, one after another."""
    for digits in picked:
        point = Tried({"optimizer.lr": 0.1}, [0.5], ["finished"])
        arm = TunedArm({}, "00000000", digits, point.values, [point])
        write_tuning(root, Tuning(["optimizer.lr"], "val/accuracy", [FIRST_SEED], [arm], []))


def test_an_arm_that_is_picked_no_more_is_no_source(source: Callable[..., Path]) -> None:
    root = source(f"lr=1-{OLD}/seed=0", f"lr=2-{NEW}/seed=0")
    with pytest.raises(UserError, match="has 2 arms with a run of seed=0; name one"):
        find_run(str(root), 0)
    tune(root, OLD, NEW)
    assert find_run(str(root), 0) == root / f"lr=2-{NEW}" / "seed=0"
    assert find_run(str(root / f"lr=1-{OLD}"), 0) == root / f"lr=1-{OLD}" / "seed=0"  # who names it wants it


@pytest.mark.parametrize("place", ["_tune", "../_tune/body"], ids=["inside", "beside"])
def test_trials_start_from_the_trials_of_the_source(place: str, source: Callable[..., Path]) -> None:
    trials = [f"{place}/lr={lr}-{digits}/seed={FIRST_SEED}" for lr, digits in ((1, OLD), (2, NEW), (3, OTHER))]
    root = source(f"act=relu-{NEW}/seed=0", *trials)
    with pytest.raises(UserError, match=rf"no.* with a run of seed={FIRST_SEED}; .*inside there are: act=relu-{NEW}$"):
        find_run(str(root), FIRST_SEED)
    tune(root, OLD, NEW)
    own = (root / place).resolve() / f"lr=2-{NEW}" / f"seed={FIRST_SEED}"
    assert find_run(str(root), FIRST_SEED) == find_run(str(root / f"act=relu-{NEW}"), FIRST_SEED) == own
    with pytest.raises(UserError, match=f"a run of seed={FIRST_SEED + 1}"):
        find_run(str(root), FIRST_SEED + 1)
    # A run of its own comes first.
    root = source(f"act=relu-{NEW}/seed={FIRST_SEED}")
    assert find_run(str(root), FIRST_SEED) == root / f"act=relu-{NEW}" / f"seed={FIRST_SEED}"


def test_a_source_without_the_seeds_of_trials_is_told_with_what_to_do(
    make_job: MakeJob, source: Callable[..., Path]
) -> None:
    root = source(f"act=relu-{NEW}/seed=0")
    job = make_job(changes={"start.run": str(root), "seed": FIRST_SEED, "name": "_tune/mine"})
    config = job.config
    with pytest.raises(UserError, match=rf"with a run of seed={FIRST_SEED}; .*train the source with seed={FIRST_SEED}"):
        check([job])
    config.name = "mine"
    with pytest.raises(UserError, match=rf"inside there are: act=relu-{NEW}$"):
        check([job])
    config.name, config.start.run = "mine/_tune", "nowhere"
    with pytest.raises(UserError, match=r"is not a folder; runs are at <out>/<name>/<arm>/seed=<n>$"):
        check([job])


@pytest.mark.slow
@pytest.mark.parametrize("quotes", ["", '"', "'"])
def test_the_folder_of_an_arm_is_typed_as_it_is(quotes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arms = [f"outputs/body/norm=none,depth=3-{OLD}", f"outputs/body/norm=batch,depth=3-{NEW}/seed=0"]
    for arm in arms:
        Path(arm).mkdir(parents=True)
    started: list[Job] = []
    monkeypatch.setattr(lab.cli.train, "_start", lambda jobs, *_: started.extend(jobs) or 0)
    for given in ([arms[0]], arms, ["nowhere/a=b"]):
        started.clear()
        typed = ",".join(f"{quotes}{one}{quotes}" for one in given)
        assert main(["train", f"start.run={typed}"]) == 0
        assert [job.config.start.run for job in started] == given
        again: list[Any] = [lab.overrides.plan.one_job("train", job.overrides).config for job in started]
        assert again == [job.config for job in started]
