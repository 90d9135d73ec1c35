"""What the check of a sweep of 100 arms costs before its first run, in seconds of CPU time.

    python benchmarks/prechecks.py

The arms are built three times: to see that they can be built, to find those that are built alike (`lint=off`), and with
all rules and proofs.
"""

import time

import torch

import lab.launch.worker
from lab.launch.worker import check
from lab.overrides.plan import all_jobs

WORDS = [
    "model.act=relu,tanh,elu,gelu,leaky_relu",
    "model.norm=none,batch",
    "model.block=conv-norm-act-pool,conv-norm-pool-act,conv-act-norm-pool,conv-pool-norm-act,conv-act-pool",
    "model.init=he_normal,xavier_normal",
]


def seconds(words: list[str], whole: bool) -> float:
    """CPU time of the check of a sweep; `whole` compares its arms."""
    jobs = [job for batch in all_jobs("lint", words) for job in batch]
    start = time.process_time()
    check(jobs, jobs if whole else ())
    return time.process_time() - start


def main() -> None:
    torch.set_num_threads(1)
    lab.launch.worker.MOST_SECONDS = 1e9  # all arms, however long that takes
    seconds(WORDS, False)
    built = seconds(WORDS, False)
    alike = seconds([*WORDS, "lint=off"], True)
    checked = seconds(WORDS, True)
    print(f"100 arms: built {built:.1f} s, searched for arms built alike {alike:.1f} s, checked {checked:.1f} s")


if __name__ == "__main__":
    main()
