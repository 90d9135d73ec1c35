"""Which test images and labels a run is scored on: runs of different ones are never subtracted."""

from collections.abc import Iterable

from lab.records.results import Run
from lab.studies.select.arms import complete, values_of
from lab.studies.select.selectors import Flat

IMAGE_KEYS = ("data.name", "data.root", "data.classes", "data.resize", "train.eval_limit")
"""The keys that choose or change test images or their labels. The others under `data.*` act on training images
(`limit`, `augment`, `label_noise`, `imbalance`), on how images are fed in (`scale`) or on the split (`val_frac`)."""

Kind = tuple[str | None, tuple[str, ...]]
"""Digest of the images and labels, unless the run is older than it, and the values of `IMAGE_KEYS`."""


def image_keys(config: Flat) -> list[str]:
    """Those of `IMAGE_KEYS` that count in `config`: where downloaded data lie does not change them."""
    own = config["data.name"] == "folder" or ":" in str(config["data.name"])
    return [key for key in IMAGE_KEYS if own or key != "data.root"]


def kind_of(run: Run) -> Kind:
    """What a run is scored on."""
    config = run.config if run.config.keys() >= set(IMAGE_KEYS) else complete(run.config)
    return run.result.get("scored_on"), values_of(config, image_keys(config))


def alike(one: Kind, other: Kind) -> bool:
    """Whether two kinds are the same images: by their content, or by the keys where one run did not record it."""
    return one[0] == other[0] if one[0] and other[0] else one[1] == other[1]


def scored_alike(left: Iterable[Run], right: Iterable[Run]) -> bool:
    """Whether every run of `left` is scored on the same images as every run of `right`."""
    others = set(map(kind_of, right))
    return all(alike(one, other) for one in set(map(kind_of, left)) for other in others)


def may_meet(left: Iterable[Run], right: Iterable[Run]) -> bool:
    """Whether any run of `left` is scored on the same images as one of `right`."""
    others = set(map(kind_of, right))
    return any(alike(one, other) for one in set(map(kind_of, left)) for other in others)
