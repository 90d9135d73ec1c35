"""Time of `data.augment` on a batch against torchvision's transforms.v2, image by image, as a data loader does it.

    python benchmarks/augment.py [--rounds 30] [--size 32] [--batch 128]

Both change the same scaled images on one CPU thread, in one process, in turn, round after round; what counts is the
ratio of medians. `take` is what the lab does for a batch anyway (gather and scale bytes), to set the cost beside.
`cutout` is compared with RandomErasing of one square of a quarter of the area, its nearest relative there.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from lab.config import DataConfig
from lab.data.augment import make_augment
from lab.data.batches import Split
from lab.system.vision import torchvision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--size", type=int, default=32, help="side of the colour images")
    parser.add_argument("--batch", type=int, default=128)
    args = parser.parse_args()
    torch.set_num_threads(1)
    shape = (3, args.size, args.size)
    pixels = torch.randint(256, (10 * args.batch, *shape), dtype=torch.uint8)
    split = Split(
        pixels, torch.arange(len(pixels)), torch.arange(len(pixels)), torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    )
    positions = torch.randperm(len(pixels))[: args.batch]
    images, _ = split.take(positions)
    takes, ours, theirs = [], {}, {}
    peers = one_by_one(args.size)
    for one_round in range(args.rounds + 1):
        take_seconds = seconds(lambda: split.take(positions))
        for words, peer in peers.items():
            augment = make_augment(DataConfig(augment=words), shape, seed=0)
            assert augment is not None
            our_seconds = seconds(lambda augment=augment: augment(images, 0))
            their_seconds = seconds(lambda peer=peer: torch.stack([peer(image) for image in images]))
            if one_round:  # the first warms up
                ours.setdefault(words, []).append(our_seconds)
                theirs.setdefault(words, []).append(their_seconds)
        takes.append(take_seconds)
    take = statistics.median(takes)
    print(f"1 thread, torch {torch.__version__}, batch {args.batch} of 3x{args.size}x{args.size}, {args.rounds} rounds")
    print(f"take              {1e3 * take:8.2f} ms")
    for words in peers:
        mine, other = statistics.median(ours[words]), statistics.median(theirs[words])
        print(
            f"{words:16}  {1e3 * mine:8.2f} ms  {mine / take:5.2f} takes;  transforms.v2 {1e3 * other:8.2f} ms, "
            f"{other / mine:5.1f} times as long"
        )


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def one_by_one(size: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """torchvision's own transforms of one image, by the lab's words."""
    torchvision()
    from torchvision.transforms import v2

    crop = v2.RandomCrop(size, padding=round(0.125 * size), padding_mode="reflect")
    flip = v2.RandomHorizontalFlip()
    erase = v2.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))
    both = v2.Compose([crop, flip])
    return {
        "crop": crop,
        "flip": flip,
        "cutout": erase,
        "crop-flip": both,
        "crop-flip-cutout": v2.Compose([both, erase]),
    }


if __name__ == "__main__":
    main()
