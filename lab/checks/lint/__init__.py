"""What is wrong with one net before it trains: a recorded execution, and rules that read it.

Never here: comparisons of arms (`lab.checks.sameness`), and anything that trains.
"""
