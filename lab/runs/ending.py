"""What follows the last step of a run: its test images, `predictions.npz`, and where it diverged."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lab.config import RunConfig
from lab.data.batches import Split
from lab.identity import derive_seed
from lab.nets.uncertainty import uncertainty
from lab.records.write import write_atomically
from lab.runs.build import Parts, assemble
from lab.runs.predict import Disturbance, forecast
from lab.training.checkpoint import previous, read_checkpoint
from lab.training.divergence import is_well, locate
from lab.training.evaluation import eval_batch
from lab.training.losses import loss_name


def test_scores(
    parts: Parts, limit: int | None, folder: Path | None, probabilities: bool
) -> dict[str, dict[str, float]]:
    """The metrics of the test images; for a classifier also writes `predictions.npz` into `folder`, if there is one.

    Args:
        parts: of a run that was trained.
        limit: most images that are read.
        folder: the run's.
        probabilities: whether the softmax of the outputs is what the net was trained to say of the classes.
    """
    data, training = parts.data, parts.training
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    scores = parts.score(data.test.batches(eval_batch(data.shape, training.clock.device), limit), seen=seen)
    if data.classes and seen and folder:
        guesses, shares = (torch.cat(part) for part in zip(*seen, strict=True))
        packed = pack_predictions(data.test, guesses, data.classes, shares if probabilities else None)
        write_atomically(folder / "predictions.npz", packed)
    return {f"test/{key}": {"last": v, "best": v, "best_step": training.step} for key, v in scores.items()}


def says_probabilities(config: RunConfig) -> bool:
    """Whether the net of a classification puts out logits, and its loss is that of the classes' probabilities."""
    return config.model.output == "identity" and loss_name(config.train, True) in ("cross_entropy", "focal")


def sampled_scores(parts: Parts, limit: int | None, seed: int) -> dict[str, dict[str, float]]:
    """What Monte-Carlo passes tell of the test images, with the draws of `lab predict`; empty if none are asked for."""
    if not parts.mc_passes:
        return {}
    parts.model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]  # masks depend on it
    found = forecast(parts.model, parts.data, parts.mc_passes, Disturbance(0.0, 0.0), limit, seed)
    figures = uncertainty(found.prediction, found.labels)
    return {f"test/{key}": {"last": v, "best": v, "best_step": parts.training.step} for key, v in figures.items()}


def chance(parts: Parts) -> float:
    """The accuracy that the commonest class alone gives, in validation or test, whichever is higher."""
    shares = []
    for split in (parts.data.val, parts.data.test):
        counts = torch.bincount(split.labels[split.index])
        shares.append(float(counts.max()) / max(1, len(split)))
    return max(shares)


def pack_predictions(
    test: Split, predicted: torch.Tensor, classes: tuple[str, ...], confidence: torch.Tensor | None = None
) -> bytes:
    """`predictions.npz`: `index`, `label` and `predicted` of the test images that were read, in small integers, their
    `confidence`, the probability of the class predicted (float32), and the names of the `classes`.

    `index` is an image's place in the data set's test part; some kilobytes, so that two runs can be compared image by
    image.
    """
    index = test.index[: len(predicted)]
    columns = {"index": index, "label": test.labels[index], "predicted": predicted}
    arrays: dict[str, Any] = {key: column.cpu().numpy() for key, column in columns.items()}
    small: dict[str, Any] = {key: array.astype(np.min_scalar_type(array.max())) for key, array in arrays.items()}
    small |= {"confidence": confidence.float().cpu().numpy()} if confidence is not None else {}
    file = io.BytesIO()
    np.savez_compressed(file, classes=np.array(classes), **small)
    return file.getvalue()


def find_divergence(config: RunConfig, checkpoint: Path, until: int, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """Step and layer at which a run diverged: trained again from the last checkpoint in which all was well.

    Where only an evaluation had numbers that are not finite, the layer is the one that made them there.
    """
    try:
        parts = assemble(replace(config, train=replace(config.train, compile=False, graph="off")))
        training = parts.training
        torch.manual_seed(derive_seed(config.seed, "dropout"))
        for file in (checkpoint, previous(checkpoint)):
            if file.exists() and is_well(state := read_checkpoint(file, training.clock.device)):
                training.load_state(state)
                break
        test = partial(test_scores, parts, config.train.eval_limit, None, False)
        return locate(training, until, should_stop, (training.evaluate, test))
    except Exception as error:  # out of memory, say: the run has diverged all the same
        return {"step": until, "layer": None, "what": "loss", "note": f"{type(error).__name__}: {error}"}
