"""What the machine and its libraries are like: cores, signals, memory, and how torchvision and `torch.compile` load.

Never here: anything that the lab itself is about.
"""
