"""Networks: from a recipe of whole words to layers, and their initialisation.

Never here: data, optimizers, devices, random numbers drawn while a layer is made.
"""
