"""Main effects and interactions are those of a least-squares fit, seed by seed, and of arithmetic by hand."""

import itertools
from typing import Any

import numpy as np
import pytest
from fake_runs import compare, write_run

from lab.studies.comparison.factorial import find_grid
from lab.studies.report.page import write_report
from lab.studies.statistics.estimate import estimate

LEVELS: dict[str, list[Any]] = {
    "model.depth": [4, 8, 16],
    "model.init": ["xavier_normal", "he_normal"],
    "model.act": ["relu", "tanh"],
}


def write_grid(root, levels, score, seeds):
    return [
        write_run(root, dict(zip(levels, cell, strict=True)), seed, {"val/accuracy": score(cell, seed)})
        for cell in itertools.product(*levels.values())
        for seed in seeds
    ]


def test_a_two_by_two_by_hand(tmp_path):
    # y of (depth, init): He gains 0.1 at 4 layers and 0.3 at 8, in seed 0; 0.02 more in seed 1.
    table = {(4, "xavier_normal"): 0.5, (4, "he_normal"): 0.6, (8, "xavier_normal"): 0.4, (8, "he_normal"): 0.7}
    levels = {"model.depth": [4, 8], "model.init": ["xavier_normal", "he_normal"]}
    runs = write_grid(tmp_path, levels, lambda cell, seed: table[cell] + 0.02 * seed * (cell[1] == "he_normal"), (0, 1))
    grid = find_grid(compare(runs, {}))
    assert grid is not None
    depth, init = grid.main
    assert (depth.label, init.label) == ("depth: 8 - 4", "init: he_normal - xavier_normal")
    assert depth.values == pytest.approx([0.0, 0.0])
    assert init.values == pytest.approx([0.2, 0.22])
    (both,) = grid.interactions
    assert both.label == "depth: 8 - 4, init: he_normal - xavier_normal"
    assert both.values == pytest.approx([0.2, 0.2])
    assert init.center == estimate(init.values, (-1.0, 1.0))
    assert grid.means(["model.init"])[("he_normal",)] == pytest.approx([0.65, 0.67])


def test_effects_are_the_coefficients_of_least_squares(tmp_path):
    generator = np.random.default_rng(0)
    noise = {}
    seeds = range(5)

    def score(cell, seed):
        return noise.setdefault((cell, seed), float(generator.normal()))

    grid = find_grid(compare(write_grid(tmp_path, LEVELS, score, seeds), {}))
    assert grid is not None
    # Deviation coding: with a balanced grid each coefficient is an effect averaged over the other factors' levels.
    names = list(LEVELS)
    columns, found = {}, {}
    cells = list(itertools.product(*LEVELS.values()))
    for key, index in zip(names, range(3), strict=True):
        for level in LEVELS[key][1:]:
            indicator = np.array([float(cell[index] == level) for cell in cells])
            columns[(index, level),] = indicator - indicator.mean()
    for (a,), (b,) in itertools.combinations(list(columns), 2):
        if a[0] != b[0]:
            columns[a, b] = columns[a,] * columns[b,]
    design = np.stack([np.ones(len(cells)), *columns.values()], 1)  # (cells, 1 + effects)
    for seed in seeds:
        values = np.array([noise[cell, seed] for cell in cells])
        fitted = np.linalg.lstsq(design, values, rcond=None)[0][1:]
        for terms, value in zip(columns, fitted, strict=True):
            label = ", ".join(f"{names[i].partition('.')[2]}: {level} - {LEVELS[names[i]][0]}" for i, level in terms)
            found.setdefault(label, []).append(value)
    effects = {effect.label: effect.values for effect in [*grid.main, *grid.interactions]}
    assert effects.keys() == found.keys()
    assert len(effects) == 4 + 5
    for label, values in found.items():
        assert effects[label] == pytest.approx(values, abs=1e-12)


def test_the_users_reference_arm_gives_the_reference_levels(tmp_path):
    runs = write_grid(tmp_path, LEVELS, lambda cell, seed: 0.01 * cell[0] + 0.001 * seed, (0, 1))
    study = {"reference": {"model.depth": 8, "model.init": "he_normal", "model.act": "tanh"}}
    grid = find_grid(compare(runs, study))
    assert grid is not None
    assert {key: levels[0] for key, levels in grid.factors.items()} == study["reference"]
    assert {effect.label: effect.center.value for effect in grid.main} == {
        "depth: 4 - 8": pytest.approx(-0.04),
        "depth: 16 - 8": pytest.approx(0.08),
        "init: xavier_normal - he_normal": pytest.approx(0.0),
        "act: relu - tanh": pytest.approx(0.0),
    }


def test_only_seeds_of_every_cell_count(tmp_path):
    runs = write_grid(tmp_path, LEVELS, lambda cell, seed: 0.5 + seed, (0, 1, 2))
    grid = find_grid(compare(runs[:-1], {}))
    assert grid is not None
    assert grid.seeds == [0, 1]


def test_one_seed_of_several_makes_no_effects(tmp_path):
    """In a command of a single seed it does, without intervals: nobody takes that for more."""
    runs = write_grid(tmp_path, LEVELS, lambda cell, seed: 0.5 + seed, (0, 1))
    assert find_grid(compare(runs[:-1], {})) is None
    assert find_grid(compare([run for run in runs if run.seed == 0], {})) is not None


@pytest.mark.slow
@pytest.mark.figures("sketched")
def test_no_grid_no_section(tmp_path):
    one = write_grid(tmp_path / "one", {"model.depth": [4, 8]}, lambda cell, seed: 0.5, (0, 1))
    full = write_grid(tmp_path / "full", LEVELS, lambda cell, seed: 0.5, (0, 1))
    assert find_grid(compare(one, {})) is None
    assert find_grid(compare(full[2:], {})) is None  # a cell is missing
    never = compare(full, {"metric": "steps_to(val/accuracy >= 0.9)"})
    assert find_grid(never) is None  # infinite in every cell
    page = write_report(compare(one, {}), tmp_path / "out").read_text()
    assert 'id="factors"' not in page
    assert not (tmp_path / "out" / "effects.svg").exists()
    page = write_report(compare(full, {}), tmp_path / "out").read_text()
    assert 'id="factors"' in page
    assert (tmp_path / "out" / "interactions.png").stat().st_size > 0
