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


def keep(page: Any, name: str) -> None:
    """Saves a screenshot where LAB_SCREENSHOTS names a folder."""
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_tensorboard_shows_the_arms_mean_curves_under_legible_names(board: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    query = urllib.parse.urlencode({"runFilter": "_mean/[^/]*$", "tagFilter": "val/accuracy"})
    page.goto(f"{board}/?{query}#timeseries")
    page.locator("scalar-card line-chart").first.wait_for(timeout=60_000)
    for init in ("xavier_normal", "he_normal"):
        page.get_by_text(re.compile(rf"_mean/init={init}-[0-9a-f]{{8}}")).first.wait_for(timeout=60_000)
    time.sleep(2)  # the lines are drawn in a worker, after the elements are there
    keep(page, "tensorboard")
    page.close()


def test_hparams_has_a_row_an_arm_with_its_seeds_averaged(board: str) -> None:
    asked = {"allowedStatuses": ["STATUS_SUCCESS"], "sliceSize": 10, "aggregationType": "AGGREGATION_AVG"}
    query = urllib.parse.urlencode({"request": json.dumps(asked)})
    address = f"{board}/experiment/defaultExperimentId/data/plugin/hparams/session_groups?{query}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        groups = json.load(answer)["sessionGroups"]
    assert sorted(group["hparams"]["model.init"] for group in groups) == ["he_normal", "xavier_normal"]
    assert [len(group["sessions"]) for group in groups] == [2, 2]


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "light"), (1200, "dark")])
def test_the_report_reads_on_every_screen(sweep: Path, browser: Any, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith("file:") else None)
    page.goto((sweep / "report.html").as_uri())
    assert page.get_by_text("init=he_normal").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not [text for text in problems if not text.startswith("data:")]
    keep(page, f"report-{width}-{scheme}")
    page.close()
