"""The figures of what runs predict of the test images, in words, and the tables beside them."""

import numpy as np

from lab.studies.comparison.answers import APART, FEWEST_SEEDS, MOST_CLASSES, SHARE, Answers
from lab.studies.comparison.calibration import BINS
from lab.studies.figures.calibration import FEWEST, draw_calibration
from lab.studies.figures.classes import MOST_CLASSES as MOST_ROWS
from lab.studies.figures.classes import draw_classes, shown_classes
from lab.studies.figures.confusion import (
    deepest,
    difference_matrices,
    draw_confusion,
    draw_confusion_difference,
    share_matrices,
)
from lab.studies.figures.mistakes import draw_mistakes
from lab.studies.report.subject import Exhibit, Subject
from lab.studies.statistics.estimate import mean_intervals
from lab.studies.statistics.numerals import count, fixed

SECTION = "predictions"

MOST_PAIRS = 15
"""Confusions of the table."""

MOST_LISTED = 100
"""Classes of the table; of more those of the lowest accuracy."""

MOST_TOLD = 8
"""Rows that a description reads out."""

Table = tuple[str, list[tuple[str, bool]], list[list[str]]]
"""Caption; columns, and whether they hold numbers; rows."""


def shown_text(answers: Answers) -> str:
    """Which arms are shown, where that is not all of them."""
    parts = [f"Shown are {len(answers.arms)} of {answers.num_arms} arms." * (answers.num_arms > len(answers.arms))]
    few = answers.left_out[:4]
    names = f"{', '.join(few)}{f' and {len(answers.left_out) - len(few)} more' * (len(answers.left_out) > len(few))}"
    parts += [f"Left out, as they kept no predictions of these classes: {names}."] * bool(few)
    absent = [answers.classes[k] for k in range(len(answers.classes)) if k not in answers.present]
    parts += [f"Without test images: {', '.join(absent[:6])}{' ...' * (len(absent) > 6)}."] * bool(absent)
    trained = sum(len(one.arm.runs) - len(one.runs) for one in answers.arms)
    parts += [f"{count(trained, 'run')} that did not train, diverged or kept no predictions left out."] * bool(trained)
    return " ".join(part for part in parts if part)


def spread_text(answers: Answers) -> str:
    """Over what means are."""
    seeds = {len(one.seeds) for one in answers.arms}
    number = f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else count(min(seeds), "seed")
    return f"means over {number}" if max(seeds) > 1 else "1 seed"


def percents(rows: np.ndarray, bounds: tuple[float, float] = SHARE) -> list[str]:
    """`96.5 [95.1, 97.9]` for each column of shares (seeds, columns), in percent; with signs if they are differences.

    All columns are computed together, as from ten seeds on they share the draws of one bootstrap.
    """
    texts, sign = ["-"] * rows.shape[1], bounds == APART
    there = np.flatnonzero(np.isfinite(rows).all(0))
    means = 100 * rows[:, there].mean(0)
    edges = mean_intervals(rows[:, there], bounds) if len(rows) > 1 and len(there) else None
    for place, column in enumerate(there.tolist()):
        texts[column] = fixed(float(means[place]), 1, sign)
        if edges and edges[0][place] < edges[1][place]:  # seeds that all agree tell nothing of the next one
            low, high = (fixed(100 * float(edge[place]), 1, sign) for edge in edges)
            texts[column] += f" [{low}, {high}]"
    return texts


def pairs_of(answers: Answers) -> list[tuple[int, int]]:
    """The commonest confusions, (true class, predicted), by their mean share over the arms; at most 15."""
    if len(answers.classes) > MOST_CLASSES:
        return []
    mean = np.nan_to_num(np.mean([one.confusion.mean(0) for one in answers.arms], 0))
    np.fill_diagonal(mean, 0.0)
    places = np.argsort(-mean, axis=None, kind="stable")[:MOST_PAIRS]
    k = len(answers.classes)
    return [(int(place // k), int(place % k)) for place in places if mean.flat[place] > 0]


def pair_text(answers: Answers, pair: tuple[int, int]) -> str:
    """`7 as 1`."""
    return f"{answers.classes[pair[0]]} as {answers.classes[pair[1]]}"


def pair_rows(answers: Answers) -> list[list[str]]:
    """A row a confusion: its share in each arm."""
    pairs = pairs_of(answers)
    if not pairs:
        return []
    true, guess = (list(part) for part in zip(*pairs, strict=True))
    columns = [percents(one.confusion[:, true, guess]) for one in answers.arms]
    names = [f"{answers.classes[pair[0]]} as {answers.classes[pair[1]]}" for pair in pairs]
    return [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]


def confusion_words(subject: Subject) -> tuple[str, str]:
    answers = subject.answers
    assert answers
    rows = [f"{row[0]} {', '.join(row[1:])}" for row in pair_rows(answers)[:MOST_TOLD]]
    told, arms = "; ".join(rows), ", ".join(one.arm.label for one in answers.arms)
    most = deepest(share_matrices(answers), apart=False)
    return (
        f"Confusion matrices; the commonest confusions, in percent of the true class's images, by {arms}: "
        f"{told or 'none'}.",
        f"Rows: the true class; columns: what its images are taken for, in percent of them ({spread_text(answers)}). "
        f"Grey: right. Blue: wrong, the strongest {most:.2g} %. {shown_text(answers)}".strip(),
    )


def difference_words(subject: Subject) -> tuple[str, str]:
    answers = subject.answers
    assert answers
    matrices = difference_matrices(answers)
    told = []
    for one in matrices:
        places = np.argsort(-abs(np.nan_to_num(one.values)), axis=None, kind="stable")[:MOST_TOLD]
        k = len(answers.classes)
        cells = [f"{pair_text(answers, (p // k, p % k))} {one.values.flat[p]:+.1f}" for p in places.tolist()]
        told.append(f"{one.title}: {', '.join(cells)}")
    return (
        f"Differences of confusion matrices, in points, the largest ones: {'; '.join(told)}.",
        f"An arm minus its reference, in points, means over the seeds of both. Blue: more, orange: less, the strongest "
        f"{deepest(matrices, apart=True):.2g}. On the diagonal blue is better, beside it worse. Of many cells some "
        "differ by chance.",
    )


def classes_words(subject: Subject) -> tuple[str, str]:
    answers = subject.answers
    assert answers
    told = [f"{row[0]} {', '.join(row[1:])}" for row in class_rows(answers)[:MOST_TOLD]]
    arms = ", ".join(class_columns(answers))
    cut = f" The {MOST_ROWS} classes of the lowest accuracy, of {len(answers.present)}." * (
        len(answers.present) > MOST_ROWS
    )
    return (
        f"Accuracy by class, in percent of its test images, by {arms}: {'; '.join(told)}; all in the table.",
        f"Symbols: {spread_text(answers)}; bars, from {FEWEST_SEEDS} seeds on: 95 % interval of the mean, for these "
        f"test images and not adjusted for the number of classes.{cut} {shown_text(answers)}".strip(),
    )


def calibration_words(subject: Subject) -> tuple[str, str]:
    answers = subject.answers
    assert answers
    told = "; ".join(", ".join(row) for row in calibration_rows(answers))
    return (
        f"Reliability diagrams; arm, expected calibration error, difference to the reference, gap, in percent: {told}.",
        f"Accuracy of the images in each of {BINS} bins of confidence ({spread_text(answers)}; strokes, from "
        f"{FEWEST_SEEDS} seeds on: 95 % interval). Grey: the share of the images in each. Below the diagonal nets are "
        f"surer than they are right. Hollow: fewer than {FEWEST} images in some seed. ECE: expected calibration error, "
        "the mean distance from the diagonal, weighted by images (Guo et al. 2017); few images make it larger by "
        f"chance. {shown_text(answers)}".strip(),
    )


def mistakes_words(subject: Subject) -> tuple[str, str]:
    answers, mistakes = subject.answers, subject.mistakes
    assert answers
    rows = [f"image {row[0]}, {row[1]} as {row[2]}, {row[3]} runs" for row in mistake_rows(subject)[:MOST_TOLD]]
    other = f" {count(mistakes.left_out, 'run')} scored on other images left out." * bool(mistakes.left_out)
    return (
        f"The test images misclassified by most runs: {'; '.join(rows)}; all in the table.",
        "The test images that most runs misclassify: true class as the commonest wrong guess, and how many of the runs "
        f"are wrong. Where nearly all agree the label may be wrong.{other} {shown_text(answers)}".strip(),
    )


def class_columns(answers: Answers) -> list[str]:
    """What the columns of `class_rows` hold after the class."""
    apart = [one.arm.label for one in answers.arms if answers.paired(one, "accuracy") is not None]
    return [*(one.arm.label for one in answers.arms), *(f"difference of {label}" for label in apart)]


def class_rows(answers: Answers) -> list[list[str]]:
    """A row a class: its accuracy in each arm, and the differences to the reference."""
    classes = answers.present if len(answers.present) <= MOST_LISTED else shown_classes(answers)
    apart = [answers.paired(one, "accuracy") for one in answers.arms]
    columns = [percents(one.accuracy[:, classes]) for one in answers.arms]
    columns += [percents(rows[:, classes], APART) for rows in apart if rows is not None]
    names = [answers.classes[k] for k in classes]
    return [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]


def calibration_rows(answers: Answers) -> list[list[str]]:
    """A row an arm: its error, the error minus that of its reference, and the gap, each with interval."""
    rows = []
    for one in answers.arms:
        if found := one.calibration:
            other, apart = answers.reference(one), "-"
            if other and other.calibration:
                own, its = (dict(zip(c.seeds, c.errors, strict=True)) for c in (found, other.calibration))
                both = [own[seed] - its[seed] for seed in own if seed in its]
                apart = percents(np.array(both)[:, None], APART)[0] if both else "-"
            error, gap = percents(np.array(found.errors)[:, None])[0], percents(np.array(found.gaps)[:, None], APART)[0]
            rows.append([one.arm.label, error, apart, gap])
    return rows


def mistake_rows(subject: Subject) -> list[list[str]]:
    """A row an image."""
    answers = subject.answers
    assert answers
    return [
        [
            str(one.index),
            answers.classes[one.label],
            answers.classes[one.guess],
            f"{sum(one.wrong)} of {sum(one.runs)}",
            *(f"{wrong} of {runs}" for wrong, runs in zip(one.wrong, one.runs, strict=True) if len(one.runs) > 1),
        ]
        for one in subject.mistakes.found
    ]


def tables(subject: Subject) -> dict[str, Table]:
    """The tables beside the figures, by the name of the figure."""
    answers = subject.answers
    if answers is None:
        return {}
    labels = [one.arm.label for one in answers.arms]
    found: dict[str, Table] = {}
    if rows := pair_rows(answers):
        title = "The commonest confusions, in percent of the true class's images"
        found["confusion"] = title, heads("class as", labels), rows
    title = "Accuracy by class, in percent of its test images"
    found["classes"] = title, heads("class", class_columns(answers)), class_rows(answers)
    if rows := calibration_rows(answers):
        columns = ["expected calibration error", "minus that of the reference", "confidence minus accuracy"]
        found["calibration"] = "Calibration of the arms, in percent and points", heads("arm", columns), rows
    if rows := mistake_rows(subject):
        words = [("image", False), ("class", False), ("taken for", False)]
        columns = ["runs", *(labels if len(labels) > 1 else [])]
        found["mistakes"] = (
            "The test images that most runs misclassify",
            [*words, *((one, True) for one in columns)],
            rows,
        )
    return found


def heads(first: str, columns: list[str]) -> list[tuple[str, bool]]:
    """The columns of a table whose first one is a name."""
    return [(first, False), *((column, True) for column in columns)]


def why_no_images(subject: Subject) -> str:
    """Why the images are not drawn that the table names; empty where they are, or where examples are no images."""
    return subject.mistakes.pixels().why_not if subject.answers and subject.mistakes.found else ""


PREDICTIONS = (
    Exhibit(
        "confusion", SECTION, lambda one, narrow: draw_confusion(one.answers, narrow), confusion_words, "Confusion"
    ),
    Exhibit(
        "confusion_difference",
        SECTION,
        lambda one, narrow: draw_confusion_difference(one.answers, narrow),
        difference_words,
        "Confusion, differences",
    ),
    Exhibit(
        "classes", SECTION, lambda one, narrow: draw_classes(one.answers, narrow), classes_words, "Accuracy by class"
    ),
    Exhibit(
        "calibration",
        SECTION,
        lambda one, narrow: draw_calibration(one.answers, narrow),
        calibration_words,
        "Calibration",
    ),
    Exhibit(
        "mistakes",
        SECTION,
        lambda one, narrow: (
            one.answers and draw_mistakes(one.mistakes.found, one.mistakes.pixels().images, one.answers.classes, narrow)
        ),
        mistakes_words,
        "Images most often misclassified",
    ),
)
"""The figures of the predictions, in their order on the page."""
