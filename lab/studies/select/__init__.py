"""Chooses the runs to compare, groups them into arms, and reads the score of each.

Never here: statistics.
"""
