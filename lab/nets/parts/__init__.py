"""The layers behind the words of a recipe, by name: a file each for activations, norms, pools, drops, skips and heads.

Never here: the order of layers, or their initial weights.
"""
