"""How long runs take, from runs like them, and when those that are left should all be finished."""

import heapq
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.identity import arm_hash, flatten
from lab.records.places import TERMINAL, Job, arm_folders, by_arm, settled
from lab.records.results import read_result
from lab.records.shorter import is_flat, share_done_by
from lab.records.tail import last_point
from lab.studies.report.about import share_done
from lab.studies.statistics.numerals import count, duration


@dataclass
class UnderWay:
    """A run that a worker trains."""

    job: Job
    begun: float = field(default_factory=time.monotonic)
    folder: Path | None = None
    point: Mapping[str, Any] = field(default_factory=dict)
    """Its last logged point."""

    @property
    def share(self) -> float:
        """Which share of its steps is done at that point; 0 where that is not known."""
        return share_done(flatten(self.job.config), self.point)

    def read(self) -> None:
        """Reads its last logged point."""
        self.folder = settled(self.job).folder
        self.point = last_point(self.folder)

    def left(self, expected: float | None) -> float | None:
        """Seconds that it needs yet, by its own pace, else by what is expected of runs like it; None if neither is."""
        seconds, share = self.point.get("seconds"), self.share
        if share and isinstance(seconds, int | float):
            return seconds * (1 - share) / share
        return None if expected is None else max(0.0, expected - (time.monotonic() - self.begun))

    def whole(self) -> float | None:
        """Seconds of all of it, by its own pace."""
        seconds, share = self.point.get("seconds"), self.share
        return seconds / share if share and isinstance(seconds, int | float) else None


class Pace:
    """The seconds that runs took, by arm: those of this command, and of earlier ones where it has none yet."""

    def __init__(self, jobs: Iterable[Job]):
        """
        Args:
            jobs: of the arms whose earlier runs, of whichever seeds, count.
        """
        self.earlier = earlier_seconds(jobs)
        self.own: dict[str, list[float]] = {}
        self.digits: dict[Path, str] = {}
        """The hashes that were asked for, by the arm's folder: a long queue is asked about again and again."""

    def arm(self, job: Job) -> str:
        """The hash of a run's arm."""
        home = job.folder.parent
        if home not in self.digits:
            self.digits[home] = arm_hash(job.config)
        return self.digits[home]

    def took(self, one: UnderWay) -> None:
        """Remembers how long a run took that has just ended."""
        self.own.setdefault(self.arm(one.job), []).append(time.monotonic() - one.begun)

    def expected(self, arms: Iterable[str], running: Sequence[UnderWay] = ()) -> dict[str, float | None]:
        """Seconds of a run of each arm: its mean, else that of all arms, else what the runs under way should take."""
        known = [sum(found) / len(found) for found in (self.own or self.earlier).values()]
        known = known or [whole for one in running if (whole := one.whole())]
        otherwise = sum(known) / len(known) if known else None
        own = {digits: self.own.get(digits) or self.earlier.get(digits) for digits in arms}
        return {digits: sum(found) / len(found) if found else otherwise for digits, found in own.items()}

    def left(self, queue: Iterable[Job], running: Sequence[UnderWay], slots: int) -> float | None:
        """Seconds until all are finished, if each free slot takes the next of `queue`; None where that is not known."""
        ahead_arms, arms = [self.arm(job) for job in queue], [self.arm(one.job) for one in running]
        expected = self.expected({*ahead_arms, *arms}, running)
        rest = [one.left(expected[digits]) for one, digits in zip(running, arms, strict=True)]
        waiting = [expected[digits] for digits in ahead_arms]
        known, ahead = [one for one in rest if one is not None], [one for one in waiting if one is not None]
        if len(known) < len(rest) or len(ahead) < len(waiting):
            return None
        free = known + [0.0] * max(0, slots - len(known))
        heapq.heapify(free)
        for seconds in ahead:
            heapq.heappush(free, heapq.heappop(free) + seconds)
        return max(free, default=0.0)


def earlier_seconds(jobs: Iterable[Job]) -> dict[str, list[float]]:
    """Seconds of training of the runs that the arms of `jobs` have already, with whichever seeds, by the arm's hash."""
    arms = {job.folder.parent: job.config for job in jobs}
    found = {arm_hash(config): [seconds_of(run) for run in ended_runs(arm)] for arm, config in arms.items()}
    return {digits: seconds for digits, seconds in found.items() if seconds}


def seconds_further(jobs: Sequence[Job]) -> tuple[dict[str, list[float]], int]:
    """Seconds that runs take, by the arm's hash, where finished ones differ from them in length alone: those of what is
    left, where a longer run goes on from the shorter one, else of a whole run. And how many go on."""
    found: dict[str, list[float]] = {}
    going_on = 0
    for digits, members in by_arm(jobs).items():
        on = is_flat(members[0].config.schedule)
        for share, result in filter(None, map(share_done_by, members)):
            if seconds := result.get("train_seconds"):
                found.setdefault(digits, []).append(seconds / share * (1 - share if on else 1))
                going_on += on
    return found, going_on


LENGTH = ("train.epochs", "train.steps", "train.batch_size", "data.name", "data.limit", "train.device")
"""Keys that two arms share if their runs are to take about as long."""


def seconds_elsewhere(jobs: Sequence[Job]) -> list[float]:
    """Seconds of the runs of other arms of the experiment of `jobs` that train as long on the same data."""
    lengths = [[flat[key] for key in LENGTH] for job in jobs if (flat := flatten(job.config))]
    others = set(arm_folders(jobs[0].folder.parent.parent).values()) - {job.folder.parent for job in jobs}
    runs = [run for arm in sorted(others) for run in ended_runs(arm)]
    return [seconds_of(run) for run in runs if [run["config"].get(key) for key in LENGTH] in lengths]


def ended_runs(arm: Path) -> list[dict[str, Any]]:
    """The results of the runs in the folder of an arm that are finished or diverged."""
    found = [read_result(path) or {} for path in sorted(arm.glob("seed=*"))] if arm.is_dir() else []
    return [one for one in found if one.get("status") in TERMINAL and one.get("train_seconds")]


def seconds_of(result: Mapping[str, Any]) -> float:
    return float(result["train_seconds"])


@dataclass(frozen=True)
class Forecast:
    """How long runs should take that are not trained yet."""

    seconds: float
    """Of the wall clock, until the last is finished."""
    based_on: str
    """Which runs say so, in words."""


def forecast(missing: Sequence[Job], jobs: Sequence[Job], slots: int) -> Forecast | None:
    """How long the runs `missing` of `jobs` should take, `slots` side by side; None where no run is like them."""
    pace, kind, whose = Pace(jobs), "finished run", "of these arms"
    if not pace.earlier:
        pace.earlier, going_on = seconds_further(missing)
        kind, whose = "finished shorter run", f"of these arms, from which {going_on or 'none'} can go on"
    if not pace.earlier and (seconds := seconds_elsewhere(jobs)):
        kind, whose = "finished run", "of other arms of this experiment, as long and on the same data"
        pace.earlier = {"": seconds}
    left = pace.left(missing, (), slots)
    if left is None or not pace.earlier:
        return None
    every = [seconds for found in pace.earlier.values() for seconds in found]
    return Forecast(left, f"judged by {count(len(every), kind)} {whose} ({range_text(every)} each)")


def range_text(seconds: Sequence[float]) -> str:
    """`12 s`, `2.9 s to 12 s`."""
    low, high = duration(min(seconds)), duration(max(seconds))
    return low if low == high else f"{low} to {high}"
