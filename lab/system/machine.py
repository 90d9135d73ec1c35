"""The machine: CPU cores, processes and memory. Knows nothing of the lab, and needs no torch."""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def num_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_cards() -> list[str]:
    """The GPUs of NVIDIA that this process may use, as `CUDA_VISIBLE_DEVICES` names them, found without torch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        cards = [card.strip() for card in given.split(",")]
        ends = [place for place, card in enumerate(cards) if card in ("", "-1", "NoDevFiles")]
        return cards[: ends[0]] if ends else cards  # the driver takes none after one that is not there
    there = [path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()]
    return [str(place) for place in range(len(there))]


def num_processes() -> int:
    """Processes that `torchrun` started to train one run together; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if os.environ.keys() >= _TORCHRUN else 1


def local_rank() -> tuple[int, int]:
    """This process's place among those of one run on this machine, from 0, and their number."""
    if num_processes() == 1:
        return 0, 1
    return int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])


def is_first_process() -> bool:
    """Whether this process is the one that writes and prints."""
    return num_processes() == 1 or os.environ["RANK"] == "0"


def keep_memory() -> None:
    """Makes the C library keep freed memory for this process, if it is glibc (`man 3 mallopt`).

    By default it returns the free end of its heap to the kernel, which clears every page again at the next
    step: up to a third of its time on a CPU (`benchmarks/loop.py`). Blocks above 8 MiB are mapped one by one, as ever:
    in the heap they would leave holes, and take half as much memory again (`benchmarks/memory.py`).
    """
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if library is not None and hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_M_TRIM_THRESHOLD, 128 * 2**20)
        library.mallopt(_M_MMAP_THRESHOLD, 8 * 2**20)


@contextmanager
def collector_off() -> Iterator[None]:
    """Disables Python's garbage collector, which would search a thousand records that are all in use."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def free_memory() -> int | None:
    """Bytes that this process may still take, by the machine, its control group and its limits; None if unknown."""
    found = []
    with suppress(OSError, ValueError, KeyError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    first, second = ("", "memory.max", "memory.current"), ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
    for group, most, used in (first, second):
        with suppress(OSError, ValueError):  # `max` is no number: there is no limit
            folder = Path("/sys/fs/cgroup") / group
            found.append(int((folder / most).read_text()) - int((folder / used).read_text()))
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            found.append(limit - pages * resource.getpagesize())
    return max(0, min(found)) if found else None


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h."""

_TORCHRUN = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
"""`torchrun` sets all of these for each process; a cluster may set some of them for other purposes."""
