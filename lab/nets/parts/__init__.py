"""What the words of a recipe stand for, a file a kind: activations, norms, pools, drops, skips and heads, by name.

Never here: how parts are joined, or their first weights.
"""
