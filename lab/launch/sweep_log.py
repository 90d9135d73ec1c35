"""What a sweep tells while it trains: a line a run as it ends, above a bar of them all on a terminal."""

from contextlib import suppress
from typing import Any

from lab.metric import Metric
from lab.records.notes import notes_text
from lab.records.outcome import next_steps, outcome
from lab.records.places import Job
from lab.system.reporter import reporter


class SweepLog:
    """Tells each run as it ends, and at the end the notes of all of them, each once."""

    def __init__(self, total: int, metric: Metric):
        self.total, self.metric, self.results = total, metric, list[dict[str, Any]]()
        self._bar = reporter().bar(total, "run")

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
        if self._bar is not None:
            with suppress(OSError):
                self._bar.update()

    def close(self) -> None:
        """Takes the bar away, and tells the notes."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
        for line in [*notes_text(self.results), *next_steps(self.results, told=("failed", "interrupted"))]:
            with suppress(OSError):
                reporter().note(line)
