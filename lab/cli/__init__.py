"""The command line: verbs, their flags, completion, and the catalogue of names.

Never here: anything that a notebook needs too. No other folder imports this one.
"""
