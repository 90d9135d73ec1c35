"""The training loop: one `fit` that drives a list of members, each one run's model, optimizer and place in its data."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.training.schedules import Schedule

Row = dict[str, Any]
"""What is logged at a step: {"step": 40, "epoch": 2.0, "train/loss": 0.31, ...}."""


@dataclass
class Member:
    """One run inside `fit`: what it trains with, where it reports, and how far it is."""

    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    lr: float
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
    clip: Callable[[list[nn.Parameter]], None] | None = None
    """Clips the gradients in place, before the optimizer's step."""
    freeze: Callable[[int], None] | None = None
    """Sets, from the step, what it trains and what is held still; everything is trained if None."""

    step: int = 0
    train_seconds: float = 0.0
    num_images: int = 0
    """Training pictures since the last report; `totals` are their sums."""
    totals: Tensor = field(init=False)
    """Loss and correct answers, summed over pictures, (2,) float64 on the device: read only at reports."""
    status: str = "running"

    def __post_init__(self) -> None:
        # MPS has no float64; there a report's sums are a little less exact.
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        self.totals = torch.zeros(2, dtype=dtype, device=self.device)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs to go on to the same numbers."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "train_seconds": self.train_seconds,
            "num_images": self.num_images,
            "status": self.status,
            "totals": self.totals,
            "rng": rng_state(self.device),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes up where `state` left off."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.train_seconds, self.num_images = state["step"], state["train_seconds"], state["num_images"]
        self.status = "running" if state["status"] == "interrupted" else state["status"]
        self.totals.copy_(state["totals"])
        set_rng_state(state["rng"], self.device)


def fit(members: list[Member], checkpoint_every: float, should_stop: Callable[[], bool]) -> None:
    """Trains every member to its last step, one step each in turn, and leaves the outcome in its `status`.

    `finished`; `diverged`, at the first report with a loss that is not finite; or `interrupted`, with a checkpoint,
    when `should_stop` turns true.

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
            last = member.step >= member.steps
            if last or member.step % member.log_every == 0:
                charge(running, clock)
                log(member, last)
                clock = time.monotonic()
        stop = should_stop()
        if stop or time.monotonic() - saved >= checkpoint_every:
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
    rate = member.lr * member.schedule(member.step / member.steps)
    for group in member.optimizer.param_groups:
        group["lr"] = rate
    images, labels = member.batch(member.step)  # (b, c, h, w), (b,)
    with torch.autocast(member.device.type, member.autocast, enabled=member.autocast is not None):
        logits = member.model(images)  # (b, num_classes)
        loss = F.cross_entropy(logits, labels)
    member.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if member.clip is not None:
        member.clip(list(member.model.parameters()))
    member.optimizer.step()
    member.step += 1
    with torch.no_grad():
        correct = (logits.argmax(1) == labels).sum()
        member.totals += torch.stack([loss.detach() * len(labels), correct])
    member.num_images += len(labels)


def log(member: Member, last: bool) -> None:
    """Reports training means since the last report and validation metrics; this waits for the device."""
    loss_sum, correct = member.totals.tolist()
    count = max(member.num_images, 1)
    diverged = not math.isfinite(loss_sum)
    if member.num_images:  # none after a resume at the very last step, which has reported already
        row = {
            "step": member.step,
            "epoch": round(member.step / member.steps_per_epoch, 4),
            "seconds": round(member.train_seconds, 3),
            "train/loss": loss_sum / count,
            "train/accuracy": correct / count,
            "train/lr": member.optimizer.param_groups[0]["lr"],
        }
        row.update({f"val/{name}": value for name, value in member.evaluate().items()})
        member.model.train()
        member.report(row)
    member.totals.zero_()
    member.num_images = 0
    if diverged:
        member.status = "diverged"
    elif last:
        member.status = "finished"


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], autocast: torch.dtype | None = None
) -> dict[str, float]:
    """Mean cross-entropy and accuracy of `model`, in evaluation mode, over `batches` of pictures and labels."""
    model.eval()
    totals, count = [], 0
    for images, labels in batches:
        with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
            logits = model(images)  # (b, num_classes)
            loss = F.cross_entropy(logits, labels, reduction="sum")
        totals.append(torch.stack([loss, (logits.argmax(1) == labels).sum()]))
        count += len(labels)
    loss_sum, correct = torch.stack(totals).sum(0).tolist()
    return {"loss": loss_sum / count, "accuracy": correct / count}


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
