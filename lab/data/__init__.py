"""From the name of a data set to batches on the device: reading, splitting, scaling and augmenting.

Never here: networks, optimizers, DataLoader workers, reading a file twice.
"""
