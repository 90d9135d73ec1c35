"""The command line: verbs, overrides, completion, and the catalogue of names. The only folder with Hydra.

Never here: anything that a notebook needs too. No other folder imports this one.
"""
