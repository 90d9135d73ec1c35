"""Pictures and labels: from a name to tensors on the device, split, scaled and batched there.

Never here: networks, optimizers, DataLoader workers, reading a file twice.
"""
