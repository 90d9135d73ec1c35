"""Locks on folders, so that two commands never write the same run: the kernel frees those of a process that died."""

import errno
import itertools
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has none, and there nothing is locked
    fcntl = None

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems without locks answer, some network shares among them."""

TRIES = 3
"""How often a lock is asked for, as `is_locked` of another process holds it for a moment."""


class LockedError(UserError):
    """Another process holds the lock."""


@contextmanager
def locked(folder: Path, name: str = ".lock", wait: bool = False) -> Iterator[None]:
    """Holds the lock `folder`/`name` (flock); the file says whose it is, and is removed afterwards.

    Where the file system has no locks there is a warning, and none is held.

    Args:
        folder: what is locked; it exists.
        name: which of its locks.
        wait: whether to wait for another process that holds it.

    Raises:
        LockedError: another process, or another part of this one, holds it, and `wait` is false.
        OSError: the folder cannot be written.
    """
    if fcntl is None:
        yield
        return
    path = folder / name
    handle = _take(path, wait)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether another process holds the lock of `folder`."""
    if not (folder / ".lock").exists():
        return False
    try:
        with locked(folder):
            return False
    except LockedError:
        return True


def _take(path: Path, wait: bool) -> int:
    """A handle of the file `path` that bears the lock."""
    assert fcntl is not None
    for attempt in itertools.count(1):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
            os.close(handle)
            if attempt >= TRIES:
                raise LockedError(
                    f"{path.parent} is in use by another command ({holder}); wait for it, or take another name="
                ) from None
            time.sleep(0.02)
            continue
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                os.close(handle)
                raise
            warnings.warn(f"{path.parent} has no locks ({error.strerror}): one command at a time, please", stacklevel=4)
            return handle
        if _is_at(handle, path):
            with suppress(OSError):  # the disk may be full
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return handle
        os.close(handle)  # whoever held it has removed the file since it was opened
    raise AssertionError


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
