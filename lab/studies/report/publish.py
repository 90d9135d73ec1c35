"""From runs to all that a comparison leaves behind: the table on the screen, the report and the mean curves."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.errors import UserError, choose
from lab.metric import parse_metric
from lab.records.design import read_design
from lab.records.interim import read_interim, record_interim
from lab.records.lock import locked
from lab.records.results import Run, find_runs, without_copies
from lab.records.tuning import Tuning
from lab.studies.claims.study import Study, read_study
from lab.studies.comparison.compare import compare
from lab.studies.comparison.means import arm_means, write_mean_runs
from lab.studies.comparison.tuned import compared, find_tuning
from lab.studies.report.board import write_board
from lab.studies.report.formats import FORMATS
from lab.studies.select.arms import complete
from lab.studies.select.selectors import label, matches
from lab.system.machine import collector_off


@collector_off()
def publish(
    runs: list[Run],
    study: Study,
    folder: Path,
    html: Path | None = None,
    form: str = "text",
    last_seed: int | None = None,
    tuning: Tuning | None = None,
) -> None:
    """Prints the comparison of `runs` and writes the report, the table, the verdicts, figures, `_mean/` and `_study/`.

    Where there are claims it is an interim analysis of the experiment, which `looks.json` in `folder` remembers.

    Args:
        runs: what is compared; failed and interrupted ones are counted, and left out of the statistics.
        study: what is asked and claimed.
        folder: where the files go.
        html: where the report goes instead of `folder`/report.html.
        form: how it is printed: `text`, `md`, `csv` or `json`.
        last_seed: the largest seed of the sweep that made the runs and ended, for `looks.json`.
        tuning: what was tuned before; arms of it that are not among `runs` do not matter.

    Raises:
        UserError: an unknown metric or form.
    """
    from lab.studies.report.page import write_report  # late: it imports matplotlib

    show = choose("--format", form, FORMATS)
    tuning = tuning and compared(tuning, runs)
    comparison = compare(
        runs, study, analyses=read_interim(folder).num_seeds, tuning=tuning, design=read_design(folder)
    )
    print(show(comparison))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, ".report.lock", wait=True):  # another command may be writing the same files
        write_report(comparison, folder, html)
        means = arm_means(comparison)
        write_mean_runs(means, folder)
        write_board(comparison, means, folder)
        for num_seeds in comparison.analyses if comparison.runs and study.claims else ():
            record_interim(folder, num_seeds, last_seed)
    # Whoever reads a table from the output wants nothing else in it.
    places = f"\nreport: {html or folder / 'report.html'}\ncurves: lab board {folder}"
    print(places, file=sys.stdout if form == "text" else sys.stderr)


@collector_off()
def compare_folders(
    folders: list[Path],
    by: list[str] | None,
    metric: str | None,
    html: Path | None,
    where: Sequence[str] = (),
    form: str = "text",
    reference: Sequence[str] = (),
) -> None:
    """`lab compare`: publishes all runs of a folder, whichever commands made them.

    Several folders, and what `by`, `metric`, `where` and `reference` ask for, are another view than the experiment's
    own, whose files stay as they are: it is printed, and its page is written only where `html` says.

    Args:
        where: `key=value`; only the runs that have all of them.
        reference: `key=value`; the arm that has all of them replaces the study's reference.

    Raises:
        UserError: no such folder, no run in it, or an unknown key, metric or form.
    """
    found, num_copies = without_copies(find_runs(folders))
    if num_copies:
        what = "1 copy of a run that is" if num_copies == 1 else f"{num_copies} copies of runs that are"
        print(f"left out: {what} here already (same configuration and seed)", file=sys.stderr)
    tuning, runs = find_tuning(found)
    if not runs:
        raise UserError(
            f"no run under {', '.join(map(str, folders))} has the values that its tuning picked in the end "
            f"({len(found)} have others); the same 'lab train' makes them"
        )
    if len(runs) < len(found):
        print(f"left out: {len(found) - len(runs)} runs with other values than their tuning picked", file=sys.stderr)
    study, asked = read_study(runs), read_selector("--reference", reference)
    chosen = parse_metric(metric) if metric else None
    several = len({folder.resolve() for folder in folders}) > 1
    if not (several or by or metric or where or reference):
        publish(runs, study, folders[0], html, form, tuning=tuning)
        return
    show = choose("--format", form, FORMATS)
    runs, num_runs = select(runs, where), len(runs)
    tuning = tuning and compared(tuning, runs)
    comparison = compare(
        runs, study, by, chosen, read_interim(folders[0]).num_seeds, tuning, asked, read_design(folders[0])
    )
    if where:
        comparison = replace(comparison, verdicts=[verdict for verdict in comparison.verdicts if verdict.n])
    print(show(comparison))
    if comparison.runs and study.claims and len(runs) == num_runs:  # printed verdicts are an analysis
        with locked(folders[0], ".report.lock", wait=True):
            for num_seeds in comparison.analyses:
                record_interim(folders[0], num_seeds)
    if html:
        from lab.studies.report.page import write_page

        write_page(comparison, html)
    place = f"report: {html}" if html else "nothing was written; --html FILE writes a page"
    print(f"\n{place}", file=sys.stdout if form == "text" else sys.stderr)


def select(runs: list[Run], where: Sequence[str]) -> list[Run]:
    """The runs that have all the values of `where`, `key=value` each.

    Raises:
        UserError: a word is none, a key is unknown, or no run is left.
    """
    if not where:
        return runs
    selector = read_selector("--where", where)
    found = [run for run in runs if matches(complete(run.config), selector)]
    if not found:
        there = {key: sorted({str(complete(run.config).get(key)) for run in runs}) for key in selector}
        values = "; ".join(f"{key} takes: {', '.join(texts)}" for key, texts in there.items())
        raise UserError(f"--where {label(selector)}: no run is like this; {values}")
    return found


def read_selector(option: str, words: Sequence[str]) -> dict[str, str]:
    """The selector of an option's `words`, `key=value` each; raises `UserError` for any other word."""
    selector = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise UserError(f"{option} {word}: write KEY=VALUE, as model.depth=30")
        selector[key] = value
    return selector
