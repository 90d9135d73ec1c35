"""Peak resident memory of a CIFAR-10 run, as a ratio to what it cannot do without: data, model and activations.

    python benchmarks/memory.py [--root data/cifar10-jpeg] [--depth 21] [--batch 128] [--steps 5]

Each run is a separate process: a residual net on class folders of images (`data=folder`), with evaluations,
validation, checkpoint and test. Measured is its peak resident memory (ru_maxrss) less what it was after a run on a few
tiny images, when all is imported and the libraries are set up. It is divided by the sum of

- data: images and labels of training and test set, as stored in memory (bytes);
- model: weights, statistics, gradients and optimizer state;
- activations: what one training step keeps for its backward pass, each storage once.

`first start` decodes the images, `later start` reads them decoded from the cache beside them.
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="data/cifar10-jpeg", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument("--depth", type=int, default=21)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--child", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.child, args.depth, args.batch, args.steps)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for part in ("train", "test"):  # the images themselves, and room for a cache of our own
            (folder / part).mkdir()
            for name in sorted(path for path in (args.root / part).resolve().iterdir() if path.name[0] != "."):
                (folder / part / name.name).symlink_to(name)
        for start in ("first start", "later start"):
            words = [*sys.argv[1:], "--child", str(folder)]
            done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True)
            show(start, json.loads(done.stdout.splitlines()[-1]))


def show(start: str, found: dict[str, float]) -> None:
    needed = found["data"] + found["model"] + found["activations"]
    parts = ", ".join(f"{name} {found[name] / MIB:.0f}" for name in ("data", "model", "activations"))
    mib, ratio = found["peak"] / MIB, found["peak"] / needed
    print(f"{start}: peak {mib:.0f} MiB, needed {needed / MIB:.0f} ({parts}): ratio {ratio:.2f}", flush=True)


def measure(root: Path, depth: int, batch: int, steps: int) -> dict[str, float]:
    """The run, and what it took, in bytes."""
    import PIL.Image  # noqa: F401 (imported late by the lab)
    import torch

    from lab.config import RunConfig
    from lab.records.places import Job, run_folder
    from lab.runs.build import assemble
    from lab.runs.run import run
    from lab.system.devices import set_threads

    set_threads(0)
    config = RunConfig(out=str(root / "outputs"), force=True)
    config.model.block, config.model.skip, config.model.widths = "conv-norm-act-conv-norm-act-pool", "add", [16, 32, 64]
    config.model.head, config.train.steps, config.train.eval_limit = "gap", steps, 2000
    config.model.depth, config.data.limit, config.train.batch_size = 7, 16, 8
    peaks = []
    for name in ("digits", "folder"):
        config.data.name, config.data.root, config.data.val_frac = name, str(root), 0.1
        result = run(Job(config, run_folder(config, {}), {}, [], "benchmark"))
        assert result["status"] == "finished", result
        peaks.append(peak())
        config.model.depth, config.data.limit, config.train.batch_size = depth, None, batch
    found = {"peak": peaks[1] - peaks[0]}
    parts = assemble(config)
    data = parts.data
    found["data"] = size([data.train.images, data.train.labels, data.test.images, data.test.labels])
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    train_step = parts.training.train_step
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        train_step(0)
    gc.collect()
    weights = list(parts.model.state_dict().values())
    states = [one for state in train_step.optimizer.state.values() for one in state.values()]
    gradients = [parameter.grad for parameter in parts.model.parameters() if parameter.grad is not None]
    found["model"] = size([*weights, *gradients, *states])
    own = {tensor.untyped_storage().data_ptr() for tensor in weights}
    found["activations"] = sum(nbytes for place, nbytes in kept.items() if place not in own)
    return found


def size(tensors: list[Any]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def peak() -> int:
    """Peak resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
