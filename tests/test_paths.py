"""Paths over surfaces: what is read of runs, where their names stand, the figure and the film."""

import io
from pathlib import Path

import numpy as np
import pytest
from fake_experiments import SHAPES, on_surfaces
from PIL import Image

from lab.studies.figures.film import FRAMES, LAST, film, frame_steps
from lab.studies.figures.names import width
from lab.studies.figures.path_labels import place_labels
from lab.studies.figures.paths import Tracks, draw_paths, leaves, limits_of, read_tracks
from lab.studies.report.gallery import EXHIBITS, Subject
from lab.surface import FORMULAS

NAMES = ["sgd", "momentum", "adam"]


def tracks_of(root: Path, names: list[str]) -> Tracks:
    found = read_tracks(on_surfaces(root, names))
    assert found is not None
    return found


def test_paths_begin_at_the_start_and_are_named_without_their_surface(tmp_path: Path) -> None:
    tracks = tracks_of(tmp_path, NAMES)
    assert (tracks.seed, tracks.steps) == (1, 20)
    assert list(tracks.panels) == list(FORMULAS)
    for name, found in tracks.panels.items():
        assert [track.name for track in found] == NAMES
        assert len({track.color for track in found}) == 3
        for track in found:
            assert track.points.shape == (21, 2)
            assert track.points[0] == pytest.approx(FORMULAS[name].start)
    assert len({tuple(track.color for track in found) for found in tracks.panels.values()}) == 1


def test_other_runs_have_no_paths(tmp_path: Path) -> None:
    subject = Subject(SHAPES["two"](tmp_path))
    assert subject.tracks is None
    assert draw_paths(subject.tracks) is None


def test_of_more_arms_than_colors_the_first_are_drawn_and_the_caption_says_so(tmp_path: Path) -> None:
    subject = Subject(on_surfaces(tmp_path, [f"part{n}" for n in range(9)], seeds=1))
    assert subject.tracks is not None
    assert {len(found) for found in subject.tracks.panels.values()} == {7}
    (exhibit,) = (one for one in EXHIBITS if one.name == "paths")
    assert "first 7 arms" in exhibit.words(subject)[1]
    assert "first 7 arms" not in exhibit.words(Subject(on_surfaces(tmp_path / "few", NAMES)))[1]


def test_each_panel_names_every_path_and_shows_the_whole_window(tmp_path: Path) -> None:
    tracks = tracks_of(tmp_path, NAMES)
    tracks = Tracks(tracks.seed, tracks.steps, {name: tracks.panels[name] for name in ("saddle", "beale")})
    figure = draw_paths(tracks)
    assert figure is not None
    for axis, (name, found) in zip(figure.axes, tracks.panels.items(), strict=True):
        assert [text.get_text() for text in axis.texts] == [track.name for track in found]
        (left, right), (low, high) = FORMULAS[name].window
        assert axis.get_xlim()[0] <= left < right <= axis.get_xlim()[1]
        assert axis.get_ylim()[0] <= low < high <= axis.get_ylim()[1]


def test_a_path_that_runs_away_does_not_shrink_the_surface(tmp_path: Path) -> None:
    tracks = tracks_of(tmp_path, NAMES)
    (track, *_) = tracks.panels["saddle"]
    assert not leaves(tracks)
    track.points[-1] = [1e9, -0.5]
    assert leaves(Tracks(1, 20, {"saddle": [track]}))
    assert limits_of(((-2.0, 2.0), (-1.0, 1.0)), [track])[0] == (-2.0, 3.0)


def test_a_label_stands_nearest_to_its_own_path_and_on_none() -> None:
    along = np.linspace(0, 1, 30)
    paths = [np.stack([along, height + 0 * along], 1) for height in (0.2, 0.5, 0.8)]
    names = ["one", "two", "three"]
    places = place_labels(paths, names, ((0, 1), (0, 1)), (3.0, 2.0), 8.5)
    for number, (x, y) in enumerate(places):
        distances = [abs(y - height) for height in (0.2, 0.5, 0.8)]
        assert int(np.argmin(distances)) == number
        assert 2.0 * min(distances) > 8.5 / 72 / 2  # beside it
        assert width(names[number], 8.5) / 2 <= 3.0 * x <= 3.0 - width(names[number], 8.5) / 2


def test_labels_of_equal_paths_do_not_hide_one_another() -> None:
    path = np.stack([np.linspace(0, 1, 30)] * 2, 1)
    places = place_labels([path] * 3, ["same"] * 3, ((0, 1), (0, 1)), (3.0, 2.0), 8.5)
    for number, (x, y) in enumerate(places):
        for other_x, other_y in places[:number]:
            assert 3 * abs(x - other_x) >= width("same", 8.5) or 2 * abs(y - other_y) >= 8.5 / 72


def test_frames_are_denser_at_first_and_reach_the_last_step() -> None:
    assert frame_steps(3) == [0, 1, 2, 3]
    long = frame_steps(1000)
    assert (long[0], long[-1], len(long)) == (0, 1000, FRAMES)
    assert long[1] - long[0] < long[-1] - long[-2]


@pytest.mark.figures
def test_a_film_is_small_ends_with_all_paths_and_is_the_same_again(tmp_path: Path) -> None:
    tracks = tracks_of(tmp_path, NAMES)
    tracks = Tracks(tracks.seed, tracks.steps, {"ravine": tracks.panels["ravine"]})
    data = film(tracks)
    assert data == film(tracks)
    assert len(data) < 1_500_000
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 21  # pyright: ignore[reportAttributeAccessIssue]
        first = np.asarray(image.convert("RGB"))
        image.seek(20)
        last = np.asarray(image.convert("RGB"))
        assert image.info["duration"] == LAST
        assert image.info["loop"] == 0
    blue = [(abs(one.astype(int) - (0, 114, 178)).sum(2) < 60).sum() for one in (first, last)]
    assert blue[1] > blue[0] + 100
