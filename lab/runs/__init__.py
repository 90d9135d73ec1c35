"""One run: its parts joined, started from other weights, watched, trained to its result, and used to predict.

Here alone data, net and training meet. Never here: more than one run, or what runs say about each other.
"""
