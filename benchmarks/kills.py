"""Whether commands that are killed at random moments end, started again, as if nothing had been: to the bit.

    python benchmarks/kills.py [--kills 100] [--seed 0] [--keep DIR] [--only KIND ...] [--targets TARGET ...]

Each attempt starts a command (`KINDS`), sends a signal (SIGINT, SIGTERM, SIGHUP, SIGKILL, or SIGSTOP and later SIGCONT)
to the command, one of its workers, or all of its processes, at a random moment within the time that it takes, and
starts it again until it ends well. Then `metrics.jsonl` (but for the seconds), the metrics of `result.json`,
`table.csv` (but for the speed), `verdict.json`, `tune.json` and other tables have to be those of an undisturbed
command. Besides: no process is left, no lock, nothing in `/dev/shm`, and no traceback; who ends with 0 has everything;
Ctrl-C has exit code 130. With the same `--keep` it goes on where it was stopped. Where others use `/dev/shm`, give it
one apart: `unshare -m sh -c 'mount -t tmpfs tmpfs /dev/shm && exec python benchmarks/kills.py'`.
Exit code 1 where anything was wrong.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent

TINY = (
    "train.threads=1 train.device=cpu model.block=linear-drop-act model.widths=[8] model.depth=2 data.limit=120 "
    "train.steps=60 train.batch_size=20 train.eval_every=1 train.checkpoint_every=0 train.eval_limit=60 "
    "train.pictures=0 name=x"
)
CLAIM = 'study.claims=[{say: "a", higher: {model.act: relu}, than: {model.act: tanh}, by: 0}]'
SWEEP = ["lab", "train", *TINY.split(), "model.act=relu,tanh", "jobs=2"]


@dataclass(frozen=True)
class Kind:
    words: list[str]
    before: tuple[list[str], ...] = ()
    """Commands that have ended when it begins."""
    copies: int = 1
    """How many of it begin at once."""


KINDS = {
    "single": Kind(["lab", "train", *TINY.split()]),
    "sweep": Kind([*SWEEP, "seed=0,1", CLAIM]),
    "tuned": Kind([*SWEEP, "seed=0", "study.tune={optimizer.lr:[0.001,0.1]}"]),
    "auto": Kind([*SWEEP, "seeds=auto", "study.max_seeds=4", CLAIM]),
    "compare": Kind(["lab", "compare", "outputs/x"], ([*SWEEP, "seed=0,1", CLAIM],)),
    "predict": Kind(["lab", "predict", "outputs/x", "--passes", "200"], (["lab", "train", *TINY.split()],)),
    "lr-range": Kind(["lab", "lr-range", *TINY.split()]),
    "two": Kind([*SWEEP, "seed=0,1"], copies=2),
    "four": Kind([*SWEEP, "seed=0,1"], copies=4),
}
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL", "SIGSTOP")
ALONE = ("single", "compare", "predict", "lr-range")
"""Kinds without workers."""
TARGETS = ("command", "worker", "group")
PATIENCE = 300.0
"""Seconds after which a command that has not ended counts as hanging."""
LEFT = 20.0
"""Seconds within which the last process of a killed command has to be gone."""
OF_TIME = ("seconds", "images_per_second", "train_seconds", "finished_at")


@dataclass
class Outcome:
    """What an attempt did, and what was wrong with it."""

    number: int
    kind: str
    signal: str
    target: str
    after: float
    code: int | None = None
    starts: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where outcomes and undisturbed runs are kept")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what runs in the background ignore it
    folder = args.keep or Path(tempfile.mkdtemp(prefix="kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "kills.jsonl"
    done = {row["number"]: row for row in map(json.loads, log.read_text().splitlines())} if log.exists() else {}
    for number in range(args.kills):
        draw = random.Random(f"{args.seed}/{number}")
        name = args.only[number % len(args.only)]
        if number in done:
            continue
        facts, seconds = undisturbed(name, folder)
        outcome = Outcome(number, name, draw.choice(SIGNALS), draw.choice(args.targets), draw.uniform(0, seconds))
        attempt(outcome, facts, folder)
        done[number] = vars(outcome)
        with log.open("a") as file:
            file.write(json.dumps(vars(outcome)) + "\n")
        print(f"{number} {name} {outcome.signal} {outcome.target} after {outcome.after:.2f} s: ", end="")
        print(f"exit code {outcome.code}, {outcome.starts} starts; {'; '.join(outcome.wrong) or 'well'}", flush=True)
    return summary(list(done.values()))


def summary(rows: list[dict[str, Any]]) -> int:
    """Prints how many attempts of each kind and signal were wrong; the exit code."""
    for key in ("kind", "signal", "target"):
        all_of, wrong = Counter(row[key] for row in rows), Counter(row[key] for row in rows if row["wrong"])
        print(f"{key}: " + ", ".join(f"{name} {wrong[name]} of {number}" for name, number in sorted(all_of.items())))
    bad = [row for row in rows if row["wrong"]]
    print(f"{len(rows)} kills, {len(bad)} wrong")
    return int(bool(bad))


def undisturbed(name: str, folder: Path) -> tuple[dict[str, Any], float]:
    """What the command leaves behind if nothing happens to it, and its seconds; kept in `folder`."""
    kept = folder / f"{name}.json"
    if not kept.exists():
        place = prepared(name, folder, "whole")
        begun = time.monotonic()
        process = start(KINDS[name].words, place, 0)
        code = process.wait(PATIENCE)
        assert code == 0, (place / "err0").read_text()
        kept.write_text(json.dumps([facts_in(place), time.monotonic() - begun]))
    facts, seconds = json.loads(kept.read_text())
    return facts, seconds


def prepared(name: str, folder: Path, what: str) -> Path:
    """A fresh folder in which the commands before that of `name` have ended."""
    place, ready = folder / f"{what}-{name}", folder / f"ready-{name}"
    shutil.rmtree(place, ignore_errors=True)
    if not ready.exists():
        half = folder / f"half-{name}"
        half.mkdir(parents=True, exist_ok=True)
        for words in KINDS[name].before:
            assert start(words, half, 0).wait(PATIENCE) == 0, (half / "err0").read_text()
        half.rename(ready)
    shutil.copytree(ready, place)
    return place


def start(words: list[str], place: Path, number: int) -> subprocess.Popen[bytes]:
    """`lab ...` in `place`, in a new session; what it prints goes to files there."""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *words]
    with (place / f"out{number}").open("ab") as out, (place / f"err{number}").open("ab") as err:
        return subprocess.Popen(
            command,
            cwd=place,
            env=environment,
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def attempt(outcome: Outcome, facts: dict[str, Any], folder: Path) -> None:
    """One kill, and what becomes of it."""
    kind, place = KINDS[outcome.kind], prepared(outcome.kind, folder, "killed")
    shared = set(os.listdir("/dev/shm"))
    processes = [start(kind.words, place, number) for number in range(kind.copies)]
    time.sleep(outcome.after)
    begun = processes[0].poll() is None
    hit(processes[0], outcome)
    for number, process in enumerate(processes):
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            outcome.wrong.append(f"command {number} hangs")
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        check_end(outcome, code, number, begun, place, facts)
    for process in processes:
        if left := still_there(process.pid):
            outcome.wrong.append(f"{len(left)} processes are left: {left}")
    end_well(outcome, kind, place)
    compare(outcome, facts, facts_in(place))
    locks = [path.name for path in place.rglob(".*lock*") if path.is_file()]
    outcome.wrong += [f"locks are left: {sorted(set(locks))}"] * bool(locks)
    new = sorted(set(os.listdir("/dev/shm")) - shared)
    outcome.wrong += [f"/dev/shm has {new}"] * bool(new)


def check_end(outcome: Outcome, code: int, number: int, begun: bool, place: Path, facts: dict[str, Any]) -> None:
    """What a command says when it ends by a signal, and that it tells the truth."""
    errors = (place / f"err{number}").read_text(errors="replace")
    if "Traceback" in errors or "Exception ignored" in errors:
        outcome.wrong.append(f"command {number} prints a traceback: {errors[-600:]}")
    if code == 0:
        compare(outcome, facts, facts_in(place))
    if number:
        outcome.wrong += [f"command {number} ends with {code}"] * (code not in (0, 1))
        return
    outcome.code = code
    own = outcome.target != "worker" and begun
    allowed = {
        "SIGINT": {0, 130, -2},  # by the signal itself while it imports; a shell says 130 to both
        "SIGTERM": {0, 130, -15},
        "SIGHUP": {0, 130, -1},
        "SIGKILL": {0, -9},
        "SIGSTOP": {0},
    }[outcome.signal]
    if code not in (allowed if own else {0, 1}):
        outcome.wrong.append(f"exit code {code}: {errors[-600:]}")
    if code == 130 and outcome.signal == "SIGINT" and "interrupted" not in errors + (place / "out0").read_text():
        outcome.wrong.append("it does not say that it was interrupted")


def hit(process: subprocess.Popen[bytes], outcome: Outcome) -> None:
    """Sends the signal; a stopped process goes on after two seconds."""
    number = signal.Signals[outcome.signal]
    workers = list[int]()
    while outcome.target == "worker" and not workers:
        workers = [pid for parent in children(process.pid) for pid in children(parent)]
        if not workers and (process.poll() is not None or outcome.kind in ALONE):
            outcome.target = "command"
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        if outcome.target == "group":
            os.killpg(process.pid, number)
        else:
            os.kill(workers[0] if outcome.target == "worker" else process.pid, number)
        if number == signal.SIGSTOP:
            time.sleep(2)
            os.killpg(process.pid, signal.SIGCONT)


def processes_there() -> Iterator[tuple[int, int, int]]:
    """Number, parent and session of every process that is no zombie."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent, _, session = path.read_text().rpartition(")")[2].split()[:4]
            if state != "Z":
                yield int(path.parent.name), int(parent), int(session)


def children(number: int) -> list[int]:
    return [pid for pid, parent, _ in processes_there() if parent == number]


def still_there(session: int) -> list[str]:
    """The commands of processes of `session` that outlive it by `LEFT` seconds; they are killed."""
    deadline = time.monotonic() + LEFT
    while found := [pid for pid, _, of in processes_there() if of == session]:
        if time.monotonic() > deadline:
            names = []
            for pid in found:
                with suppress(OSError):
                    names.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[-80:])
                    os.kill(pid, signal.SIGKILL)
            return names
        time.sleep(0.1)
    return []


def end_well(outcome: Outcome, kind: Kind, place: Path) -> None:
    """The same command again, until it ends with 0."""
    for number in range(100, 103):
        process = start(kind.words, place, number)
        outcome.starts += 1
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            outcome.wrong.append("the second start hangs")
            os.killpg(process.pid, signal.SIGKILL)
            return
        errors = (place / f"err{number}").read_text(errors="replace")
        outcome.wrong += [f"start {number - 98} prints a traceback: {errors[-600:]}"] * ("Traceback" in errors)
        if code == 0:
            return
        outcome.wrong.append(f"start {number - 98} ends with {code}: {errors[-300:]}")


def facts_in(place: Path) -> dict[str, Any]:
    """What a command left behind in `place`, without what the clock has put there."""
    found: dict[str, Any] = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.name == "metrics.jsonl":
            found[name] = [without_time(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.name == "result.json":
            result = json.loads(path.read_text())
            found[name] = {key: result.get(key) for key in ("status", "steps", "metrics", "arm_id", "seed")}
        elif path.name in ("verdict.json", "tune.json", "looks.json", "design.json"):
            found[name] = without_time(json.loads(path.read_text()))
        elif path.suffix == ".csv":
            with path.open() as file:
                found[name] = [without_time(row) for row in csv.DictReader(file)]
    return found


def without_time(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_time(one) for key, one in value.items() if key not in OF_TIME}
    return [without_time(one) for one in value] if isinstance(value, list) else value


def compare(outcome: Outcome, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    """Notes every file that is not what an undisturbed command writes."""
    differing = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    if differing:
        outcome.wrong.append(f"not as undisturbed: {', '.join(differing)}")


if __name__ == "__main__":
    sys.exit(main())
