"""CUDA graphs: the whole optimizer step recorded once and replayed, so that the GPU never waits for Python."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

from lab.errors import UserError

WARM_UP = 3
"""Steps taken one kernel at a time before the recording, so that libraries and optimizer state are set up. As in
torch's own example; they are ordinary steps of the run."""

Update = Callable[[Tensor, Tensor], None]
"""A step on images (b, c, h, w) and labels (b,): forward, backward, optimizer and sums, nothing of it read."""

Replay = Callable[[], Any]
Capture = Callable[[Callable[[], None], torch.device], Replay]
"""From an action on fixed memory, which is not done yet, and the device to a function that repeats it."""


class StepGraph:
    """Takes the steps of one run: the first ones kernel by kernel, then by replaying a recording of one.

    A recording holds addresses: batches are copied to where the recorded one lay, and the learning rate is a tensor
    that is filled. State that moves, as at the loading of a checkpoint, needs `forget`.
    """

    def __init__(self, device: torch.device, capture: Capture | None = None):
        """
        Args:
            device: the run's.
            capture: how a step is recorded; by a CUDA graph if None.
        """
        self.device, self.capture = device, capture
        self.forget()

    def forget(self) -> None:
        """Starts anew, with steps that are not recorded."""
        self._num_warm, self._replay = 0, None
        self._images = self._labels = torch.empty(0)

    def __call__(self, update: Update, optimizer: Optimizer, images: Tensor, labels: Tensor) -> None:
        """One step."""
        if self._num_warm < WARM_UP:
            self._num_warm += 1
            self._warm_up(update, images, labels)
            return
        if self._replay is None:
            self._images, self._labels = images.clone(), labels.clone()  # keeps the memory format
            make_capturable(optimizer, self.device)
            record = self.capture or capture
            self._replay = record(lambda: update(self._images, self._labels), self.device)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._replay()

    def _warm_up(self, update: Update, images: Tensor, labels: Tensor) -> None:
        if self.capture is not None:
            update(images, labels)
            return
        # Not on the default stream, on which the recording could not wait for what autograd keeps from step to step.
        here, beside = torch.cuda.current_stream(self.device), _side_stream(self.device)
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            update(images, labels)
        here.wait_stream(beside)


def make_capturable(optimizer: Optimizer, device: torch.device) -> None:
    """Moves what changes from step to step into tensors on `device`: the rate, float32 as fused optimizers want it."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), dtype=torch.float32, device=device)
        if "capturable" in group:
            group["capturable"] = True
    optimizer.zero_grad(set_to_none=True)  # so that gradients lie in the recording's own memory


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Sets the learning rate of all groups, in place where a recording reads it; nothing waits for the device."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def plain_state(optimizer: Optimizer) -> dict[str, Any]:
    """The state of `optimizer` as it would be without a graph, so that runs with and without exchange checkpoints."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        if isinstance(group["lr"], Tensor):
            group["lr"] = group["lr"].item()
            group |= {"capturable": False} if "capturable" in group else {}
    return state


def capture(action: Callable[[], None], device: torch.device) -> Replay:
    """Records `action` as a CUDA graph on `device` without doing it.

    Raises:
        RuntimeError: it does what a graph cannot record, such as waiting for the device.
    """
    try:
        with torch.cuda.device(device):
            graph, stream = torch.cuda.CUDAGraph(), _side_stream(device)
            # thread_local: a call in another thread, such as a progress bar's, does not spoil it.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                action()
    except RuntimeError as error:
        raise RuntimeError(
            f"no CUDA graph can be made of the step; train.graph=off trains without one: {error}"
        ) from error
    return graph.replay


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One stream for warm-up and recording: some libraries set themselves up once a stream."""
    return torch.cuda.Stream(device)


def obstacles(
    device: torch.device, optimizer: Optimizer, compiled: bool, freezes: bool, scales_loss: bool, num_ranks: int
) -> list[str]:
    """What keeps the step of a run from being recorded, each in a few words; empty where it can be.

    Args:
        device: the run's.
        optimizer: must be a fused SGD, Adam or AdamW, which read their rate and count their steps on the device.
        compiled: whether `train.compile` is set.
        freezes: whether what is trained changes on the way (`start.freeze_epochs`).
        scales_loss: whether steps may be left out (`train.precision=fp16`).
        num_ranks: processes of the run.
    """
    fused = type(optimizer) in (SGD, Adam, torch.optim.AdamW) and all(g["fused"] for g in optimizer.param_groups)
    found = {
        f"it needs a GPU (CUDA), and the run is on {device.type}": device.type != "cuda",
        "the optimizer is none of sgd, momentum, nag, adam, adamw": not fused,
        "train.compile=true, which makes its own graphs": compiled,
        "start.freeze_epochs changes on the way what is trained": freezes,
        "train.precision=fp16 leaves out steps": scales_loss,
        f"{num_ranks} processes exchange gradients": num_ranks > 1,
    }
    return [words for words, there in found.items() if there]


def make_graph(choice: str, device: torch.device, there: list[str], own_parts: bool) -> StepGraph | None:
    """The recorder of a run's steps; None where they are taken one kernel at a time.

    Args:
        choice: `train.graph`.
        device: the run's.
        there: result of `obstacles`.
        own_parts: whether the user's code takes part in the step, which may do what no graph records: `auto` then
            does not record.
    """
    if choice == "on" and there:
        raise UserError(f"train.graph=on is not possible: {'; '.join(there)}; allowed here: auto, off")
    return None if choice == "off" or there or (choice == "auto" and own_parts) else StepGraph(device)
