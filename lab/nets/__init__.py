"""Networks: built from a recipe of words or chosen by name, initialised, pruned, and started from other weights.

Never here: data, optimizers, devices; random draws while a layer is made, except in nets that initialise themselves.
"""
