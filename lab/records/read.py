"""Files that others may have damaged: read without waiting or running anything, or one message that names the file."""

import json
import re
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError

MOST = 64 * 2**20
"""Bytes of a configuration or record; none of the lab's comes near."""


def read_bytes(path: Path) -> bytes:
    """The content of a regular file; raises `OSError` for anything else, as a fifo, which a reader would wait for."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a regular file")
    return path.read_bytes()


HIDDEN = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if chr(number) not in "\n\t"}
"""Control characters as they are shown: a terminal would obey them."""

MAY_HIDE = re.compile(rb"\\[bfru]|\x7f|\xc2[\x80-\x9f]")
"""What is in every JSON file whose texts have control characters besides line ends and tabs."""


def visible(value: Any) -> Any:
    """`value` with the control characters of its texts made visible, all the way down."""
    if isinstance(value, str):
        return value.translate(HIDDEN)
    if isinstance(value, dict):
        return {visible(key): visible(item) for key, item in value.items()}
    return [visible(item) for item in value] if isinstance(value, list) else value


def parse_json(content: bytes) -> Any:
    """What JSON `content` of others holds; raises `ValueError` or `RecursionError` if it is none."""
    found = json.loads(content)
    return visible(found) if MAY_HIDE.search(content) else found


def begins(path: Path, text: str) -> bool:
    """Whether `path` is a regular file that begins with `text`."""
    try:
        return read_bytes(path).startswith(text.encode())
    except OSError:
        return False


def read_json(path: Path, remedy: str = "") -> Any:
    """What the JSON file `path` holds.

    Args:
        path: the file.
        remedy: what to do where it is damaged, for the message.

    Raises:
        FileNotFoundError: there is none.
        DamagedFileError: it is no JSON, no regular file, or cannot be read.
    """
    try:
        return parse_json(read_bytes(path))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error, remedy) from error


def read_yaml(path: Path) -> Any:
    """What the YAML file `path` holds; plain values alone, so that nothing runs.

    Raises:
        FileNotFoundError: there is none.
        DamagedFileError: it is no such YAML, no regular file, or cannot be read.
    """
    import yaml  # late: most of the lab needs none

    try:
        content = read_bytes(path)
        if len(content) > MOST:
            raise ValueError(f"{len(content):,} bytes")
        return visible(yaml.safe_load(content))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception, remedy: str = "") -> DamagedFileError:
    """The message for a file that `error` came from."""
    return DamagedFileError(f"{path} is damaged ({type(error).__name__}){f'; {remedy}' if remedy else ''}")
