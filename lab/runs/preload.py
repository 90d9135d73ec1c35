"""Imports, when it is imported, all that a run needs, torch with it: before a run, or before workers are forked."""

import gc
from importlib import import_module

from lab.system.deferred import defer_dynamo
from lab.system.machine import collector_off

MODULES = (
    "torch",
    "tensorboard.summary.writer.record_writer",
    "tensorboard.plugins.hparams.api_pb2",
    "lab.runs.run",
)

# Imports make objects by the hundred thousand, none of them garbage: looking for some takes a fifth of the time here,
# and three tenths of a second at every later import.
with collector_off():
    for name in MODULES:
        import_module(name)
    gc.freeze()
defer_dynamo()
