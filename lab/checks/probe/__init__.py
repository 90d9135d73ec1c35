"""A net at its start: what theory predicts of each layer beside what some draws of its weights show.

Never here: formulas (`lab.checks.theory`), and training beyond one step.
"""
