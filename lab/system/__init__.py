"""What the machine and its libraries are like: cores, devices, signals, memory, how torchvision and torch.compile load.

Never here: anything that the lab itself is about.
"""
