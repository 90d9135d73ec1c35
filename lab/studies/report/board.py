"""What TensorBoard shows of a whole sweep: the verdicts as text, and charts that hold its curves side by side."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from lab.records.places import inside
from lab.records.read import read_bytes
from lab.records.results import NOT_SCALARS
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.means import ArmMeans, remove_event_files
from lab.studies.report.formats import markdown_table, verdict_bullets
from lab.studies.statistics.numerals import center_text, decimals, interval_text


def write_board(comparison: Comparison, means: Sequence[ArmMeans], folder: Path) -> None:
    """Writes the run `_study` under `folder`, and `_study/<arm>`: verdicts, the layout of Custom Scalars, its bands.

    One layout serves all runs, so it lies beside them; in the root itself TensorBoard would call it `.`. A chart with a
    band needs its three lines in one run, which `_mean` does not have.
    """
    # Late: TensorBoard's writer is slow to import, and so is matplotlib.
    from lab.records.events import EventFile, write_scalars
    from lab.studies.report.predictions import PREDICTIONS

    target = inside(folder, "_study")
    remove_event_files(target)
    target.mkdir(parents=True, exist_ok=True)
    with EventFile(target) as events:
        events.text("verdicts", verdicts_text(comparison))
        events.text("verdicts/arms", arms_text(comparison))  # as `arms` it would come first
        for one in PREDICTIONS:
            if png := png_of(folder / f"{one.name}.png"):
                events.image(f"predictions/{one.name}", png, png_size(png), 0)
        events.layout(charts(comparison, several=any(arm.num_runs > 1 for arm in means)))
        events.hparams_columns(hparam_rows(comparison), hparam_metrics(comparison))
    metric = comparison.metric.curve_tag
    banded = [metric, *paired_tags(comparison)]
    for arm in means:
        lines = {}
        for tag in banded if arm.num_runs > 1 else ():
            bands = list(enumerate(band_tags(tag), 1))[: 3 if tag == metric else 1]
            points = arm.series.get(tag, [])
            lines |= {band: [(one[0], one[i]) for one in points] for i, band in bands if points}
        if lines:
            write_scalars(inside(target, arm.folder), lines)


PNG = b"\x89PNG\r\n\x1a\n"


def png_of(path: Path) -> bytes:
    """The content of a figure's file; empty where there is none."""
    try:
        found = read_bytes(path)
    except OSError:
        return b""
    return found if found.startswith(PNG) else b""


def png_size(png: bytes) -> tuple[int, int]:
    """Height and width in pixels, as the first chunk of a PNG file says."""
    width, height = struct.unpack(">II", png[16:24])
    return height, width


def means_query() -> str:
    """What follows TensorBoard's address to show the arms' means alone, unsmoothed, each with its edges in a colour."""
    arm = "regex:([^/]*-[0-9a-f]{8})"  # the folder of an arm, wherever it stands in the name of a run
    return f"?{urlencode({'runColorGroup': arm, 'runFilter': '(^|/)_mean/', 'smoothing': 0})}#timeseries"


def band_tags(tag: str) -> tuple[str, str, str]:
    """The tags of mean and edges of `tag` in one run; TensorBoard shows them last."""
    return f"with_interval/{tag}/mean", f"with_interval/{tag}/low", f"with_interval/{tag}/high"


def scalar_tags(comparison: Comparison) -> list[str]:
    """The scalars at the end of the runs, those of the test images last."""
    found = dict.fromkeys(tag for run in comparison.runs for row in run.history[-1:] for tag in row)
    found |= dict.fromkeys(tag for run in comparison.runs for tag in run.tested)
    return [tag for tag in found if tag not in NOT_SCALARS]


def paired_tags(comparison: Comparison) -> list[str]:
    """Those that there are in training and in validation: `train/loss`, `val/loss`, ..."""
    tags = scalar_tags(comparison)
    names = [tag.removeprefix("val/") for tag in tags if tag.startswith("val/") and f"train/{tag[4:]}" in tags]
    return [f"{part}/{name}" for name in names for part in ("train", "val")]


def hparam_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """What the HParams tab knows of each run, the keys in which the arms differ first."""
    rows: list[dict[str, Any]] = [run.result.get("arm", {}) for run in comparison.runs]
    return [{key: row[key] for key in sorted(row, key=lambda key: key not in comparison.keys)} for row in rows]


def hparam_metrics(comparison: Comparison) -> list[str]:
    """The scalars for the HParams tab, which ticks five: the metric, on test images too, validation beside training."""
    tags, metric = scalar_tags(comparison), comparison.metric.curve_tag
    wanted = [
        metric,
        f"test/{metric.removeprefix('val/')}",
        *reversed(paired_tags(comparison)),
        *(tag for tag in tags if tag.startswith("val/")),
        *tags,
    ]
    return [tag for tag in dict.fromkeys(wanted) if tag in tags]


def charts(comparison: Comparison, several: bool) -> dict[str, dict[str, list[str] | tuple[str, str, str]]]:
    """The Custom Scalars tab: the metric with its band, training beside validation, then everything run by run.

    The means of arms with several seeds have other tags, as a chart cannot choose among runs.
    """
    tags, metric, paired = scalar_tags(comparison), comparison.metric.curve_tag, paired_tags(comparison)
    found: dict[str, dict[str, list[str] | tuple[str, str, str]]] = {}
    if metric in tags and several:
        found[metric] = {"mean of each arm, 95 % interval": band_tags(metric)}
    if paired:
        lines = [band_tags(tag)[0] for tag in paired] if several else paired
        found["training beside validation" + ", means" * several] = {
            train.removeprefix("train/"): lines[2 * i : 2 * i + 2] for i, train in enumerate(paired[::2])
        }
    if metric in tags:
        found[f"{metric} of every run"] = {metric: [metric]}
    rest = [tag for tag in tags if tag not in (metric, *paired)]
    if rest:
        found["everything else"] = {tag: [tag] for tag in rest}
    return found


def verdicts_text(comparison: Comparison) -> str:
    """Question and verdicts as Markdown."""
    lines = [f"## {comparison.question}", ""] if comparison.question else []
    lines += [f"Prediction from {comparison.source}", ""] if comparison.source else []
    if not comparison.verdicts:
        lines.append("No claim was written beforehand, so there is no verdict.")
    return "\n".join([*lines, *verdict_bullets(comparison)])


def arms_text(comparison: Comparison) -> str:
    """The arms as a Markdown table."""
    arms = comparison.arms
    places, places_apart = decimals(arm.score for arm in arms), decimals(arm.difference for arm in arms)
    header = ("arm", "n", str(comparison.metric), "95 % interval", "difference", "95 % of difference")
    rows = []
    for arm in arms:
        apart = [text(arm.difference, places_apart, sign=True) for text in (center_text, interval_text)]
        score = [text(arm.score, places) for text in (center_text, interval_text)]
        rows.append([arm.label, str(arm.num_seeds), *score, *(["reference", ""] if arm.is_reference else apart)])
    return "\n".join([*markdown_table(header, rows), "", f"Differences to {comparison.reference}, paired by seed."])
