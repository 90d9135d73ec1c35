"""How long a sweep takes beside its training: wall-clock time over the training seconds that its slots could share.

    python benchmarks/sweep.py [--runs 40] [--seconds 10] [--jobs 2]

Runs of a fixed time on the digits, started as a user would, from the command to its last line, with comparison and
report; then the same command again, which trains nothing. 1 would be a sweep that only trains.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seeds = ",".join(map(str, range(args.runs // 2)))
        words = ["model.block=conv-act-pool,conv-norm-act-pool", f"seed={seeds}", "train.epochs=100000"]
        words += [f"train.max_seconds={args.seconds}", "train.eval_every=10", f"jobs={args.jobs}", f"out={folder}"]
        first, again = timed(words), timed(words)
        results = [json.loads(path.read_text()) for path in Path(folder).rglob("seed=*/result.json")]
    training = sum(result["train_seconds"] for result in results) / args.jobs
    print(
        f"{len(results)} runs of {args.seconds:g} s, {args.jobs} at a time, took {first:.1f} s: {first / training:.3f}"
    )
    print(f"times the {training:.1f} s of their training seconds shared; the same command again took {again:.1f} s")


def timed(words: list[str]) -> float:
    """Seconds of `lab train` with `words`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "lab", "train", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
