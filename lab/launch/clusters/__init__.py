"""Runs as tasks of a cluster: what is submitted, how it is followed, and a module for each scheduler.

Never here: how one run trains, and what a run is; a scheduler only starts processes.
"""
