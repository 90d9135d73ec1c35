"""What a run writes and shows while it trains: its logged points, its checkpoints, and TensorBoard's images."""

from collections.abc import Callable
from typing import Any

from lab.records.places import TERMINAL, Job
from lab.records.write import write_atomically
from lab.records.writer import MetricsWriter
from lab.runs.build import Parts
from lab.runs.progress import Progress
from lab.runs.watch import Watch
from lab.training.checkpoint import best_weights, pack, previous
from lab.training.fit import Point


class Recorder:
    """Writes into a run's folder and shows how far the run is; of several ranks the first alone writes."""

    def __init__(self, job: Job, parts: Parts, check: Callable[[], None], progress: Progress | None):
        """
        Args:
            job: the run, whose folder this process holds.
            parts: the run's, resumed.
            check: called before every write; raises `LostLockError` if another process took the folder over.
            progress: where to show the run; nowhere if None.
        """
        self.job, self.training, self.check, self.progress = job, parts.training, check, progress
        train, step = job.config.train, parts.training.train_step
        self._checkpoint = job.folder / "checkpoint.pt"
        self._writer = self._watch = None
        self._best_step: int | None = None
        """That of the best weights which this process has written."""
        if step.ranks.rank == 0:
            self._writer = MetricsWriter(job.folder, self.training.step, job.arm, job.group, train.watch)
        if self._writer and step.ranks.size == 1:  # it uses the net, and would wait for the other ranks forever
            logged, paused = self.training.is_logged, self.training.clock.paused
            self._watch = Watch(train, parts.model, parts.data, step, self._writer, logged, paused)

    def start(self) -> None:
        """Before the first step."""
        if self.progress:
            folder = self.job.folder
            title = f"{self.job.config.name}/{folder.parent.name}/{folder.name}"
            self.progress.start(title, self.training.steps, self.training.step)
        if self._watch:
            self._watch.start(self.training.step)

    def report(self, point: Point) -> None:
        """At a logged point."""
        self.check()
        if self._watch:
            point |= self._watch.report(point["step"], "train/restored_step" in point)
        if self._writer:
            self._writer.write(point)
        if self.progress:
            self.progress.log(point)

    def tick(self) -> None:
        """After every step."""
        if self._watch:
            self._watch.tick(self.training.step)
        if self.progress:
            self.progress.step()

    def save(self, state: dict[str, Any]) -> None:
        """Writes a checkpoint, and keeps the one before it; before that the best weights, where they are others."""
        best = self.training.best
        if self._writer and best and best.step not in (None, self._best_step):
            self.check()
            found = {"model": best.weights, **best.about()}
            write_atomically(best_weights(self._checkpoint), pack(found))
            self._best_step = best.step
        # Where the sums are not finite the run diverges at its next logged point: the last good checkpoint stays.
        if self._writer and bool(state["totals"].isfinite().all()):
            self.check()
            self._writer.sync()
            write_atomically(self._checkpoint, pack(state), previous(self._checkpoint))

    def end(self) -> None:
        """After the last step of a run that is terminal."""
        self.save(self.training.state())
        if self._watch:
            self._watch.end(self.training.step, self.job.config.train.eval_limit)

    def tested(self, scores: dict[str, float]) -> None:
        """What the test images gave, after the last step, for TensorBoard."""
        if self._writer:
            self._writer.tested(scores, self.training.step)

    def close(self) -> None:
        """Closes the files, however the training ended."""
        if self._writer:
            self._writer.close(succeeded=self.training.status in TERMINAL)
