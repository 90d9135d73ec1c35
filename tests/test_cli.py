"""What a user types, and what comes back: exit codes, messages, and nothing that looks like a traceback."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from quick_lab import QUICK_LAB

from lab.cli.main import VERBS, main
from lab.launch.ended import Ended

QUICK = ["train.steps=2", "train.eval_limit=50", "train.threads=1"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lab(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a shell would start it."""
    command = [*QUICK_LAB, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lrr=1", r"optimizer\.lrr is no key .*did you mean 'optimizer\.lr'.*optimizer\.weight_decay"),
        ("model.block=conv-akt", r"word 2, 'akt', is unknown \(did you mean 'act'\?\); there are: conv, linear"),
        ("model.init=hee", r"model\.init=hee is unknown \(did you mean 'he_normal'\?\); there are: xavier_uniform"),
        ("data=mnsit", r"data=mnsit is unknown \(did you mean 'mnist'\?\); there are: blank, cifar10"),
        ("model.depth=1", r"model\.depth=1 is not possible .*allowed are 3, 4, 5, .*nearest: 3"),
        ("data=folder data.root=nowhere", r"nowhere/train is not a folder; data\.root must hold train/<class>"),
        ("out=/proc/nowhere", r"out=/proc/nowhere: cannot write"),
        ("optimizer.lr=fast", r"optimizer\.lr=fast is not a number; allowed: above 0$"),
        ("optimizer.lr=-1", r"optimizer\.lr=-1\.0 is out of range; allowed: above 0"),
        ("optimizer.lr=nan", r"optimizer\.lr=nan is out of range"),
        ("seed=-1", r"seed=-1 is out of range; allowed: 0 or more"),
        ("seed=a,b", r"seed=a is not a whole number"),
        ("train.batch_size=5000", r"train\.batch_size=5000 is out of range; allowed: 1 to 1150"),
        ("train.device=tpu", r"train\.device=tpu is unknown.*; there are: auto, cpu, cuda, mps, cuda:0"),
        ("model.act=nowhere:act", r"model\.act=nowhere:act: cannot import 'nowhere'"),
        ("hydra/launcher=ray_aws", r"the lab starts its runs itself; jobs=N"),
        ("+colour=red", r"colour is no key of the configuration"),
        ("experiment=xavier", r"experiment=xavier is unknown \(did you mean 'xavier_vs_he'\?\)"),
        ("nonsense", r"'nonsense' is no override; write key=value"),
        ("model.depth=interval(3,5)", r"a sweep needs single values"),
    ],
)
def test_a_wrong_option_gets_one_message_and_exit_code_2(
    override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *override.split(), *QUICK]) == 2
    out, err = capsys.readouterr()
    assert re.search(message, err)
    assert err.startswith("lab: ")
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no verb 'trian' .did you mean 'train'"),
        (["compare", "nowhere"], "nowhere is not a folder"),
        (["compare", "."], "no finished run under"),
        (["list", "akts"], "no such kind .did you mean 'acts'"),
        (["board", "nowhere"], "nowhere is not a folder"),
        (["data", "fetch", "mnits"], "data=mnits is unknown .did you mean 'mnist'"),
    ],
)
def test_a_wrong_verb_or_name_too(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_bad_arm_of_a_sweep_is_told_before_anything_trains() -> None:
    done = lab("train", "model.init=he_normal,hee", *QUICK)
    assert done.returncode == 2, done.stderr
    assert "did you mean 'he_normal'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path().rglob("metrics.jsonl"))


def test_one_run_then_the_same_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK]) == 0
    first = capsys.readouterr().out
    assert re.search(r"finished after 2 steps, [\d,]+ images/s:  val/loss .* test/accuracy 0\.\d{4}", first)
    (result,) = Path("outputs/scratch").glob("*/seed=0/result.json")
    written = result.stat().st_mtime_ns
    assert main(["train", *QUICK]) == 0
    assert "is finished already; force=true starts over" in capsys.readouterr().out
    assert result.stat().st_mtime_ns == written
    assert main(["train", *QUICK, "force=true"]) == 0
    assert result.stat().st_mtime_ns > written


def test_the_same_configuration_lands_in_the_same_place_however_it_was_typed() -> None:
    assert main(["train", *QUICK, "model.depth=4"]) == 0
    assert main(["train", *QUICK, "model.depth=4", "model.act=relu", "seed=0"]) == 0
    assert len(list(Path("outputs/scratch").iterdir())) == 1


@pytest.mark.slow
def test_a_sweep_trains_compares_and_does_not_train_again() -> None:
    words = ["train", "model.block=conv-act-pool,conv-pool-act", "seed=0,1", "model.pool=avg", *QUICK]
    folder = Path("outputs/model.block")
    first = lab(*words)
    assert first.returncode == 0, first.stderr
    assert "model.block: 4 runs, 2 arms, seeds 0 and 1" in first.stdout
    for name in ("report.html", "table.csv", "verdict.json"):
        assert (folder / name).is_file()
    arms = sorted(path.name for path in folder.glob("block=*"))
    assert [re.sub("-[0-9a-f]{8}$", "", arm) for arm in arms] == ["block=conv-act-pool", "block=conv-pool-act"]
    assert len(list((folder / "_mean").iterdir())) == 2
    second = lab(*words)
    assert "4 finished already, 0 to do" in second.stdout
    assert table(second.stdout) == table(first.stdout)


@pytest.mark.slow
def test_seeds_are_added_to_an_experiment() -> None:
    claim = "study.claims=[{say: s, higher: {model.act: relu}, than: {model.act: tanh}}]"
    words = ["train", "model.act=relu,tanh", "seed=0,1", "name=added", claim, *QUICK]
    assert lab(*words).returncode == 0
    more = lab(*words, "seeds=+1")
    assert more.returncode == 0, more.stderr
    assert "added: 6 runs, 2 arms, seeds 0 to 2" in more.stdout
    assert "4 finished already, 2 to do" in more.stdout
    assert "Second interim analysis (2, then 3 seeds): threshold" in " ".join(more.stdout.split())
    looks = json.loads(Path("outputs/added/looks.json").read_text())
    assert (looks["looks"], looks["last_seed"]) == ([2, 3], 2)
    assert [[one["n"] for one in analyses] for analyses in looks["claims"].values()] == [[2, 3]]
    assert main(["train", *words[1:], "seeds=3"]) == 2  # beside `seed=` it is not clear which


def table(text: str) -> list[str]:
    """The comparison at the end of a sweep's output."""
    lines = text.splitlines()
    return [line for line in lines if "conv-" in line and "seed=" not in line]


@pytest.mark.slow
def test_a_failing_run_does_not_stop_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(
        "from torch import nn\n"
        "class Fault(nn.Module):\n"
        "    def __init__(self, shape):\n"
        "        super().__init__()\n"
        "    def forward(self, x):\n"
        "        if self.training and len(x) > 2:\n"
        "            raise RuntimeError('out of luck')\n"
        "        return x\n"
    )
    done = lab("train", "model.act=faulty:Fault,relu", "seed=0,1", *QUICK)
    assert done.returncode == 1
    assert "2 of 4 runs failed:" in done.stderr
    assert "RuntimeError: out of luck" in done.stderr
    assert "Traceback" not in done.stderr
    results = [json.loads(path.read_text()) for path in Path("outputs/model.act").glob("*/*/result.json")]
    assert sorted(result["status"] for result in results) == ["failed", "failed", "finished", "finished"]


@pytest.mark.slow
def test_a_worker_that_dies_takes_one_run_with_it(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os, signal\nfrom torch import nn\n"
        "class Death(nn.Module):\n"
        "    def __init__(self, shape):\n"
        "        super().__init__()\n"
        "    def forward(self, x):\n"
        "        if self.training and len(x) > 2:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return x\n"
    )
    done = lab("train", "model.act=deadly:Death,relu,tanh", *QUICK)
    assert done.returncode == 1
    assert "the run's process died (killed, or out of memory)" in done.stderr
    results = [json.loads(path.read_text()) for path in Path("outputs").rglob("result.json")]
    assert sorted(result["status"] for result in results) == ["failed", "finished", "finished"]


def test_a_diverged_run_is_a_result() -> None:
    assert main(["train", *QUICK, "train.steps=20", "optimizer=sgd", "optimizer.lr=1e30"]) == 0
    (result,) = Path("outputs").rglob("result.json")
    assert json.loads(result.read_text())["status"] == "diverged"


def test_hydra_shows_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "experiment=xavier_vs_he", "--cfg", "job"]) == 0
    assert "block: conv-act-pool" in capsys.readouterr().out


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_names_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([verb, "--help"])
    assert re.search(rf"example: .*lab {verb}", capsys.readouterr().out)


def test_list_answers_without_torch() -> None:
    code = "import sys; from lab.cli.main import main; main(['list']); print('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "False"
    for line in ("relu ", "xavier_vs_he ", "digits ", "cosine ", "conv "):
        assert re.search(rf"^  {line}", done.stdout, re.MULTILINE), line


def test_compare_by_keys(capsys: pytest.CaptureFixture[str]) -> None:
    for init in ("he_normal", "xavier_normal"):
        for seed in (0, 1):
            assert main(["train", *QUICK, f"model.init={init}", f"seed={seed}"]) == 0
    capsys.readouterr()
    assert main(["compare", "outputs/scratch", "--by", "model.init", "--metric", "val/loss"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^he_normal +2 ", out, re.MULTILINE)
    assert main(["compare", "outputs/scratch", "--by", "model.innit"]) == 2
    assert "did you mean 'model.init'" in capsys.readouterr().err


def test_an_interrupted_experiment_is_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    monkeypatch.setattr("lab.launch.sweep.sweep", lambda jobs: begun.append(jobs[0].config.name) or Ended(130))
    assert main(["train", "experiment=null,norm_place"]) == 130
    assert begun == ["null"]
