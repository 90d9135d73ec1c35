"""The notebook: pages, index and claims of `experiments/`, rendered from committed results and hand-written notes.

Never here: statistics, or a number that is not in the committed files.
"""
