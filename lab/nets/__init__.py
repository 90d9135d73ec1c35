"""Networks: from a recipe of whole words to layers, or whole by name, and their initialisation.

Never here: data, optimizers, devices; random draws while a layer is made, but by nets that bring their own start.
"""
