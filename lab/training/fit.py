"""The training loop: one `fit` that drives a list of members, each one run's model, optimizer and place in its data."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.training.clipping import Clip
from lab.training.graph import StepGraph, plain_state, set_rate
from lab.training.losses import Loss
from lab.training.metrics import Metrics
from lab.training.parallel import ALONE, Ranks
from lab.training.penalties import weight_figures
from lab.training.plateau import Plateau
from lab.training.precision import LossScaling
from lab.training.schedules import Schedule
from lab.training.stopping import Stopping

Row = dict[str, Any]
"""What is logged at a step: {"step": 40, "epoch": 2.0, "train/loss": 0.31, ...}."""


@dataclass
class Member:
    """One run inside `fit`: what it trains with, where it reports, and how far it is."""

    model: nn.Module
    """From pictures (b, c, h, w) to outputs (b, k); in training perhaps `(outputs, ((weight, outputs), ...))`, the
    latter of auxiliary classifiers, whose losses are added with their weights."""
    optimizer: Optimizer
    schedule: Schedule
    lr: float
    loss: Loss
    metrics: Metrics
    """What is measured of the training batches."""
    batch: Callable[[int], tuple[Tensor, Tensor]]
    """From a step, counted from 0, to pictures (b, c, h, w) and labels (b,) on the device."""
    evaluate: Callable[[], Row]
    """Validation metrics of the model as it stands."""
    report: Callable[[Row], None]
    save: Callable[[dict[str, Any]], None]
    """Keeps a checkpoint: the result of `state`."""
    steps: int
    log_every: int
    steps_per_epoch: int
    device: torch.device
    autocast: torch.dtype | None = None
    rate_every: int = 1
    """Steps for which the scheduled rate stays as it is."""
    plateau: Plateau | None = None
    clip: Clip | None = None
    """Clips the gradients in place, before the optimizer's step."""
    penalty: Callable[[], Tensor] | None = None
    """What is added to the loss, ()."""
    bound: Callable[[], None] | None = None
    """Bounds the weights in place, after the optimizer's step."""
    stopping: Stopping | None = None
    max_seconds: float = math.inf
    freeze: Callable[[int], None] | None = None
    """Sets, from the step, what it trains and what is held still; everything is trained if None."""
    scaling: LossScaling | None = None
    graph: StepGraph | None = None
    ranks: Ranks = ALONE
    """The processes that train it together: `batch` gives this one's share, `num_images` counts all of them."""

    step: int = 0
    train_seconds: float = 0.0
    num_images: int = 0
    """Training pictures since the last report; `totals` and `step_totals` count since then, too."""
    totals: Tensor = field(init=False)
    """Loss and sums of the metrics over pictures, (1 + num_sums,) float64 on the device: read only at reports."""
    step_totals: Tensor = field(init=False)
    """Steps, those in which the gradient was clipped, and the sum of their penalties, (3,) float64 on the device."""
    status: str = "running"
    stopped_by: str = ""
    """What ended the run: `steps`, `patience` or `seconds`."""

    def __post_init__(self) -> None:
        # MPS has no float64; there a report's sums are a little less exact.
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        self.totals = torch.zeros(1 + self.metrics.num_sums, dtype=dtype, device=self.device)
        self.step_totals = torch.zeros(3, dtype=dtype, device=self.device)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs to go on to the same numbers; the same on every rank but for the sums."""
        self.ranks.move_to_first(self.totals)
        rngs = self.ranks.gather(rng_state(self.device))
        return {
            "model": self.model.state_dict(),
            "optimizer": plain_state(self.optimizer),
            "step": self.step,
            "train_seconds": self.train_seconds,
            "num_images": self.num_images,
            "status": self.status,
            "stopped_by": self.stopped_by,
            "totals": self.totals,
            "step_totals": self.step_totals,
            "plateau": self.plateau and self.plateau.state(),
            "stopping": self.stopping and self.stopping.state(),
            "scaling": self.scaling and self.scaling.state(),
            "rng": rngs[0],
            "other_rngs": rngs[1:],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes up where `state` left off."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.train_seconds, self.num_images = state["step"], state["train_seconds"], state["num_images"]
        self.status = "running" if state["status"] == "interrupted" else state["status"]
        self.stopped_by = state["stopped_by"]
        self.totals.copy_(state["totals"] * (self.ranks.rank == 0))
        self.step_totals.copy_(state["step_totals"])
        if self.plateau:
            self.plateau.load_state(state["plateau"])
        if self.stopping:
            self.stopping.load_state(state["stopping"])
        if self.scaling:
            self.scaling.load_state(state["scaling"])
        if self.graph:
            self.graph.forget()
        rngs = [state["rng"], *state.get("other_rngs", [])]
        if self.ranks.rank < len(rngs):  # else it goes on with more processes than before
            set_rng_state(rngs[self.ranks.rank], self.device)


def fit(members: list[Member], checkpoint_every: float, should_stop: Callable[[], bool]) -> None:
    """Trains every member to its last step, one step each in turn, and leaves the outcome in its `status`.

    `finished`; `diverged`, at the first report with a loss or weights that are not finite; or `interrupted`, with a
    checkpoint, when `should_stop` turns true.

    Args:
        members: the runs, fresh or resumed.
        checkpoint_every: seconds between two checkpoints.
        should_stop: asked after every step.
    """
    saved = clock = time.monotonic()
    for member in members:
        member.model.train()
    while running := [m for m in members if m.status == "running"]:
        for member in running:
            if member.step < member.steps:
                train_step(member)
            if member.step >= member.steps:
                member.stopped_by = "steps"
            elif member.max_seconds < math.inf:
                seconds = member.train_seconds + (time.monotonic() - clock) / len(running)
                if any(member.ranks.agree(seconds >= member.max_seconds)):
                    member.stopped_by = "seconds"
            if member.stopped_by or member.step % member.log_every == 0:
                charge(running, clock)
                log(member)
                clock = time.monotonic()
        stop, due = members[0].ranks.agree(should_stop(), time.monotonic() - saved >= checkpoint_every)
        if stop or due:
            charge(running, clock)
            for member in running:
                if stop and member.status == "running":
                    member.status = "interrupted"
                member.save(member.state())
            saved = clock = time.monotonic()


def charge(members: list[Member], clock: float) -> None:
    """Adds the time since `clock` to the training seconds of `members`, in equal parts; waits for the device."""
    synchronise(members[0].device)
    for member in members:
        member.train_seconds += (time.monotonic() - clock) / len(members)


def train_step(member: Member) -> None:
    """One optimizer step. Nothing here waits for the device: no `.item()`, no printing."""
    if member.freeze is not None:
        member.freeze(member.step)
    scheduled = member.step - member.step % member.rate_every
    rate = member.lr * member.schedule(scheduled / member.steps)
    if member.plateau:
        rate *= member.plateau.multiplier
    set_rate(member.optimizer, rate)
    images, labels = member.batch(member.step)  # (b, c, h, w), (b,)
    if member.graph is None:
        update(member, images, labels)
    else:
        member.graph(partial(update, member), member.optimizer, images, labels)
    member.step += 1
    member.num_images += len(labels) * member.ranks.size


def update(member: Member, images: Tensor, labels: Tensor) -> None:
    """What a step does on the device; a CUDA graph may record it, so it reads and sets nothing that changes."""
    with torch.autocast(member.device.type, member.autocast, enabled=member.autocast is not None):
        outputs = member.model(images)  # (b, k)
        outputs, auxiliary = outputs if isinstance(outputs, tuple) else (outputs, ())
        loss = member.loss(outputs, labels, "mean")
        total = loss
        for weight, side_outputs in auxiliary:
            total = total + weight * member.loss(side_outputs, labels, "mean")
    penalty = member.penalty() if member.penalty else None
    member.optimizer.zero_grad(set_to_none=True)
    total = total if penalty is None else total + penalty
    (total if member.scaling is None else member.scaling.scale(total)).backward()
    member.ranks.average(member.model.parameters())
    if member.scaling:
        member.scaling.unscale(member.optimizer)
    clipped = member.clip(list(member.model.parameters())) if member.clip else None
    if member.scaling:
        member.scaling.step(member.optimizer)
    else:
        member.optimizer.step()
    if member.bound:
        member.bound()
    with torch.no_grad():
        member.totals += torch.cat([(loss.detach() * len(labels)).view(1), member.metrics.sums(outputs, labels)])
        if clipped is not None or penalty is not None:
            zero = loss.new_zeros(())
            counts = [zero + 1, zero if clipped is None else clipped, zero if penalty is None else penalty]
            member.step_totals += torch.stack([count.to(member.step_totals) for count in counts])


def log(member: Member) -> None:
    """Reports training means since the last report and validation metrics; this waits for the device.

    Here a run ends: diverged, at its last step, out of patience, or out of time.
    """
    row: Row = {
        "step": member.step,
        "epoch": round(member.step / member.steps_per_epoch, 4),
        "seconds": round(member.train_seconds, 3),
    }
    diverged = False
    if member.num_images:
        row |= training_means(member)
        diverged = not math.isfinite(row["train/loss"])
    if member.num_images or not member.steps:  # a resume at the very last step has reported already
        row |= measured(member)
        # The loss is that of the weights before the last update.
        diverged = diverged or not math.isfinite(row["train/weight_norm"])
        if member.plateau:
            member.plateau.update(row)
        if member.stopping:
            if member.stopping.should_stop(row, member.model) and not member.stopped_by:
                member.stopped_by = "patience"
            if member.stopped_by and not diverged and member.stopping.restore(member.model, member.step):
                row |= {**measured(member), "train/restored_step": member.stopping.best_step}
        member.model.train()
        member.report(row)
    member.totals.zero_()
    member.step_totals.zero_()
    member.num_images = 0
    if diverged:
        member.status = "diverged"
    elif member.stopped_by:
        member.status = "finished"


def training_means(member: Member) -> Row:
    """What the training batches since the last report came to."""
    loss_sum, *sums = member.ranks.total(member.totals).tolist()
    values = member.metrics.values(sums, member.num_images)
    row = {"train/loss": loss_sum / member.num_images}
    row |= {f"train/{name}": value for name, value in zip(member.metrics.names, values, strict=True)}
    row["train/lr"] = float(member.optimizer.param_groups[0]["lr"])
    row |= {"train/skipped": member.scaling.take_skipped()} if member.scaling else {}
    if member.clip or member.penalty:
        num_steps, clipped, penalty = member.step_totals.tolist()
        row |= {"train/clipped": clipped / num_steps} if member.clip else {}
        row |= {"train/penalty": penalty / num_steps} if member.penalty else {}
    return row


def measured(member: Member) -> Row:
    """What the weights as they stand come to: on the validation pictures, and by themselves."""
    row = {f"val/{name}": value for name, value in member.evaluate().items()}
    row["train/weight_norm"], row["train/near_zero"] = weight_figures(member.model).tolist()
    return row


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    metrics: Metrics,
    autocast: torch.dtype | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Mean loss and the metrics of `model`, in evaluation mode, over `batches` of pictures and labels.

    Each of `ranks` reads its share of them and returns the same.
    """
    model.eval()
    totals, count = [], 0
    for images, labels in batches:
        count += len(labels)
        images, labels = ranks.share(images, labels)
        if not len(labels):  # fewer pictures than ranks
            totals.append(torch.zeros(1 + metrics.num_sums, dtype=torch.float64, device=images.device))
            continue
        with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
            outputs = model(images)  # (b, k)
            loss_sum = loss(outputs, labels, "sum")
        totals.append(torch.cat([loss_sum.view(1), metrics.sums(outputs, labels)]))
    loss_sum, *sums = ranks.total(torch.stack(totals).sum(0)).tolist()
    return {"loss": loss_sum / count, **dict(zip(metrics.names, metrics.values(sums, count), strict=True))}


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all it was given, so that a clock reads the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """State of the global generators, from which dropout draws: of the CPU, and of the device where it has its own."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Puts the global generators back to `state`."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
