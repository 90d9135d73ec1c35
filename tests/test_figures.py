"""Figures of experiments of all shapes: every name is there, literal and once, and no text lies over another."""

import math
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_experiments import LONG, NASTY, SHAPES, named, sweep
from fake_runs import compare, write_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.cost import shared_machine
from lab.studies.comparison.factorial import Grid
from lab.studies.figures.cost import side_by_side
from lab.studies.figures.curves import draw_curves, read_curves
from lab.studies.figures.effects import factor_pairs
from lab.studies.figures.files import figure_bytes
from lab.studies.figures.names import fit, plain, width
from lab.studies.figures.range_curve import draw_range
from lab.studies.figures.scales import is_wide, log_ticks, number_texts, spaced, zero_place, zero_ticks
from lab.studies.figures.style import COLORS, CROSSED, LEVELS, MAIN, cut, stripes
from lab.studies.report.gallery import EXHIBITS, Subject

BY_NAME = {exhibit.name: exhibit for exhibit in EXHIBITS}


def drawn(comparison: Comparison, name: str) -> Figure:
    figure = BY_NAME[name].draw(Subject(comparison), False)
    assert figure is not None
    return figure


def texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """All texts that are drawn, and where, in pixels."""
    found: list[tuple[str, Any]] = []
    draw = Text.draw

    def record(self: Text, renderer: Any, *args: Any, **more: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        draw(self, renderer, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", record)
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()  # texts are laid out all the same
    return found


def collisions(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which texts overlap, by more than a pixel, and which leave the figure."""
    found = texts(figure, monkeypatch)
    assert found
    outside = [
        f"{text!r} is outside"
        for text, box in found
        if box.x0 < -1 or box.y0 < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1
    ]
    over = [
        f"{text!r} over {other!r}"
        for index, (text, box) in enumerate(found)
        for other, its in found[:index]
        if min(box.x1, its.x1) - max(box.x0, its.x0) > 1 and min(box.y1, its.y1) - max(box.y0, its.y0) > 1
    ]
    return outside + over


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_no_text_lies_over_another(shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other figure as in a column, and those of every other shape the other way round."""
    subject = Subject(SHAPES[shape](tmp_path))
    for number, exhibit in enumerate(EXHIBITS, list(SHAPES).index(shape)):
        figure = exhibit.draw(subject, number % 2 == 1)
        if figure is not None:
            assert collisions(figure, monkeypatch) == [], (exhibit.name, number % 2)


# Names


def test_names_are_drawn_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = sweep(tmp_path, {"model.act": NASTY}, seeds=1)
    shown = [text for text, _ in texts(drawn(comparison, "seeds"), monkeypatch)]
    for name in (r"act=$\frac{1}{0$", "act=$x^2$", "act=_hidden", "act=100%", r"act=a\nb", r"act=null\x00", "act={}"):
        assert name in shown
    assert len({text for text in shown if text.startswith("act=")}) == len(NASTY)


def test_a_legend_leaves_no_name_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = sweep(tmp_path, {"model.act": ["_a", "$b$", "__c"], "model.depth": [4, 8]}, seeds=1)
    for name in ("curves", "interactions"):
        shown = " ".join(text for text, _ in texts(drawn(comparison, name), monkeypatch))
        assert all(level in shown for level in ("_a", "$b$", "__c"))


def test_figures_of_any_names_warn_of_nothing(tmp_path: Path) -> None:
    comparison = sweep(tmp_path, {"model.act": NASTY[:5]}, tag="val/$x_{", seeds=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = figure_bytes(drawn(comparison, "curves"), "svg").decode()
    assert r">act=$\frac{1}{0$</text>" in svg
    assert ">validation $x {</text>" in svg


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x07", r"\x07"),
        ("\u202ea", r"\u202ea"),
        ("\ud800", r"\ud800"),
        ("gr\u00fc\u00df", "gr\u00fc\u00df"),
        ("$_^%", "$_^%"),
    ],
    ids=["newline", "bell", "override", "surrogate", "umlaut", "formula"],
)
def test_what_is_invisible_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    "names",
    [
        list(LONG),
        [f"{'a' * 90}{end}" for end in "xyz"],
        [f"{start}{'a' * 90}" for start in "xyz"],
        [f"{'a' * 60}{middle}{'b' * 60}" for middle in "xyz"],
        [f"{'a' * 40}{one}{'b' * 60}{other}{'c' * 40}" for one in "xy" for other in "uv"],
        ["\n", r"\n"],
        ["\u0436" * 70, "\u0436" * 71],
    ],
    ids=["recipes", "ends", "starts", "middles", "two_places", "escaped", "lengths"],
)
@pytest.mark.parametrize("lines", [1, 3])
def test_shortened_names_stay_apart_and_fit(names: list[str], lines: int) -> None:
    found = fit(names, 1.5, 8.0, lines)
    assert len(set(found)) == len(names)
    assert all(text.count("\n") < lines for text in found)
    assert all(width(line, 8.0) <= 1.5 for text in found for line in text.split("\n"))


def test_equal_names_stay_equal() -> None:
    assert len(set(fit(["depth 4", "depth 4", "b" * 200], 1.0, 8.0))) == 2


# Colours and lines


def colors(figure: Figure) -> set[str]:
    lines = [line for axis in figure.axes for line in axis.get_lines()]
    found = {to_hex(line.get_color()).upper() for line in lines}
    return found & {*map(str.upper, (*COLORS, *LEVELS))}


@pytest.mark.parametrize("number", [3, 12])
def test_an_arm_has_one_colour_in_all_figures(number: int, tmp_path: Path) -> None:
    comparison = sweep(tmp_path, {"model.act": named(number)}, seeds=2)
    found = cut(comparison)
    own = {found.style(arm)["color"].upper() for arm in comparison.arms}
    assert len(own) == (number if number <= len(COLORS) else 1)
    for name in ("curves", "seeds", "cost"):
        assert colors(drawn(comparison, name)) == own


def test_colours_do_not_shift_where_an_arm_has_no_curve(tmp_path: Path) -> None:
    whole = sweep(tmp_path / "whole", {"model.act": ["relu", "tanh", "elu"]}, seeds=2)
    late = [run for run in whole.runs if run.config["model.act"] != "relu"]
    bare = [write_run(tmp_path / "bare", {"model.act": "relu"}, seed, {"val/accuracy": 0.5}) for seed in (0, 1)]
    figure = drawn(compare([*bare, *late], {}), "curves")
    assert colors(figure) == {COLORS[1], COLORS[2]}


def test_levels_and_effects_have_no_colour_of_an_arm(tmp_path: Path) -> None:
    assert not {*COLORS} & {*LEVELS, MAIN, CROSSED}
    comparison = sweep(tmp_path, {"model.act": ["relu", "tanh"], "model.depth": [4, 8]}, seeds=2)
    for name in ("interactions", "effects"):
        assert not colors(drawn(comparison, name)) & {*COLORS}


def joined(figure: Figure) -> list[bool]:
    """For the symbols of each level, in each panel, whether a line joins them."""
    lines = [line for axis in figure.axes for line in axis.get_lines() if line.get_zorder() == 4]
    return [line.get_linestyle() != "None" for line in lines]


def test_a_line_joins_numbers_alone(tmp_path: Path) -> None:
    comparison = sweep(tmp_path, {"model.act": ["relu", "tanh"], "model.depth": [4, 8]}, seeds=2)
    assert joined(drawn(comparison, "interactions")) == [False, False, True, True]
    tuned = SHAPES["tuned_two_keys"](tmp_path / "tuned")
    numbers, words = drawn(tuned, "tuning").axes[:2]
    assert all(line.get_linestyle() != "None" for line in numbers.get_lines() if line.get_zorder() == 4)
    assert all(line.get_linestyle() == "None" for line in words.get_lines() if line.get_zorder() == 4)


def test_factors_of_many_levels_share_no_panel() -> None:
    many, few = {"model.act": named(9), "model.init": named(8)}, {"model.depth": [4, 8]}
    grid = Grid({**many, **few}, [], {}, [], [])
    assert factor_pairs(grid) == [("model.act", "model.depth"), ("model.init", "model.depth")]
    assert factor_pairs(Grid(many, [], {}, [], [])) == [("model.act", "model.init")]
    both = Grid({"model.act": ["relu", "tanh"], **few}, [], {}, [], [])
    assert factor_pairs(both) == [("model.act", "model.depth"), ("model.depth", "model.act")]


def test_lines_that_agree_take_turns() -> None:
    lines = {"a": {0.0: 1.0, 1.0: 2.0}, "b": {0.0: 1.0, 1.0: 2.001}, "c": {0.0: 1.0, 1.0: 1.5}}
    found = stripes(lines, 1.0)
    assert found == {"a": (10, (5, 5)), "b": (5, (5, 5))}


def test_shapes_in_one_place_stand_side_by_side() -> None:
    shifts = side_by_side([(10.0, 10.0), (10.0, 10.0), (10.0, 11.0), (50.0, 10.0)], 7.5)
    xs = sorted(10.0 + shift for shift in shifts[:3])
    assert min(b - a for a, b in pairwise(xs)) >= 0.7 * 7.5
    assert shifts[3] == 0.0


# Scales


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([10_000, 20_000], ["10,000", "20,000"]),
        ([1e-8, 1e-4, 1, 1e4, 1e8], ["1e-8", "0.0001", "1", "10,000", "1e8"]),
        ([1e8, 1.00000001e8], ["1e8", "1.00000001e8"]),
        ([-500.0, -400.0], ["-500", "-400"]),
        ([0.0], ["0"]),
    ],
    ids=["shares", "thousands", "decades", "near", "negative", "zero"],
)
def test_numbers_are_short_and_apart(values: list[float], shown: list[str]) -> None:
    assert number_texts(values) == shown


def test_a_wide_range_has_a_logarithmic_axis_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = SHAPES["huge_range"](tmp_path)
    figure = drawn(comparison, "curves")
    assert figure.axes[0].get_yscale() == "log"
    assert "validation loss (log scale)" in [text for text, _ in texts(figure, monkeypatch)]
    assert not is_wide([-1.0, 1e6])
    assert not is_wide([0.0, 1e6])
    assert not is_wide([1.0, 900.0])
    assert is_wide([1e-8, 1e8])


@pytest.mark.parametrize(("low", "high"), [(1e-8, 1e8), (9000.0, 2e7), (2.0, 3.0), (3.0, 900.0)])
def test_logarithmic_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = log_ticks(low, high, 6)
    assert 2 <= len(ticks) <= 7
    assert all(low <= tick <= high for tick in ticks)


def test_ticks_without_room_are_left_out() -> None:
    assert spaced([0.0, 0.5, 1.0], ["10,000"] * 3, 5.0) == [0, 1, 2]
    assert spaced([0.0, 0.01, 1.0], ["10,000"] * 3, 5.0) == [0, 2]


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [1.0],
        [0.5] * 20,
        [10.0 ** (8 - n) for n in range(20)],
        [-float(n) for n in range(20)],
        [1.0] * 10 + [float("nan")] * 10,
    ],
    ids=["none", "one", "constant", "decades", "negative", "nan"],
)
def test_a_range_test_of_any_losses_has_a_figure(losses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    rates = [10.0 ** (-7 + 0.3 * n) for n in range(len(losses))]
    points = {"steepest descent": 3, "lowest": 5} if len(losses) > 5 else {}
    figure = draw_range(rates, losses, losses, 1e-5 if points else None, points)
    assert collisions(figure, monkeypatch) == []
    assert "learning rate (log scale)" in [text for text, _ in texts(figure, monkeypatch)]


# Captions


def test_a_caption_says_what_is_left_out_and_which_speeds_are_shared(tmp_path: Path) -> None:
    many = Subject(sweep(tmp_path / "many", {"model.act": named(61)}, seeds=1, steps=2))
    for name in ("seeds", "curves", "cost"):
        assert "Shown are the first 60 of 61 arms." in BY_NAME[name].words(many)[1]
    alone = sweep(tmp_path / "alone", {"model.act": named(2)}, seeds=1)
    assert shared_machine(alone.runs) == ""
    beside = sweep(tmp_path / "beside", {"model.act": named(2)}, seeds=1, environment={"side_by_side": 4})
    assert "Runs trained 4 side by side" in BY_NAME["cost"].words(Subject(beside))[1]
    assert "1 to 4 side by side" in shared_machine([*alone.runs, *beside.runs])
    older = sweep(tmp_path / "older", {"model.act": named(2)}, seeds=1, config={"jobs": 2})
    assert "2 side by side" in shared_machine(older.runs)


@pytest.mark.parametrize(
    ("values", "zero"),
    [
        ([0.0, 1e-4, 1.0], 1e-4 / 10**0.4),
        ([0.0, 1e-3, 1.0], 1e-3 / 2),
        ([0.0, 0.5, 1.0], None),
        ([1e-4, 1.0], None),
        ([-1.0, 0.0, 1e-4, 1.0], None),
        ([0.0, 0.0], None),
        ([0.0, 1e-4, 1.0, math.inf], 1e-4 / 10**0.4),
    ],
)
def test_an_exact_zero_has_a_place_below_a_logarithmic_axis(values: list[float], zero: float | None) -> None:
    found = zero_place(values)
    assert found == (zero if zero is None else pytest.approx(zero))
    if found is not None:
        ticks, texts = zero_ticks(found, 1.0, 6)
        assert (ticks[0], texts[0], texts[-1]) == (found, "0", "1")
        assert min(ticks[1:]) > found
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("number", [2, 9])
def test_a_curve_that_reaches_zero_keeps_its_logarithmic_axis(tmp_path: Path, number: int) -> None:
    ends = [0.0, *(10.0**-power for power in range(3, 2 + number))]
    runs = [
        write_run(tmp_path, {"model.depth": depth}, seed, {"val/loss": end}, losses(end, seed))
        for depth, end in enumerate(ends, 3)
        for seed in (0, 1)
    ]
    found = read_curves(compare(runs, {"metric": "val/loss"}))
    assert found
    assert found.log()
    assert found.zero is not None
    assert found.curves[0].means[-1] == found.zero
    assert min(value for curve in found.curves[1:] for value in curve.drawn()) > found.zero
    there = drawn_texts(draw_curves(found))
    assert {"0", "validation loss (log scale)"} <= there


def losses(end: float, seed: int) -> list[dict[str, float]]:
    """A loss that falls from 1 to `end` in four logged points."""
    values = [1.0, 0.1 + 0.01 * seed, 0.01, end]
    return [{"step": 10 * (1 + i), "val/loss": value} for i, value in enumerate(values)]


def drawn_texts(figure: Figure) -> set[str]:
    """All texts of a figure."""
    figure.draw_without_rendering()
    return {text.get_text() for text in figure.findobj(Text)}
