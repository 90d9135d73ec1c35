"""What a sweep tells while it trains: a line a run as it ends, and how far all of them are."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from lab.launch.pace import Pace, UnderWay
from lab.metric import Metric
from lab.records.notes import notes_text
from lab.records.outcome import next_steps, outcome
from lab.records.places import Job
from lab.studies.statistics.numerals import duration
from lab.system import display
from lab.system.reporter import reporter


class SweepLog:
    """Tells each run as it ends, where the others are meanwhile, and at the end the notes of all, each once."""

    def __init__(self, jobs: Sequence[Job], metric: Metric, slots: int):
        """
        Args:
            jobs: all that will be trained.
            metric: what is told of each.
            slots: how many are trained side by side.
        """
        self.total, self.metric, self.slots, self.results = len(jobs), metric, slots, list[dict[str, Any]]()
        self.display = reporter().display()
        self.pace = Pace(jobs if self.display else ())
        self.pause = self.display.pause if self.display else None
        """Seconds after which `watch` should be called again; None if never."""

    def say(self, words: str) -> None:
        """Tells a line; nothing where the terminal is gone, as the runs go on to their checkpoints."""
        with suppress(OSError):
            reporter().say(words)

    def show(self, job: Job, result: dict[str, Any]) -> None:
        """Tells how a run ended."""
        self.results.append(result)
        metrics = result.get("metrics", {})
        metric = self.metric.resolve(metrics)
        value = metrics.get(metric.text, {}).get("last")
        done = f"{len(self.results):{len(str(self.total))}d}/{self.total}"
        words = [f"[{done}] {job.folder.parent.name} {job.folder.name}", outcome(result)]
        words += [f"{metric} {value:.4f}"] if value is not None else []
        words += [f"{result['train_seconds']:.1f} s"] if "train_seconds" in result else []
        words += [result["error"]] if "error" in result else []
        self.say("  ".join(words))

    def watch(self, running: Sequence[UnderWay], queue: Iterable[Job] | None) -> None:
        """Shows how far the runs under way are, and when all should be finished; without a `queue` all are to stop."""
        if self.display is None:
            return
        for one in running:
            one.read()
        failed = sum(result["status"] == "failed" for result in self.results)
        left = None if queue is None else self.pace.left(queue, running, self.slots)
        words = ["stopping"] if queue is None else ["time left not known yet"]
        words = words if left is None else [f"about {duration(left)} left"]
        words += [f"{failed} failed"] * bool(failed)
        shown = [display.UnderWay(run_name(one), self.words(one)) for one in running]
        self.display.show(display.Standing(len(self.results), self.total, words, shown))

    def words(self, one: UnderWay) -> list[str]:
        """How far a run is: its step, its metric, the time that it needs yet."""
        if not one.point:
            return ["not logged yet"]
        share, step = one.share, one.point["step"]
        words = [f"step {step:,}/{round(step / share):,}" if share else f"step {step:,}"]
        words += [f"{tag} {one.point[tag]:.4f}" for tag in shown_tags(self.metric, one.point)[:1]]
        left = one.left(None)
        return words + ([f"about {duration(left)} left"] if left is not None else [])

    def close(self) -> None:
        """Takes away what shows the runs under way, and tells the notes."""
        if self.display:
            self.display.close()
        for line in [*notes_text(self.results), *next_steps(self.results, told=("failed", "interrupted"))]:
            with suppress(OSError):
                reporter().note(line)


def run_name(one: UnderWay) -> str:
    """`act=relu seed=3`: the arm without its hash."""
    folder = one.folder or one.job.folder
    return f"{folder.parent.name[:-9]} {folder.name}"


def shown_tags(metric: Metric, point: Mapping[str, Any]) -> list[str]:
    """Those of the tags of a logged point with a number that tell most about a run, the sweep's metric first."""
    tags = [*metric.resolve(point).tags, metric.resolve(point).curve_tag, "val/accuracy", "val/rmse", "val/loss"]
    return [tag for tag in dict.fromkeys(tags) if isinstance(point.get(tag), int | float)]
