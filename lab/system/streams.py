"""Standard output and error that outlast whoever reads them: a run goes on where `| head` has seen enough."""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Lasting:
    """A stream whose reader may go, or whose disk may fill: what is written then is dropped, and nothing fails."""

    def __init__(self, stream: TextIO, hint: str = ""):
        self._stream, self._hint = stream, hint
        self.error: OSError | None = None
        """Why it was given up, if it was."""

    def write(self, text: str) -> int:
        with self._giving_up():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._giving_up():
            self._stream.flush()

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # a ValueError is that of a stream that was closed
            if isinstance(error, UnicodeError):
                raise
            first, self.error = self.error is None, error if isinstance(error, OSError) else OSError(str(error))
            nowhere = os.open(os.devnull, os.O_WRONLY)
            with suppress(OSError, ValueError, io.UnsupportedOperation):
                os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if first and self._hint:
                print(self._hint, file=sys.stderr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def last(hint: str = "") -> tuple[Lasting, Lasting]:
    """Makes standard output and error of this process last, and gives them to it where the shell closed them.

    Args:
        hint: what is told on standard error once nobody reads standard output.
    """
    for number in (0, 1, 2):  # no file that is opened later may get one of their numbers
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    out = Lasting(sys.stdout or open(os.devnull, "w"), hint)  # noqa: SIM115 (till the process ends)
    err = Lasting(sys.stderr or open(os.devnull, "w"))  # noqa: SIM115
    sys.stdout, sys.stderr = out, err  # pyright: ignore[reportAttributeAccessIssue]
    return out, err


@contextmanager
def lasting_streams(hint: str = "") -> Iterator[Callable[[], int]]:
    """`last`, within; yields what tells the exit code: 1 where output was lost, other than by a reader that left."""
    before = sys.stdout, sys.stderr
    out, err = last(hint)

    def lost() -> int:
        out.flush()
        if out.error is None or out.error.errno == errno.EPIPE:
            return 0
        print(f"lab: standard output: {out.error.strerror or out.error}", file=sys.stderr)
        return 1

    try:
        yield lost
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
        for stream, one in zip((out, err), before, strict=True):
            if one is None:
                stream.close()
