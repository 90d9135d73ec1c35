"""One run: joins data, net and training, starts from other weights, trains to a result, and predicts with it.

The only folder that imports all three. Never here: more than one run, or comparisons between runs.
"""
