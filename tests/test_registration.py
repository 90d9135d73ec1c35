"""What was promised before the first run is remembered, and what departs from it is told."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_runs import write_run

from lab.cli.main import main
from lab.config import RunConfig
from lab.errors import DamagedFileError
from lab.identity import with_values
from lab.launch.register import register, remember_runs
from lab.records.places import Job, run_folder
from lab.records.registration import read_registration
from lab.records.results import Run, find_runs
from lab.studies.claims.study import parse_study
from lab.studies.report.publish import compare_folders, publish

ACTS = ("relu", "tanh")
CLAIM = {"say": "relu wins", "higher": {"model.act": "relu"}, "than": {"model.act": "tanh"}}
LOWER = {"say": "relu loses", "lower": {"model.act": "relu"}, "than": {"model.act": "tanh"}}
FAR = {"relu": 0.9, "tanh": 0.5}


def jobs(
    root: Path, seeds: Iterable[int], claims: Sequence[Mapping[str, Any]], acts: Sequence[str] = ACTS, **study: Any
) -> list[Job]:
    """The command of a sweep over `acts` in `root`."""
    found = []
    for act in acts:
        for seed in seeds:
            place = {"out": str(root.parent), "name": root.name}
            config = with_values(RunConfig(), {"model.act": act, "seed": seed, **place})
            config.study.claims = list(claims)
            for key, value in study.items():
                setattr(config.study, key, value)
            arm = {"model.act": act}
            found.append(Job(config, run_folder(config, arm), arm, [], "lab train"))
    return found


def ask(root: Path, seeds: Iterable[int], claims: Sequence[Mapping[str, Any]] = (CLAIM,), **study: Any) -> None:
    """What a sweep does before its first run."""
    register(jobs(root, seeds, claims, **study), root)


def train(root: Path, seeds: Iterable[int], status: str = "finished", acts: Sequence[str] = ACTS, **extra: Any) -> None:
    """Leaves runs as training does, with nearly the same difference in every seed."""
    for job in jobs(root, seeds, [CLAIM], acts):
        score = FAR.get(job.config.model.act, 0.7) + job.config.seed % 3 / 100 * (job.config.model.act == "relu")
        job.folder.mkdir(parents=True)
        metrics = {"val/accuracy": {"last": score, "best": score, "best_step": 40}}
        result = {**job.record(), "status": status, "metrics": metrics, **extra}
        (job.folder / "metrics.jsonl").write_text(json.dumps({"step": 40, "val/accuracy": score}) + "\n")
        (job.folder / "result.json").write_text(json.dumps(result))


def compared(root: Path, claims: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """`verdict.json` after a comparison of all runs, by the study that was registered or by other claims."""
    if claims is None:
        compare_folders([root], None, None, None)
    else:
        publish(find_runs([root]), parse_study({"claims": claims}), root)
    return json.loads((root / "verdict.json").read_text())


def words(found: Mapping[str, Any]) -> list[str]:
    return [claim["verdict"] for claim in found["claims"]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An experiment of five seeds that was asked for, and trained."""
    root = tmp_path / "study"
    ask(root, range(5))
    train(root, range(5))
    remember_runs(root)
    return root


def test_the_first_command_writes_what_it_asks(tmp_path: Path) -> None:
    root = tmp_path / "study"
    ask(root, [0, 1], question="Which?", metric="best(val/accuracy)", reference={"model.act": "tanh"})
    found = json.loads((root / "study.json").read_text())
    assert (found["question"], found["metric"], found["claims"]) == ("Which?", "best(val/accuracy)", [CLAIM])
    assert (found["reference"], found["tune"], found["seeds"]) == ({"model.act": "tanh"}, None, [0, 1])
    assert [(arm["label"], arm["keys"]) for arm in found["arms"]] == [(f"act={a}", {"model.act": a}) for a in ACTS]
    assert found["at"].endswith("Z")
    assert {"git_commit", "lab"} <= set(found)
    assert found["later"] == []


def test_a_later_command_adds_and_never_rewrites(root: Path) -> None:
    before = json.loads((root / "study.json").read_text())
    ask(root, range(5))
    assert json.loads((root / "study.json").read_text()) == before
    ask(root, range(7))
    after = json.loads((root / "study.json").read_text())
    (entry,) = after.pop("later")
    assert entry["seeds"] == [5, 6]
    assert "claims" not in entry
    assert after == {key: value for key, value in before.items() if key != "later"}


def test_what_was_registered_and_kept_is_judged_as_ever(root: Path) -> None:
    found = compared(root)
    assert (words(found), found["departures"]) == (["supported"], [])


def test_seeds_beyond_the_plan_are_told_and_count_as_an_analysis(root: Path) -> None:
    compared(root)
    ask(root, range(8))
    train(root, range(5, 8))
    found = compared(root)
    assert words(found) == ["supported"]
    assert found["claims"][0]["looks"] == [5, 8]
    assert "seeds 5 to 7." in found["departures"][0]


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({**CLAIM, "say": "another"}, None),
        ({**CLAIM, "by": 0.1}, "its margin (0, now 0.1) changed after 5 seeds had been seen"),
        ({**CLAIM, "metric": "best(val/accuracy)"}, "its metric changed after 5 seeds had been seen"),
        ({**CLAIM, "where": {"data.name": "digits"}}, "its 'where' (none, now data=digits) changed after 5 seeds"),
        ({**LOWER, "say": "relu wins"}, "its kind (higher, now lower) changed after 5 seeds had been seen"),
        ({**LOWER, "say": "fresh"}, "the claim was written after 5 seeds had been seen"),
    ],
)
@pytest.mark.slow
def test_a_claim_of_afterwards_is_exploratory_unless_only_its_words_are_new(root, claim, reason) -> None:
    ask(root, range(5), [claim])
    found = compared(root)
    assert words(found) == ["supported" if reason is None else "exploratory"]
    assert reason is None or reason in found["claims"][0]["departures"][0]
    assert reason is None or found["claims"][0]["explain"].startswith("Exploratory: ")
    assert found["departures"]


def test_another_metric_of_the_study_is_another_claim(root: Path) -> None:
    ask(root, range(5), metric="best(val/accuracy)")
    found = compared(root)
    assert words(found) == ["exploratory"]
    assert any("study.metric changed" in text for text in found["departures"])


def test_a_claim_about_runs_that_nobody_has_seen_is_no_afterthought(tmp_path: Path) -> None:
    root = tmp_path / "study"
    ask(root, range(5), [], acts=["gelu"])
    train(root, range(5), acts=["gelu"])
    ask(root, range(5))
    train(root, range(5))
    assert words(compared(root)) == ["supported"]


def test_another_reference_is_told_and_changes_no_verdict(root: Path) -> None:
    ask(root, range(5), reference={"model.act": "tanh"})
    found = compared(root)
    assert words(found) == ["supported"]
    assert any("study.reference changed" in text for text in found["departures"])


@pytest.mark.slow
def test_claims_that_were_dropped_still_count_in_holms_correction(tmp_path: Path) -> None:
    root = tmp_path / "study"
    tried = [{**CLAIM, "say": f"by {k}", "by": k / 1000} for k in range(12)]
    ask(root, range(5), tried)
    for seed, apart in enumerate([0.3, 0.6, 0.1, 0.5, 0.4]):
        for act in ACTS:
            write_run(root, {"model.act": act}, seed, {"val/accuracy": 0.1 + apart * (act == "relu")}, registered=True)
    ask(root, range(5), tried[:1])
    kept = compared(root)
    (alone,) = compared(root, tried[:1])["claims"]
    shutil.copytree(root, root.parent / "old")
    (root.parent / "old" / "study.json").unlink()
    for path in (root.parent / "old").glob("*/*/result.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "registered": False}))
    (free,) = compared(root.parent / "old", tried[:1])["claims"]
    assert kept["claims"][0]["p"] == alone["p"] == pytest.approx(12 * free["p"])
    assert any(text.startswith("11 claims are left out that were registered") for text in kept["departures"])


def test_claims_may_change_freely_before_the_first_score(tmp_path: Path) -> None:
    root = tmp_path / "study"
    ask(root, range(5), [LOWER, {**CLAIM, "by": 0.2}])
    ask(root, range(5))
    train(root, range(5))
    found = compared(root)
    assert (words(found), found["departures"]) == (["supported"], [])
    ask(root, range(5), [CLAIM, {**CLAIM, "by": 0.2}])  # not one of those that were withdrawn in time
    assert words(compared(root)) == ["supported", "exploratory"]


def test_runs_that_had_scores_and_are_gone_are_missed(root: Path) -> None:
    compared(root)
    shutil.rmtree(next(root.glob("act=relu-*")) / "seed=3")
    found = compared(root)
    assert words(found) == ["exploratory"]
    assert "1 run that had scores is gone (act=relu, seed 3)" in found["claims"][0]["departures"][0]


def test_an_arm_that_no_claim_is_about_may_go(root: Path) -> None:
    ask(root, range(3), acts=["gelu"])
    train(root, range(3), acts=["gelu"])
    remember_runs(root)
    shutil.rmtree(next(root.glob("act=gelu-*")))
    found = compared(root)
    assert words(found) == ["supported"]
    assert "act=gelu: 3 runs that had scores are gone (seeds 0 to 2)." in found["departures"]


def test_runs_that_stopped_after_a_score_are_missing_values(root: Path) -> None:
    ask(root, range(7))
    train(root, [5], "interrupted")
    train(root, [6], "failed", acts=["relu"])
    found = compared(root)
    assert words(found) == ["exploratory"]
    assert "the same command carries on" in " ".join(found["departures"])


def test_runs_that_stopped_before_any_score_are_no_departure(root: Path) -> None:
    train(root, [5], "failed", acts=["relu"])
    (next(root.glob("act=relu-*")) / "seed=5" / "metrics.jsonl").write_text('{"step": 1, "train/loss": 1.0}\n')
    assert words(compared(root)) == ["supported"]


def test_a_record_that_is_gone_is_missed_and_old_runs_need_none(root: Path, capsys) -> None:
    (root / "study.json").unlink()
    found = compared(root, [CLAIM])
    assert words(found) == ["exploratory"]
    for path in root.glob("*/*/result.json"):
        path.write_text(json.dumps({key: v for key, v in json.loads(path.read_text()).items() if key != "registered"}))
    found = compared(root, [CLAIM])
    assert words(found) == ["supported"]
    assert "There is no study.json" in capsys.readouterr().out


def test_old_runs_speak_for_themselves_when_a_record_begins(tmp_path: Path) -> None:
    root = tmp_path / "study"
    train(root, range(5))
    for path in root.glob("*/*"):
        (path / "config.yaml").write_text(json.dumps({"study": {"claims": [CLAIM]}}))
    ask(root, range(5))
    assert words(compared(root)) == ["supported"]
    ask(root, range(5), [CLAIM, LOWER])
    assert words(compared(root)) == ["supported", "exploratory"]


def test_other_code_of_the_users_is_no_fair_pair(tmp_path: Path) -> None:
    root = tmp_path / "study"
    ask(root, range(4))
    train(root, [0, 1], code={"my.net": "aaaaaaaa"})
    train(root, [2, 3], code={"my.net": "bbbbbbbb"})
    found = compared(root)
    assert words(found) == ["exploratory"]
    assert "the code of my.net changed between its runs" in found["claims"][0]["departures"]


def test_a_damaged_record_is_said(root: Path) -> None:
    (root / "study.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"study\.json is damaged"):
        read_registration(root)
    assert main(["compare", str(root)]) == 2


@pytest.mark.parametrize(
    "pick",
    [["act=*"], ["act=*/seed=0", "act=*/seed=1"], ["."]],
    ids=["arms", "seeds", "all"],
)
def test_a_claim_has_one_p_whichever_folders_are_compared(root: Path, pick, capsys) -> None:
    (whole,) = compared(root)["claims"]
    files = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    folders = [str(path) for words in pick for path in (sorted(root.glob(words)) if words != "." else [root])]
    capsys.readouterr()
    assert main(["compare", *folders, "--format", "json", "--where", "data.name=digits"]) == 0
    (seen,) = json.loads(capsys.readouterr().out)["claims"]
    assert (seen["p"], seen["n"], seen["looks"]) == (whole["p"], whole["n"], whole["looks"])
    assert files == {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


def test_seeds_that_are_picked_on_the_command_line_do_not_pick_the_verdict(root: Path, capsys) -> None:
    from lab.launch.sweep import sweep

    (whole,) = compared(root)["claims"]
    capsys.readouterr()
    assert sweep(jobs(root, [0, 2], [CLAIM])).code == 0
    assert "seeds 1, 3 and 4 (all finished seeds count)" in capsys.readouterr().out
    (picked,) = json.loads((root / "verdict.json").read_text())["claims"]
    assert [picked[key] for key in ("p", "n", "looks")] == [whole[key] for key in ("p", "n", "looks")]


@pytest.mark.parametrize("way", ["moved", "linked", "copied"])
@pytest.mark.slow
def test_a_run_is_one_wherever_it_lies(root: Path, tmp_path: Path, way: str) -> None:
    (first,) = compared(root)["claims"]
    other = tmp_path / "other"
    if way == "moved":
        root.rename(other)
    elif way == "linked":
        other.symlink_to(root)
    else:
        shutil.copytree(root, other)
        compare_folders([root, other], None, None, None)
    (second,) = compared(other)["claims"]
    assert [second[key] for key in ("p", "n", "looks", "verdict")] == [
        first[key] for key in ("p", "n", "looks", "verdict")
    ]


def test_copies_of_arms_without_their_record_are_exploratory(root: Path, tmp_path: Path) -> None:
    for arm in root.glob("act=*"):
        shutil.copytree(arm, tmp_path / "fresh" / arm.name)
    assert words(compared(tmp_path / "fresh", [CLAIM])) == ["exploratory"]


def test_an_arm_that_is_ahead_does_not_hide_analyses(tmp_path: Path) -> None:
    root = tmp_path / "study"
    ask(root, range(20))
    train(root, range(20), acts=["tanh"])
    seen: list[Run] = []
    for more in (range(5), range(5, 10), range(10, 15)):
        train(root, more, acts=["relu"])
        found = compared(root)
        seen += find_runs([root])
    assert found["claims"][0]["looks"] == [5, 10, 15]
    assert found["claims"][0]["level"] < 0.01


@pytest.mark.slow
def test_settings_are_corrected_for_as_claims_are(tmp_path: Path) -> None:
    root = tmp_path / "study"
    ps = []
    for number, data in enumerate(["digits", "mnist", "cifar10"], start=1):
        for seed, apart in enumerate([0.03, 0.06, 0.01, 0.05]):
            for act in ACTS:
                score = {"val/accuracy": 0.5 + apart * (act == "relu")}
                write_run(root, {"model.act": act}, seed, score, config={"data.name": data})
        found = compared(root, [CLAIM])
        assert len(found["claims"]) == number
        ps.append(found["claims"][0]["p"])
    assert ps == pytest.approx([ps[0], 2 * ps[0], 3 * ps[0]])


def test_keys_that_nobody_claims_about_add_no_pairs(tmp_path: Path) -> None:
    root = tmp_path / "study"
    for seed, apart in enumerate([0.03, 0.06, 0.01, 0.05]):
        for every in range(1, 6):
            for act in ACTS:
                arm = {"model.act": act, "train.eval_every": every}
                write_run(root, arm, seed, {"val/accuracy": 0.5 + apart * (act == "relu")})
    assert compared(root, [CLAIM])["claims"][0]["n"] == 4
