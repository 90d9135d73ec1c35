"""What `test_killed` starts in a process of its own; here, so that the process need not import pytest."""

import os
import warnings

import torch

from lab.records.places import Job
from lab.runs.run import run


def work(job: Job) -> None:
    warnings.simplefilter("error")  # a damaged checkpoint would be one
    os.fsync = lambda handle: None  # what a kill leaves is in the system's memory, and this is most of a tiny step
    torch.set_num_threads(1)
    run(job)
