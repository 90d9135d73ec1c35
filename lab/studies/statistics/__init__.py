"""Estimates, tests, their power, thresholds of interim analyses, and number formats: arrays in, numbers out.

Never here: runs or files.
"""
