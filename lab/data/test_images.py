"""Some test images of a run as its data set stores them, for `lab.studies.select.pixels`, a process without torch.

python -m lab.data.test_images reads the question, JSON, from standard input, and writes the answer, an .npz file, to
standard output.
"""

import io
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lab.config import RunConfig
from lab.data.batches import load_dataset
from lab.data.digest import scored_on
from lab.errors import UserError
from lab.identity import with_values

CHANGED = "the data that are there now are not those that the runs were scored on"


def test_images(
    config: Mapping[str, Any], index: Sequence[int], labels: Sequence[int], scored: str | None
) -> np.ndarray | None:
    """Test images (k, c, h, w) as they are stored, unscaled; None where the examples are no images.

    Args:
        config: the keys `data.*`, `seed` and `train.eval_limit` of a run.
        index: places in the data set's test part, (k,).
        labels: their classes, as the run had them.
        scored: `scored_on` of the run; None for one that did not record it.

    Raises:
        UserError: the data are not there, or are others.
    """
    found = with_values(RunConfig(), config)
    if ":" in found.data.name:
        raise UserError(f"data.name={found.data.name} names code, which a comparison does not run")
    data = load_dataset(found.data, found.seed, torch.device("cpu"))
    if len(data.shape) != 3:
        return None
    own = data.test.labels[torch.tensor(index)].tolist() if max(index) < len(data.test.labels) else []
    if own != list(labels) or (scored and scored_on(data, found.train.eval_limit) != scored):
        raise UserError(CHANGED)
    return data.test.images[torch.tensor(index)].numpy()


def main() -> None:
    """Answers one question: `images`, or `error`, or nothing for examples that are no images."""
    warnings.simplefilter("ignore")
    try:
        images = test_images(**json.load(sys.stdin))
        answer = {} if images is None else {"images": images}
    except UserError as error:
        answer = {"error": np.array(str(error))}
    file = io.BytesIO()
    np.savez(file, **answer)  # pyright: ignore[reportArgumentType]
    sys.stdout.buffer.write(file.getvalue())


if __name__ == "__main__":
    main()
