"""The command line: verbs, overrides, completion, and the catalogue of what can be chosen. The only folder with Hydra.

Never here: anything that a notebook needs too. Nothing imports this folder.
"""
