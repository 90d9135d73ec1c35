"""A comparison groups and labels arms as a reader would, and what it writes is whole, offline and escaped."""

import csv
import itertools
import json
import re
import xml.dom.minidom
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from fake_runs import compare, write_arms, write_run
from scipy import stats

from lab.errors import UserError
from lab.records.ledger import LEDGER, write_ledger
from lab.studies.comparison.cost import target
from lab.studies.comparison.means import arm_means, mean_series, write_mean_runs
from lab.studies.figures.curves import read_curves
from lab.studies.figures.dots import draw_seeds
from lab.studies.figures.forest import difference_rows
from lab.studies.figures.names import wrap
from lab.studies.figures.style import COLORS
from lab.studies.report.formats import markdown
from lab.studies.report.page import headline, write_report
from lab.studies.report.rows import cost_rows
from lab.studies.report.strip import strip
from lab.studies.report.table import table_text, wins_text

STUDY = {
    "question": "Is <He> better & sooner?",
    "source": "He et al. 2015",
    "metric": "val/accuracy",
    "claims": [
        {
            "say": "He <b>wins</b> at 30 layers",
            "where": {"model.depth": 30},
            "higher": {"model.init": "he_normal"},
            "than": {"model.init": "xavier_normal"},
            "by": 0.2,
        }
    ],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two depths, two inits, three seeds with curves; one more run diverged and one failed."""
    root = tmp_path_factory.mktemp("runs")
    found = []
    for depth in (22, 30):
        for init, top in (("he_normal", 0.97), ("xavier_normal", 0.3 if depth == 30 else 0.96)):
            for seed in range(3):
                luck = 0.01 * (seed if init == "he_normal" else 2 - seed)
                tops = [0.1 + (top - 0.1) * step / 40 + luck for step in (10, 20, 30, 40)]
                rows = [{"step": 10 * (i + 1), "seconds": i, "val/accuracy": value} for i, value in enumerate(tops)]
                arm = {"model.depth": depth, "model.init": init}
                found.append(write_run(root, arm, seed, {"val/accuracy": tops[-1]}, rows))
    arm = {"model.depth": 30, "model.init": "xavier_normal"}
    found.append(
        write_run(root, arm, 3, {"val/accuracy": None}, [{"step": 10, "seconds": 0, "val/accuracy": 0.1}], "diverged")
    )
    found.append(write_run(root, arm, 4, {}, status="failed", error="RuntimeError: <out of memory>"))
    return found


def test_arms_keep_their_order_and_count_what_went_wrong(runs):
    comparison = compare(runs, STUDY)
    assert comparison.keys == ["model.depth", "model.init"]
    assert [arm.label for arm in comparison.arms] == [
        "depth=22 init=he_normal",
        "depth=22 init=xavier_normal",
        "depth=30 init=he_normal",
        "depth=30 init=xavier_normal",
    ]
    last = comparison.arms[-1]
    assert (len(last.runs), last.num_diverged, last.num_failed, last.values[-1]) == (4, 1, 1, 0.0)
    assert comparison.reference == "depth=22 init=he_normal"
    assert last.difference is not None
    assert last.difference.n == 3


def test_a_reference_may_be_one_arm_for_each_value_of_the_other_keys(runs):
    comparison = compare(runs, {**STUDY, "reference": {"model.init": "xavier_normal"}})
    assert comparison.reference == "init=xavier_normal"
    assert [arm.is_reference for arm in comparison.arms] == [False, True, False, True]
    first, third = comparison.arms[0].difference, comparison.arms[2].difference
    assert first is not None
    assert third is not None
    assert (first.value, third.value) == (pytest.approx(0.01), pytest.approx(0.67))


def test_by_groups_runs_and_averages_the_other_keys_within_a_seed(runs):
    comparison = compare(runs, STUDY, by=["model.init"])
    assert [(arm.label, len(arm.runs)) for arm in comparison.arms] == [("init=he_normal", 6), ("init=xavier_normal", 7)]
    paired = comparison.arms[1].difference
    assert paired is not None
    assert paired.n == comparison.arms[1].num_seeds == 3
    with pytest.raises(UserError, match=r"'model.innit' is unknown \(did you mean 'model.init'\?\)"):
        compare(runs, STUDY, by=["model.innit"])


def test_labels_need_only_the_keys_that_tell_arms_apart(tmp_path):
    runs = write_arms(tmp_path, "model.block", {"conv-act": [0.9], "act-conv": [0.8]})
    runs += write_arms(
        tmp_path, "model.block", {"conv-act": [0.7]}, config={"train.epochs": 2.0, "train.batch_size": 8}
    )
    assert [arm.label for arm in compare(runs, {}).arms] == [
        "block=conv-act epochs=10",
        "block=act-conv epochs=10",
        "block=conv-act epochs=2",
    ]


def test_the_table_is_aligned_ascii_within_120_columns(runs, tmp_path):
    long = "-".join(["conv-norm-act"] * 8)
    wide = write_arms(tmp_path, "model.block", {f"{long}-pool": [0.9, 0.91], f"{long}-drop": [0.8, 0.83]})
    for comparison in (compare(runs, STUDY), compare(wide, {})):
        text = table_text(comparison)
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 120
    assert re.search(r"\.\.[\w-]*-pool .*\n.*\.\.[\w-]*-drop ", text)
    text = table_text(compare(runs, STUDY))
    assert re.search(r"depth +init +n +trained +diverged +failed +mean +95 % interval +difference", text)
    assert re.search(r"30 +xavier_normal +3 +3/4 +1 +1 +0\.31", text)
    assert "supported  He <b>wins</b> at 30 layers" in text
    assert "he_normal is higher than xavier_normal by 0.67" in text


@pytest.mark.figures
def test_the_report_is_whole_offline_and_escaped(runs, tmp_path):
    comparison = compare(runs, STUDY)
    path = write_report(comparison, tmp_path)
    page = path.read_text()
    figures = {"forest", "curves", "curves_seconds", "seeds", "effects", "interactions", "cost"}
    files = {name + end for name in figures for end in (".svg", ".png", "_column.svg")}
    assert {file.name for file in tmp_path.iterdir()} == {"report.html", "table.csv", "verdict.json", LEDGER, *files}
    assert not re.search(r"https?://|<script[^>]+src|<link|@import", page)
    assert "Is &lt;He&gt; better &amp; sooner?" in page
    assert "He &lt;b&gt;wins&lt;/b&gt; at 30 layers" in page
    assert "RuntimeError: &lt;out of memory&gt;" in page
    assert re.search(r'<span class="badge supported">&#10003;\s+supported</span>', page)
    assert "lab train experiment=example" in page
    assert "0123456789abcdef" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 20
    assert set(re.findall(r'(?:url\(|href=")#([\w-]+)', page)) <= set(ids)


class Outline(HTMLParser):
    """What a screen reader goes by: headings, landmarks, tables, pictures with their names, labelled fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


@pytest.mark.slow
@pytest.mark.figures
def test_the_report_can_be_read_aloud(runs, tmp_path):
    outline = Outline(write_report(compare(runs, STUDY), tmp_path).read_text())
    headings = [int(tag[1]) for tag, _ in outline.found if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
    assert {"header", "main", "nav", "footer"} <= {tag for tag, _ in outline.found}
    ids = {attrs["id"] for _, attrs in outline.found if "id" in attrs}
    assert {attrs["aria-labelledby"] for attrs in outline.all("section")} <= ids
    links = {str(attrs["href"]) for attrs in outline.all("a")}
    assert {link[1:] for link in links if link.startswith("#")} <= ids
    assert all((tmp_path / link).exists() for link in links if not link.startswith("#"))
    assert len(outline.all("caption")) == len(outline.all("table")) >= 5
    assert all(attrs.get("scope") in ("col", "row") for attrs in outline.all("th"))
    assert {attrs["for"] for attrs in outline.all("label")} == {attrs["id"] for attrs in outline.all("input")}
    pictures = [str(attrs["aria-label"]) for _, attrs in outline.found if attrs.get("role") == "img"]
    assert len(pictures) == 7
    assert "depth=30 init=xavier_normal 0.310 [0.285, 0.335]" in pictures[2]


@pytest.mark.slow
@pytest.mark.figures
def test_curves_are_drawn_over_what_was_logged(runs, tmp_path):
    write_report(compare(runs, STUDY), tmp_path)
    for name, words in (("curves", "optimizer steps"), ("curves_seconds", "seconds of training")):
        assert f">{words}</text>" in (tmp_path / f"{name}.svg").read_text()
    # Steps 10 to 40 at seconds 0 to 3, four panels' worth of the same values.
    found = read_curves(compare(runs[:3], {}))
    assert found is not None
    (curve,) = found.curves
    assert (found.axes, curve.places) == (["step", "seconds"], {"step": [10, 20, 30, 40], "seconds": [0, 1, 2, 3]})
    assert curve.means == pytest.approx([0.1 + 0.87 * i / 4 + 0.01 for i in (1, 2, 3, 4)])
    assert len(curve.seeds) == 3


@pytest.mark.slow
@pytest.mark.figures
def test_the_page_wears_its_own_colours_and_the_files_keep_theirs(runs, tmp_path):
    page = write_report(compare(runs, STUDY), tmp_path).read_text()
    svg = (tmp_path / "seeds.svg").read_text()
    assert "#0072b2" in svg
    assert "var(--c0)" in page
    assert not re.search(r'style="[^"]*#(0072b2|ffffff|333333)', page)
    # What has no colour at all is black, on a dark page too.
    assert "#000000" not in COLORS


def test_forest_rows_are_the_pairs_behind_each_difference(runs):
    for study in (STUDY, {**STUDY, "reference": {"model.init": "xavier_normal"}}):
        comparison = compare(runs, study)
        rows = difference_rows(comparison)
        assert len(rows) == sum(arm.difference is not None for arm in comparison.arms) > 1
        for row in rows:
            assert row.center is not None
            assert len(row.values) == row.center.n == 3
            assert sum(row.values) / 3 == pytest.approx(row.center.value)
    (row,) = difference_rows(compare(runs, STUDY, by=["model.init"]))
    assert len(row.values) == 3


def test_the_target_is_what_every_run_of_the_reference_reached(runs):
    plain = compare(runs, {"metric": "val/accuracy"})
    assert str(target(plain)) == "seconds_to(val/accuracy >= 0.969)"
    assert str(target(compare(runs, {"metric": "steps_to(val/accuracy >= 0.5)"}))) == "seconds_to(val/accuracy >= 0.5)"
    rows = cost_rows(plain, target(plain))
    assert rows[0][5:] == ("3.00", "3 of 3")
    assert rows[3][5:] == ("never", "0 of 4")


def test_a_strip_shows_where_the_claim_holds(runs):
    (verdict,) = compare(runs, STUDY).verdicts
    found = strip(verdict)
    assert found is not None
    assert found.interval is not None
    assert found.holds is not None
    # Higher by 0.2 holds from 0.2 on; zero lies left of that, and the effect of 0.67 right of it.
    assert found.zero < found.holds[0] < found.interval[0] <= found.effect <= found.interval[1] < found.holds[1] == 100
    assert strip(replace(verdict, effect=None)) is None
    unknown = strip(replace(verdict, kind="some day"))
    assert unknown is not None
    assert unknown.holds is None


def test_the_answer_names_the_claims_where_they_fit(runs):
    (claim,) = STUDY["claims"]
    other = {"say": "Xavier wins", "where": {"model.depth": 22}, "higher": claim["than"], "than": claim["higher"]}
    study = {**STUDY, "claims": [claim, other]}
    text = "Of 2 claims, 1 supported and 1 undecided (supported: He <b>wins</b> at 30 layers; undecided: Xavier wins)."
    assert headline(compare(runs, study)) == text
    study["claims"] = [claim, other, *({**claim, "say": f"{'so ' * 40}{i}"} for i in range(4))]
    assert headline(compare(runs, study)) == "Of 6 claims, 5 supported and 1 undecided (undecided: Xavier wins)."


def test_the_answer_names_the_setting_where_settings_differ(runs):
    comparison = compare(runs, STUDY)
    (verdict,) = comparison.verdicts
    on, off = (replace(verdict, setting={"train.clip_norm": value}, say="It helps") for value in (1.0, 0.0))
    mixed = replace(comparison, verdicts=[on, replace(off, verdict="refuted")])
    text = (
        "Of 2 claims, 1 supported and 1 refuted (supported: It helps (clip_norm=1); refuted: It helps (clip_norm=0))."
    )
    assert headline(mixed) == text
    assert headline(replace(comparison, verdicts=[on, off])) == "Both claims are supported: It helps."


def test_an_answer_that_all_claims_share_is_said_once(runs):
    (claim,) = STUDY["claims"]
    other = {**claim, "say": "He wins again"}
    text = "Both claims are supported: He <b>wins</b> at 30 layers, and He wins again."
    assert headline(compare(runs, {**STUDY, "claims": [claim, other]})) == text


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("init=he_normal", ["init=he_normal"]),
        ("block=conv-act-pool skip=none", ["block=conv-act-pool", "skip=none"]),
        ("act: tanh - relu, init: zero - one", ["act: tanh - relu,", "init: zero - one"]),
        ("conv-norm-act-conv-norm-act-pool", ["conv-norm-act-conv-", "norm-act-pool"]),
        ("averyveryverylongword", ["averyveryverylongword"]),
        ("", [""]),
    ],
)
def test_long_names_are_wrapped_where_they_can_be_read(text, lines):
    assert wrap(text, 20).split("\n") == lines


@pytest.mark.slow
@pytest.mark.figures
def test_figures_are_text_and_repeatable(runs, tmp_path):
    comparison = compare(runs, STUDY)
    for folder in ("first", "second"):
        write_report(comparison, tmp_path / folder, html=tmp_path / f"{folder}.html")
    for name in ("curves.svg", "seeds.svg", "seeds_column.svg", "curves.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    svg = (tmp_path / "first" / "curves.svg").read_text()
    xml.dom.minidom.parseString(svg)
    for text in ("validation accuracy", "optimizer steps", "depth 22", "depth 30", "init=he_normal"):
        assert f">{text}</text>" in svg
    assert "<dc:date>" not in svg
    assert (tmp_path / "first.html").is_file()
    assert not (tmp_path / "first" / "report.html").exists()


def test_table_and_verdicts_can_be_read_by_machines(runs, tmp_path):
    write_report(compare(runs, STUDY), tmp_path)
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [row["model.depth"] for row in rows] == ["22", "22", "30", "30"]
    assert float(rows[0]["mean"]) == pytest.approx(0.98)
    assert (rows[3]["num_diverged"], rows[3]["seeds"]) == ("1", "0 1 2 3")
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["metric"] == "val/accuracy"
    (claim,) = verdict["claims"]
    assert {"say", "kind", "verdict", "effect", "interval", "p", "n", "seeds_needed"} <= claim.keys()
    assert (claim["kind"], claim["verdict"], claim["by"], claim["n"]) == ("higher", "supported", 0.2, 3)


@pytest.mark.figures("sketched")
def test_a_report_without_claims_curves_or_finished_runs(tmp_path):
    (run,) = write_arms(tmp_path / "one", "model.depth", {3: [0.9]})
    (tmp_path / "curves.svg").write_text("stale")
    write_ledger(tmp_path, ["curves.svg"])
    page = write_report(compare([run], {}), tmp_path).read_text()
    assert "depth" not in page.partition("</h1>")[0]
    assert "No claim was written beforehand" in page
    assert not (tmp_path / "curves.svg").exists()
    failed = write_run(tmp_path / "two", {}, 0, {}, status="failed", error="boom")
    page = write_report(compare([failed], STUDY), tmp_path / "two").read_text()
    assert "No run finished" in page
    assert "boom" in page


def test_a_report_that_was_ended_half_way_is_written_by_the_next(tmp_path, monkeypatch):
    (run,) = write_arms(tmp_path / "one", "model.depth", {3: [0.9]})
    with monkeypatch.context() as patched:
        patched.setattr("lab.studies.report.page.render_page", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_report(compare([run], {}), tmp_path)
    assert (tmp_path / "table.csv").exists()
    assert write_report(compare([run], {}), tmp_path).exists()


def test_mean_series_averages_the_steps_that_all_seeds_share(tmp_path):
    rows = [[{"step": step, "a": step + seed, "b": None} for step in (1, 2, 3)[: 3 - seed]] for seed in (0, 1)]
    runs = [write_run(tmp_path, {}, seed, {"a": 1.0}, rows[seed]) for seed in (0, 1)]
    series = mean_series(runs, ["a", "b", "c"])
    half = 0.5 * stats.t.isf(0.025, 1)
    assert series["a"] == [pytest.approx((step, mean, mean - half, mean + half)) for step, mean in ((1, 1.5), (2, 2.5))]
    assert list(series) == ["a"]
    ((_, mean, low, high), *_) = mean_series(runs[:1], ["a"])["a"]
    assert mean == 1.0
    assert low != low
    assert high != high


def test_bands_are_the_tables_intervals_within_the_metrics_bounds(tmp_path):
    for number in (3, 12):
        scores = [1.0, 0.9, 1.0, 0.97, 0.99, 1.0, 0.98, 1.0, 1.0, 0.96, 1.0, 1.0][:number]
        runs = [
            write_run(
                tmp_path / str(number),
                {},
                seed,
                {"val/accuracy": score},
                [{"step": s, "val/accuracy": score} for s in (1, 2)],
            )
            for seed, score in enumerate(scores)
        ]
        comparison = compare(runs, {})
        (arm,) = comparison.arms
        assert arm.score is not None
        assert arm.score.interval is not None
        assert arm.score.interval[1] <= 1.0
        _, mean, low, high = mean_series(runs, ["val/accuracy"])["val/accuracy"][-1]
        assert (mean, low, high) == pytest.approx((arm.score.value, *arm.score.interval))
        figure = draw_seeds(comparison)
        assert figure is not None
        left, right = figure.axes[0].get_xlim()
        assert right <= 1 + 0.02 * (right - left) * 1.1
        assert ("Intervals near 0 or 1 are unreliable with fewer than 10 seeds." in table_text(comparison)) == (
            number == 3
        )


def test_seeds_are_the_unit_of_a_band(tmp_path):
    runs = [
        write_run(tmp_path, {"model.depth": depth}, seed, {"a": 1.0}, [{"step": 1, "a": seed + depth}])
        for depth in (3, 5)
        for seed in range(3)
    ]
    ((_, mean, low, high),) = mean_series(runs, ["a"])["a"]
    assert (low, mean, high) == pytest.approx(
        (5 - stats.t.isf(0.025, 2) / 3**0.5, 5, 5 + stats.t.isf(0.025, 2) / 3**0.5)
    )


def test_a_single_seed_carries_a_caution(tmp_path):
    runs = [
        write_run(tmp_path, {"model.act": act}, 0, {"val/accuracy": x}) for act, x in (("relu", 0.5), ("tanh", 0.6))
    ]
    caution = "A difference from a single seed may be chance: another seed can turn it round."
    comparison = compare(runs, {})
    assert caution in table_text(comparison)
    assert caution in markdown(comparison)
    assert caution in write_report(comparison, tmp_path).read_text()


def test_shares_are_said_the_claims_way(tmp_path):
    for kind, said in (("lower", "lower in 100 % of seeds [44, 100]"), ("higher", "higher in 0 % of seeds [0, 56]")):
        scores = {"relu": [0.5, 0.52, 0.51], "tanh": [0.6, 0.63, 0.61]}
        runs = write_arms(tmp_path / kind, "model.act", scores)
        claim = {"say": "s", kind: {"model.act": "relu"}, "than": {"model.act": "tanh"}}
        comparison = compare(runs, {"claims": [claim]})
        assert wins_text(comparison.verdicts[0]) == said
        page = write_report(comparison, tmp_path / kind).read_text()
        assert said.replace(" %", "\u00a0%") in page
        assert "0 and 0" not in page


def test_mean_runs_replace_those_of_before(runs, tmp_path):
    stale = tmp_path / "_mean" / "gone" / "events.out.tfevents.1"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    write_mean_runs(arm_means(compare(runs, STUDY)), tmp_path)
    assert not stale.exists()
    folders = {path.parent.relative_to(tmp_path / "_mean") for path in tmp_path.rglob("events.out.tfevents.*")}
    names = {run.path.parent.name for run in runs}
    assert {str(folder) for folder in folders} == {name + part for name in names for part in ("", "/low", "/high")}


def test_a_diverged_run_says_where_it_began(tmp_path):
    at = {"step": 3, "layer": "classifier", "what": "activation"}
    run = write_run(tmp_path, {"model.depth": 4}, 0, {"val/accuracy": None}, status="diverged", diverged_at=at)
    page = write_report(compare([run], {}), tmp_path).read_text()
    assert "; not finite first: activation of classifier at step 3" in page
