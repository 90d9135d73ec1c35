"""Training: the loop, optimizers, schedules, checkpoints.

Never here: what the data or the net is made of, where results lie, the whole configuration.
"""
