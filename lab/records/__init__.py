"""What a run leaves behind and how it is found again: events and metrics, results, places.

Never here: torch (a finished sweep is recognised without it), training, statistics.
"""
