"""Random configurations over every key: each trains three steps, or is refused by one message that names a key.

    python benchmarks/fuzz_configs.py --results fuzz.jsonl [--count 5000] [--seed 0] [--workers 2] [--seconds 60]

The keys, their ranges and their names are those of the schema, so that a new key or part takes part at once. Most
configurations differ from a tiny net on tiny data in a few keys with ordinary values; a quarter have a value that no
range admits, or its edge. A result is a line of FILE; the same command goes on where it stopped. At the end the figures
are printed: how many trained, how many one message refused, and each of the others (a traceback, a crash, more than
--seconds, or a message that names no key), with its overrides.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from lab.config import RunConfig
from lab.validation import all_keys

BASE = {
    "data.limit": "60",
    "model.widths": "[4]",
    "model.depth": "2",
    "train.steps": "3",
    "train.batch_size": "8",
    "train.eval_limit": "20",
    "train.pictures": "2",
    "train.device": "cpu",
    "train.threads": "1",
}
"""What every configuration starts from."""

NETS = [
    {},
    {"model.block": "conv-norm-act-pool"},
    {"model.block": "conv-norm-act-drop-pool", "model.depth": "3", "model.widths": "[4,6]"},
    {"model.block": "conv-norm-act", "model.skip": "add", "model.depth": "3", "model.head": "gap"},
    {"model.block": "linear-norm-act-drop", "model.depth": "3"},
]
"""Nets that configurations start from; each is trained first, so that others can start from its weights."""

OUTSIDE = ("name", "out", "jobs", "force", "data.root")
"""Keys that say where a run is done, which other tests try."""

RARE = {
    "train.compile": ({"true"}, 600),
    "train.precision": ({"fp16"}, 20),
    "train.graph": ({"on"}, 20),
    "train.device": ({"cuda", "cuda:0", "mps"}, 20),
}
"""Values that take long, or that need a GPU, and among how many draws one of them may be."""

FOREIGN = (
    r"enforce fail|alloc_cpu|\bmat1\b|\bat::|aten|\.cpp|Traceback|[A-Z]\w+Error\b|INTERNAL|omegaconf|<class|object at"
)
"""What no message to a user holds."""

WIDE = ["-1", "0", "inf", "nan", "null", "1e308", "1e-300", str(2**31), str(2**63), "1000000", "text", "[]"]
"""Values that most keys refuse."""


RIGHT = ("trained", "refused")
"""The outcomes that should be."""


@cache
def kind_of(name: str) -> str:
    """`int`, `float`, `bool`, `str` or `other`, of lists that of their elements."""
    section, _, field = name.rpartition(".")
    hints = get_type_hints(type(getattr(RunConfig(), section)) if section else RunConfig)
    kinds = {hints[field], *get_args(hints[field])} | {one for part in get_args(hints[field]) for one in get_args(part)}
    return next((kind.__name__ for kind in (bool, int, float, str) if kind in kinds), "other")


@cache
def ordinary(name: str) -> tuple[str, ...]:
    """Values that the key admits, each on its own: all names, and numbers across its range."""
    key = all_keys()[name]
    knob, names = key.knob, key.names()
    found = [text(one) for one in names]
    if knob.bounded:
        numbers = [1, 2, 3, 5, 7, 20] if kind_of(name) == "int" else [1e-6, 0.01, 0.1, 0.3, 0.5, 0.9, 1.0, 2.5, 30.0]
        ends = [end for end in (knob.above, knob.low, knob.below, knob.high) if end is not None]
        inner = [*ends, *numbers] if kind_of(name) == "int" else [*ends, *numbers, *(end + 1e-3 for end in ends)]
        inner += [math.inf] * knob.infinite
        found += [text(one) for one in dict.fromkeys(inner) if knob.admits(one)]
    found += ["null"] * key.optional
    found += ["auto"] * (knob.free.startswith("auto"))
    return tuple(dict.fromkeys(found)) or (text(key.default),)


def text(value: Any) -> str:
    """A value as it is typed."""
    return (
        str(value).lower() if isinstance(value, bool) else f"{value:.10g}" if isinstance(value, float) else str(value)
    )


@cache
def keys() -> tuple[str, ...]:
    """The keys that are drawn: all that have a range or names."""
    return tuple(name for name, key in all_keys().items() if not key.knob.free and name not in OUTSIDE)


def draw(name: str, rng: random.Random, wide: bool) -> str:
    """A value of the key `name`, as it is typed; a `wide` one is as a rule out of its range."""
    key = all_keys()[name]
    if wide:
        values = [*WIDE, *ordinary(name)[:1]]
    elif name in RARE and rng.randrange(RARE[name][1]):
        values = [value for value in ordinary(name) if value not in RARE[name][0]]
    else:
        values = list(ordinary(name))
    value = rng.choice(values)
    if key.knob.words and not wide:
        return "-".join(rng.choice(values) for _ in range(rng.choice([1, 2, 2, 3, 3, 4, 6])))
    if isinstance(key.default, list) and value != "[]":
        return f"[{','.join([value, *rng.choices(values, k=rng.choice([0, 0, 1, 2]))])}]"
    return value


def overrides(seed: int, number: int, sources: list[str]) -> dict[str, str]:
    """The keys of configuration `number` with their values: a function of seed and number.

    Args:
        sources: folders of finished runs of `NETS`, in their order.
    """
    rng = random.Random(f"{seed}/{number}")
    net = rng.randrange(len(NETS))
    found = {**BASE, **NETS[net]}
    starts = rng.random() < 0.3
    drawn = rng.sample(keys(), min(len(keys()), rng.choice([1, 2, 2, 3, 3, 4, 6, 9, 14, 25])))
    if starts:
        found["start.run"] = f"'{sources[net]}'"  # quoted, as a path may hold anything
        others = [name for name in keys() if name.startswith(("start.", "train.precision", "optimizer.", "schedule."))]
        drawn = [name for name in drawn if not name.startswith("model.") or rng.random() < 0.2]
        drawn += rng.sample(others, 3)
    wide = rng.choice(drawn) if drawn and rng.random() < 0.25 else None
    for name in dict.fromkeys(drawn):
        found[name] = draw(name, rng, name == wide)
    if {"train.steps", "train.epochs"} & {*drawn}:  # any length is allowed, and not waited for
        found.setdefault("train.max_seconds", "0.5")
        if "train.steps" not in drawn:
            found["train.steps"] = "null"
    if found.get("model.name", "recipe") != "recipe" and rng.random() < 0.7:
        found.setdefault("data.name", "synthetic")
        found.setdefault("data.resize", rng.choice(["28", "32", "64", "100"]))
    if found.get("data.name") in ("mnist", "folder") or "data.name" not in found:
        found.setdefault("data.root", "data")
    return found


def outcome(given: Mapping[str, str], folder: Path) -> tuple[str, str]:
    """(`trained`, status), (`refused`, message), or another outcome and why."""
    from lab.errors import UserError
    from lab.overrides.plan import one_job
    from lab.runs.run import run

    try:
        words = [f"{key}={value}" for key, value in given.items()]
        result = run(one_job("train", [*words, f"out={folder}", "name=run"]))
    except UserError as error:
        message = str(error)
        if not any(re.search(rf"(?<![\w.]){re.escape(name)}\b", message) for name in names_of_keys()):
            return "names no key", message
        lines = message.count("\n")
        if re.search(FOREIGN, message) or (lines and not message.startswith(f"{lines} things are wrong:")):
            return "unclear", message
        return "refused", message
    except Exception:
        return "traceback", traceback.format_exc()[-1500:]
    if result["status"] not in ("finished", "diverged"):
        return result["status"], str(result.get("traceback", result.get("error")))[-1500:]
    return "trained", result["status"]


@cache
def names_of_keys() -> frozenset[str]:
    """How a message may name a key: `model.act`, and the group `data` of `data.name`."""
    return frozenset({*all_keys(), *(key.removesuffix(".name") for key in all_keys() if key.endswith(".name"))})


def work(pipe: Connection, folder: Path, spare: int) -> None:
    """A process that does what comes through `pipe`, with `spare` bytes of memory, in another working directory."""
    os.environ.update(dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"))  # nothing is downloaded
    os.chdir(folder)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    import lab.runs.preload  # noqa: F401 (first: it imports fast)

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + spare, resource.getrlimit(resource.RLIMIT_AS)[1]))
    while (job := pipe.recv()) is not None:
        given, target = job
        pipe.send(outcome(given, Path(target)))


class Worker:
    """A process for one configuration after another, and a new one after a crash."""

    def __init__(self, folder: Path, seconds: float, spare: int = 4 * 2**30):
        self.folder, self.seconds, self.spare = folder, seconds, spare
        self.pipe: Any = None
        self.process: Any = None
        self.left = 0

    def start(self) -> None:
        """Starts the process."""
        self.left = 200  # allocators keep what they had, and compiled code stays
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, self.folder, self.spare), daemon=True)
        self.process.start()
        other.close()

    def done(self, given: Mapping[str, str], target: Path) -> tuple[str, str]:
        """the outcome of a configuration."""
        self.left -= 1
        if self.process is None or self.left < 0:
            self.end()
            self.start()
        self.pipe.send((dict(given), str(target)))
        process: Any = self.process
        try:
            if self.pipe.poll(self.seconds):
                return self.pipe.recv()
            found = ("hang", f"more than {self.seconds:g} s")
        except EOFError:
            process.join()
            found = ("crash", f"exit code {process.exitcode}")
        self.end()
        return found

    def end(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def prepare(folder: Path) -> list[str]:
    """Makes class folders of images, and trains the runs that others start from; returns their folders."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, name, number in itertools.product(("train", "test"), "abc", range(30)):
        path = folder / "data" / part / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (9, 11, 3), dtype=np.uint8)).save(path)
    worker, sources = Worker(folder, 120), []
    for number, net in enumerate(NETS):
        target = folder / "sources" / str(number)
        found = worker.done({**BASE, **net}, target)
        assert found[0] == "trained", found
        (result,) = target.rglob("result.json")
        sources.append(str(result.parent.relative_to(folder)))
    worker.end()
    return sources


def fuzz(
    numbers: Iterable[int],
    seed: int,
    folder: Path,
    num_workers: int,
    seconds: float,
    known: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
) -> Iterator[dict[str, Any]]:
    """Number, outcome, detail and overrides of each configuration, in order; of `known` ones the overrides stay."""
    sources = prepare(folder)
    workers = [Worker(folder, seconds) for _ in range(num_workers)]
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def one(number: int) -> dict[str, Any]:
        given = known[number]["overrides"] if number in known else overrides(seed, number, sources)
        target, worker = folder / "runs" / str(number), idle.get()
        try:
            outcome, detail = worker.done(given, target)
            if outcome not in (*RIGHT, "hang"):  # what another left in the process is not its fault
                worker.end()
                shutil.rmtree(target, ignore_errors=True)
                outcome, detail = worker.done(given, target)
        finally:
            idle.put(worker)
            shutil.rmtree(target, ignore_errors=True)
        return {"number": number, "outcome": outcome, "detail": detail, "overrides": given}

    try:
        with ThreadPoolExecutor(num_workers) as pool:
            yield from pool.map(one, numbers)
    finally:
        for worker in workers:
            worker.end()


def summary(results: Sequence[Mapping[str, Any]]) -> str:
    """The figures, pairs of values that occurred, and a line for each outcome that should not be."""
    counts = Counter(result["outcome"] for result in results)
    wrong = [result for result in results if result["outcome"] not in RIGHT]
    lines = [f"{result['number']}: {result['outcome']}: {result['detail']!r:.300}" for result in wrong]
    lines += [
        f"{len(results):,} configurations: {counts['trained']:,} trained, {counts['refused']:,} refused by one message"
        f", {len(wrong):,} otherwise"
    ]
    there = {pair for result in results for pair in itertools.combinations(sorted(result["overrides"].items()), 2)}
    values = {name: {*ordinary(name)} for name in keys() if not isinstance(all_keys()[name].default, list)}
    found = sum(b in values.get(key, ()) and d in values.get(other, ()) for (key, b), (other, d) in there)
    sizes = [len(one) for one in values.values()]
    total = (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2
    return "\n".join([*lines, f"{found:,} of {total:,} pairs of values of two keys occurred"])


def main() -> int:
    """Exit code 1 if any configuration neither trained nor was refused by one message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", metavar="FILE", type=Path, required=True, help="where results are added, a line each"
    )
    parser.add_argument("--count", type=int, default=5000, help="configurations in all (5000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes side by side (2)")
    parser.add_argument("--seconds", type=float, default=60, help="most that one configuration may take (60)")
    parser.add_argument(
        "--again", action="store_true", help="only those that went wrong before, whose new results count"
    )
    args = parser.parse_args()
    lines = args.results.read_text().splitlines() if args.results.exists() else []
    known = {result["number"]: result for result in map(json.loads, lines)}
    if args.again:
        numbers = [number for number, result in known.items() if result["outcome"] not in RIGHT]
    else:
        numbers = [number for number in range(args.count) if number not in known]
    with tempfile.TemporaryDirectory() as folder, open(args.results, "a") as file:
        for result in fuzz(numbers, args.seed, Path(folder), args.workers, args.seconds, known):
            file.write(json.dumps(result) + "\n")
            file.flush()
            known[result["number"]] = result
    print(summary(list(known.values())))
    return int(any(result["outcome"] not in RIGHT for result in known.values()))


if __name__ == "__main__":
    sys.exit(main())
