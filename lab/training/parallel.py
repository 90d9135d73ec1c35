"""One run over several processes: each takes its share of every batch, and all take the same step.

The processes are started by `torchrun`, which tells each its rank; they talk over gloo on CPUs and NCCL on GPUs.
In a run of one process nothing here does anything.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lab.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes that train one run. Every method but `share` must be called by all of them, in the same order."""

    rank: int = 0
    """This process, from 0; rank 0 is the one that writes."""
    size: int = 1

    def share(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """This rank's rows of a batch: the rank-th of `size` pieces in order, of equal length up to one row."""
        if self.size == 1:
            return images, labels
        rows = slice(self.rank * len(labels) // self.size, (self.rank + 1) * len(labels) // self.size)
        return images[rows], labels[rows]

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces each gradient by its mean over the ranks, which is that of the whole batch's mean loss.

        All gradients travel in one message after the backward pass. Parameters without one (held still) are
        left out; they must be the same on all ranks.
        """
        if self.size == 1:
            return
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= self.size
        for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view(grad.shape))

    def total(self, sums: Tensor) -> Tensor:
        """The sum of `sums` over the ranks, float64, on each of them; `sums` unchanged in a run of one process."""
        if self.size == 1:
            return sums
        total = sums.to(torch.float64, copy=True)
        dist.all_reduce(total)
        return total

    def move_to_first(self, sums: Tensor) -> None:
        """Adds up `sums` in place on rank 0 and leaves zeros on the others, so that the total stays what it was."""
        if self.size > 1:
            sums.copy_(self.total(sums) * (self.rank == 0))

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag, true where it is true on any rank: clocks and signals do not reach all at the same step."""
        if self.size == 1:
            return flags
        counts = torch.tensor(flags, dtype=torch.int32)  # on the CPU, so that no device is waited for
        dist.all_reduce(counts)
        return tuple(count > 0 for count in counts.tolist())

    def gather(self, value: T) -> list[T]:
        """`value` of every rank, in order."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns on rank 0, where alone it is called."""
        if self.size == 1:
            return make()
        found: list[Any] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(found)
        return found[0]


ALONE = Ranks()
"""A run of one process."""


def current_ranks() -> Ranks:
    """The ranks that `joined` made; `ALONE` outside it."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return ALONE


@contextmanager
def joined(size: int, local_rank: int, local_size: int, device: str) -> Iterator[None]:
    """Joins the processes of `torchrun` for the time of a run; does nothing if `size` is 1.

    Args:
        size: how many there are.
        local_rank: this one's place among those on this machine, which is the GPU that it takes.
        local_size: how many there are on this machine.
        device: `train.device`.

    Raises:
        UserError: a device of which each process cannot have one, or fewer GPUs than processes.
    """
    if size == 1:
        yield
        return
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"train.device={device} is not possible with {size} processes; allowed: auto, cpu, cuda")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        if local_size > torch.cuda.device_count():
            raise UserError(
                f"torchrun started {local_size} processes on a machine with {torch.cuda.device_count()} GPUs; "
                f"allowed: one process a GPU, or train.device=cpu"
            )
        torch.cuda.set_device(local_rank)
    # Its functions take the group of the moment of their import as a default. Imported later (torch.compile's module,
    # which every optimizer imports, does it), they would keep the group alive after its end, and a thread of gloo that
    # lets go of a tensor while Python shuts down aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def check_share(batch_size: int, size: int) -> None:
    """Raises `UserError` unless `size` processes can take equal shares of a batch."""
    if batch_size % size:
        raise UserError(
            f"train.batch_size={batch_size} does not divide among {size} processes; it is the batch of all of them "
            f"together: take a multiple of {size}"
        )


class _Sum(torch.autograd.Function):
    """The sum over all ranks; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the batches of all ranks together, on a CPU, where torch's SyncBatchNorm does not work.

    Batches of one length on every rank; biased variance for the batch, unbiased for the running one, as torch has it.
    """

    num_ranks = 1
    reached = False
    """Whether the batch was shared since the flag was put down; a subclass may work it out by itself."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any (b, c, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        self.reached = True
        if not self.training:
            return super().forward(input)
        x, dims = input, [0, *range(2, input.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = self.num_ranks * x.numel() // x.shape[1]
        mean = _sum(x.sum(dims)) / count  # (c,)
        centred = x - mean.view(shape)
        variance = _sum(centred.square().sum(dims)) / count  # (c,)
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            with torch.no_grad():
                self.num_batches_tracked += 1
                rate = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, rate)
                self.running_var.lerp_(variance * count / max(1, count - 1), rate)
        x = centred * (variance + self.eps).rsqrt().view(shape)
        x = x if self.weight is None else x * self.weight.view(shape)
        return x if self.bias is None else x + self.bias.view(shape)


def _sum(x: Tensor) -> Tensor:
    total = _Sum.apply(x)
    assert isinstance(total, Tensor)
    return total


TORCHS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def share_norms(model: nn.Module, ranks: Ranks, device: torch.device) -> nn.Module:
    """`model` with every batch norm over the batch of all ranks, under all of its names; unchanged for one process.

    On a GPU torch's own become its SyncBatchNorm. All others, a user's subclasses too, stay the modules that they are,
    with `SharedBatchNorm` in the place of torch's forward pass.
    """
    if ranks.size == 1:
        return model
    places: dict[nn.modules.batchnorm._BatchNorm, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            places.setdefault(module, []).append(name)
    for norm, names in places.items():
        if device.type != "cuda" or type(norm) not in (*TORCHS, nn.SyncBatchNorm):
            norm.__class__ = shared_kind(type(norm), ranks.size)  # pyright: ignore[reportAttributeAccessIssue]
            continue
        synced = nn.SyncBatchNorm.convert_sync_batchnorm(norm)
        for name in names:
            if not name:
                return synced
            model.set_submodule(name, synced)
    return model


@cache
def shared_kind(kind: type[nn.Module], num_ranks: int) -> type[nn.Module]:
    """The class `kind` with `SharedBatchNorm` between it and torch's batch norm, which its `super()` then calls."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.reached = not self.training
        outputs = super(made, self).forward(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        if not self.reached:
            raise UserError(
                f"{kind.__module__}.{kind.__qualname__} works out the statistics of a batch by itself, and each of "
                f"{num_ranks} processes has its own share of the batch; allowed: one process, or a batch norm "
                "whose `forward` calls `super().forward(x)`"
            )
        return outputs

    members = {"num_ranks": num_ranks} if kind in TORCHS else {"num_ranks": num_ranks, "forward": forward}
    bases: Any = (kind, SharedBatchNorm)
    made = type(f"Shared{kind.__name__}", bases, members)
    return made
