"""Pictures, features and labels: from a name to tensors on the device, split, scaled, batched and augmented there.

Never here: networks, optimizers, DataLoader workers, reading a file twice.
"""
