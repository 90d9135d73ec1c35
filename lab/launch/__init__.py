"""Many runs: what is missing of a sweep trains side by side, arms are tuned, and all are compared at the end.

Never here: what one run does, or what a comparison says.
"""
