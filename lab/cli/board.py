"""TensorBoard in this process: Ctrl-C before it serves is one line, and no traceback."""

import signal
import sys

from lab.system.signals import INTERRUPTED, leave_on_interrupt


def main() -> int:
    """Serves what the words on the command line say, as `tensorboard` does, whose exit code at Ctrl-C is 0."""
    leave_on_interrupt()
    from tensorboard.main import run_main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run_main()
    except KeyboardInterrupt:  # it does not serve yet
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
