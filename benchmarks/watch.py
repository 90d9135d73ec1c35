"""What `train.watch` costs a run: seconds spent in it over those of the training loop, in one process.

    python benchmarks/watch.py [--rounds 5] [--set OVERRIDE ...]

Each run trains as `lab train` does. Counted is all that `train.watch` does after the first step began: histograms,
health, and what it keeps beforehand. The rest is the training alone, without evaluations and logged points. Both belong
to one run, so that busy neighbours slow both.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from lab.overrides.plan import all_jobs
from lab.runs.run import run
from lab.runs.watch import Watch

CASES = {
    "digits, 5 layers, 170 steps": ["train.epochs=10", "model.widths=[16,32]", "model.depth=5"],
    "digits, 22 layers, 170 steps": ["train.epochs=10", "model.widths=[16]", "model.depth=22"],
}


@contextmanager
def timed(name: str) -> Iterator[Callable[[], float]]:
    """Seconds in the method `name` of `Watch`, as long as the context is open."""
    spent, method = [0.0], getattr(Watch, name)

    def clocked(*args: object) -> object:
        start = time.perf_counter()
        try:
            return method(*args)
        finally:
            spent[0] += time.perf_counter() - start

    setattr(Watch, name, clocked)
    try:
        yield lambda: spent[0]
    finally:
        setattr(Watch, name, method)


def share(words: list[str], out: str) -> tuple[float, float]:
    """Share of the loop's seconds spent watching, and milliseconds a step of the rest."""
    (job,) = (job for batch in all_jobs("train", [*words, f"out={out}"]) for job in batch)
    with timed("tick") as between, timed("report") as at_points:
        result = run(job)
        watching = between() + at_points()
        rest = result["train_seconds"] - between()  # the clock stands still at logged points
    return watching / (watching + rest), 1000 * rest / result["steps"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", nargs="*", default=[], metavar="OVERRIDE", help="more overrides, for every run")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name, words in CASES.items():
        for steps in ("[1,10,100]", "[]"):
            with tempfile.TemporaryDirectory() as folder:
                rounds = [
                    share(
                        [*words, "train.watch=true", f"train.watch_steps={steps}", *asked.set],
                        str(Path(folder) / str(i)),
                    )
                    for i in range(asked.rounds)
                ]
            shares, rest = [one[0] for one in rounds], statistics.median(one[1] for one in rounds)
            found = f"median {statistics.median(shares):.1%}, {min(shares):.1%} to {max(shares):.1%}"
            print(f"{name}, watch_steps={steps}: {found} (rest {rest:.1f} ms a step)")


if __name__ == "__main__":
    main()
