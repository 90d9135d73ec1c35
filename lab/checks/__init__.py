"""Theory, before the first run: which arms are one and the same.

Never here: training, or anything that waits for a run's result.
"""
