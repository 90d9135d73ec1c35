"""What TensorBoard shows of a whole sweep: the verdicts as text, and charts that hold its curves side by side."""

import shutil
from pathlib import Path

from lab.studies.comparison import Comparison
from lab.studies.means import COORDINATES, curve_tag, mean_series, runs_by_folder
from lab.studies.numerals import center_text, decimals, interval_text
from lab.studies.selectors import label
from lab.studies.table import p_text


def write_board(comparison: Comparison, folder: Path) -> None:
    """Writes the run `_study` under `folder`, and `_study/<arm>`: verdicts, the layout of Custom Scalars, its bands.

    One layout serves all runs, so it lies beside them; in the root itself TensorBoard would call it `.`. A chart with a
    band wants its three lines in one run, which `_mean` does not have.
    """
    # Late: TensorBoard's writer is slow to import.
    from lab.records.events import EventFile, write_scalars

    target = folder / "_study"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with EventFile(target) as events:
        events.text("verdicts", verdicts_text(comparison))
        events.text("arms", arms_text(comparison))
        events.layout(charts(comparison))
    tag = curve_tag(comparison.metric)
    for name, runs in runs_by_folder(comparison).items():
        points = mean_series(runs, [tag]).get(tag) if len(runs) > 1 else None
        if points:
            lines = {band: [(one[0], one[i]) for one in points] for i, band in enumerate(band_tags(tag), 1)}
            write_scalars(target / name, lines)


def band_tags(tag: str) -> tuple[str, str, str]:
    """The tags of mean and edges of `tag` in one run; TensorBoard shows them last."""
    return f"with_interval/{tag}/mean", f"with_interval/{tag}/low", f"with_interval/{tag}/high"


def charts(comparison: Comparison) -> dict[str, dict[str, list[str] | tuple[str, str, str]]]:
    """The Custom Scalars tab: the metric with its band and run by run, then training beside validation."""
    logged = dict.fromkeys(tag for run in comparison.runs for row in run.history[-1:] for tag in row)
    tags = [tag for tag in logged if tag not in COORDINATES]
    metric = curve_tag(comparison.metric)
    names = [tag.removeprefix("val/") for tag in tags if tag.startswith("val/") and f"train/{tag[4:]}" in tags]
    found: dict[str, dict[str, list[str] | tuple[str, str, str]]] = {}
    if metric in tags:
        found[metric] = {"mean of each arm, 95 % interval": band_tags(metric), "every run": [metric]}
    if names:
        found["training beside validation"] = {name: [f"train/{name}", f"val/{name}"] for name in names}
    rest = [
        tag for tag in tags if tag not in (metric, *(f"{part}/{name}" for part in ("train", "val") for name in names))
    ]
    if rest:
        found["everything else"] = {tag: [tag] for tag in rest}
    return found


def verdicts_text(comparison: Comparison) -> str:
    """Question and verdicts as Markdown."""
    lines = [f"## {comparison.question}", ""] if comparison.question else []
    lines += [f"Prediction from {comparison.source}", ""] if comparison.source else []
    if not comparison.verdicts:
        lines.append("No claim was written beforehand, so there is no verdict.")
    for verdict in comparison.verdicts:
        setting = f" ({label(verdict.setting)})" if verdict.setting else ""
        lines += [
            f"- **{verdict.verdict}**: {verdict.say}{setting}. {verdict.explain} {p_text(verdict.p)}, "
            f"by {verdict.metric}."
        ]
    return "\n".join(lines)


def arms_text(comparison: Comparison) -> str:
    """The arms as a Markdown table."""
    arms = comparison.arms
    places, places_apart = decimals(arm.score for arm in arms), decimals(arm.difference for arm in arms)
    lines = [
        f"| arm | n | {comparison.metric} | 95 % interval | difference | 95 % interval |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for arm in arms:
        apart = (
            center_text(arm.difference, places_apart, sign=True),
            interval_text(arm.difference, places_apart, sign=True),
        )
        cells = ("reference", "") if arm.is_reference else apart
        score = (center_text(arm.score, places), interval_text(arm.score, places))
        lines.append(f"| {' | '.join([arm.label, str(len(arm.runs)), *score, *cells])} |")
    return "\n".join([*lines, "", f"Differences to {comparison.reference}, paired by seed."])
