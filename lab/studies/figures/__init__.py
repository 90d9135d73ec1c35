"""The figures of a comparison: each is a function from the comparison to a matplotlib figure.

Never here: a number that the comparison does not hold.
"""
