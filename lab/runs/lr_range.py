"""The learning-rate range test of one configuration."""

import torch

from lab.identity import derive_seed
from lab.records.places import Job
from lab.runs.build import assemble
from lab.system.devices import set_threads
from lab.training.range_test import RangeTest, range_test


def find_rates(job: Job, low: float, high: float, steps: int) -> RangeTest:
    """Trains the net of `job` for at most `steps` steps while the rate rises from `low` to `high`; writes no file."""
    set_threads(job.config.train.threads)
    training = assemble(job.config).training
    torch.manual_seed(derive_seed(job.config.seed, "dropout"))
    return range_test(training, low, high, steps)
