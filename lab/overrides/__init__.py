"""Overrides and configuration files, and the runs that they stand for. The only folder with Hydra.

Never here: flags and verbs, or anything that trains.
"""
