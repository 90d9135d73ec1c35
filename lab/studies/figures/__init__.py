"""The figures of a comparison, each a function from the comparison to matplotlib's figure.

Never here: a number that the comparison does not hold.
"""
