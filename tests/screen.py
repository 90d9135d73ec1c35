"""A terminal for tests: a pseudo-terminal, and what somebody would see on it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def terminal(columns: int, rows: int = 24) -> Iterator[tuple[int, TextIO]]:
    """A pseudo-terminal of that size: the end that a user sees, and a stream for who writes to it."""
    seen, written = pty.openpty()
    resize(seen, columns, rows)
    with open(written, "w") as stream:
        yield seen, stream
    os.close(seen)


def resize(seen: int, columns: int, rows: int = 24) -> None:
    fcntl.ioctl(seen, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def lines_of(text: str, columns: int) -> list[str]:
    """The lines that a terminal of `columns` shows after `text`, spaces at their ends aside; those above stay.

    It knows what a display may use: carriage return, new line, cursor up, and erasing from the cursor to the end.
    """
    screen, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[\d*[A-Za-z]|.", text, re.DOTALL):
        if token == "\r":
            column = 0
        elif token == "\n":
            row, column = row + 1, 0
        elif token[0] == "\x1b":
            assert token[-1] in "AJ", f"unknown: {token!r}"
            row -= int(token[2:-1] or 1) if token[-1] == "A" else 0
            if token[-1] == "J":
                screen[row:] = [screen[row][:column]]
        else:
            if column == columns:
                row, column = row + 1, 0
            screen += [""] * (row + 1 - len(screen))
            screen[row] = screen[row][:column].ljust(column) + token + screen[row][column + 1 :]
            column += 1
        screen += [""] * (row + 1 - len(screen))
    return [line.rstrip() for line in screen]


def read_all(seen: int) -> str:
    """What was written so far."""
    os.set_blocking(seen, False)
    found = b""
    while True:
        try:
            piece = os.read(seen, 1 << 16)
        except (BlockingIOError, OSError):
            break
        if not piece:
            break
        found += piece
    return found.decode()


def watch(command: Sequence[str], columns: int, seconds: float, folder: Path, **environment: str) -> "Watched":
    """`command`, started on a terminal of its own."""
    own = {**os.environ, "TERM": "xterm", **environment}
    with terminal(columns) as (seen, stream):
        process = subprocess.Popen(
            command, stdin=stream, stdout=stream, stderr=stream, cwd=folder, env=own, start_new_session=True
        )
        seen = os.dup(seen)
    return Watched(process, seen, columns, time.monotonic() + seconds)


class Watched:
    """A command on a terminal of its own, and what it has written."""

    def __init__(self, process: subprocess.Popen[bytes], seen: int, columns: int, until: float):
        self.process, self.seen, self.columns, self.until, self.text = process, seen, columns, until, ""
        self.moments: list[str] = []
        """All that was written, after each time that something was."""

    def read(self) -> bool:
        """Reads what was written meanwhile; whether the command goes on."""
        assert time.monotonic() < self.until, f"it takes too long:\n{self.text}"
        ended = self.process.poll() is not None
        if piece := read_all(self.seen):
            self.text += piece
            self.moments.append(self.text)
        time.sleep(0.05)
        return not ended

    def wait_for(self, pattern: str) -> None:
        """Until what was written matches."""
        while not re.search(pattern, self.text):
            assert self.read(), self.text

    def end(self) -> list[str]:
        """The lines that are on the screen when it has ended."""
        while self.read():
            pass
        os.close(self.seen)
        return lines_of(self.text, self.columns)
