"""What `lab probe` leaves on the disk: JSON, the figure, and TensorBoard's points over depth."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from matplotlib.figure import Figure

from lab.checks.probe.profile import Profile, Quantity, Row
from lab.checks.probe.render import MADE_BY, as_json, mean
from lab.errors import UserError
from lab.records.events import EventFile, remove_events, write_scalars
from lab.records.write import write_atomically
from lab.studies.figures.depth_curve import DepthSeries, draw_depth
from lab.studies.figures.files import figure_bytes

PROBES = "_probe"
"""Folder of probes beside those of experiments."""

FILES = ("probe.json", "probe.svg", "probe.png")


def claim(folder: Path, key: str) -> None:
    """Makes `folder`, unless it holds what somebody else wrote.

    Args:
        folder: where the files will go.
        key: what the user gave, for the message.

    Raises:
        UserError: it holds other files, or is not to be made.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{key} is a file; give a folder")
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise UserError(f"{key}: cannot write {folder} ({error.strerror or error})") from error
    if there and not is_ours(folder):
        raise UserError(
            f"{key} holds files that lab probe did not write ({there[0]}); give a folder that is new or empty"
        )


def is_ours(folder: Path) -> bool:
    """Whether `lab probe` wrote into `folder` before."""
    with suppress(OSError, ValueError, AttributeError):
        return json.loads((folder / FILES[0]).read_text()).get("made_by") == MADE_BY
    return False


def write_probe(folder: Path, profiles: Sequence[Profile], homes: Sequence[str]) -> None:
    """Writes the files of `FILES`, and a TensorBoard run for each profile in the subfolder that `homes` names.

    What an earlier probe wrote there is replaced.
    """
    figure = draw_profiles(profiles)
    svg, png = figure_bytes(figure, "svg"), figure_bytes(figure, "png")
    data = as_json(profiles).encode()
    for name, content in zip(FILES, (data, svg, png), strict=True):
        write_atomically(folder / name, content)
    for home, profile in zip(homes, profiles, strict=True):
        write_scalars(folder / home, over_depth(profile))
    remove_events(folder)
    width, height = (round(200 * inches) for inches in figure.get_size_inches())
    with EventFile(folder) as events:
        events.image("probe", png, (height, width), 0)


def draw_profiles(profiles: Sequence[Profile]) -> Figure:
    """Signals and gradients over depth."""
    return draw_depth(
        {
            "activations": [series(profile, lambda row: row.moment) for profile in profiles],
            "gradients (the outputs' = 1)": [series(profile, lambda row: row.gradient) for profile in profiles],
        }
    )


def series(profile: Profile, take: Callable[[Row], Quantity]) -> DepthSeries:
    """The layers with weights of one profile, or all where none has any."""
    rows = [row for row in profile.rows if row.kind in ("linear", "conv")] or profile.rows
    found = [take(row) for row in rows]
    return DepthSeries(
        profile.label, [one.predicted for one in found], [one.measured for one in found], [one.since for one in found]
    )


def over_depth(profile: Profile) -> dict[str, list[tuple[int, float]]]:
    """Points of each quantity; the step is the layer's place, counted from 1."""
    found: dict[str, list[tuple[int, float]]] = {}

    def add(tag: str, place: int, value: float | None) -> None:
        if value is not None:
            found.setdefault(f"probe_{tag}", []).append((place, value))

    for place, row in enumerate(profile.rows, 1):
        add("activations/predicted", place, row.moment.predicted)
        add("activations/measured", place, row.moment.mean)
        add("gradients/predicted", place, row.gradient.predicted)
        add("gradients/measured", place, row.gradient.mean)
        add(f"idle/{idle_tag(row)}", place, mean(row.idle))
        add("update_over_weight", place, mean(row.updates))
    return found


def idle_tag(row: Row) -> str:
    return "saturated_values" if row.idle_kind == "bounded" else "dead_units"
