"""`predictions.npz` of a run: what it predicted of each test image."""

import io
from pathlib import Path
from typing import Any

from lab.records.read import HIDDEN, read_bytes

COLUMNS = ("index", "label", "predicted")
"""Of every image; runs of older versions have nothing else."""


def read_predictions(path: Path) -> dict[str, Any] | None:
    """What the run in `path` predicted of its test images, or None where there is nothing, or a damaged file.

    Returns:
        `index`, `label` and `predicted`, (n,) whole numbers; and where the run kept them `confidence`, (n,), the
        probability of the class predicted, and `classes`, (k,) names.
    """
    import numpy as np

    try:
        with np.load(io.BytesIO(read_bytes(path / "predictions.npz")), allow_pickle=False) as file:
            found = {key: file[key] for key in (*COLUMNS, "confidence", "classes") if key in file}
    except Exception:  # the pieces of a damaged archive can raise anything
        return None
    columns = [found.get(key, np.zeros(())) for key in COLUMNS]
    if len({one.shape for one in columns}) > 1 or any(one.ndim != 1 or one.dtype.kind not in "iu" for one in columns):
        return None
    confidence, classes = found.pop("confidence", None), found.pop("classes", None)
    if confidence is not None and confidence.shape == columns[0].shape and confidence.dtype.kind == "f":
        found["confidence"] = confidence
    if classes is not None and classes.ndim == 1 and classes.dtype.kind == "U":
        found["classes"] = np.array([str(name).translate(HIDDEN) for name in classes])
    return found
