"""Test images of runs, fetched by another process: reading data needs torch, which a comparison does not load."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.records.results import Run
from lab.studies.select.arms import complete

MOST_SECONDS = 120.0
"""After which images are given up: of a folder of photographs all may have to be decoded."""


@dataclass(frozen=True)
class Pixels:
    """Images, or why there are none."""

    images: Any = None
    """(k, c, h, w) as the data set stores them; None where there are none."""
    why_not: str = ""
    """Empty also where the examples are no images."""


class Pending:
    """Images that are being fetched."""

    def __init__(self, run: Run, index: Sequence[int], labels: Sequence[int]):
        """
        Args:
            run: any of those that are scored on the same test images.
            index: places in the data set's test part.
            labels: their classes.
        """
        config = complete(run.config)
        keys = [key for key in config if key.startswith("data.")]
        values = {key: config[key] for key in [*keys, "seed", "train.eval_limit"]}
        question = {"config": values, "index": list(index), "labels": list(labels)}
        text = json.dumps(question | {"scored": run.result.get("scored_on")})
        self._found: Pixels | None = None
        self._thread = threading.Thread(target=self._ask, args=(text,), daemon=True)
        self._thread.start()

    def get(self) -> Pixels:
        """The images, as soon as they are there."""
        self._thread.join()
        return self._found or Pixels(why_not="they could not be read")

    def _ask(self, text: str) -> None:
        command = [sys.executable, "-P", "-m", "lab.data.test_images"]
        try:
            done = subprocess.run(
                command, input=text.encode(), capture_output=True, timeout=MOST_SECONDS, start_new_session=True
            )
        except subprocess.TimeoutExpired:
            self._found = Pixels(why_not=f"reading them takes longer than {MOST_SECONDS:.0f} seconds")
        except OSError:
            self._found = None
        else:
            self._found = read_answer(done.stdout) if done.returncode == 0 else None


def read_answer(content: bytes) -> Pixels | None:
    """What `lab.data.test_images` answered; None for anything else."""
    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            found = {key: file[key] for key in ("images", "error") if key in file}
            return Pixels(found.get("images"), str(found.get("error", "")))
    except (OSError, ValueError, EOFError, KeyError):
        return None
