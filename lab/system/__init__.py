"""The machine and its libraries: cores, devices, signals, memory, and the loading of torchvision and `torch.compile`.

Never here: data, nets, training, results, or anything else that the lab is about.
"""
