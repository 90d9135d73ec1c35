"""The wheel carries the configurations along, and works outside the clone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_wheel_works_outside_the_clone(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert "lab/configs/experiment/xavier_vs_he.yaml" in names
    assert "lab/studies/report/page.html.j2" in names
    assert not any(name.startswith(("tests/", "outputs/", "data/")) for name in names)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    where = [sys.executable, "-c", "import lab; print(lab.__file__)"]
    found = subprocess.run(where, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(tmp_path / "site"))
    words = ["train", "experiment=layer_order", "train=smoke", "model.act=relu", "seed=0,1", "study.claims=[]"]
    train = [sys.executable, "-m", "lab", *words]
    done = subprocess.run(train, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "outputs" / "layer_order" / "report.html").is_file()
