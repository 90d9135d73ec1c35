"""Which test images and labels a run is scored on: runs of different ones are never subtracted."""

from collections.abc import Iterable

from lab.records.results import Run
from lab.studies.select.arms import complete, values_of
from lab.studies.select.selectors import Flat

IMAGE_KEYS = ("data.name", "data.root", "data.classes", "data.shift", "data.shift_size", "train.eval_limit")
"""The keys that choose or change test images or their labels. The others under `data.*` act on training images
(`limit`, `shuffle`, `augment`, `outliers`, `label_noise`, `imbalance`, `unseen`), on how images are fed in (`scale`,
`resize`) or on the split (`val_frac`)."""

Kind = tuple[str | None, tuple[str, ...], str]
"""Digests of the labels and of the images, unless the run is older than them; the values of `IMAGE_KEYS`; the size."""


def image_keys(config: Flat) -> list[str]:
    """Those of `IMAGE_KEYS` that count in `config`: where downloaded data lie does not change them."""
    own = config["data.name"] == "folder" or ":" in str(config["data.name"])
    return [key for key in IMAGE_KEYS if own or key != "data.root"]


def kind_of(run: Run) -> Kind:
    """What a run is scored on."""
    config = run.config if run.config.keys() >= set(IMAGE_KEYS) else complete(run.config)
    size = values_of(config, ["data.resize"])[0]
    return run.result.get("scored_on"), values_of(config, image_keys(config)), size


def same_images(one: Kind, other: Kind) -> bool:
    """Whether two kinds are the same images: by their content, or by the keys where one run did not record it; at two
    sizes, by the keys and the labels."""
    if not (one[0] and other[0]):
        return one[1] == other[1]
    (labels, _, images), (other_labels, _, other_images) = one[0].partition("-"), other[0].partition("-")
    return labels == other_labels and (images == other_images or (one[2] != other[2] and one[1] == other[1]))


def scored_alike(left: Iterable[Run], right: Iterable[Run]) -> bool:
    """Whether every run of `left` is scored on the same images as every run of `right`."""
    others = set(map(kind_of, right))
    return all(same_images(one, other) for one in set(map(kind_of, left)) for other in others)


def may_meet(left: Iterable[Run], right: Iterable[Run]) -> bool:
    """Whether any run of `left` is scored on the same images as one of `right`."""
    others = set(map(kind_of, right))
    return any(same_images(one, other) for one in set(map(kind_of, left)) for other in others)
