"""Output for readers: the table, the HTML report, verdicts as files, and TensorBoard's charts of a whole sweep.

Never here: statistics.
"""
