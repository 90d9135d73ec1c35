"""`lab predict`: a finished run's net on its test images, with Monte-Carlo intervals where it has drops."""

import csv
import io
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lab.data.batches import Dataset, Split
from lab.data.shifts import rotated
from lab.errors import UserError, check_range
from lab.identity import derive_seed
from lab.nets.monte_carlo import LEVEL, Prediction, mc_predict
from lab.records.cells import cells
from lab.records.predictions import CLASSES, NUMBERS, TABLE, is_table
from lab.records.write import write_atomically
from lab.runs.origin import find_run, load_net
from lab.system.devices import resolve_device

BATCH = 512
"""Test images that are disturbed and predicted at a time; the result does not depend on it."""


@dataclass(frozen=True)
class Disturbance:
    """What is done to a test image before it is predicted."""

    noise: float
    """Standard deviation of gaussian noise added to the scaled image, at least 0."""

    rotate: float
    """Degrees, counter-clockwise; the corners are filled with the pixel value 0."""


@dataclass(frozen=True)
class Forecast:
    """Predictions of a run's test images, beside the truth."""

    index: Tensor  # (n,) places in the data set's test part
    labels: Tensor  # (n,) int64, or (n, 1) for a regression
    prediction: Prediction
    classes: tuple[str, ...]
    """Empty for a regression."""
    intervals: bool
    """Whether there is a spread: more than one pass."""


def predict(
    folder: Path,
    passes: int,
    disturbance: Disturbance,
    limit: int | None,
    device: str,
    out: Path | None,
    trusted: bool = False,
    best: bool = False,
) -> str:
    """Predicts the test images of the run in `folder`, writes a row an image, and returns a summary of a few lines.

    Args:
        folder: a finished run's, or what holds only one of seed 0: its arm, or its name.
        passes: Monte-Carlo passes; 1 is the plain prediction.
        disturbance: what is done to the images.
        limit: how many images; all if None.
        device: as `train.device`.
        out: the table, CSV; `predictions.csv` in the run's folder if None.
        trusted: whether code that the run's configuration names, `module:attribute`, may run.
        best: whether to take the weights of its best logged point (`train.keep_best`).

    Raises:
        UserError: no finished run, a value out of range, passes of a net without drops, or `out` cannot be written, or
            is there already and no such table.
    """
    if limit is not None:
        check_range("--limit", limit, limit >= 1, "1 or more")
    folder = find_run(str(folder), 0, "predict")
    out = out or folder / TABLE
    check_table(out)
    config, data, model = load_net(folder, resolve_device(device), trusted, best=best)
    if config.model.output != "identity":
        raise UserError(
            f"predict: the run {folder} has model.output={config.model.output}; probabilities are the softmax of "
            "logits, which only model.output=identity puts out"
        )
    found = forecast(model, data, passes, disturbance, limit, config.seed)
    try:
        write_atomically(out, table(found).encode())
    except OSError as error:
        raise UserError(f"--out={out}: cannot write ({error.strerror or error})") from error
    done = [f"{len(found.labels):,} test images of {config.data.name}"]
    done += [f"noise {disturbance.noise:g}"] * bool(disturbance.noise)
    done += [f"rotated by {disturbance.rotate:g} degrees"] * bool(disturbance.rotate)
    done += [f"{passes} passes" if found.intervals else "one pass with the drops off, so no intervals"]
    return "\n".join([", ".join(done), *summary(found), f"table: {out}"])


def check_table(out: Path) -> None:
    """Raises `UserError` where `out` holds something else than a table of predictions."""
    if os.path.lexists(out) and not is_table(out):
        raise UserError(f"--out={out} is there already, and no table of predictions; give another name, or remove it")


def forecast(
    model: nn.Module, data: Dataset, passes: int, disturbance: Disturbance, limit: int | None, seed: int
) -> Forecast:
    """Predicts the first `limit` test images of `data`, in the order of every evaluation.

    Raises:
        UserError: a value out of range, or a rotation of data that are not images.
    """
    check_range("--noise", disturbance.noise, 0 <= disturbance.noise < math.inf, "0 or more")
    check_range("--rotate", disturbance.rotate, math.isfinite(disturbance.rotate), "a number of degrees")
    if disturbance.rotate and len(data.shape) != 3:
        raise UserError(f"--rotate={disturbance.rotate} needs images (c, h, w); the data have shape {data.shape}")
    count = min(limit or len(data.test), len(data.test))
    regression = not data.classes
    labels, parts = [], []
    for positions in torch.arange(count, device=data.test.index.device).split(BATCH):
        images, truth = data.test.take(positions)
        images = disturbed(images, data.test, disturbance, positions.tolist(), seed)
        parts.append(mc_predict(model, images, passes, derive_seed(seed, "predict"), regression))
        labels.append(truth.cpu())
    joined = Prediction(*(torch.cat([getattr(p, name) for p in parts]) for name in Prediction.__annotations__))
    index, truth = data.test.index[:count].cpu(), torch.cat(labels)
    if regression:
        truth, joined = in_unit(truth, joined, data.unit, data.offset)
    return Forecast(index, truth, joined, data.classes, passes > 1)


def in_unit(labels: Tensor, prediction: Prediction, unit: float, offset: float) -> tuple[Tensor, Prediction]:
    """Labels and prediction of a standardised target, times `unit` plus `offset`: in the target's own unit."""
    mean, lower, upper = (x * unit + offset for x in (prediction.mean, prediction.lower, prediction.upper))
    own = replace(prediction, mean=mean, std=prediction.std * unit, lower=lower, upper=upper)
    return labels * unit + offset, own


def disturbed(images: Tensor, split: Split, disturbance: Disturbance, numbers: list[int], seed: int) -> Tensor:
    """Scaled images, rotated and then with noise, which depends on the image's number alone."""
    if disturbance.rotate:
        fill = (-split.shift * split.factor).flatten().tolist()  # the pixel value 0, scaled like the images
        images = rotated(images, disturbance.rotate, fill)
    if disturbance.noise:
        seeds = [derive_seed(seed, "noise", number) for number in numbers]
        noise = [torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(one)) for one in seeds]
        images = images + disturbance.noise * torch.stack(noise).to(images.device)
    return images


def table(found: Forecast) -> str:
    """CSV with a row an image; columns that need several passes are empty after one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CLASSES if found.classes else NUMBERS)
    p = found.prediction
    best = p.mean.argmax(1)
    value, std = (part.gather(1, best.unsqueeze(1)).squeeze(1).tolist() for part in (p.mean, p.std))
    spread = [column.tolist() for column in (p.lower, p.upper)] + [std]
    for i, index in enumerate(found.index.tolist()):
        lower, upper, deviation = (f"{column[i]:.6g}" if found.intervals else "" for column in spread)
        if not found.classes:
            writer.writerow([index, f"{found.labels[i].item():.6g}", f"{value[i]:.6g}", lower, upper, deviation])
            continue
        information = f"{p.mutual_information[i].item():.6g}" if found.intervals else ""
        names = cells(found.classes[int(label)] for label in (found.labels[i], best[i]))
        entropy = f"{p.entropy[i].item():.6g}"
        writer.writerow([index, *names, f"{value[i]:.6g}", lower, upper, deviation, entropy, information])
    return text.getvalue()


def summary(found: Forecast) -> list[str]:
    """Accuracy, and means over right and wrong images: are the intervals wider where the net is wrong?"""
    p = found.prediction
    width = p.upper - p.lower
    if not found.classes:
        truth = found.labels.view(-1).double()
        lines = [f"root mean square error {(p.mean[:, 0] - truth).square().mean().sqrt().item():.4g}"]
        inside = ((truth >= p.lower) & (truth <= p.upper)).double().mean().item()
        # The spread is the net's own doubt; the noise of the labels is not in it.
        spread = f"mean width of the {LEVEL:.0%} interval {width.mean().item():.4g}, {inside:.1%} of the labels inside"
        return [*lines, spread] if found.intervals else lines
    right = p.mean.argmax(1) == found.labels
    rows = {"mean entropy, nats": p.entropy}
    if found.intervals:
        rows["mean mutual information, nats"] = p.mutual_information
        rows[f"mean width of the {LEVEL:.0%} interval"] = width
    lines = [f"accuracy {right.double().mean().item():.4f}", f"{'':30}{'right':>9}{'wrong':>9}"]
    lines.append(f"{'images':30}{int(right.sum()):9,}{int((~right).sum()):9,}")
    for name, values in rows.items():
        shown = [f"{part.mean().item():.3f}" if len(part) else "-" for part in (values[right], values[~right])]
        lines.append(f"{name:30}{shown[0]:>9}{shown[1]:>9}")
    return lines
