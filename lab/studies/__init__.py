"""Evidence, from the records of finished runs to a verdict: scores, paired statistics, claims, figures, the report.

It reads records (`lab.records`) and writes files for people. Never here: torch, Hydra, or anything that trains. scipy,
pandas and jinja2 are imported by the functions that need them, as each takes about a second; so are the figures, whose
files import matplotlib.
"""


def load(*folders, **options):
    """`lab.studies.select.frame.load`: the runs under `folders` as a pandas data frame, for notebooks."""
    from lab.studies.select.frame import load

    return load(*folders, **options)
