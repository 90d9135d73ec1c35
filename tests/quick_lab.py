"""`python quick_lab.py train ...` is `lab train ...` without figures, which take longer than a small sweep."""

import sys
from pathlib import Path

from lab.cli.main import main

QUICK_LAB = [sys.executable, str(Path(__file__).resolve())]
"""The start of a command, as `[sys.executable, "-m", "lab"]` is of one with figures."""


if __name__ == "__main__":
    import lab.studies.report.gallery

    lab.studies.report.gallery.EXHIBITS = ()
    sys.exit(main())
