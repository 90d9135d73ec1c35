"""The lab in Python: what the command line does, as functions that return objects (`docs/python.md`).

Never here: anything that prints, exits or reads flags. `import lab` imports nothing of it; `lab.train` and its kin do.
"""
