"""Whether anything inside an epoch waits for the GPU; fails, with the line that does, if so. Needs a GPU.

    python benchmarks/sync.py [--steps 20]

Trains nets, optimizers and options of the lab with torch.cuda.set_sync_debug_mode("error"), under which torch raises
where it would wait: `.item()`, a copy from or to ordinary memory, a boolean index. The first steps, which set up what
is made once, are not watched; the beginning of a new epoch is. Logged points and checkpoints do wait, and are left out.
"""

import argparse
import sys

import torch

from lab.config import RunConfig
from lab.identity import with_values
from lab.runs.build import assemble
from lab.training.clock import synchronise
from lab.training.graph import WARM_UP

CASES: dict[str, dict[str, object]] = {
    "plain": {},
    "graph": {"train.graph": "on"},
    "bf16, channels last": {"train.precision": "bf16", "train.channels_last": True},
    "fp16": {"train.precision": "fp16"},
    "augmentation": {"data.augment": "crop-flip-cutout"},
    "clip by norm": {"train.clip_norm": 1.0},
    "clip by value": {"train.clip": "value"},
    "clip to the sign": {"train.clip": "sign"},
    "penalty and bound": {"train.penalty": "l2", "train.max_norm": 3.0},
    "auxiliary": {"model.aux_blocks": [1]},
    "focal loss": {"train.loss": "focal"},
    "schedule": {"schedule.name": "one_cycle"},
    **{name: {"optimizer.name": name} for name in ("sgd", "momentum", "adagrad", "rmsprop", "nadam", "lion", "muon")},
    **{
        f"drop {name}": {"model.block": "conv-norm-act-drop-pool", "model.drop": name}
        for name in ("dropout", "spatial", "dropblock", "dropconnect", "gaussian", "stochastic_depth", "vanilla")
    },
    **{f"pool {name}": {"model.pool": name} for name in ("max_avg", "stochastic", "blur", "stride")},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="watched steps of each case; an epoch has 4")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no GPU here", file=sys.stderr)
        return 2
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    failures = 0
    for name, changes in CASES.items():
        found = first_wait(changes, args.steps)
        failures += found is not None
        print(f"{name:24} {'nothing waits' if found is None else found}", flush=True)
    return 1 if failures else 0


def first_wait(changes: dict[str, object], steps: int) -> str | None:
    """What first waits within `steps` steps of a run with `changes`; None where nothing does."""
    config = RunConfig()
    config.data.name, config.train.device, config.train.graph = "synthetic", "cuda", "off"
    config.model.block, config.model.norm, config.model.depth = "conv-norm-act-pool", "batch", 4
    config.train.batch_size = 400  # of 1,600 images
    training = assemble(with_values(config, changes)).training
    for step in range(2 * WARM_UP):
        training.train_step(step)
    synchronise(training.clock.device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(2 * WARM_UP, 2 * WARM_UP + steps):
            training.train_step(step)
    except RuntimeError as error:
        line = error.__traceback__
        while line is not None and line.tb_next is not None:
            line = line.tb_next
        place = f"{line.tb_frame.f_code.co_filename}:{line.tb_lineno}" if line is not None else "?"
        return f"WAITS at {place}: {str(error).splitlines()[0]}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None


if __name__ == "__main__":
    sys.exit(main())
