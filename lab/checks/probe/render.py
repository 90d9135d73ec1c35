"""Profiles as text and as JSON."""

import json
import math
from collections.abc import Iterable, Sequence

from lab.checks.probe.profile import Profile, Quantity, Row
from lab.records.write import finite

FORMATS = ("text", "json")

MADE_BY = "lab probe"
"""What the JSON says of who made it."""

MOST_NAMED = 3
"""Layers that a reason names."""

HEAD = ("layer", "kind", "predicted", "measured", "spread", "predicted", "measured", "spread", "idle", "update")

NOTES = """E[x^2]: mean square of a layer's results. E[g^2]: of the gradient there; that at the outputs is 1.
idle: dead units of a rectifier (ReLU: never positive), or with ~ saturated values (slope under 5 % of the steepest).
update: log10 of the first step's update over the weight, at optimizer.lr; usual is -4 to -1. spread: least and most."""


def as_text(profiles: Sequence[Profile]) -> str:
    """A table for each configuration, with the reasons where nothing is predicted."""
    return "\n\n".join([*map(block, profiles), NOTES])


def block(profile: Profile) -> str:
    """One configuration's table."""
    draws = len(profile.loss)
    title = f"{profile.label}: {draws} draw{'s' * (draws != 1)} of the weights, {profile.batch} images"
    table = [HEAD, *(cells(row) for row in profile.rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(HEAD))]
    lines = [
        "  ".join(
            text.ljust(w) if place < 2 else text.rjust(w)
            for place, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]
    ahead = sum(widths[:2]) + 4
    above = f"{'':{ahead}}{'activations, E[x^2]':{sum(widths[2:5]) + 6}}gradients, E[g^2]"
    return "\n".join([title, above.rstrip(), *(line.rstrip() for line in lines), loss_line(profile), *reasons(profile)])


def cells(row: Row) -> tuple[str, ...]:
    """A layer's line."""
    idle, updates = mean(row.idle), mean(row.updates)
    return (
        row.layer,
        row.kind,
        *three(row.moment),
        *three(row.gradient),
        "" if idle is None else f"{'~' * (row.idle_kind == 'bounded')}{idle:.0%}",
        "" if updates is None else f"{math.log10(updates):.1f}" if updates > 0 else "none",
    )


def three(quantity: Quantity) -> tuple[str, str, str]:
    """Prediction, mean, and range over draws."""
    predicted = "-" if quantity.predicted is None else number(quantity.predicted) + "*" * bool(quantity.since)
    if not quantity.measured:
        return predicted, "-", ""
    spread = f"{number(min(quantity.measured))}..{number(max(quantity.measured))}"
    return predicted, number(mean(quantity.measured) or 0.0), spread if len(quantity.measured) > 1 else ""


def number(value: float) -> str:
    """`0.98`, `1.2e-07`."""
    return f"{value:.3g}"


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def loss_line(profile: Profile) -> str:
    """The loss at the start, beside that of equal probabilities."""
    there = f"loss at the start {number(mean(profile.loss) or 0.0)}"
    if profile.uniform_loss is None:
        return there
    classes = round(math.exp(profile.uniform_loss))
    return f"{there}; log({classes}) = {number(profile.uniform_loss)}, of equal probabilities"


def reasons(profile: Profile) -> Iterable[str]:
    """Why there is no prediction, and where predictions start anew."""
    for name, quantities in (
        ("activations", [(row, row.moment) for row in profile.rows]),
        ("gradients", [(row, row.gradient) for row in profile.rows]),
    ):
        found: dict[str, list[str]] = {}
        for row, quantity in quantities:
            if quantity.reason:
                found.setdefault(quantity.reason, []).append(row.layer)
        for reason, layers in found.items():
            more = f" and {len(layers) - MOST_NAMED} more" if len(layers) > MOST_NAMED else ""
            yield f"- no prediction for {name}: {reason} ({', '.join(layers[:MOST_NAMED])}{more})"
    if any(one.since for row in profile.rows for one in (row.moment, row.gradient)):
        yield "* starts from what was measured at the last layer without a prediction"


def as_json(profiles: Sequence[Profile]) -> str:
    """All that was found, with the values of all draws."""
    return json.dumps(finite({"made_by": MADE_BY, "configurations": [*map(as_dict, profiles)]}), indent=1)


def as_dict(profile: Profile) -> dict:
    """One configuration."""
    return {
        "name": profile.label,
        "draws": len(profile.loss),
        "images": profile.batch,
        "loss": {"measured": list(profile.loss), "of_equal_probabilities": profile.uniform_loss},
        "layers": [
            {
                "layer": row.layer,
                "kind": row.kind,
                "shape": list(row.shape),
                "activations": {"second_moment": plain(row.moment), "variance": plain(row.variance)},
                "gradients": {"second_moment": plain(row.gradient)},
                "dead_units": list(row.idle) if row.idle_kind == "rectifier" else None,
                "saturated_values": list(row.idle) if row.idle_kind == "bounded" else None,
                "update_over_weight": list(row.updates) or None,
            }
            for row in profile.rows
        ],
    }


def plain(quantity: Quantity) -> dict:
    """Prediction, values, and why there is none or from where it starts."""
    return {
        "predicted": quantity.predicted,
        "mean": mean(quantity.measured),
        "measured": list(quantity.measured),
        "no_prediction": quantity.reason or None,
        "starts_from_measured": list(quantity.since),
    }


AS = {"text": as_text, "json": as_json}
