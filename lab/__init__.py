"""A PyTorch lab in which architecture choices are compared, and the comparison can be believed.

Imports point down this list, and `tests/test_structure.py` holds the order:

    cli                    the commands
    launch                 many runs: sweeps, tuning, worker processes
    checks, overrides      theory, before the first run; from overrides and files to runs, the only folder with Hydra
    runs, studies          one run, which joins data, net and training; evidence, from records to a verdict
    data, nets, records    data sets on the device; networks; the files that a run leaves behind
    training               one run's loop, optimizers, schedules, losses, checkpoints
    system                 the machine and its libraries
    metric                 what a metric is
    identity, validation   what makes two runs the same; the check of every key
    config                 every key with default, meaning, unit and range
    errors, knob, literals, tables  `UserError`; what a key may be; typed values; the tables of names

`import lab` never imports torch: functions import it where they use it.
"""

__version__ = "0.1.0"
