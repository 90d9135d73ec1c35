"""Estimates, tests, their power, and how numbers are written: arrays in, numbers out.

Never here: runs or files.
"""
