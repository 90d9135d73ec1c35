"""What the runs of a comparison predict of each test image: by class, by confidence, and image by image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lab.records.results import Run
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.calibration import Calibration, measure_calibration
from lab.studies.comparison.compare import Comparison
from lab.studies.select.arms import values_of
from lab.studies.select.images import image_keys, scored_alike

if TYPE_CHECKING:
    import numpy as np

MOST_ARMS = 6
"""Arms whose predictions are shown; of more the first, with their reference."""

MOST_CLASSES = 200
"""Classes up to which confusions are counted."""

FEWEST_SEEDS = 3
"""Seeds from which figures draw intervals: those of two fill a panel, and tell nothing."""

SHARE, APART = (0.0, 1.0), (-1.0, 1.0)


@dataclass(frozen=True)
class ArmAnswers:
    """The predictions of one arm's runs; arrays have a row for each seed, the mean of its runs."""

    arm: Arm
    runs: list[Run]
    """Those that trained where some did, else all that are finished."""
    seeds: list[int]
    num_classes: int

    @cached_property
    def by_run(self) -> "list[np.ndarray]":
        """For each run the test images of each true class (rows) that it took for each class, (k, k)."""
        import numpy as np

        k, found = self.num_classes, []
        for run in self.runs:
            assert run.predictions
            codes = run.predictions["label"].astype(np.int64) * k + run.predictions["predicted"]
            found.append(np.bincount(codes, minlength=k * k).reshape(k, k))
        return found

    def over_seeds(self, rows: "Sequence[np.ndarray]") -> "np.ndarray":
        """The mean of each seed's runs: (seeds, ...) from an array a run."""
        import numpy as np

        own = [[row for row, run in zip(rows, self.runs, strict=True) if run.seed == seed] for seed in self.seeds]
        return np.stack([np.mean(group, axis=0) for group in own])

    @cached_property
    def confusion(self) -> "np.ndarray":
        """Share of each true class's images (rows) taken for each class, (seeds, k, k); NaN of a class without any."""
        import numpy as np

        with np.errstate(invalid="ignore"):
            return self.over_seeds([counts / counts.sum(1, keepdims=True) for counts in self.by_run])

    @cached_property
    def accuracy(self) -> "np.ndarray":
        """Share of each class's images that are classified right, (seeds, k)."""
        import numpy as np

        if self.num_classes <= MOST_CLASSES:
            return np.diagonal(self.confusion, axis1=1, axis2=2)
        rows = []
        for run in self.runs:
            assert run.predictions
            label, right = run.predictions["label"], run.predictions["label"] == run.predictions["predicted"]
            totals = np.bincount(label, minlength=self.num_classes)
            with np.errstate(invalid="ignore"):
                rows.append(np.bincount(label[right], minlength=self.num_classes) / totals)
        return self.over_seeds(rows)

    @cached_property
    def confident(self) -> list[Run]:
        """The runs that kept how sure they were."""
        import numpy as np

        kept = [(run, run.predictions.get("confidence")) for run in self.runs if run.predictions]
        return [run for run, confidence in kept if confidence is not None and bool(np.isfinite(confidence).all())]

    @cached_property
    def calibration(self) -> Calibration | None:
        """Confidence beside accuracy; None where no run kept how sure it was."""
        return measure_calibration(self.confident) if self.confident else None


@dataclass(frozen=True)
class Answers:
    """The predictions of the arms that are shown."""

    classes: list[str]
    arms: list[ArmAnswers]
    num_arms: int
    """Arms with predictions of these classes, of which `arms` are some."""
    left_out: list[str]
    """Labels of arms that tell other classes apart, or kept no predictions."""

    @cached_property
    def present(self) -> list[int]:
        """The classes that have test images."""
        import numpy as np

        found = [one.accuracy for one in self.arms]
        return [k for k in range(len(self.classes)) if any(np.isfinite(rows[:, k]).any() for rows in found)]

    def reference(self, one: ArmAnswers) -> ArmAnswers | None:
        """The arm that `one` is compared with; None for a reference, and where other test images are in the way."""
        found = next((other for other in self.arms if other.arm.label == one.arm.reference), None)
        if found is None or found is one or not scored_alike(one.runs, found.runs):
            return None
        return found if set(found.seeds) & set(one.seeds) else None

    def paired(self, one: ArmAnswers, what: str) -> "np.ndarray | None":
        """The arm minus its reference in `accuracy` or `confusion`, a row for each seed of both; None without those."""
        other = self.reference(one)
        if other is None:
            return None
        seeds = [seed for seed in one.seeds if seed in other.seeds]
        rows = [getattr(side, what)[[side.seeds.index(seed) for seed in seeds]] for side in (one, other)]
        return rows[0] - rows[1]


def find_answers(comparison: Comparison) -> Answers | None:
    """The predictions of the first arms that tell the same classes apart; None where no run kept any."""
    usable = {arm.label: usable_runs(arm) for arm in comparison.arms}
    first = next((runs[0] for runs in usable.values() if runs), None)
    if first is None:
        return None
    same = {label: [run for run in runs if label_space(run) == label_space(first)] for label, runs in usable.items()}
    there = [arm for arm in comparison.arms if same[arm.label]]
    shown = with_reference(there)
    runs = [run for arm in shown for run in same[arm.label]]
    names = next((run.predictions["classes"] for run in runs if run.predictions and "classes" in run.predictions), ())
    most = max(
        int(run.predictions[key].max(initial=0)) for run in runs if run.predictions for key in ("label", "predicted")
    )
    classes = [*map(str, names), *map(str, range(len(names), most + 1))]
    found = [
        ArmAnswers(arm, same[arm.label], list(dict.fromkeys(run.seed for run in same[arm.label])), len(classes))
        for arm in shown
    ]
    left_out = [arm.label for arm in comparison.arms if not same[arm.label]]
    return Answers(classes, found, len(there), left_out)


def usable_runs(arm: Arm) -> list[Run]:
    """The runs of an arm that kept predictions and trained; where none trained, those that are finished."""
    finished = [
        (run, trained)
        for run, trained in zip(arm.runs, arm.trained, strict=True)
        if run.status == "finished" and run.predictions and len(run.predictions["label"])
    ]
    return [run for run, trained in finished if trained] or [run for run, _ in finished]


def label_space(run: Run) -> tuple[str, ...]:
    """What decides which classes there are."""
    keys = [key for key in image_keys(run.config) if key in ("data.name", "data.root", "data.classes")]
    return values_of(run.config, keys)


def with_reference(arms: list[Arm]) -> list[Arm]:
    """The first few arms; the reference of the first one is among them."""
    shown = arms[:MOST_ARMS]
    reference = next((arm for arm in arms[MOST_ARMS:] if shown and arm.label == shown[0].reference), None)
    return [reference, *shown[:-1]] if reference else shown
