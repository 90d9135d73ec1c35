"""The comparison as text for the terminal, as CSV and as `verdict.json`."""

import csv
import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lab.records.cells import cells
from lab.studies.claims.verdict import Verdict
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.noise import noise_floor
from lab.studies.comparison.tuned import tuning_texts
from lab.studies.report.align import aligned
from lab.studies.report.foot import foot
from lab.studies.select.selectors import label, short_keys, show
from lab.studies.statistics.estimate import BOOTSTRAP_FROM, Estimate
from lab.studies.statistics.numerals import center_text, decimals, fixed, interval_text

WIDTH = 120

NUMBERS = (
    "n",
    "trained",
    "diverged",
    "failed",
    "interrupted",
    "mean",
    "test",
    "IQM",
    "difference",
    "images/s",
    "parameters",
)


COLUMNS = {
    "n": "seeds in the mean",
    "trained": "seeds that trained, of those that ran",
    "diverged": "runs that ended with values that are not finite",
    "failed": "runs that failed",
    "interrupted": "runs that were stopped before their end",
    "test": "mean on the test images, read once at the end; nothing is chosen by it",
    "difference": "mean of the differences to the reference, paired by seed",
    "IQM": "interquartile mean, of the middle half of the seeds",
    "images/s": "training images a second",
    "parameters": "weights and biases that are trained",
}
"""What columns hold whose names do not say it."""


def explained(names: Sequence[str]) -> list[tuple[str, str]]:
    """(column, what it holds) for those of the columns `names` that need it."""
    tuned = {name: "value that tuning picked for the arm" for name in names if name.startswith("tuned ")}
    return [(name, text) for name in names if (text := {**COLUMNS, **tuned}.get(name))]


def columns(comparison: Comparison) -> dict[str, list[str]]:
    """The table's cells by column, each a text for every arm."""
    arms = comparison.arms
    places = decimals(arm.score for arm in arms)
    places_apart = decimals(arm.difference for arm in arms)
    short = short_keys(comparison.keys)
    table = {short[key]: [show(arm.keys[key]) for arm in arms] for key in comparison.keys}
    if not table:
        table["arm"] = [arm.label for arm in arms]
    table |= tuned_columns(comparison)
    table["n"] = [str(arm.num_seeds) for arm in arms]
    if any(arm.num_trained < arm.num_run for arm in arms):
        table["trained"] = [f"{arm.num_trained}/{arm.num_run}" for arm in arms]
    if any(arm.num_diverged for arm in arms):
        table["diverged"] = [str(arm.num_diverged) for arm in arms]
    if any(arm.num_failed for arm in arms):
        table["failed"] = [str(arm.num_failed) for arm in arms]
    if any(arm.num_interrupted for arm in arms):
        table["interrupted"] = [str(arm.num_interrupted) for arm in arms]
    table["mean"] = [center_text(arm.score, places) for arm in arms]
    table["95 % interval"] = [interval_text(arm.score, places) for arm in arms]
    if any(arm.test for arm in arms):
        table["test"] = [center_text(arm.test, places) for arm in arms]
    if len(arms) > 1:
        table["difference"] = [
            "reference" if arm.is_reference else center_text(arm.difference, places_apart, sign=True) for arm in arms
        ]
        table["95 % of difference"] = [
            "" if arm.is_reference else interval_text(arm.difference, places_apart, sign=True) for arm in arms
        ]
    if any(arm.num_seeds > 3 for arm in arms):  # of up to three scores it is the mean
        table["IQM"] = [fixed(arm.score.iqm if arm.score else None, places) for arm in arms]
    table["images/s"] = [fixed(arm.images_per_second, 0) for arm in arms]
    table["parameters"] = [f"{arm.num_params:,}" if arm.num_params is not None else "-" for arm in arms]
    return table


def tuned_columns(comparison: Comparison, full: bool = False) -> dict[str, list[str]]:
    """For each tuned key the values that the arms were given.

    Args:
        full: whether columns bear the whole keys.
    """
    if comparison.tuning is None:
        return {}
    picked = {one.arm_id: one.picked for one in comparison.tuning.arms}
    keys = [key for key in comparison.tuning.keys if key not in comparison.keys]
    short = short_keys([*comparison.keys, *keys])
    return {
        key if full else f"tuned {short[key]}": [
            ", ".join(dict.fromkeys(show(picked[digits][key]) for digits in arm.arm_ids if digits in picked)) or "-"
            for arm in comparison.arms
        ]
        for key in keys
    }


def table_text(comparison: Comparison) -> str:
    """The table of arms, then a paragraph a verdict: ASCII, at most 120 columns wide, no newline at the end."""
    table = narrowed(columns(comparison))
    title = f"{comparison.metric}, differences to {comparison.reference} paired by seed"
    lines = [shorten(title, WIDTH) if len(comparison.arms) > 1 else str(comparison.metric), ""]
    lines += aligned(list(table), list(zip(*table.values(), strict=True)), NUMBERS)
    notes = [line for text in cautions(comparison) for line in textwrap.wrap(text, WIDTH)]
    lines += ["", *notes] if notes else []
    texts = tuning_texts(comparison.tuning)
    tuning = [line for text in texts for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")]
    apart = [line for text in comparison.departures for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")]
    tail = [*([""] if tuning else []), *tuning, *([""] if apart else []), *apart]
    return ascii_only("\n".join([*lines, *verdict_lines(comparison), *tail]))


def narrowed(table: dict[str, list[str]]) -> dict[str, list[str]]:
    """The table made narrow enough, at the cost of what is missed least."""
    labels = [name for name in table if name not in NUMBERS and not name.startswith("95 %")]
    # Each column that goes, and then how short labels may be cut.
    for column, shortest in (("IQM", WIDTH), ("parameters", WIDTH), ("images/s", 24), ("95 % of difference", 8)):
        if line_width(table) > WIDTH:
            table = {name: cells for name, cells in table.items() if name != column}
        most = max(len(cell) for name in labels for cell in table[name])
        while line_width(table) > WIDTH and most > shortest:
            most -= 1
            table |= {name: [shorten(cell, most) for cell in table[name]] for name in labels}
    return table


def line_width(table: dict[str, list[str]]) -> int:
    return sum(max(map(len, [name, *cells])) + 2 for name, cells in table.items()) - 2


def shorten(text: str, most: int) -> str:
    """`text` without its middle: recipes often differ at their ends."""
    if len(text) <= most:
        return text
    head = (most - 2) // 2
    return f"{text[:head]}..{text[head + 2 - most :]}"


def ascii_only(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def verdict_lines(comparison: Comparison) -> list[str]:
    """A paragraph for each verdict: the word, the claim, the numbers."""
    lines: list[str] = []
    for verdict in comparison.verdicts:
        head, text = verdict_texts(verdict)
        lines += ["", *textwrap.wrap(f"{verdict.verdict:<10} {head}", WIDTH, subsequent_indent=" " * 11)]
        lines += textwrap.wrap(text, WIDTH, initial_indent=" " * 11, subsequent_indent=" " * 11)
    return lines


def cautions(comparison: Comparison) -> list[str]:
    """What makes numbers of the table doubtful: a single seed, few near what a metric cannot pass, runs that are not
    shown; and its foot."""
    found = []
    if any(0 < arm.num_trained < arm.num_run for arm in comparison.arms):
        apart = ", and differences are of the seeds in which both did" if len(comparison.arms) > 1 else ""
        found.append(f"Some seeds did not train: means and intervals are of those that did{apart}.")
    if any(arm.difference and arm.difference.n == 1 for arm in comparison.arms):
        found.append("A difference from a single seed may be chance: another seed can turn it round.")
    if comparison.is_part and comparison.verdicts:
        found.append("The verdicts rest on all runs of the experiment, the table on some of them.")
    numbers = sorted({arm.num_seeds for arm in comparison.arms})
    if comparison.design and len(numbers) > 1:
        seeds = f"Arms have {numbers[0]} to {numbers[-1]} seeds, as their claims need"
        found.append(f"{seeds}; a difference is that of the seeds that both arms have.")
    if comparison.metric.is_share:  # its intervals are exact
        return found
    low, high = comparison.metric.bounds
    near = 0.01 * (high - low) if math.isfinite(high - low) else 0.0
    for arm in comparison.arms:
        interval = arm.score and arm.num_seeds < BOOTSTRAP_FROM and arm.score.interval
        if interval and interval[0] < interval[1] and (interval[0] <= low + near or interval[1] >= high - near):
            ends = " or ".join(f"{edge:g}" for edge in (low, high) if math.isfinite(edge))
            found.append(f"Intervals near {ends} are unreliable with fewer than {BOOTSTRAP_FROM} seeds.")
            break
    return [*found, *foot(comparison)]


def wins_text(verdict: Verdict) -> str:
    """`higher in 80 % of seeds [38, 96]`, or lower, sooner, later: as the claim says it; empty without seeds."""
    if verdict.improvement is None:
        return ""
    share, low, high = (100 * part for part in verdict.improvement)
    if verdict.kind == "lower":
        share, low, high = 100 - share, 100 - high, 100 - low
    words = ("later", "sooner") if verdict.metric.is_time_to else ("higher", "lower")
    return f"{words[verdict.kind == 'lower']} in {share:.0f} % of seeds [{low:.0f}, {high:.0f}]"


def title(verdict: Verdict, with_setting: bool = True) -> str:
    """The claim as one reads it, `He ends above Xavier (clip_norm=1)`, without a full stop."""
    setting = f" ({label(verdict.setting)})" if verdict.setting and with_setting else ""
    return f"{verdict.say.rstrip('.')}{setting}"


def verdict_texts(verdict: Verdict) -> tuple[str, str]:
    """The claim with its setting, and the numbers behind the verdict."""
    tested = f"{tested_text(verdict.verdict, verdict.p, verdict.p_against)}, by" if verdict.n > 1 else "By"
    return title(verdict), f"{verdict.explain} {tested} {verdict.metric}."


def p_text(p: float) -> str:
    """`p < 0.001`, `p = 0.032`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def tested_text(word: str, p: float, p_against: float) -> str:
    """`p = 0.032`; `p = 0.045 against it` of an undecided claim that is nearer to be refuted."""
    return f"{p_text(p_against)} against it" if word == "undecided" and p_against < p else p_text(p)


def csv_text(comparison: Comparison) -> str:
    """A row an arm, with full keys, unrounded numbers and the score of every seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    tuned = tuned_columns(comparison, full=True)
    header = ["metric", *comparison.keys, *tuned, "n", "num_trained", "num_diverged", "num_failed"]
    header += ["num_interrupted", "mean", "mean_low", "mean_high", "test", "test_low", "test_high", "iqm"]
    header += ["difference", "difference_low", "difference_high"]
    writer.writerow([*cells(header), "is_reference", "images_per_second", "num_params", "seeds", "scores"])
    for index, arm in enumerate(comparison.arms):
        row: list[Any] = [comparison.metric, *(show(arm.keys[key]) for key in comparison.keys)]
        row += [column[index] for column in tuned.values()]
        row += [arm.num_seeds, arm.num_trained, arm.num_diverged, arm.num_failed, arm.num_interrupted]
        row += [*three_numbers(arm.score), *three_numbers(arm.test)]
        row += [arm.score and arm.score.iqm, *three_numbers(arm.difference)]
        row += [arm.is_reference, arm.images_per_second, arm.num_params]
        writer.writerow(
            [*cells(row), " ".join(str(run.seed) for run in arm.runs), " ".join(f"{v:.10g}" for v in arm.values)]
        )
    return text.getvalue()


def three_numbers(estimate: Estimate | None) -> Sequence[float | None]:
    """(value, low, high), None for what there is not."""
    if estimate is None:
        return None, None, None
    return estimate.value, *(estimate.interval or (None, None))


def verdict_data(comparison: Comparison) -> dict[str, Any]:
    """The content of `verdict.json`."""
    claims = [verdict.as_json() for verdict in comparison.verdicts]
    tune = {"tune": asdict(comparison.tuning)} if comparison.tuning else {}
    noise = noise_floor(comparison.arms, comparison.metric)
    found = {"noise_floor": vars(noise)} if noise else {}
    facts = {"metric": comparison.metric.text, "looks": comparison.analyses, "claims": claims}
    return {**facts, "departures": list(comparison.departures), **found, **tune}
