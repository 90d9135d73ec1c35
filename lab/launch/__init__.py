"""Many runs: trains the missing runs of a sweep in worker processes, tunes arms, and has the results compared.

Never here: how one run trains, or how a comparison is computed.
"""
