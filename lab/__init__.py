"""A PyTorch lab in which architecture choices are compared, and the comparison can be believed.

Imports point down this list, and `tests/test_structure.py` holds the order:

    cli                    the commands; the only folder with Hydra
    launch                 many runs: sweeps, tuning, worker processes
    checks                 theory, before the first run: which arms are one and the same
    runs, studies          one run, which joins data, net and training; evidence, from records to a verdict
    data, nets, records    data sets on the device; networks; the files that a run leaves behind
    training               one run's loop, optimizers, schedules, losses, checkpoints
    system                 the machine and its libraries
    metric                 how a score is read from what a run logged
    identity, validation   what makes two runs the same; the check of every key
    config                 every key with default, meaning, unit and range
    errors, knob, literals, quantity, surface, tables  `UserError`; what a key may be; typed values; what runs measure;
                           surfaces to move on; names

`import lab` never imports torch: functions import it where they use it.
"""

__version__ = "0.1.0"
