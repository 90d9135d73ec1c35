"""The files that a run leaves behind: where they are, how they are written, locked, found and read.

Never here: torch (a finished sweep is recognised without it), training, statistics.
"""
