"""Locks on folders, so that two commands never write the same run, on one machine or on two.

A folder has two, both by `filelock`. The kernel's lock (flock) decides on one machine: it is free the moment its
process dies. Some network file systems don't pass it on to other machines, so whoever has it takes a lease as well: a
file with host and process that is touched every `BEAT` seconds. A process elsewhere takes the lease over once it has
seen the file unchanged for `LEASE` seconds by its clock, so no two clocks are compared; the holder that lost it,
suspended perhaps, notices before its next write (`Held.check`). Hosts need different names.
"""

import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, LeaseSettingsMismatch, SoftFileLease, Timeout

from lab.errors import InTheWayError, UserError
from lab.system.reporter import note

LEASE = 60.0
"""Seconds without a touch after which a lease is stale. All hosts have to agree, so it stays as it is."""

BEAT = 10.0
"""Seconds between two touches of a lease."""

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems without flock answer, some network shares among them: there the lease alone decides."""

TORN = 2.0
"""Seconds for which a lease's file may name no process: between two calls its writer makes it and fills it."""

MOMENT = 0.06
"""Seconds for which a lock is asked for at least, as `is_locked` of another process holds it for a moment."""


class LockedError(UserError):
    """Another process holds the lock."""


class LostLockError(LockedError):
    """This process held the lock, and another one has taken it over."""

    exit_code = 130


class Held:
    """A lock that this process holds."""

    def __init__(self, folder: Path, lease: SoftFileLease):
        self.folder, self.lease = folder, lease

    @property
    def lost(self) -> bool:
        """Whether the lease is known to be lost, without reading its file."""
        return self.lease.compromise is not None

    def check(self) -> None:
        """Raises `LostLockError` unless the lease is still this process's: to be called before each write."""
        for _ in range(3):  # for a moment a file may be moved aside while another process reads it
            owner = self.lease.owner
            if not self.lost and owner is not None and owner.token == self.lease.token:
                return
            time.sleep(0.05)
        raise LostLockError(
            f"{self.folder} was taken over by another process{_holder(self.lease)}, as this one did not respond for "
            f"{LEASE:g} s; it stops here and writes nothing more"
        )


@contextmanager
def locked(folder: Path, name: str = ".lock", wait: bool = False) -> Iterator[Held]:
    """Holds the lock `folder`/`name` and its lease, whose file says whose they are; both files are removed afterwards.

    Where only a lease is in the way, of another host, this waits until it is touched or stale.

    Args:
        folder: what is locked; it exists.
        name: which of its locks.
        wait: whether to wait for another process that holds it.

    Raises:
        LockedError: another process, or another part of this one, holds it, and `wait` is false.
        OSError: the folder cannot be written, or a lock file is a link.
    """
    path = folder / name
    lease, timeout = _lease(path), -1 if wait else MOMENT
    _check_kind(Path(lease.lock_file))
    with _kernel_lock(path, lease, timeout):
        _acquire(lease, folder, timeout)
        try:
            yield Held(folder, lease)
        finally:
            lease.release()


_observed: dict[Path, SoftFileLease] = {}
"""The leases that `is_locked` was asked about: each remembers since when it has seen its file unchanged."""


def is_locked(folder: Path) -> bool:
    """Whether another process holds the lock of `folder`; asked again and again, a stale lease is taken away."""
    path = folder / ".lock"
    lease = _observed.setdefault(path, _lease(path))
    if not path.exists() and not Path(lease.lock_file).exists():
        return False
    try:
        with _kernel_lock(path, lease, 0):
            if _is_torn(lease):
                return False  # whoever takes the lock then waits and sees
            lease.acquire(timeout=0)
            lease.release()
            del _observed[path]
            return False
    except (LockedError, Timeout, LeaseSettingsMismatch):
        return True


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    host: str


def holder_of(folder: Path) -> Holder | None:
    """Who holds the lock of `folder`; None if nobody does. That a process of another host lives is taken on trust."""
    path = folder / ".lock"
    owner = _lease(path).owner if os.path.lexists(f"{path}.lease") else None
    if owner is None:
        return None
    with suppress(OSError):  # in a folder that may not be written
        if _host(owner.hostname) == socket.gethostname() and not is_locked(folder):
            return None
    return Holder(owner.pid, _host(owner.hostname))


def _check_kind(path: Path) -> None:
    """Raises `InTheWayError` where `path` is something else than a file: it would be waited for."""
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise InTheWayError(f"{path} is no regular file, and the lab has its lock there; remove it")


def _lease(path: Path) -> SoftFileLease:
    """The lease that goes with the lock `path`, not taken yet."""
    return SoftFileLease(f"{path}.lease", lease_duration=LEASE, heartbeat_interval=BEAT)


@contextmanager
def _kernel_lock(path: Path, lease: SoftFileLease, timeout: float) -> Iterator[None]:
    """Holds flock on the file `path`, where the file system has it."""
    lock = FileLock(path, timeout=timeout, poll_interval=0.01, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise _locked_error(path.parent, lease) from None
    except OSError as error:
        _check_kind(path)
        if error.errno not in UNSUPPORTED:
            raise
    try:
        owner = lease.owner if lock.is_locked else None
        if owner is not None and _host(owner.hostname) == socket.gethostname():
            lease.force_break()  # left by a process that was killed here: its flock would still be held otherwise
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                path.unlink()  # while it is held: whoever waits for it sees that its file is gone, and makes a new one
            lock.release()


def _acquire(lease: SoftFileLease, folder: Path, timeout: float) -> None:
    """Takes the lease within `timeout`; one of another host is then watched until it is touched or stale."""
    _remove_torn(lease)
    try:
        lease.acquire(timeout=timeout)
        return
    except LeaseSettingsMismatch:
        raise _locked_error(folder, lease) from None
    except Timeout:
        owner, begun = lease.owner, _touched(lease)
        if owner is None or _host(owner.hostname) == socket.gethostname():
            raise _locked_error(folder, lease) from None
    who = _holder(lease).strip()
    note(f"{folder} is leased by another process {who}; waiting up to {LEASE:g} s for a sign of it")
    touched: Callable[[], bool] = lambda: _touched(lease) not in (begun, None)  # noqa: E731
    try:
        lease.acquire(timeout=LEASE + 1, cancel_check=touched)
    except Timeout:
        raise _locked_error(folder, lease) from None


def _is_torn(lease: SoftFileLease) -> bool:
    """Whether the lease's file names no process, as one does whose writer was killed before it had filled it."""
    return _touched(lease) is not None and lease.owner is None


def _remove_torn(lease: SoftFileLease) -> None:
    """Waits until the lease's file names its process, and removes one that has not for `TORN` seconds."""
    seen, begun = _touched(lease), time.monotonic()
    while _is_torn(lease) and _touched(lease) == seen:
        if time.monotonic() - begun >= TORN:
            lease.force_break()  # a writer that slept as long finds that it has lost it (`Held.check`)
            return
        time.sleep(0.01)


def _touched(lease: SoftFileLease) -> tuple[int, int] | None:
    """What changes with every touch of a lease's file, and every holder; None where there is no file."""
    try:
        handle = os.open(lease.lock_file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    status = os.fstat(handle)  # that of an opened file is fresh on NFS, too
    os.close(handle)
    return status.st_mtime_ns, status.st_ino


def _locked_error(folder: Path, lease: SoftFileLease) -> LockedError:
    return LockedError(
        f"{folder} is locked by another process{_holder(lease)}; wait for it, or choose another folder with name="
    )


def _holder(lease: SoftFileLease) -> str:
    """` (pid 123, host node1)`, or nothing where the lease does not say so."""
    owner = lease.owner
    return f" (pid {owner.pid}, host {_host(owner.hostname)})" if owner else ""


def _host(name: str) -> str:
    """A host's name without the process namespace that `filelock` may append."""
    return name.partition("?pidns-")[0]
