"""The training loop: step after step, a logged point now and then, checkpoints by the clock, and an end with a name."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lab.training.best import Best
from lab.training.checkpoint import rng_state, set_rng_state
from lab.training.clock import Clock
from lab.training.graph import plain_state
from lab.training.penalties import weight_figures
from lab.training.plateau import Plateau
from lab.training.step import TrainStep
from lab.training.stopping import Stopping

Point = dict[str, Any]
"""What is logged at a step: {"step": 40, "epoch": 2.0, "train/loss": 0.31, ...}."""

FINITE = ("train/loss", "val/loss", "train/weight_norm")
"""What of a logged point has to be finite, or the run has diverged."""


BETWEEN = ("num_images", "totals", "step_totals", "plateau", "stopping", "scaling", "best", "rng")
"""What of a run's state a logged point changes."""


@dataclass
class Training:
    """One run as `fit` takes it: the step that it repeats, what it measures on the way, its clock, how far it is."""

    train_step: TrainStep
    evaluate: Callable[[], dict[str, float]]
    """Validation loss and metrics of the model as it stands."""
    clock: Clock
    steps: int
    log_every: int
    steps_per_epoch: int
    plateau: Plateau | None = None
    stopping: Stopping | None = None
    best: Best | None = None
    place: Callable[[], dict[str, float]] = dict
    """What the net says of its parameters as they stand: {"x": 0.5, "y": -1.0} of a point on a surface."""

    continued_from: dict[str, Any] = field(default_factory=dict)
    """What `result.json` says of the shorter run whose state this one took over; empty where there is none."""
    unlogged: dict[str, Any] = field(default_factory=dict)
    """What the last logged point changed besides weights, as it was before, where a longer run has no such point."""

    step: int = 0
    """Steps done."""
    status: str = "running"
    stopped_by: str = ""
    """What ended the run: `steps`, `patience` or `seconds`."""

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs to go on to the same numbers; the same on every rank but for the sums."""
        step = self.train_step
        step.ranks.move_to_first(step.tally.totals)
        rngs = step.ranks.gather(rng_state(self.clock.device))
        return {
            "model": step.model.state_dict(),
            "optimizer": plain_state(step.optimizer),
            "step": self.step,
            "train_seconds": self.clock.seconds,
            "status": self.status,
            "stopped_by": self.stopped_by,
            **step.tally.state(),
            "plateau": self.plateau and self.plateau.state(),
            "stopping": self.stopping and self.stopping.state(),
            "scaling": step.scaling and step.scaling.state(),
            "rng": rngs[0],
            "other_rngs": rngs[1:],
            **({"best": self.best.state()} if self.best else {}),
            **{key: value for key in ("continued_from", "unlogged") if (value := getattr(self, key))},
        }

    def is_logged(self, step: int) -> bool:
        """Whether `step`, counted from 1, is a logged point; it may also be one where a run ends early."""
        return step % self.log_every == 0 or step == self.steps

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes up where `state` left off."""
        step = self.train_step
        step.model.load_state_dict(state["model"])
        step.optimizer.load_state_dict(state["optimizer"])
        self.step, self.clock.seconds = state["step"], state["train_seconds"]
        self.status = "running" if state["status"] == "interrupted" else state["status"]
        self.stopped_by, self.continued_from = state["stopped_by"], state.get("continued_from", {})
        step.tally.load_state(state, step.ranks)
        for name, part in (("plateau", self.plateau), ("stopping", self.stopping), ("scaling", step.scaling)):
            if part:
                part.load_state(state[name])
        if self.best:
            self.best.load_state(state.get("best"), self.step)
        if step.graph:
            step.graph.forget()
        rngs = [state["rng"], *state.get("other_rngs", [])]
        if step.ranks.rank < len(rngs):  # else it goes on with more processes than before
            set_rng_state(rngs[step.ranks.rank], self.clock.device)


def fit(
    run: Training,
    report: Callable[[Point], object] = lambda point: None,
    save: Callable[[dict[str, Any]], object] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_every: float = math.inf,
) -> None:
    """Trains a run to its last step and leaves the outcome in its `status`.

    `finished`; `diverged`, at the first logged point where a loss, of training or validation, or the weights are not
    finite; or `interrupted`, with a checkpoint, when `should_stop` turns true.

    Args:
        run: fresh or resumed.
        report: gets each logged point.
        save: gets the run's `state`, to keep it as a checkpoint.
        should_stop: asked after every step.
        checkpoint_every: seconds between two checkpoints.
    """
    clock, ranks = run.clock, run.train_step.ranks
    run.train_step.model.train()
    clock.start()
    saved = time.monotonic()
    while run.status == "running":
        if run.step < run.steps:
            run.train_step(run.step)
            run.step += 1
        if run.step >= run.steps:
            run.stopped_by = "steps"
        elif clock.limit < math.inf and any(ranks.agree(clock.is_up())):
            run.stopped_by = "seconds"

        if run.stopped_by or run.is_logged(run.step):
            with clock.paused():  # waits for the device
                log(run, report)

        stop, due = ranks.agree(should_stop(), time.monotonic() - saved >= checkpoint_every)
        if stop or due:
            with clock.paused():  # waits for the device
                run.status = "interrupted" if stop and run.status == "running" else run.status
                save(run.state())
            saved = time.monotonic()


def log(run: Training, report: Callable[[Point], object]) -> None:
    """Reports training means since the last logged point and validation metrics; this waits for the device.

    Here a run ends: diverged, at its last step, out of patience, or out of time.
    """
    model, tally = run.train_step.model, run.train_step.tally
    point: Point = {
        "step": run.step,
        "epoch": round(run.step / run.steps_per_epoch, 4),
        "seconds": round(run.clock.seconds, 3),
    }
    diverged = False
    if run.stopped_by == "steps" and run.step % run.log_every and run.train_step.ranks.size == 1:
        run.unlogged = as_it_is({key: value for key, value in run.state().items() if key in BETWEEN})
    if tally.num_images:
        point |= training_means(run.train_step)
    if tally.num_images or not run.steps:  # a resume at the very last step has logged already
        point |= measured(run)
        # The training loss is that of the weights before the last update.
        diverged = not all(math.isfinite(point.get(tag, 0.0)) for tag in FINITE)
        if run.plateau:
            run.plateau.update(point)
        if run.best and not diverged:
            run.best.update(point, model)
        if run.stopping:
            if run.stopping.should_stop(point, model) and not run.stopped_by:
                run.stopped_by = "patience"
            if run.stopped_by and not diverged and run.stopping.restore(model, run.step):
                point |= {**measured(run), "train/restored_step": run.stopping.best_step}
        model.train()
        report(point)
    tally.clear()
    if diverged:
        run.status = "diverged"
    elif run.stopped_by:
        run.status = "finished"


def as_it_is(state: dict[str, Any]) -> dict[str, Any]:
    """A copy of `state` that nothing changes; weights in it are kept ones, which are replaced as a whole."""
    kept = {key: as_it_is(value) for key, value in state.items() if isinstance(value, dict) and key != "weights"}
    kept |= {key: value.clone() for key, value in state.items() if isinstance(value, Tensor)}
    return {**state, **kept}


def training_means(step: TrainStep) -> Point:
    """Means over the training batches since the last logged point."""
    point = {f"train/{name}": value for name, value in step.tally.means(step.ranks).items()}
    point["train/lr"] = float(step.optimizer.param_groups[0]["lr"])
    if step.scaling:
        point["train/skipped"] = step.scaling.take_skipped()
    if step.clip or step.penalty:
        clipped, penalty = step.tally.step_means()
        point |= {"train/clipped": clipped} if step.clip else {}
        point |= {"train/penalty": penalty} if step.penalty else {}
    return point


def measured(run: Training) -> Point:
    """The weights as they stand: what they achieve on the validation images, and their size."""
    point = {f"val/{name}": value for name, value in run.evaluate().items()}
    point["train/weight_norm"], point["train/near_zero"] = weight_figures(run.train_step.model).tolist()
    return point | {f"train/{name}": value for name, value in run.place().items()}
