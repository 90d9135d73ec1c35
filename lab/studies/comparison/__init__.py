"""The comparison of an experiment's runs: arms, their differences, effects, means, and what was tuned.

Never here: how it is shown.
"""
