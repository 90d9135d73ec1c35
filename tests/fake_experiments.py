"""Experiments of all shapes that figures have to bear, as records without training.

`python tests/fake_experiments.py FOLDER [NAME...]` draws every figure of every one into FOLDER, for people to judge.
"""

import cmath
import itertools
import math
import random
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fake_runs import compare, write_run

from lab.records.results import Run
from lab.records.tuning import Tried, TunedArm, Tuning
from lab.studies.comparison.compare import Comparison
from lab.surface import FORMULAS

Build = Callable[[Path], Comparison]

STEPS = 20

NASTY = (
    r"$\frac{1}{0$",
    r"$x^2$",
    r"\n",
    "a\nb",
    "_hidden",
    "__x__",
    "100%",
    "x^{",
    "$",
    "tab\there",
    "bell\x07",
    "null\x00",
    "\u202eright to left",
    "\u05e9\u05dc\u05d5\u05dd",
    "\u6f22\u5b57",
    "\U0001f642",
    "\ufffe\uffff",
    "cut \ud800",
    " ",
    "<b>&amp;</b>",
    "{}",
    "%s",
)
"""Values that matplotlib, XML or a font may stumble over."""

LONG = tuple(
    f"conv{width}-norm-act-conv{width}-norm-act-pool-conv{2 * width}-norm-act-conv{2 * width}-norm-act-{end}"
    for width in (16, 32)
    for end in ("pool-flat", "drop-flat", "pool-gap", "\u00e4ndert-gr\u00f6\u00dfe")
)
"""Eight names of 80 characters that differ in their middles or at their ends."""


def curve(start: float, end: float, seed: int, steps: int = STEPS, noise: float = 0.02) -> list[float]:
    """Values that go from `start` to near `end`."""
    draw = random.Random(f"{start} {end} {seed}")
    span = abs(end - start) or 1.0
    return [
        end + (start - end) * math.exp(-4 * step / steps) + draw.gauss(0, noise * span) for step in range(1, steps + 1)
    ]


def write_curve(
    root: Path,
    arm: Mapping[str, Any],
    seed: int,
    values: Sequence[float | None],
    tag: str = "val/accuracy",
    **more: Any,
) -> Run:
    """A run with `values` logged ten steps apart."""
    rows = [{"step": 10 * n, "epoch": n / 4, "seconds": 1.5 * n, tag: value} for n, value in enumerate(values, 1)]
    more = {"train_seconds": 1.5 * len(values) + seed, "images_per_second": 1900.0 - 40 * seed, **more}
    return write_run(root, arm, seed, {tag: values[-1] if values else None}, rows, **more)


def sweep(
    root: Path,
    levels: Mapping[str, Sequence[Any]],
    seeds: int = 3,
    tag: str = "val/accuracy",
    span: tuple[float, float] = (0.1, 0.9),
    study: Mapping[str, Any] | None = None,
    steps: int = STEPS,
    params: bool = True,
    **more: Any,
) -> Comparison:
    """A full grid of `levels`; its arms end at different values between a half and the whole of `span`."""
    cells = list(itertools.product(*levels.values()))
    runs = []
    for number, cell in enumerate(cells):
        share = 0.5 + 0.5 * ((number * 7) % len(cells)) / len(cells)
        end = span[0] + (span[1] - span[0]) * share
        size = {"num_params": 10_000 * (1 + number) ** 2} if params else {}
        arm = dict(zip(levels, cell, strict=True))
        runs += [
            write_curve(root, arm, seed, curve(span[0], end, seed, steps), tag, **size, **more) for seed in range(seeds)
        ]
    return compare(runs, {"metric": tag, **(study or {})})


def named(number: int) -> list[str]:
    return [f"part{index:02d}" for index in range(number)]


def partly_trained(root: Path) -> Comparison:
    """Some seeds stay at chance, some diverge, one arm has a single seed, one never trains."""
    runs = []
    for arm, ends in (
        ("relu", (0.9, 0.91, 0.1)),
        ("tanh", (0.85, 0.1, 0.1, 0.86)),
        ("elu", (0.88,)),
        ("none", (0.1, 0.1)),
    ):
        for seed, end in enumerate(ends):
            runs.append(write_curve(root, {"model.act": arm}, seed, curve(0.1, end, seed, noise=0.01)))
    rows = curve(0.1, 0.5, 9, steps=7)
    runs.append(write_curve(root, {"model.act": "relu"}, 5, [*rows, None], status="diverged"))
    return compare(runs, {"metric": "val/accuracy"})


def huge_range(root: Path) -> Comparison:
    """Losses that fall from 1e8 to 1e-8."""
    runs = []
    for number, act in enumerate(("relu", "tanh", "elu")):
        for seed in range(3):
            values = [10 ** (8 - (16 - 5 * number) * step / STEPS + 0.1 * seed) for step in range(1, STEPS + 1)]
            runs.append(write_curve(root, {"model.act": act}, seed, values, "val/loss"))
    return compare(runs, {"metric": "val/loss"})


def on_surfaces(root: Path, names: Sequence[str], seeds: int = 2) -> Comparison:
    """Paths that wind, each by another turn, from the start of a surface to a minimum."""
    runs = []
    for (surface, facts), (number, name), seed in itertools.product(
        FORMULAS.items(), enumerate(names), range(1, seeds + 1)
    ):
        start, end = (complex(*place) for place in (facts.start, facts.minima[0]))
        points = [end + (start - end) * cmath.exp(-step * complex(0.15, number / 5)) for step in range(STEPS + 1)]
        rows = [
            {"step": step, "val/loss": facts.height(z.real, z.imag, math.cos), "train/x": z.real, "train/y": z.imag}
            for step, z in enumerate(points)
        ]
        arm = {"model.name": surface, "model.act": name}
        begin = {"x": start.real, "y": start.imag}
        last = {tag: rows[-1][tag] for tag in ("val/loss", "train/x", "train/y")}
        runs.append(write_run(root, arm, seed, last, rows[1:], start_point=begin))
    return compare(runs, {"metric": "val/loss"})


def constant(root: Path, value: float = 0.5) -> Comparison:
    runs = [
        write_curve(root, {"model.act": act}, seed, [value] * STEPS)
        for act in ("relu", "tanh", "elu")
        for seed in range(3)
    ]
    return compare(runs, {"metric": "val/accuracy"})


def constant_grid(root: Path) -> Comparison:
    runs = [
        write_curve(root, {"model.act": act, "model.depth": depth}, seed, [0.0] * STEPS)
        for act in ("relu", "tanh")
        for depth in (4, 8)
        for seed in range(3)
    ]
    return compare(runs, {"metric": "val/accuracy"})


def with_nan(root: Path) -> Comparison:
    """NaN and infinite values in the middle of curves, and as last ones."""
    runs = []
    for number, act in enumerate(("relu", "tanh", "elu")):
        for seed in range(3):
            values: list[float | None] = [*curve(2.0, 0.5 + 0.1 * number, seed)]
            values[5 + seed] = math.nan
            if number == 2:
                values[-1] = math.inf if seed else math.nan
            runs.append(write_curve(root, {"model.act": act}, seed, values, "val/loss"))
    return compare(runs, {"metric": "val/loss"})


def time_to(root: Path) -> Comparison:
    """Steps to a threshold that some runs never reach."""
    levels = {"model.act": ["relu", "tanh", "elu"]}
    return sweep(root, levels, study={"metric": "steps_to(val/accuracy >= 0.6)"})


def equal_arms(root: Path) -> Comparison:
    """Arms with the same curves, the one above the other."""
    runs = [
        write_curve(root, {"model.act": act}, seed, curve(0.1, 0.9, seed))
        for act in ("relu", "tanh", "elu", "gelu")
        for seed in range(3)
    ]
    return compare(runs, {"metric": "val/accuracy"})


def tuned(root: Path, levels: Sequence[str], keys: Mapping[str, Sequence[Any]], seeds: int = 2) -> Comparison:
    """Arms with tuning trials over a grid of `keys`, some of which failed."""
    comparison = sweep(root, {"model.act": levels})
    arms = []
    for number, arm in enumerate(comparison.arms):
        tried = []
        for place, point in enumerate(itertools.product(*keys.values())):
            scores: list[float | None] = [
                0.9 - 0.02 * abs(place - 3 - number % 3) + 0.01 * seed for seed in range(seeds)
            ]
            statuses = ["finished"] * seeds
            if place % 7 == 6:
                scores[-1], statuses[-1] = None, "failed"
            tried.append(Tried(dict(zip(keys, point, strict=True)), scores, statuses))
        best = tried[min(3 + number % 3, len(tried) - 1)].values
        arms.append(TunedArm(arm.keys, f"base{number}", arm.arm_ids[0], best, tried))
    tuning = Tuning(list(keys), "val/accuracy", list(range(seeds)), arms, [])
    return compare(comparison.runs, {"metric": "val/accuracy"}, tuning=tuning)


DECADES = [10.0**-power for power in range(6, -1, -1)]

SHAPES: dict[str, Build] = {
    "two": lambda root: sweep(root, {"model.act": ["relu", "tanh"]}),
    "one": lambda root: sweep(root, {"model.act": ["relu"]}),
    "one_seed": lambda root: sweep(root, {"model.act": ["relu", "tanh", "elu"]}, seeds=1),
    "nine": lambda root: sweep(root, {"model.act": named(9)}),
    "twelve": lambda root: sweep(root, {"model.act": named(12)}),
    "twenty": lambda root: sweep(root, {"model.act": named(20)}),
    "forty": lambda root: sweep(root, {"model.act": named(40)}, seeds=2),
    "eighty": lambda root: sweep(root, {"model.act": named(80)}, seeds=2),
    "rates": lambda root: sweep(root, {"optimizer.lr": DECADES}),
    "long": lambda root: sweep(root, {"model.block": LONG}),
    "long_grid": lambda root: sweep(root, {"model.block": LONG, "model.act": ["relu", "tanh"]}, seeds=2),
    "nasty": lambda root: sweep(root, {"model.act": NASTY}, seeds=2),
    "nasty_grid": lambda root: sweep(root, {"model.act": NASTY[:6], "model.block": NASTY[6:9]}, seeds=2),
    "partly_trained": partly_trained,
    "negative": lambda root: sweep(root, {"model.act": ["relu", "tanh", "elu"]}, tag="val/score", span=(-500.0, -20.0)),
    "loss": lambda root: sweep(root, {"model.act": named(5)}, tag="val/loss", span=(2.3, 0.1)),
    "huge_range": huge_range,
    "surfaces": lambda root: on_surfaces(root, ["sgd", "momentum", "nag", "adagrad", "rmsprop", "adam"]),
    "surfaces_nine": lambda root: on_surfaces(root, named(9), seeds=1),
    "surfaces_nasty": lambda root: on_surfaces(root, NASTY[:6], seeds=1),
    "nan": with_nan,
    "constant": constant,
    "constant_grid": constant_grid,
    "equal": equal_arms,
    "one_point": lambda root: sweep(root, {"model.act": ["relu", "tanh", "elu"]}, steps=1),
    "two_points": lambda root: sweep(root, {"model.act": named(9)}, steps=2),
    "time_to": time_to,
    "two_by_two": lambda root: sweep(root, {"model.act": ["relu", "tanh"], "model.depth": [4, 8]}),
    "names_by_depth": lambda root: sweep(root, {"model.act": named(12), "model.depth": [4, 8, 16]}),
    "names_by_names": lambda root: sweep(root, {"model.act": named(12), "model.init": named(9)}, seeds=2),
    "eight_by_eight": lambda root: sweep(root, {"model.act": named(8), "model.init": named(8)}, seeds=1, steps=2),
    "rates_by_depth": lambda root: sweep(root, {"optimizer.lr": DECADES, "model.depth": [2, 4, 8, 16, 32, 64]}),
    "three_factors": lambda root: sweep(
        root, {"model.act": ["relu", "tanh"], "model.norm": ["none", "batch", "layer"], "model.depth": [4, 8]}
    ),
    "five_factors": lambda root: sweep(
        root,
        {key: ["off", "on"] for key in ("model.act", "model.norm", "model.init", "model.pool", "model.skip")},
        seeds=2,
    ),
    "claimed_panels": lambda root: sweep(
        root,
        {"model.act": named(5), "model.depth": [4, 8, 16]},
        study={
            "claims": [
                {
                    "say": "so",
                    "where": {"model.depth": 4},
                    "higher": {"model.act": "part00"},
                    "than": {"model.act": "part01"},
                }
            ]
        },
    ),
    "tuned": lambda root: tuned(root, ["relu", "tanh", "elu"], {"optimizer.lr": DECADES}),
    "tuned_many": lambda root: tuned(root, named(20), {"optimizer.lr": [0.001 * 2**n for n in range(12)]}),
    "tuned_two_keys": lambda root: tuned(
        root, ["relu", "tanh"], {"optimizer.lr": DECADES[:4], "schedule.name": ["constant", "cosine", "one_cycle"]}, 1
    ),
    "tuned_nasty": lambda root: tuned(root, NASTY[:5], {"model.block": NASTY}),
}
"""What experiments there are, by name."""


def main(folder: Path, names: Sequence[str]) -> None:
    from lab.studies.figures.files import figure_bytes
    from lab.studies.report.gallery import EXHIBITS, Subject

    folder.mkdir(parents=True, exist_ok=True)
    for name in names or SHAPES:
        with tempfile.TemporaryDirectory() as place:
            print(name, flush=True)
            subject = Subject(SHAPES[name](Path(place)))
            for exhibit in EXHIBITS:
                for narrow in (False, True):
                    figure = exhibit.draw(subject, narrow)
                    if figure is not None:
                        path = folder / f"{name}-{exhibit.name}{'-narrow' * narrow}.png"
                        path.write_bytes(figure_bytes(figure, "png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
