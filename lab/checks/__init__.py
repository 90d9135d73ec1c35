"""Theory, before the first run: what is wrong with a net or a comparison, and which arms are one function.

Never here: training, or anything that waits for a run's result.
"""
