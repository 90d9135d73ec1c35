"""Networks: from a recipe of whole words to layers, or whole by name, and their initialisation.

Never here: data, optimizers, devices; random numbers drawn while a layer is made, but by nets with a start of their own.
"""
