"""The claims of an experiment, and the rule that gives each its verdict: *supported*, *refuted*, *undecided*,
or *exploratory* where it departs from what was registered.

Never here: tables, figures, files.
"""
