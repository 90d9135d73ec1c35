"""The learning-rate range test of one configuration."""

import torch

from lab.identity import derive_seed
from lab.records.places import Job
from lab.runs.build import assemble
from lab.system.devices import set_threads
from lab.training.fit import Training
from lab.training.range_test import RangeTest, range_test


def prepare(job: Job) -> Training:
    """What a range test of `job` trains, built before anything is written."""
    set_threads(job.config.train.threads)
    return assemble(job.config).training


def find_rates(training: Training, seed: int, low: float, high: float, steps: int) -> RangeTest:
    """Trains for at most `steps` steps while the rate rises from `low` to `high`, with the dropout of `seed`."""
    torch.manual_seed(derive_seed(seed, "dropout"))
    return range_test(training, low, high, steps)
