"""CPU seconds to compare 1,000 finished runs, and the size of the report.

python benchmarks/thousand.py [--rows 20] [--profile]

The runs are written as training leaves them, without training: 5 arms of 200 seeds, and 100 arms of 10, each with a
curve of `--rows` logged points and its predictions of 360 test images. Then `lab train`, which finds all of them
finished and compares them, and `lab compare` run as separate processes; Python's start and all imports count.
"""

import argparse
import io
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from lab.overrides.plan import all_jobs
from lab.records.places import Job
from lab.records.write import finite, write_json

CLAIM = "{{say: {0} beats {1}, higher: {{{2}: {0}}}, than: {{{2}: {1}}}}}"
RATES = [f"{rate:.4f}" for rate in np.linspace(0.001, 0.1, 100)]
SWEEPS = {
    "5 arms x 200 seeds": (
        "model.act=relu,tanh,gelu,elu,silu",
        "seed=range(0,200)",
        [CLAIM.format(act, "relu", "model.act") for act in ("gelu", "tanh", "silu")],
    ),
    "100 arms x 10 seeds": (
        f"optimizer.lr={','.join(RATES)}",
        "seed=range(0,10)",
        [CLAIM.format(rate, RATES[0], "optimizer.lr") for rate in RATES[1:4]],
    ),
}
"""Overrides for each: arms, seeds, claims."""


def write_runs(jobs: list[Job], rows: int) -> None:
    """Writes the folder of each job: accuracies that rise to a level of the arm's, with noise of the seed's."""
    rng = np.random.default_rng(0)
    arms = list(dict.fromkeys(job.folder.parent for job in jobs))
    level = {arm: 0.9 + 0.05 * index / len(arms) for index, arm in enumerate(arms)}
    labels = rng.integers(10, size=360)
    for job in jobs:
        job.folder.mkdir(parents=True)
        (job.folder / "config.yaml").write_text(yaml.dump(asdict(job.config), Dumper=yaml.CSafeDumper, sort_keys=False))
        end = min(level[job.folder.parent] + rng.normal(0, 0.01), 1.0)
        history = [point(step, rows, end, rng) for step in range(1, rows + 1)]
        lines = "".join(f"{finite(row)}\n".replace("'", '"') for row in history)
        (job.folder / "metrics.jsonl").write_text(lines)
        file = io.BytesIO()
        predicted = np.where(rng.random(360) < end, labels, (labels + 1) % 10)
        index = np.arange(360, dtype=np.uint16)
        np.savez_compressed(file, index=index, label=labels.astype(np.uint8), predicted=predicted.astype(np.uint8))
        (job.folder / "predictions.npz").write_bytes(file.getvalue())
        metrics = {
            tag: {"last": history[-1][tag], "best": history[-1][tag], "best_step": 17 * rows} for tag in history[0]
        }
        ended = {"status": "finished", "metrics": metrics, "steps": 17 * rows, "train_seconds": 2.0}
        facts = {"images_per_second": 9000.0, "num_params": 6090, "environment": {"device": "cpu", "threads": 1}}
        write_json(job.folder / "result.json", {**job.record(), **ended, **facts})


def point(step: int, rows: int, end: float, rng: np.random.Generator) -> dict[str, float]:
    """One logged row."""
    value = float(end * (1 - math.exp(-6 * step / rows)) + rng.normal(0, 0.003))
    tags = {"loss": 2.3 * (1 - value), "accuracy": value, "top5": min(1.0, value + 0.04)}
    both = {f"{split}/{tag}": one for split in ("train", "val") for tag, one in tags.items()}
    return {"step": 17 * step, "epoch": float(step), "seconds": 0.1 * step, **both, "train/lr": 0.001}


def timed(words: list[str], folder: Path) -> tuple[float, float, str]:
    """CPU and wall-clock seconds of `lab WORDS`, and what it printed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "lab", *words], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"lab {' '.join(words)} failed")
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--profile", action="store_true", help="where `lab compare` spends its time, by function")
    args = parser.parse_args()
    print("| runs | `lab train` on them | `lab compare` | report.html |\n| --- | --- | --- | --- |")
    for name, (arms, seeds, claims) in SWEEPS.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            typed = [arms, seeds, f"study.claims=[{','.join(claims)}]", "name=thousand", f"out={folder}", "jobs=1"]
            (jobs,) = all_jobs("train", typed)
            write_runs(jobs, args.rows)
            cpu_train, _, printed = timed(["train", *typed], folder)
            assert "1000 finished already, 0 to do" in printed, printed
            cpu, wall, _ = timed(["compare", str(folder / "thousand")], folder)
            size = (folder / "thousand" / "report.html").stat().st_size / 1e6
            print(
                f"| {name} | {cpu_train:.1f} s | {cpu:.1f} s ({wall:.1f} s of wall clock) | {size:.2f} MB |", flush=True
            )
            if args.profile:
                command = ["-m", "cProfile", "-s", "cumtime", "-m", "lab", "compare", str(folder / "thousand")]
                found = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)
                print("\n".join(found.stdout.splitlines()[:90]), found.stderr)


if __name__ == "__main__":
    main()
