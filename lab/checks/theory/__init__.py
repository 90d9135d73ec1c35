"""What can be said of signals and gradients in a net from its layers alone: second moments, layer by layer.

Never here: measurements (`lab.checks.probe`), rules (`lab.checks.lint`), and formulas that are right only nearly: where
none is right, the answer is the reason.
"""
