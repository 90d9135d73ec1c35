"""Runs as a pandas data frame, for notebooks: `lab.studies.load("outputs/xavier_vs_he")`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import UserError
from lab.metric import parse_metric
from lab.quantity import RESULTS
from lab.records.named import in_all_names
from lab.records.results import Run, find_runs, without_copies
from lab.studies.select.arms import completed, differing_keys, swept_keys
from lab.studies.select.scores import counts, score_runs

if TYPE_CHECKING:
    from pandas import DataFrame


def load(*folders: str | Path, metrics: Sequence[str] = (), history: bool = False) -> "DataFrame":
    """Reads the runs under `folders`; a row a run, or with `history` a row a logged step.

    Columns: `name`, `arm` (hash), `seed`, `status`, `path`; the configuration keys that were swept or differ, in full
    (`model.init`); then for a run `images_per_second`, `train_seconds`, `num_params`, the last value of all that was
    logged (`val/accuracy`) and each of `metrics`, or for a step `step`, `epoch`, `seconds` and what was logged at it.

    Args:
        folders: as for `lab compare`, one or several; a run that lies in several of them is read once.
        metrics: others to score finished and diverged runs by, as `best(val/accuracy)`; see `lab.metric.parse_metric`.
        history: whether to give the logged steps instead.

    Raises:
        UserError: no such folder, no run in it, an unknown metric, or pandas is not installed.
    """
    require_pandas()
    runs = completed(in_all_names(without_copies(find_runs(map(Path, folders)))[0]))
    return as_frame(records(runs, metrics, history))


def require_pandas() -> None:
    """Raises `UserError` unless pandas is installed."""
    try:
        import pandas  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            "a data frame needs pandas, which comes with: pip install 'architecture-lab[notebook]'"
        ) from error


def as_frame(rows: Sequence[Mapping[str, Any]]) -> "DataFrame":
    """`rows` as a data frame."""
    require_pandas()
    from pandas import DataFrame

    return DataFrame(list(rows))


def records(runs: Sequence[Run], metrics: Sequence[str] = (), history: bool = False) -> list[dict[str, Any]]:
    """The rows of `load` for `runs`, which have complete configurations."""
    configs = [run.config for run in runs]
    keys = list(dict.fromkeys([*swept_keys(runs), *differing_keys(configs)]))
    heads = [
        {**facts(run), **{key: plain(config[key]) for key in keys}} for run, config in zip(runs, configs, strict=True)
    ]
    if history:
        return [{**head, **row} for run, head in zip(runs, heads, strict=True) for row in run.history]
    for run, head in zip(runs, heads, strict=True):
        head.update({key: run.result.get(key) for key in RESULTS})
        head.update({tag: one["last"] for tag, one in run.result.get("metrics", {}).items()})
    counted = [(run, head) for run, head in zip(runs, heads, strict=True) if counts(run)]
    for metric in metrics:
        scores = score_runs([run for run, _ in counted], parse_metric(metric))
        for (_, head), value in zip(counted, scores.values, strict=True):
            head[metric] = value
    return heads


def facts(run: Run) -> dict[str, Any]:
    """What names a run."""
    return {
        "name": run.config["name"],
        "arm": run.arm_id,
        "seed": run.seed,
        "status": run.status,
        "path": str(run.path),
    }


def plain(value: Any) -> Any:
    """`value`, a list as a tuple, which can be grouped by."""
    return tuple(map(plain, value)) if isinstance(value, Iterable) and not isinstance(value, str) else value
