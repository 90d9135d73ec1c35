"""From finished runs to a verdict: metrics, paired statistics, claims, tables, figures and the report.

What lives here reads records (`lab.records`) and writes files for people. What never may: torch, Hydra, or anything
that trains; scipy, matplotlib, pandas and jinja2 are imported by the functions that need them, as each takes about a
second.
"""


def load(*folders, **options):
    """`lab.studies.select.frame.load`: the runs under `folders` as a pandas data frame, for notebooks."""
    from lab.studies.select.frame import load

    return load(*folders, **options)
