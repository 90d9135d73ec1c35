"""Which runs trained: the rule, and in which seeds all sides of a comparison did.

Where some seeds train and others do not, scores have two modes, and no mean tells anything of either. What is said of a
score is therefore about runs that train, and how often they do is a metric by itself, `trains(...)`.

A run has trained if it fulfils `study.trained`. Without one, an accuracy has to exceed chance, the share c of the
commonest class, by more than min(c, (1 - c) / 10); by any other metric a run fails by diverging alone, and so does one
whose chance is unknown. Times to a threshold, first values, `trains(...)` and figures of the
result are of all runs.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lab.metric import Metric
from lab.quantity import base_name
from lab.records.results import Run
from lab.studies.select.arms import values_of
from lab.studies.select.pairs import Pairs, complete_rows, match, pair
from lab.studies.select.scores import Scores, score_runs

SPLIT = ("last", "best", "mean", "auc", "gap", "turns", "rise")
"""Kinds of metrics whose runs are told apart by whether they trained."""


@dataclass(frozen=True)
class Modes:
    """In which seeds the sides of a comparison trained."""

    num_seeds: int = 0
    """Seeds that all sides have at every level."""

    trained: tuple[int, ...] = ()
    """Of these, for each side, those in which it trained at every level."""

    steady: bool = True
    """Whether each side did the same in every seed: trained, or failed at the same levels."""

    seeds: frozenset[int] = frozenset()
    """Seeds in which all sides trained at every level."""

    @property
    def kind(self) -> str:
        """`all` trained in every seed, sides lie `apart` in different modes, some are `mixed`, or `none` ever trained.

        Apart is only who trained in every seed or in none.
        """
        if not any(self.num_seeds - number for number in self.trained):
            return "all"
        if not any(self.trained):
            return "none"
        return "apart" if self.steady and set(self.trained) == {0, self.num_seeds} else "mixed"

    def indicators(self) -> list[list[float]]:
        """1 for each seed in which a side trained and 0 for others, a list a side; which seed is which is lost."""
        return [[1.0] * number + [0.0] * (self.num_seeds - number) for number in self.trained]


def score_trained(runs: Sequence[Run], metric: Metric, rule: Metric | None) -> Scores:
    """`score_runs`, with which of `runs` trained; `rule` is the study's, if it has one."""
    return replace(score_runs(runs, metric), trained=who_trained(runs, metric, rule))


def who_trained(runs: Sequence[Run], metric: Metric, rule: Metric | None) -> tuple[bool, ...]:
    """Whether each of `runs` trained, as far as `metric` cares."""
    if metric.kind not in SPLIT:
        return (True,) * len(runs)
    if rule:
        return tuple(value == 1 for value in score_runs(runs, rule).values)
    if base_name(metric.tags[0]) != "accuracy":
        return tuple(run.status != "diverged" and all(ended_finite(run, tag) for tag in metric.tags) for run in runs)
    thresholds = [None if c is None else c + min(c, (1 - c) / 10) for c in chances(runs)]
    return tuple(above(run, metric.tags[0], threshold) for run, threshold in zip(runs, thresholds, strict=True))


def ended_finite(run: Run, tag: str) -> bool:
    """Whether the last value of `tag` is finite, or was not logged, which is for others to say."""
    logged = run.result["metrics"]
    last = logged[tag]["last"] if tag in logged else 0.0
    return last is not None and math.isfinite(last)


def above(run: Run, tag: str, threshold: float | None) -> bool:
    """Whether the last value of `tag` is above the threshold, and at least finite where that is unknown."""
    last = run.result["metrics"].get(tag, {}).get("last")
    return run.status != "diverged" and last is not None and (threshold is None or last > threshold)


def chances(runs: Sequence[Run]) -> list[float | None]:
    """The accuracy of the commonest class for each run, as `result.json` says, or else the kept labels of any run on
    the same data; None where neither is there."""
    keys = [key for key in (runs[0].config if runs else ()) if key.startswith("data.")]
    known: dict[tuple[str, ...], float] = {}
    found = []
    for run in runs:
        same = (*values_of(run.config, [*keys, "train.eval_limit"]), str(run.seed))
        own = run.result.get("chance")
        if own is None and same not in known and (kept := commonest(run)) is not None:
            known[same] = kept
        found.append((own, same))
    return [known.get(same) if own is None else own for own, same in found]


def commonest(run: Run) -> float | None:
    """The share of the commonest class among the test labels that a run kept; None where it kept none."""
    import numpy as np

    labels = () if run.predictions is None else run.predictions["label"]
    return float(np.bincount(labels).max() / len(labels)) if len(labels) else None


def find_modes(
    scores: Scores, sides: Sequence[Iterable[Run]], open_keys: Sequence[str] = (), crossed: bool = False
) -> Modes:
    """In which seeds the runs of each side trained; see `pair` for what it is that is matched."""
    failed = scores.failed
    matched = sorted(match(sides, open_keys, crossed), key=lambda row: row[1])  # the levels of all seeds in one order
    patterns: dict[int, list[list[bool]]] = {}  # a row a level: one answer a side
    for seed, cells in complete_rows(matched):
        patterns.setdefault(seed, []).append([not any(id(run) in failed for run in runs) for runs in cells])
    columns = {seed: list(zip(*rows, strict=True)) for seed, rows in patterns.items()}  # a side: its levels
    whole = {seed: [all(levels) for levels in column] for seed, column in columns.items()}
    return Modes(
        len(columns),
        tuple(map(sum, zip(*whole.values(), strict=True))),
        len(set(map(tuple, columns.values()))) <= 1,
        frozenset(seed for seed, answers in whole.items() if all(answers)),
    )


def pair_trained(
    scores: Scores, sides: Sequence[Sequence[Run]], open_keys: Sequence[str] = (), crossed: bool = False
) -> tuple[Pairs, Modes, list[list[Run]]]:
    """Pairs the sides: in all seeds where each side is in one mode, else in those in which all sides trained.

    Returns:
        The pairs, the modes, and the runs of each side that were paired.
    """
    modes, cells = find_modes(scores, sides, open_keys, crossed), [list(side) for side in sides]
    found = pair(scores, cells, open_keys, crossed)
    if modes.kind != "mixed":
        return found, modes, cells
    left_out = [d for seed, d in zip(found.seeds, found.differences, strict=False) if seed not in modes.seeds]
    cells = [[run for run in side if run.seed in modes.seeds] for side in cells]
    among = pair(scores, cells, open_keys, crossed)
    whole = {"num_incomplete": found.num_incomplete, "num_unlike": found.num_unlike}
    return replace(among, **whole, left_out=tuple(left_out)), modes, cells
