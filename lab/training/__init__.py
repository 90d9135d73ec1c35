"""One run's training: the loop, optimizers, schedules, losses, penalties, precision, checkpoints.

Never here: how data or nets are built, where results are stored, the whole configuration.
"""
