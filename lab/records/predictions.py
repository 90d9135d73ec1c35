"""What a run predicted of each test image: its `predictions.npz`, and the table that `lab predict` writes."""

import io
from pathlib import Path
from typing import Any

from lab.records.read import HIDDEN, begins, read_bytes

COLUMNS = ("index", "label", "predicted")
"""Of every image; runs of older versions have nothing else."""

TABLE = "predictions.csv"
"""The table of `lab predict` in the run's folder."""

CLASSES = ("index", "label", "predicted", "probability", "lower", "upper", "std", "entropy", "mutual_information")
"""The columns of a classification's table; `index` is the image's place in the data set's test part."""

NUMBERS = ("index", "label", "predicted", "lower", "upper", "std")
"""Those of a regression's table, in the unit of the target."""


def is_table(path: Path) -> bool:
    """Whether a file is such a table."""
    return any(begins(path, f"{','.join(columns)}\n") for columns in (CLASSES, NUMBERS))


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
