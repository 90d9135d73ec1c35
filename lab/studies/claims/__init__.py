"""The claims of an experiment, and the rule that gives each its verdict: *supported*, *refuted* or *undecided*.

Never here: tables, figures, files.
"""
