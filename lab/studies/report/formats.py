"""The comparison for other programs and pages: Markdown, CSV and JSON, beside the text of `table`."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from lab.records.write import finite
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.tuned import tuning_texts
from lab.studies.report.table import (
    NUMBERS,
    ascii_only,
    cautions,
    columns,
    csv_text,
    table_text,
    verdict_data,
    verdict_texts,
)
from lab.studies.statistics.numerals import count


def markdown(comparison: Comparison) -> str:
    """The table and a bullet a verdict, for a page like those under `experiments/`."""
    table = columns(comparison)
    rows = list(zip(*table.values(), strict=True))
    lines = markdown_table(list(table), rows, [name in NUMBERS for name in table])
    title = f"{comparison.metric}, {count(len({run.path for run in comparison.runs}), 'run')}"
    title += f", differences to {comparison.reference} paired by seed" if len(comparison.arms) > 1 else ""
    bullets = [*verdict_bullets(comparison), *(f"- {text}" for text in tuning_texts(comparison.tuning))]
    bullets += [f"- {text}" for text in comparison.departures]
    notes = [line for text in cautions(comparison) for line in ("", text)]
    return ascii_only("\n".join([f"{title}.", "", *lines, *notes, *([""] if bullets else []), *bullets]))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[bool] = ()) -> list[str]:
    """The lines of a Markdown table, columns of `numbers` to the right."""
    rules = ["---:" if number else "---" for number in numbers] or ["---"] * len(header)
    cells = [header, rules, *rows]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in cells]


def verdict_bullets(comparison: Comparison) -> list[str]:
    """A bullet a verdict, in Markdown."""
    texts = [(verdict.verdict, *verdict_texts(verdict)) for verdict in comparison.verdicts]
    return [f"- **{word}**: {head}. {text}" for word, head, text in texts]


def json_text(comparison: Comparison) -> str:
    """What `verdict.json` holds, with the arms of the table; infinities become null, which JSON lacks."""
    data = {
        "question": comparison.question,
        "reference": comparison.reference,
        "arms": [arm_data(arm) for arm in comparison.arms],
        **verdict_data(comparison),
    }
    return json.dumps(finite(data), indent=2, allow_nan=False)


def arm_data(arm: Arm) -> dict[str, Any]:
    """One arm, numbers unrounded, the score of every seed with it."""
    return {
        "label": arm.label,
        "keys": arm.keys,
        "n": arm.num_seeds,
        "num_trained": arm.num_trained,
        "num_diverged": arm.num_diverged,
        "num_failed": arm.num_failed,
        "num_interrupted": arm.num_interrupted,
        "is_reference": arm.is_reference,
        "score": arm.score and vars(arm.score),
        "test": arm.test and vars(arm.test),
        "difference": arm.difference and vars(arm.difference),
        "shared": arm.shared and vars(arm.shared),
        "images_per_second": arm.images_per_second,
        "num_params": arm.num_params,
        "seeds": [run.seed for run in arm.runs],
        "scores": arm.values,
    }


FORMATS = {
    "text": table_text,
    "md": markdown,
    "csv": lambda comparison: csv_text(comparison).rstrip("\n"),
    "json": json_text,
}
