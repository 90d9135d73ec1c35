"""The test images that most runs of a comparison misclassify."""

from dataclasses import dataclass

from lab.records.results import Run
from lab.studies.comparison.answers import Answers
from lab.studies.select.images import kind_of, same_images
from lab.studies.select.pixels import Pending, Pixels

MOST_IMAGES = 24


@dataclass(frozen=True)
class Mistaken:
    """A test image, and how the runs of the arms that are shown classified it."""

    index: int
    """Its place in the data set's test part."""
    label: int
    guess: int
    """What it is most often taken for."""
    wrong: list[int]
    """Runs of each arm that misclassify it."""
    runs: list[int]
    """Runs of each arm."""

    @property
    def share(self) -> float:
        """Which share of all runs misclassifies it."""
        return sum(self.wrong) / sum(self.runs)


@dataclass(frozen=True)
class Mistakes:
    """The test images that are misclassified most often."""

    found: list[Mistaken]
    left_out: int = 0
    """Runs that are scored on other test images."""
    pending: Pending | None = None

    def pixels(self) -> Pixels:
        """The images themselves, as soon as they are there."""
        return self.pending.get() if self.pending else Pixels()


def find_mistakes(answers: Answers | None) -> Mistakes:
    """The test images that most runs misclassify, whose pixels are fetched from now on."""
    if answers is None:
        return Mistakes([])
    found, run, left_out = most_mistaken(answers, MOST_IMAGES)
    pending = Pending(run, [one.index for one in found], [one.label for one in found]) if found else None
    return Mistakes(found, left_out, pending)


def most_mistaken(answers: Answers, number: int) -> tuple[list[Mistaken], Run, int]:
    """The test images that most runs misclassify, those first of which the wrong runs are surest; none that all tell.

    Runs that are scored on other test images than the first run are left out.

    Returns:
        The images, one of the runs, and how many were left out.
    """
    import numpy as np

    first, groups = answers.arms[0].runs[0], []
    kind, its = kind_of(first), first.predictions
    assert its is not None
    left_out = 0
    for one in answers.arms:
        group = [run for run in one.runs if same_images(kind_of(run), kind)]
        group = [run for run in group if run.predictions and alike(run.predictions, its)]
        left_out += len(one.runs) - len(group)
        groups.append(group)
    runs = [run for group in groups for run in group]
    guesses = np.stack([run.predictions["predicted"].astype(np.int64) for run in runs if run.predictions])  # (runs, n)
    wrong = guesses != its["label"]
    sure = [run.predictions.get("confidence", np.zeros(len(its["label"]))) for run in runs if run.predictions]
    surest = np.where(wrong & np.isfinite(sure), sure, 0).sum(0)
    order = np.lexsort((its["index"], -surest, -wrong.sum(0)))[:number]
    sizes, found = [len(group) for group in groups], []
    for place in order[wrong[:, order].any(0)]:
        counts = np.bincount(guesses[wrong[:, place], place])
        parts = np.split(wrong[:, place], np.cumsum(sizes)[:-1])
        by_arm = [int(part.sum()) for part in parts]
        found.append(Mistaken(int(its["index"][place]), int(its["label"][place]), int(counts.argmax()), by_arm, sizes))
    return found, first, left_out


def alike(one: dict, other: dict) -> bool:
    """Whether two runs predicted the same test images in the same order."""
    import numpy as np

    return all(np.array_equal(one[key], other[key]) for key in ("index", "label"))
