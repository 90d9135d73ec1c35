"""Which runs are meant, which belong together, and what each scores.

Never here: statistics.
"""
