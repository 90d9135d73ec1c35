"""Devices by name, and how many CPU threads torch uses."""

import torch

from lab.errors import UserError
from lab.system.machine import free_memory, local_rank, num_cores


def resolve_device(name: str) -> torch.device:
    """The device that `train.device` names; `auto` is the first GPU, else the CPU.

    Raises:
        UserError: no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    there += ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    if name not in there:
        raise UserError(f"train.device={name} is not on this machine; there are: auto, {', '.join(there)}")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def free_bytes(device: torch.device) -> int | None:
    """Bytes of memory that are free on `device`; None where nobody knows."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return free_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, in Python, torch or numpy."""
    words = ("allocate memory", "out of memory", "Unable to allocate", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))


def set_threads(threads: int) -> None:
    """Sets torch's CPU threads; 0 means all cores that this process may use, or its share of them under torchrun."""
    torch.set_num_threads(threads or max(1, num_cores() // local_rank()[1]))
