"""From runs to all that a comparison leaves behind: the table on the screen, the report and the mean curves."""

from pathlib import Path
from typing import Any

from lab.records.lock import locked
from lab.records.results import Run, find_runs, read_study
from lab.studies.board import write_board
from lab.studies.comparison import compare
from lab.studies.means import write_mean_runs
from lab.studies.report import write_report
from lab.studies.table import render


def publish(
    runs: list[Run],
    study: dict[str, Any],
    folder: Path,
    by: list[str] | None = None,
    metric: str | None = None,
    html: Path | None = None,
) -> None:
    """Prints the comparison of `runs` and writes the report, the table, the verdicts, figures, `_mean/` and `_study/`.

    Args:
        runs: what is compared; failed and interrupted ones are counted, and left out of the statistics.
        study: question, metric, reference and claims; any may be missing.
        folder: where the files go.
        by: the keys that make an arm; those that differ if None.
        metric: what is compared; the study's if None.
        html: where the report goes instead of `folder`/report.html.

    Raises:
        UserError: an unknown key or metric, or a claim about arms that are not there.
    """
    comparison = compare(runs, study, by, metric)
    print(render(comparison))
    with locked(folder, ".report.lock", wait=True):  # another command may be writing the same files
        write_report(comparison, folder, html)
        write_mean_runs(comparison, folder)
        write_board(comparison, folder)
    print(f"\nreport: {html or folder / 'report.html'}\ncurves: lab board {folder}")


def compare_folders(folders: list[Path], by: list[str] | None, metric: str | None, html: Path | None) -> None:
    """`lab compare`: publishes the runs that lie under `folders`, whichever commands made them, in the first of these.

    Raises:
        UserError: no such folder, no run in it, or an unknown key or metric.
    """
    runs = find_runs(folders)
    publish(runs, read_study(runs), folders[0], by, metric, html)
