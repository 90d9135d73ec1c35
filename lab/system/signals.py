"""Stop signals: training writes a checkpoint first, and whatever else a command does ends at once, with one line."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks a command to stop: Ctrl-C, `kill`, and a terminal that is closed."""

INTERRUPTED = 130
"""The exit code of a command that one of them ended."""

_farewells: list[Callable[[], object]] = []


def leave_on_interrupt() -> None:
    """From now on a stop signal ends this process at once with one line, wherever it is.

    An exception would not do: imports swallow it or turn it into another, and destructors print it. What has to be put
    in order is a `farewell`; files are written so that a kill at any moment leaves them whole.
    """
    for one in STOP:
        if signal.getsignal(one) is not signal.SIG_IGN:  # a shell starts what runs in the background so, and `nohup`
            signal.signal(one, _leave)


def say_interrupted(words: str) -> None:
    """Tells `words` as the last line of an interrupted command: a further Ctrl-C, while it ends, adds none."""
    from lab.system.reporter import note

    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    with suppress(OSError):
        note(words)


def leave(words: str = "interrupted") -> None:
    """Ends this process at once, after its farewells, with one line and the exit code of an interruption."""
    for one in STOP:
        signal.signal(one, signal.SIG_IGN)
    part()
    warn(words)
    os._exit(INTERRUPTED)


def _leave(number: int, frame: object) -> None:
    leave()


def warn(words: str) -> None:
    """Writes a line to stderr; nothing where that is gone, with its terminal say. A signal handler may call it."""
    with suppress(OSError):
        os.write(2, f"{words}\n".encode())


def part() -> None:
    """Does all that is to be done before this process ends at once."""
    for act in reversed(_farewells):
        with suppress(Exception):
            act()


def on_leaving(act: Callable[[], object]) -> None:
    """Has `act` called, once, if this process ends at once from now on; see `farewell`."""
    if act not in _farewells:
        _farewells.append(act)


@contextmanager
def farewell(act: Callable[[], object]) -> Iterator[None]:
    """Has `act` called if the process ends at once within the block; it may be called from a signal handler."""
    _farewells.append(act)
    try:
        yield
    finally:
        _farewells.remove(act)


@contextmanager
def on_first_stop_signal(act: Callable[[], object], at_once: Callable[[], None] | None = None) -> Iterator[None]:
    """Calls `act` at the first stop signal; a second one has its usual effect. Nothing outside of the main thread.

    A SIGHUP that is ignored stays so, as `nohup` wants it, and so does what Python did not install.

    Args:
        act: called at the first one; False where there is nothing to wait for, so that it has its usual effect, too.
        at_once: called before that usual effect.
    """
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(number: int, frame: object) -> None:
        for one in previous:
            signal.signal(one, second)
        if act() is False:
            second(number, frame)

    def second(number: int, frame: object) -> None:
        put_back()
        if at_once:
            at_once()
        if previous[signal.Signals(number)] is signal.SIG_DFL:
            part()
        signal.raise_signal(number)

    def put_back() -> None:
        for one, handler in previous.items():
            signal.signal(one, handler)

    previous = {one: handler for one in STOP if (handler := signal.getsignal(one)) is not None}
    if len(STOP) > 2 and previous.get(STOP[2]) is signal.SIG_IGN:
        del previous[STOP[2]]
    for one in previous:
        signal.signal(one, first)
    try:
        yield
    finally:
        put_back()


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turns the first stop signal into a request to stop; a second one stops at once."""
    import threading

    asked = threading.Event()
    with on_first_stop_signal(asked.set):
        yield asked.is_set


@contextmanager
def held_back() -> Iterator[None]:
    """Stop signals wait until the block is left; processes that it starts never get them, and nor do their children,
    unless they ask for them (`let_through`)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """Stop signals reach this process, also where the one that started it had held them back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
