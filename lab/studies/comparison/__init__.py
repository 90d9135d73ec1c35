"""The comparison of an experiment's runs: arms, their differences, effects of keys, mean curves, tuning.

Never here: text, tables or drawings.
"""
