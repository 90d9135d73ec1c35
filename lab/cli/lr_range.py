"""`lab lr-range`: the range test of one configuration, in words, as a table and as a figure."""

import csv
import io
import os
from pathlib import Path

from lab.errors import UserError
from lab.records.places import Job, inside
from lab.records.read import begins
from lab.records.write import write_atomically
from lab.runs.lr_range import find_rates, prepare
from lab.studies.figures.files import figure_bytes
from lab.studies.figures.range_curve import draw_range
from lab.training.range_test import RangeTest

COLUMNS = ("step", "lr", "loss", "smoothed")
"""Of the table."""


def lr_range(job: Job, low: float, high: float, steps: int) -> RangeTest:
    """Tests `job` from rate `low` to `high`, prints what follows, and writes `seed=<n>.csv`, `.png` and `.svg`.

    The files lie in `<out>/<name>/lr-range/<arm>/`, beside the runs and never taken for one.

    Raises:
        UserError: the configuration or a value is wrong, or the folder cannot be written.
    """
    training = prepare(job)
    folder, name = inside(job.folder.parent.parent, "lr-range", job.folder.parent.name), job.folder.name
    check_files(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={job.config.out}: cannot write {folder} ({error.strerror or error})") from error
    found = find_rates(training, job.config.seed, low, high, steps)
    write_range(found, folder, name)
    print(f"{range_text(found, low, high)}\nresults: {folder}/{name}.png, .svg and .csv")
    return found


def check_files(folder: Path, name: str) -> None:
    """Raises `UserError` where files of that `name` are there that the lab has not written: theirs lie beside a table
    of the lab."""
    there = [f"{name}{end}" for end in (".csv", ".png", ".svg") if os.path.lexists(folder / f"{name}{end}")]
    if there and not begins(folder / f"{name}.csv", f"{','.join(COLUMNS)}\n"):
        raise UserError(
            f"{folder} holds {', '.join(there)}, which the lab has not written and leaves alone; move that, or give "
            "another name="
        )


def write_range(found: RangeTest, folder: Path, name: str) -> None:
    """The table, a row a step, and the figure."""
    table = io.StringIO(newline="")
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    columns = zip(found.rates, found.losses, found.smoothed, strict=True)
    rows.writerows([step, *map("{:.8g}".format, row)] for step, row in enumerate(columns))
    write_atomically(folder / f"{name}.csv", table.getvalue().encode())
    points = {}
    if found.steepest is not None and found.least is not None:
        points = {"steepest descent": found.steepest, "least": found.least}
    figure = draw_range(found.rates, found.losses, found.smoothed, found.suggestion, points)
    for kind in ("png", "svg"):
        write_atomically(folder / f"{name}.{kind}", figure_bytes(figure, kind))


def range_text(found: RangeTest, low: float, high: float) -> str:
    """What was found, and what to do where nothing can be said."""
    if not found.rates:
        return "the loss is not finite at the first step, before any rate has acted: check the data and the net"
    ends = {
        "blew up": "the loss blew up at {:.2g}, after {} steps",
        "not finite": "the loss was finite up to {:.2g}, for {} steps",
        "reached the end": "up to {:.2g}, in {} steps, the loss did not blow up",
    }
    lines = [f"from {low:.2g} on: " + ends[found.outcome].format(found.rates[-1], len(found.rates))]
    if found.suggestion is None or found.least is None or found.steepest is None:
        other = (
            f"a lower --low than {low:g}" if found.outcome != "reached the end" else f"a higher --high than {high:g}"
        )
        lines.append(f"no suggestion: the loss did not fall by more than batches differ; try {other}, or more --steps")
        return "\n".join(lines)
    lines += [
        f"loss {found.smoothed[0]:.4g} at the start, {found.smoothed[found.least]:.4g} at least",
        f"steepest descent at {found.rates[found.steepest]:.2g}; a tenth of the least's rate: "
        f"{found.rates[found.least] / 10:.2g}",
        f"suggested, between the two: optimizer.lr={found.suggestion:.2g}",
    ]
    if found.outcome == "reached the end":
        lines.append(f"but the limit was not found: try a higher --high than {high:g}")
    return "\n".join(lines)
