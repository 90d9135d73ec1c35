"""Sentences and cells of the notebook: effects, costs, names of data sets, text that Markdown leaves as it is."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from lab.metric import parse_metric
from lab.studies.notebook.committed import Results, effect_of
from lab.studies.statistics.numerals import center_text, count, decimals, interval_text

WIDTH = 120

NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "kmnist": "KMNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
}
"""Data sets as they are written."""


def plain(text: str) -> str:
    """`text` on one line, without HTML."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split()))


def wrapped(text: str, indent: str = "") -> str:
    """`text` in lines of at most `WIDTH` characters, unless one would begin as a list or a heading does."""
    lines = textwrap.wrap(plain(text), WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return text if any(re.match(r"\s*([-+*#>=]+|\d+[.)])(\s|$)", line) for line in lines[1:]) else "\n".join(lines)


def data_name(name: str) -> str:
    """`MNIST` for `mnist`; others as they are."""
    return NAMES.get(name, name)


def effect_text(verdict: Mapping[str, Any]) -> str:
    """`+0.27 [+0.17, +0.36]`, with the unit of the metric; `-` where there is none."""
    effect = effect_of(verdict)
    if effect is None:
        return "-"
    places = decimals([effect])
    edges = interval_text(effect, places, sign=True) if effect.interval else ""
    return " ".join(filter(None, [center_text(effect, places, sign=True), edges, parse_metric(verdict["metric"]).unit]))


def largest_effect(results: Results) -> str:
    """Of the claims that are by the metric of the study, else by that of the first, the largest effect."""
    there = [one for one in results.verdicts if effect_of(one)]
    same = [one for one in there if one["metric"] == results.facts["metric"]]
    same = same or [one for one in there if one["metric"] == there[0]["metric"]]
    return effect_text(max(same, key=lambda one: abs(one["effect"]))) if same else "-"


def cost_text(cost: Mapping[str, Any]) -> str:
    """`20 runs, 3.6 minutes`, tuning trials and sources named."""
    parts = [f"{count(cost['runs'], 'run')}, {minutes(cost['train_seconds'])}"]
    if cost["tuning_trials"]:
        parts.append(f"{count(cost['tuning_trials'], 'tuning trial')}, {minutes(cost['tuning_seconds'])}")
    if cost.get("sources"):  # which older results do not have
        parts.append(f"{count(cost['sources'], 'source')}, {minutes(cost['source_seconds'])}")
    return "; ".join(parts)


def total_cost(several: Sequence[Results]) -> dict[str, Any]:
    """The costs of all data sets together."""
    costs = [one.facts["cost"] for one in several]
    keys = dict.fromkeys(key for cost in costs for key in cost)
    return {key: sum(cost.get(key, 0) for cost in costs) for key in keys}


def minutes(seconds: float) -> str:
    """`12 seconds`, `3.6 minutes`, `2.1 hours`."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 99.5 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.2g} seconds" if seconds < 99.5 else f"{seconds:.0f} seconds"


def versions_text(results: Sequence[Results], names: Sequence[str] = ("lab", "torch", "python", "device")) -> str:
    """`lab 0.1.0, torch 2.13.0, Python 3.11.7, device cpu`."""
    parts = []
    for name in names:
        there = dict.fromkeys(one.facts["versions"].get(name, "") for one in results)
        if text := " and ".join(filter(None, there)):
            parts.append(f"{'Python' if name == 'python' else name} {text}")
    return ", ".join(parts)


def dates_text(results: Sequence[Results]) -> str:
    """The day on which the last run ended."""
    return max((one.facts["date"] for one in results), default="")
