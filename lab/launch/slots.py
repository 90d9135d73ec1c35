"""Worker processes: a slot is one process with a pipe for calls and answers, replaced when it dies.

Pipes alone join the processes. A semaphore or shared memory would stay in `/dev/shm` when all of them are killed, and
needs room there. The end of a pipe tells that the other process is gone, however it ended.
"""

import multiprocessing
import multiprocessing.util
import os
import pickle
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any

from lab.errors import UserError, described
from lab.system.reporter import Keeper, note, reporting_to
from lab.system.signals import held_back, let_through, on_leaving


class DiedError(UserError):
    """The process of a slot ended without an answer."""

    exit_code = 1

    def __init__(self, ended_by: str):
        super().__init__(f"the run's process died (killed, or out of memory): {ended_by}")
        self.ended_by = ended_by


class Stop:
    """A request to stop that all workers see: a byte in a pipe that nobody reads. It also ends with this process."""

    def __init__(self) -> None:
        self.reader, self._writer = multiprocessing.Pipe(duplex=False)
        self.asked = False
        self.training = False
        """Whether runs may be under way, which have something to keep."""

    def ask(self) -> None:
        """Asks; a signal handler may call it, and more than once."""
        self.asked = True
        with suppress(OSError):
            os.write(self._writer.fileno(), b"!")

    def close(self) -> None:
        self.reader.close()
        self._writer.close()


class Slot:
    """A worker process; one call at a time."""

    def __init__(self, context: Any, prepare: Callable[..., object], *args: object):
        """
        Args:
            context: of `multiprocessing`, from `make_context`.
            prepare: what the process calls first, with `args`.
        """
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, list(sys.path), prepare, args))
        with without_main():
            self.process.start()
        theirs.close()

    def submit(self, function: Callable[..., object], *args: object) -> None:
        """Calls `function` in the process; `result` has the answer."""
        with suppress(OSError):  # it has died, as `result` will tell
            self.pipe.send((function, args))

    def result(self) -> Any:
        """What the call returned, or raises what it raised; waits for it.

        Raises:
            DiedError: the process ended without an answer.
        """
        try:
            well, value, notes = self.pipe.recv()
        except (OSError, EOFError):
            self.process.join()
            raise DiedError(end_text(self.process.exitcode)) from None
        for line in notes:
            note(line)
        if not well:
            raise value
        return value

    def is_gone(self) -> bool:
        """Whether the process died while it had nothing to do."""
        return self.pipe.poll()

    def close(self) -> None:
        """Waits for the call under way, and ends the process."""
        self.pipe.close()
        self.process.join()


def end_text(code: int | None) -> str:
    """How a process ended: `SIGKILL`, `exit code 1`."""
    if code is None or code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def serve(calls: Connection, path: list[str], prepare: Callable[..., object], args: Sequence[object]) -> None:
    """The life of a worker: answers one call after another, until the other end of the pipe is closed."""
    sys.path[:] = path
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on by `Stop`
    let_through()
    prepare(*args)
    with suppress(EOFError, OSError):  # nobody asks, or listens, any more
        while True:
            function, given = calls.recv()
            kept = Keeper()  # the parent tells it
            try:
                with reporting_to(kept):
                    answer = True, function(*given)
            except BaseException as error:  # no Ctrl-C, but `sys.exit` of a user's own code, say
                answer = False, portable(error)
            calls.send((*answer, kept.notes))


def portable(error: BaseException) -> Exception:
    """`error`, or its words where it does not pickle or would end the process that gets it; with its traceback, unless
    it is for the user."""
    if not isinstance(error, UserError):
        error.add_note(traceback.format_exc())
    with suppress(Exception):
        pickle.loads(pickle.dumps(error))
        if isinstance(error, Exception):
            return error
    return RuntimeError(described(error))


@contextmanager
def without_main() -> Iterator[None]:
    """A process that starts within imports nothing of the caller's main module: a script without a guard would be run
    by it once more."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


_preload_before: list[list[str]] = []
"""What the server was to import before the lab asked for more; empty where the server is none of the lab's."""


def make_context(preload: Sequence[str]) -> Any:
    """The context of `multiprocessing` in which workers start; where it can, a server imports `preload` for all.

    The server and its helper never get a stop signal, which would end them while a worker writes its checkpoint.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        os.environ["PYTHONSAFEPATH"] = "1"  # as below, for each process
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    context, server = multiprocessing.get_context("forkserver"), _server()
    if server._forkserver_pid is None:
        _preload_before.append(server._preload_modules)
        context.set_forkserver_preload(list(preload))
    with safe_path():
        for start in (resource_tracker.ensure_running, forkserver.ensure_running):
            with held_back():  # twice, as the first one lets signals through
                start()
    on_leaving(clean_up)
    return context


@contextmanager
def safe_path() -> Iterator[None]:
    """A process that starts within does not import `random.py` and the like from where one types."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _server() -> Any:
    """The server of this process, whether it runs or not."""
    from multiprocessing import forkserver

    return forkserver._forkserver  # pyright: ignore[reportAttributeAccessIssue]


def stop_server() -> None:
    """Ends the server of `make_context`: processes that the caller starts later have none of its settings."""
    if _preload_before:
        server = _server()
        server._stop()
        server._preload_modules = _preload_before.pop()
        _preload_before.clear()


def clean_up() -> None:
    """Ends the server at once, which may be importing, and removes its socket."""
    if number := _server()._forkserver_pid:
        os.kill(number, signal.SIGKILL)
    shutil.rmtree(multiprocessing.util.get_temp_dir(), ignore_errors=True)


def first_ready(slots: Sequence[Slot], stop: Stop, timeout: float | None = None) -> list[Slot]:
    """Those of `slots` that have an answer; waits for the first, or until `stop` is asked or the time is up."""
    others = [] if stop.asked else [stop.reader]
    ready = wait([*(slot.pipe for slot in slots), *others], timeout)
    return [slot for slot in slots if slot.pipe in ready]


def kill_all(slots: Sequence[Slot]) -> None:
    """Kills the processes of `slots`."""
    for slot in slots:
        slot.process.kill()
