"""Seconds until something happens: `lab --help`, `lab list`, and the first step of `lab train` after torch is imported.

    python benchmarks/start.py [--rounds 5] [--data mnist --root data]

Each start is a separate process. What comes before torch is imported (Python, Hydra) is told apart from what comes
after: the lab's own modules, data, net, optimizer, files, and the first step itself. `loaded at once` is the same start
with `torch._dynamo` imported as torch's optimizers would by themselves (`lab/system/deferred.py`).
"""

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--root", default="data", type=Path)
    parser.add_argument("--child", metavar="deferred|loaded", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        start(args.child == "deferred", args.data, args.root)
        return
    for words in (["--help"], ["list"]):
        seconds = []
        for _ in range(args.rounds):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-m", "lab", *words], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.perf_counter() - begun)
        print(f"lab {' '.join(words)}: {statistics.median(seconds):.2f} s")
    found: dict[str, list[dict[str, float]]] = {"deferred": [], "loaded": []}
    for _ in range(args.rounds):
        for kind, times in found.items():
            words = [__file__, "--child", kind, "--data", args.data, "--root", str(args.root.resolve())]
            done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True)
            times.append(json.loads(done.stderr.splitlines()[-1]))
    for kind, times in found.items():
        before, torch, after = (statistics.median(one[key] for one in times) for key in ("before", "torch", "after"))
        name = "" if kind == "deferred" else ", loaded at once"
        print(f"lab train data={args.data}{name}: {before:.2f} s, torch {torch:.2f} s, first step {after:.2f} s later")


def start(deferred: bool, data: str, root: Path) -> None:
    """`lab train` as typed, three steps; the times go to standard error."""
    begun = time.perf_counter()
    import lab.cli.train
    import lab.system.deferred
    from lab.cli.main import main as command

    plain, times = importlib.import_module, {"before": 0.0, "torch": 0.0, "after": 0.0}
    ready = 0.0

    def timed(name: str, package: str | None = None) -> Any:
        nonlocal ready
        at = time.perf_counter()
        module = plain(name, package)
        if name == "torch" and not ready:
            ready = time.perf_counter()
            times.update(before=at - begun, torch=ready - at)
        if name == "lab.runs.run":
            watch()
        return module

    def watch() -> None:
        from lab.training.step import TrainStep

        take = TrainStep.__call__

        def first(train_step: Any, step: int) -> None:
            take(train_step, step)
            times["after"] = times["after"] or time.perf_counter() - ready

        TrainStep.__call__ = first  # pyright: ignore[reportAttributeAccessIssue]

    importlib.import_module = timed
    if not deferred:
        lab.system.deferred.defer_dynamo = lambda: None
    with tempfile.TemporaryDirectory() as scratch:
        typed = ["train.steps=3", f"data={data}", f"data.root={root}", "data.limit=1000", f"out={scratch}"]
        code = command(["train", *typed])
    print(json.dumps(times), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
