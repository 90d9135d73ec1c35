"""What a person sees: TensorBoard over a sweep and its report, in a real browser."""

import json
import os
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

import pytest

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

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of two arms and two seeds."""
    folder = tmp_path_factory.mktemp("sweep")
    words = ["model.init=xavier_normal,he_normal", "seed=0,1", "train.epochs=2", f"out={folder}"]
    subprocess.run([sys.executable, "-m", "lab", "train", *words], check=True, capture_output=True, timeout=200)
    return folder / "scratch"


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
    time.sleep(2)
    keep(page, f"tensorboard-custom-{width}-{scheme}")
    page.close()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_hparams_shows_what_was_swept(board: str, browser: Any, width: int, scheme: str) -> None:
    page = open_tab(browser, board, "hparams", width, scheme)
    page.get_by_text("xavier_normal").first.wait_for(timeout=60_000, state="attached")
    time.sleep(2)
    keep(page, f"tensorboard-hparams-{width}-{scheme}")
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


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "light"), (1200, "dark")])
def test_the_report_reads_on_every_screen(sweep: Path, browser: Any, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith("file:") else None)
    page.goto((sweep / "report.html").as_uri())
    assert page.locator(
        f"{'.narrow' if width < 640 else '.wide'} svg text", has_text="init=he_normal"
    ).first.is_visible()
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
    keep(page, f"report-{width}-{scheme}", whole=True)
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


def test_the_report_prints_in_light_colours_on_whole_pages(sweep: Path, browser: Any, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 700, "height": 1000}, color_scheme="dark")
    page.goto((sweep / "report.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("label", has_text="seconds").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    pdf = page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
    assert pdf.startswith(b"%PDF")
    page.close()
