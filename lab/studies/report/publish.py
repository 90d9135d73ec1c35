"""From runs to all that a comparison leaves behind: the table on the screen, the report and the mean curves."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab.errors import DamagedFileError, UserError, choose
from lab.metric import Metric, parse_metric
from lab.records.design import read_design
from lab.records.interim import record_interim
from lab.records.lock import locked
from lab.records.named import in_all_names
from lab.records.registration import FILE, REMEDY, read_registration, run_folders
from lab.records.results import Run, find_runs, read_run, without_copies
from lab.records.tuning import Tuning
from lab.studies.claims.departures import recall
from lab.studies.claims.study import Study, parse_study, read_study
from lab.studies.comparison.compare import Comparison, compare
from lab.studies.comparison.means import arm_means, write_mean_runs
from lab.studies.comparison.tuned import compared, find_tuning
from lab.studies.report.board import write_board
from lab.studies.report.formats import FORMATS
from lab.studies.report.ownership import check_page, is_experiment, lies_in_arm
from lab.studies.select.arms import completed
from lab.studies.select.scores import counts, logged_tags, score_runs
from lab.studies.select.selectors import full_key, label, matches, show
from lab.studies.statistics.numerals import count
from lab.system.machine import collector_off
from lab.system.reporter import note, say


@collector_off()
def publish(
    runs: list[Run],
    study: Study,
    folder: Path,
    html: Path | None = None,
    form: str = "text",
    last_seed: int | None = None,
    tuning: Tuning | None = None,
) -> Comparison:
    """Tells the comparison of `runs` and writes the report, the table, the verdicts, figures, `_mean/` and `_study/`.

    Where there are claims it is an interim analysis of the experiment, which `looks.json` in `folder` remembers. They
    are judged on all runs of the experiments, whichever are compared.

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
    runs = in_all_names(runs)
    whole = judged(runs, study, folder)
    tuning = tuning and compared(tuning, runs)
    same = len(runs) == len(whole.runs) + len(whole.failed) and tuning == whole.tuning
    comparison = whole if same else compare(runs, study, tuning=tuning, whole=whole)
    say(show(comparison))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, ".report.lock", wait=True):  # another command may be writing the same files
        write_report(comparison, folder, html)
        means = arm_means(comparison)
        write_mean_runs(means, folder)
        write_board(comparison, means, folder)
    record(comparison, study, runs, folder, last_seed)
    # Whoever reads a table from the output wants nothing else in it.
    places = f"\nreport: {html or folder / 'report.html'}\ncurves: lab board {folder}"
    (say if form == "text" else note)(places)
    return comparison


@dataclass(frozen=True)
class Gathered:
    """The runs of some folders, and what they are for."""

    found: list[Run]
    """All of them, each once, under all of its names."""
    runs: list[Run]
    """Without those whose values tuning has not picked in the end."""
    study: Study
    tuning: Tuning | None


def gather(folders: Sequence[Path]) -> Gathered:
    """Reads all runs under `folders`, whichever commands made them.

    Raises:
        UserError: no such folder, or no run in it.
    """
    found, num_copies = without_copies(find_runs(folders))
    if num_copies:
        what = "1 copy of a run that is" if num_copies == 1 else f"{num_copies} copies of runs that are"
        note(f"left out: {what} here already (same configuration and seed)")
    tuning, runs = find_tuning(found)
    if not runs:
        raise UserError(
            f"no run under {', '.join(map(str, folders))} has the values that its tuning picked in the end "
            f"({len(found)} have others); the same 'lab train' makes them"
        )
    if len(runs) < len(found):
        note(f"left out: {count(len(found) - len(runs), 'run')} with other values than their tuning picked")
    roots, found, runs = experiments(runs), in_all_names(found), in_all_names(runs)
    return Gathered(found, runs, registered_study(roots) or read_study(runs), tuning)


def view(
    there: Gathered,
    folder: Path,
    by: Sequence[str] | None = None,
    metric: str | None = None,
    where: Sequence[str] = (),
    reference: Sequence[str] = (),
) -> tuple[Comparison, Callable[[], None]]:
    """A comparison of what is `there` that leaves the files of the experiment as they are; arguments as of
    `compare_folders`.

    Returns:
        The comparison, and what remembers it as an interim analysis: who reads a verdict has analysed.
    """
    runs, study, tuning = there.runs, there.study, there.tuning
    asked = read_selector("--reference", reference, {key for run in completed(runs) for key in run.config})
    runs = select(runs, where)
    whole = judged(runs, study, folder) if study.claims else None  # which may hold runs that do not fit together
    tuning = tuning and compared(tuning, runs)
    chosen = parse_metric(metric) if metric else None
    comparison = compare(runs, study, by, chosen, tuning=tuning, asked=asked, whole=whole)
    return comparison, partial(record, comparison, study, runs, folder)


@collector_off()
def compare_folders(
    folders: list[Path],
    by: Sequence[str] | None,
    metric: str | None,
    html: Path | None,
    where: Sequence[str] = (),
    form: str = "text",
    reference: Sequence[str] = (),
) -> tuple[Comparison, Path | None]:
    """`lab compare`: publishes all runs of a folder, whichever commands made them.

    A folder that is not exactly one experiment's, and what `by`, `metric`, `where` and `reference` ask for, are another
    view than the experiment's own, whose files stay as they are: it is told, and its page is written only where
    `html` says.

    Args:
        where: `key=value`; only the runs that have all of them.
        reference: `key=value`; the arm that has all of them replaces the study's reference.

    Returns:
        The comparison, and where its page is; None if it has none.

    Raises:
        UserError: no such folder, no run in it, or an unknown key, metric or form.
    """
    if html:
        check_page(html)
    there, folder = gather(folders), folders[0]
    if is_experiment(folder, there.found) and not (by or metric or where or reference):
        found = publish(there.runs, there.study, folder, html, form, tuning=there.tuning)
        return found, html or folder / "report.html"
    show = choose("--format", form, FORMATS)
    comparison, remember = view(there, folder, by, metric, where, reference)
    say(show(comparison))
    remember()
    if html:
        from lab.studies.report.page import write_page

        write_page(comparison, html)
    place = f"report: {html}" if html else "nothing was written; --html FILE writes a page"
    (say if form == "text" else note)(f"\n{place}")
    return comparison, html


def experiments(runs: Sequence[Run]) -> list[Path]:
    """The folders of the experiments that `runs` belong to, each once; none for copies that lie elsewhere."""
    roots = {run.path.parent.parent.resolve(): run.path.parent.parent for run in runs if lies_in_arm(run)}
    return list(roots.values())


def places_of(roots: Sequence[Path], folder: Path) -> list[Path]:
    """The folders of `roots`, that of `folder` first and so written: all that may have a `looks.json` of the lab."""
    same = [folder for root in roots if root.resolve() == folder.resolve()]
    return [*same, *(root for root in roots if root.resolve() != folder.resolve())]


def registered_study(roots: Sequence[Path]) -> Study | None:
    """The study that `study.json` has, of several folders that of the last command; None without one."""
    found = [(kept.studies[-1].at, root, kept) for root in roots if (kept := read_registration(root)) and kept.studies]
    if not found:
        return None
    _, root, registration = max(found, key=lambda one: one[0])
    try:
        return parse_study(registration.current() or {})
    except UserError as error:
        raise DamagedFileError(f"{root / FILE} is damaged: {error}; {REMEDY}") from error


def judged(runs: list[Run], study: Study, folder: Path) -> Comparison:
    """The comparison of all runs of the experiments of `runs`: a claim has one verdict, however it is looked up.

    Runs that lack what a claim is measured by are left out, unless they are among `runs`.

    Args:
        runs: those that the user compares, one at least.
        study: what is claimed.
        folder: where files go, whose `looks.json` counts as well.
    """
    roots = experiments(runs)
    everything = runs
    if study.claims:
        inside = {run.path.resolve() for run in runs}
        paths = [path for root in roots for _, _, path in run_folders(root) if path.resolve() not in inside]
        others = in_all_names(run for path in paths if (run := read_run(path)))
        tags = logged_tags([*runs, *others])
        metrics = {(claim.metric or study.metric).resolve(tags) for claim in study.claims}
        there, _ = without_copies([*runs, *(run for run in others if has_scores(run, metrics))])
        everything = find_tuning(there)[1]
    tuning, _ = find_tuning(everything)
    past = recall(study, everything, places_of(roots, folder))
    design = read_design(roots[0]) if len(roots) == 1 else None
    return compare(everything, study, tuning=tuning and compared(tuning, everything), past=past, design=design)


def has_scores(run: Run, metrics: Iterable[Metric]) -> bool:
    """Whether `run` did not end, or can be scored by all `metrics`."""
    try:
        return not counts(run) or all(score_runs([run], metric) for metric in metrics)
    except UserError:
        return False


def record(
    comparison: Comparison, study: Study, runs: Sequence[Run], folder: Path, last_seed: int | None = None
) -> None:
    """Remembers a comparison with verdicts as an interim analysis, in the folders of the experiments."""
    if not comparison.runs or not study.claims:
        return
    verdicts = [(verdict.claim_id, verdict.evidence) for verdict in comparison.verdicts if verdict.n > 1]
    for place in places_of(experiments(runs), folder):
        with locked(place, ".report.lock", wait=True):
            own = place == folder
            held = comparison.analyses if comparison.design else comparison.analyses[-1:]
            for num_seeds in held if own else [None]:
                record_interim(place, num_seeds, last_seed if own else None, verdicts)


def select(runs: list[Run], where: Sequence[str]) -> list[Run]:
    """The runs that have all the values of `where`, `key=value` each.

    Raises:
        UserError: a word is none, a key is unknown, or no run is left.
    """
    if not where:
        return runs
    whole = completed(runs)
    selector = read_selector("--where", where, {key for run in whole for key in run.config})
    found = [run for run, full in zip(runs, whole, strict=True) if matches(full.config, selector)]
    if not found:
        there = {key: sorted({show(run.config[full_key(key, run.config)]) for run in whole}) for key in selector}
        values = "; ".join(f"{key} takes: {', '.join(texts)}" for key, texts in there.items())
        raise UserError(f"--where {label(selector)}: no run is like this; {values}")
    return found


def read_selector(option: str, words: Sequence[str], keys: Iterable[str]) -> dict[str, str]:
    """The selector of an option's `words`, `key=value` each, with whole keys where tables show short ones.

    Raises:
        UserError: a word is none, or a short key stands for several of `keys`, or for none.
    """
    selector, keys = {}, list(keys)
    for word in words:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise UserError(f"{option} {word}: write KEY=VALUE, as model.depth=30")
        try:
            selector[key if "." in key else full_key(key, keys)] = value
        except UserError as error:
            raise UserError(f"{option} {word}: {error}") from None
    return selector
