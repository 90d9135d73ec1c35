"""What a person sees: TensorBoard over a sweep and its report, in a real browser."""

import itertools
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import compare, write_run

from lab.studies.report.board import means_query
from lab.studies.report.page import write_report

BROWSER = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.figures,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of two arms and two seeds, watched."""
    folder = tmp_path_factory.mktemp("sweep")
    words = ["model.init=xavier_normal,he_normal", "seed=0,1", "train.epochs=2", f"out={folder}"]
    words += ["train.watch=true", "train.pictures=4"]
    subprocess.run([sys.executable, "-m", "lab", "train", *words], check=True, capture_output=True, timeout=200)
    return folder / "model.init"


@pytest.fixture(scope="module")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three claims about a grid of factors with long names: all that a page can hold."""
    folder = tmp_path_factory.mktemp("claimed")
    draw = random.Random(0)
    recipes = ["conv-act-conv-act-pool", "conv-norm-act-conv-norm-act-pool"]
    runs = []
    for recipe, skip, seed in itertools.product(recipes, ("none", "add"), range(5)):
        scores = [0.2 + 0.2 * recipes.index(recipe) + 0.1 * epoch + 0.02 * draw.random() for epoch in range(3)]
        rows = [
            {"step": 20 * epoch + 20, "epoch": epoch + 1.0, "seconds": epoch + 1.0, "val/accuracy": score}
            for epoch, score in enumerate(scores)
        ]
        arm = {"model.block": recipe, "model.skip": skip}
        run = write_run(folder, arm, seed, {"val/accuracy": scores[-1]}, rows)
        labels = np.arange(400) % 10
        predicted = np.where(np.arange(400) % 50 < 40 + seed, labels, (labels + recipes.index(recipe)) % 10)
        np.savez(run.path / "predictions.npz", index=np.arange(400), label=labels, predicted=predicted)
        runs.append(run)
    sides = [{"model.block": recipe} for recipe in reversed(recipes)]
    claims = [
        {"say": "a norm helps", "where": {"model.skip": "none"}, "higher": sides[0], "than": sides[1], "by": 0.01},
        {"say": "a shortcut changes nothing", "same": [{"model.skip": "none"}, {"model.skip": "add"}], "within": 0.001},
        {"say": "a norm hurts", "where": {"model.skip": "add"}, "lower": sides[0], "than": sides[1], "by": 0.01},
    ]
    study = {"question": "Does a norm help?", "reference": sides[1], "claims": claims}
    write_report(compare(runs, study), folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def board(sweep: Path) -> Iterator[str]:
    """The address of a TensorBoard over the sweep."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "lab", "board", str(sweep), "--port", str(port), "--load_fast", "false"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(120):
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(f"{address}/data/runs", timeout=10) as answer:
                if b"_mean" in answer.read():
                    break
        except OSError:
            assert process.poll() is None, "TensorBoard ended"
    yield address
    process.terminate()
    process.wait(20)


def keep(page: Any, name: str, whole: bool = False) -> None:
    """Saves a screenshot, of the `whole` page or what is on the screen, where LAB_SCREENSHOTS names a folder."""
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=whole)


def open_tab(browser: Any, board: str, tab: str, width: int, scheme: str, query: dict[str, str] | None = None) -> Any:
    """A page of TensorBoard, once its first requests are answered."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked = {**({"darkMode": "true"} if scheme == "dark" else {}), **(query or {})}
    page.goto(f"{board}/?{urllib.parse.urlencode(asked)}#{tab}")
    return page


SCREENS = [(1400, "light"), (500, "light"), (1400, "dark")]


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_tensorboard_shows_the_arms_mean_curves_under_legible_names(
    board: str, browser: Any, width: int, scheme: str
) -> None:
    query = {"runFilter": "_mean/[^/]*$", "tagFilter": "^val/accuracy"}
    page = open_tab(browser, board, "timeseries", width, scheme, query)
    page.locator("scalar-card line-chart").first.wait_for(timeout=60_000)
    for init in ("xavier_normal", "he_normal"):
        page.get_by_text(re.compile(rf"_mean/init={init}-[0-9a-f]{{8}}")).first.wait_for(
            timeout=60_000, state="attached"
        )
    time.sleep(2)  # the lines are drawn in a worker, after the elements are there
    keep(page, f"tensorboard-scalars-{width}-{scheme}")
    page.close()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_custom_scalars_put_the_metric_side_by_side(board: str, browser: Any, width: int, scheme: str) -> None:
    page = open_tab(browser, board, "custom_scalars", width, scheme)
    page.get_by_text("mean of each arm, 95 % interval").first.wait_for(timeout=60_000)
    page.get_by_text("training beside validation").first.wait_for(timeout=60_000, state="attached")
    page.get_by_text(re.compile(r"Matches \(2\)")).first.wait_for(timeout=60_000)  # a band an arm
    page.get_by_text(re.compile(r"Matches \(4\)")).first.wait_for(timeout=60_000)  # training and validation of two arms
    time.sleep(2)
    keep(page, f"tensorboard-custom-{width}-{scheme}")
    page.close()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_hparams_shows_what_was_swept(board: str, browser: Any, width: int, scheme: str) -> None:
    page = open_tab(browser, board, "hparams", width, scheme)
    page.get_by_text("xavier_normal").first.wait_for(timeout=60_000, state="attached")
    # The metric is a column without a click, the first after those of the arms.
    page.locator("vaadin-grid-cell-content", has_text="val/accuracy").first.wait_for(timeout=60_000, state="attached")
    heads = page.locator("vaadin-grid-cell-content").all_inner_texts()
    heads = [text.strip() for text in heads if re.fullmatch(r"\s*(model|train|val)[./]\w+\s*", text)]
    assert list(dict.fromkeys(heads))[:2] == ["model.init", "val/accuracy"]
    time.sleep(2)
    keep(page, f"tensorboard-hparams-{width}-{scheme}")
    page.close()


@pytest.mark.parametrize(
    ("tab", "first"),
    [("images", "watch_batch"), ("histograms", "watch_activations"), ("graphs", "Main Graph"), ("text", "verdicts")],
)
def test_every_other_tab_has_something_to_show(board: str, browser: Any, tab: str, first: str) -> None:
    page = open_tab(browser, board, tab, 1400, "light")
    page.get_by_text(first).first.wait_for(timeout=60_000)
    time.sleep(2)
    keep(page, f"tensorboard-{tab}-1400-light")
    page.close()


def test_the_address_for_means_has_a_colour_an_arm_and_scalars_first(board: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(f"{board}/{means_query()}")
    page.locator("scalar-card line-chart").first.wait_for(timeout=60_000)
    swatches = "[...document.querySelectorAll('runs-data-table .run-color-swatch')].map(one => one.style.background)"
    page.wait_for_function(f"{swatches}.length >= 6")
    colors = page.evaluate(swatches)
    assert len(colors) == 6  # mean, low and high of two arms; no single seed
    assert len(set(colors)) == 2
    groups = page.locator(".group-title").all_inner_texts()
    assert [group.split()[0] for group in groups[:3]] == ["Pinned", "test", "train"]
    keep(page, "tensorboard-means-1400-light")
    page.close()


def test_the_verdicts_are_a_text(board: str, browser: Any) -> None:
    page = open_tab(browser, board, "text", 1400, "light")
    page.get_by_text("No claim was written beforehand").first.wait_for(timeout=60_000)
    keep(page, "tensorboard-text")
    page.close()


def test_hparams_has_a_row_an_arm_with_its_seeds_averaged(board: str) -> None:
    asked = {"allowedStatuses": ["STATUS_SUCCESS"], "sliceSize": 10, "aggregationType": "AGGREGATION_AVG"}
    query = urllib.parse.urlencode({"request": json.dumps(asked)})
    address = f"{board}/experiment/defaultExperimentId/data/plugin/hparams/session_groups?{query}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        groups = json.load(answer)["sessionGroups"]
    assert sorted(group["hparams"]["model.init"] for group in groups) == ["he_normal", "xavier_normal"]
    assert [len(group["sessions"]) for group in groups] == [2, 2]
    columns = {metric["name"]["tag"] for metric in groups[0]["metricValues"]}
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= columns


@pytest.mark.parametrize("which", ["sweep", "claimed"])
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "light"), (1200, "dark")])
def test_the_report_reads_on_every_screen(
    request: pytest.FixtureRequest, browser: Any, which: str, width: int, scheme: str
) -> None:
    folder: Path = request.getfixturevalue(which)
    name = "init=he_normal" if which == "sweep" else "skip=none"
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith("file:") else None)
    page.goto((folder / "report.html").as_uri())
    assert page.locator(f"{'.narrow' if width < 640 else '.wide'} svg text", has_text=name).first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Nothing is cut: all of a figure's text lies inside of it.
    outside = """() => [...document.querySelectorAll(".plot svg")].flatMap(svg => {
      const box = svg.getBoundingClientRect();
      return [...svg.querySelectorAll("text")].filter(text => {
        const own = text.getBoundingClientRect();
        const wide = own.left < box.left - 1 || own.right > box.right + 1;
        return box.width && (wide || own.top < box.top - 1 || own.bottom > box.bottom + 1);
      }).map(text => text.textContent);
    })"""
    assert page.evaluate(outside) == []
    assert not [text for text in problems if not text.startswith("data:")]
    # Nor do labels that stand side by side below an axis run into each other.
    overlapping = """() => [...document.querySelectorAll(".plot svg [id*=xtick_]")].flatMap((one, i, all) => {
      const next = all[i + 1];
      if (!next || one.parentNode !== next.parentNode) return [];
      const texts = [one, next].map(tick => [...tick.querySelectorAll("text")]);
      const boxes = texts.map(lines => lines.map(line => line.getBoundingClientRect()));
      const right = Math.max(...boxes[0].map(box => box.right)), left = Math.min(...boxes[1].map(box => box.left));
      return right > left ? [one.textContent.trim() + " | " + next.textContent.trim()] : [];
    })"""
    assert page.evaluate(overlapping) == []
    keep(page, f"report-{which}-{width}-{scheme}", whole=True)
    page.close()


def test_the_report_can_be_listened_to(claimed: Path, browser: Any) -> None:
    """By rules of WCAG 2 that need no engine; axe-core (`LAB_AXE` names its file) checks the rest where it is."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto((claimed / "report.html").as_uri())
    levels = [
        int(level) for level in page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => h.tagName[1])")
    ]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    said = page.evaluate("[...document.querySelectorAll('.plot')].map(plot => plot.getAttribute('aria-label'))")
    assert len(said) >= 6
    assert all(re.search(r"\d|table that follows", text) for text in said)  # the finding, or where it is in words
    assert page.evaluate("[...document.querySelectorAll('table')].every(table => table.caption)")
    assert page.evaluate("[...document.querySelectorAll('th')].every(head => head.scope)")
    if path := os.environ.get("LAB_AXE"):
        page.evaluate(Path(path).read_text())
        violations = page.evaluate("axe.run(document).then(found => found.violations.map(one => one.id))")
        assert violations == []
    page.close()


def test_the_axis_of_the_curves_can_be_switched_without_scripts(sweep: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((sweep / "report.html").as_uri())

    def shown() -> list[str]:
        names = ("optimizer steps", "epochs", "seconds of training")
        return [name for name in names if page.locator(".over .wide svg text", has_text=name).first.is_visible()]

    assert shown() == ["optimizer steps"]
    page.locator("label", has_text="seconds").click()
    assert shown() == ["seconds of training"]
    page.keyboard.press("ArrowLeft")
    assert shown() == ["epochs"]
    context.close()


def test_the_report_prints_in_light_colours_on_whole_pages(claimed: Path, browser: Any, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 700, "height": 1000}, color_scheme="dark")
    page.goto((claimed / "report.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("label", has_text="seconds").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    pdf = page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
    assert pdf.startswith(b"%PDF")
    page.close()


def test_a_click_on_a_head_sorts_a_table_and_a_second_one_turns_it_round(claimed: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto((claimed / "report.html").as_uri())
    table = page.locator("section[aria-labelledby=arms] table")
    column = table.locator("thead th").all_inner_texts().index("mean")

    def means() -> list[float]:
        return [float(row.locator("> *").nth(column).inner_text()) for row in table.locator("tbody tr").all()]

    before = means()
    table.locator("thead button").nth(column).click()
    assert means() == sorted(before)
    table.locator("thead button").nth(column).click()
    assert means() == sorted(before, reverse=True)
    assert table.locator("thead th").nth(column).get_attribute("aria-sort") == "descending"
    page.close()


def test_on_a_phone_no_table_is_wider_than_the_screen(claimed: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto((claimed / "report.html").as_uri())
    wide = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
    assert page.evaluate(wide) == 0
    page.close()
