"""`python -m lab` is `lab`."""

import os
import sys

if os.path.abspath(sys.path[0] or ".") == os.getcwd():  # by `-m`: files there replace no library
    del sys.path[0]

from lab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
