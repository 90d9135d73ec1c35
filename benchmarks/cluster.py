"""What a cluster costs beside its runs: `python benchmarks/cluster.py overhead` and `... many`.

`overhead` starts a Slurm of two one-core nodes (as root; `tests/slurm_up.sh`), has it train runs of a given length, and
compares the time from the command to its end with the ideal: what the runs themselves took (`train_seconds`), on two
nodes side by side. Most of a step is sleep, so that other work on the machine distorts it little. `many` submits a
thousand runs to a Slurm that takes them and starts none (shell scripts in its place), and asks `lab status` about them.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEP = 0.1
"""Seconds of a step, nearly all of them sleep (`tests/slow_parts.py`)."""

SMALL = [
    *("data.name=own_parts:tiny", "model.depth=2", "train.batch_size=20", "train.eval_every=2"),
    *("train.device=cpu", "lint=off", "name=x"),
]


def environment(**more: str) -> dict[str, str]:
    """That of the commands, in which the parts of the tests are found."""
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1", **more}


def overhead(runs: int, seconds: float, runs_a_job: int) -> None:
    """Prints how much longer `runs` runs of about `seconds` take than half of their sum."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = environment(PATH=f"{os.environ['PATH']}:/usr/sbin")
        up = ["bash", str(ROOT / "tests" / "slurm_up.sh"), f"{folder}/slurm", "2", "21810"]
        conf = subprocess.run(up, env=found, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
        found["SLURM_CONF"] = conf
        try:
            words = [
                *SMALL,
                "model.widths=[4]",
                "model.act=slow_parts:slow",
                f"train.steps={round(seconds / STEP)}",
                f"seed=range({runs})",
            ]
            words += ["on=slurm", f"on.runs_a_job={runs_a_job}"]
            begun = time.monotonic()
            subprocess.run([sys.executable, "-m", "lab", "train", *words], env=found, cwd=folder, check=True)
            took = time.monotonic() - begun
            results = [json.loads(path.read_text()) for path in Path(folder).glob("outputs/x/*/*/result.json")]
        finally:
            subprocess.run(["bash", str(ROOT / "tests" / "slurm_down.sh"), f"{folder}/slurm"], env=found, check=True)
    assert len(results) == runs
    each = [result["train_seconds"] for result in results]
    print(
        f"{runs} runs of {min(each):.1f} to {max(each):.1f} s, {runs_a_job} a job, two nodes: {took:.1f} s, "
        f"{took / (sum(each) / 2):.2f} of the ideal ({took / (runs * seconds / 2):.2f} of what their sleep alone takes)"
    )


def many(runs: int, num_arms: int) -> None:
    """Prints how long it takes to submit `runs` runs of `num_arms` arms, and to ask for their status."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        waits = "; ".join(["name=$(cat name)", f'seq 0 {runs - 1} | sed "s/.*/$name|&|PENDING|Resources|7/"'])
        names = 'for word in "$@"; do case $word in --job-name=*) echo "${word#*=}" > name;; esac; done; echo 7'
        for name, text in {"sbatch": names, "squeue": waits, "scancel": "", "scontrol": ""}.items():
            (place / name).write_text(f"#!/bin/bash\n{text}\n")
            (place / name).chmod(0o755)
        found = environment(PATH=f"{folder}:{os.environ['PATH']}")
        arms = f"model.widths={','.join(f'[{width}]' for width in range(4, 4 + num_arms))}"
        words = [*SMALL, arms, f"seed=range({runs // num_arms})", "train.steps=10", "on=slurm"]
        begun = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", "train", *words], env=found, cwd=folder, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        line = next((line for line in process.stdout if line.startswith("submitted")), "not submitted")
        print(f"{line.strip()}: {time.monotonic() - begun:.1f} s from the command on")
        process.send_signal(signal.SIGINT)
        process.wait()
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "lab", "status"], env=found, cwd=folder, check=True)
        print(f"lab status: {time.monotonic() - begun:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead", "many"])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--arms", type=int, default=200)
    parser.add_argument("--runs-a-job", type=int, default=10)
    args = parser.parse_args()
    if args.what == "overhead":
        overhead(args.runs or 40, args.seconds, args.runs_a_job)
    else:
        many(args.runs or 1000, args.arms)


if __name__ == "__main__":
    main()
