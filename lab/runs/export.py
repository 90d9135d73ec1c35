"""`lab export`: a finished run's net as a file for other programs, checked against the run before it is left."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from lab.data.batches import Dataset
from lab.errors import UserError, is_interruption, own_line, unknown
from lab.records.results import read_predictions, read_result
from lab.records.write import write_atomically
from lab.runs.export_forms import FORMS, Net, require
from lab.runs.export_place import place_of
from lab.runs.origin import find_run, load_net
from lab.runs.rehearsal import own_parts
from lab.runs.scaled import Scaled

CPU = torch.device("cpu")

T = TypeVar("T")

CHECKED, FEWEST = 256, 8
"""Most test images whose outputs are compared; of large ones fewer, but so many."""

MOST_VALUES = 2**21
"""About the most values of the images together: 256 of 32x32 in colour, 13 of 224x224."""

BATCH = 64
"""Of them at a time."""

TOLERANCE = 1e-6
"""Largest difference of an output that counts as none, as a share of the largest output."""

ROUNDED = 4
"""How many times the net's own rounding errors a difference may be, where those are larger: sums in another order."""

TIE = {"fp32": 1e-4, "bf16": 0.1, "fp16": 0.02}
"""How near two outputs lie, as a share of the largest, where the run's arithmetic may have told either class."""


@dataclass(frozen=True)
class Exported:
    """A file that was written, and what its check has shown."""

    path: Path
    form: str
    """`state_dict`, `torchscript` or `onnx`."""

    inputs: str
    """Type and shape of what the net takes, `uint8 (b, 1, 28, 28)`."""

    outputs: str

    num_checked: int
    """Test images whose outputs were compared with those of the run's own net."""

    difference: float
    """The largest of an output, as a share of the largest output."""

    best_step: int | None
    """Of which step the weights are, where they are the best; None for those that the run ended with."""

    num_same: int | None
    """Of them those that get the class that `predictions.npz` has; None where there is none to compare with."""

    def __str__(self) -> str:
        weights = "" if self.best_step is None else f", the weights of its best point, step {self.best_step:,}"
        kept = "" if self.num_same is None else f"; {self.num_same:,} get the class in predictions.npz"
        close = (
            f"within {TOLERANCE:g}"
            if self.difference <= TOLERANCE
            else f"within {self.difference:.1g}, as float32 rounds,"
        )
        return (
            f"{self.path}: {self.form}{weights}, {self.inputs} as the data set gives them -> {self.outputs}\n"
            f"checked on {self.num_checked:,} test images, in batches of several sizes: outputs equal the run's "
            f"{close} of the largest (largest difference {self.difference:.1g}){kept}"
        )


def export(
    folder: Path,
    form: str | None = None,
    out: Path | None = None,
    replace: bool = False,
    trusted: bool = False,
    key: str = "export",
    trust: str = "add --own-parts",
    best: bool = False,
) -> Exported:
    """Writes the net of the run in `folder`, with the scaling of its inputs inside, after a check.

    Args:
        folder: a finished run's, or what holds only one of seed 0: its arm, or its name.
        form: a name in `FORMS`; if None what the name of `out` ends with says, else `state_dict`.
        out: the file; `export` with the ending of the form in the run's folder if None.
        replace: whether a file that is there may be replaced.
        trusted: whether code that the run's configuration names, `module:attribute`, may run.
        key: what the user gave the folder for, for messages.
        trust: how the user says that the code may run.
        best: whether to take the weights of its best logged point (`train.keep_best`).

    Raises:
        UserError: no finished run, a package is missing, the file is there or not possible to write, or the form does
            not hold the net; nothing is written then.
    """
    folder = find_run(str(folder), 0, key)
    name = form or ("onnx" if out and out.suffix == FORMS["onnx"].suffix else "state_dict")
    if name not in FORMS:
        raise UserError(unknown(f"--format={name}", name, FORMS))
    require(name)
    path = place_of(folder, out, f"{'.best' * best}{FORMS[name].suffix}", replace)
    build = partial(load_net, folder, CPU, trusted, key, trust, best)
    config, data, net = build()
    parts = ", ".join(own_parts(config))
    named = f"the net of {folder}{f' ({parts})' if parts else ''}"
    model = Scaled(net, data).eval()
    values = math.prod(data.shape)
    inputs = data.test.images[data.test.index[: max(FEWEST, min(CHECKED, MOST_VALUES // values))]]
    own = run_outputs(net, data, len(inputs), f"{key}: {named}")
    # predictions.npz is of the weights that the run ended with.
    same = None if best else same_classes(folder, data, own[0], TIE[config.train.precision])
    refused = f"--format={name}: {named}"
    content = recorded(lambda: FORMS[name].pack(model, inputs[torch.arange(2) % len(inputs)]), refused)
    opened = recorded(lambda: FORMS[name].open(content, lambda: Scaled(build()[2], data).eval()), refused)
    difference = recorded(lambda: largest_difference(opened, inputs, own), refused)
    if not difference <= TOLERANCE and not difference <= ROUNDED * rounding(net, data, own[0]):
        how = f"that differ by {difference:.1g} of the largest" if difference < math.inf else "of another shape"
        raise UserError(
            f"{refused} has outputs there {how}; allowed: {TOLERANCE:g}. What its code does may depend on the "
            "values, or on how many examples there are"
        )
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"--out={path}: cannot write ({error.strerror or error})") from error
    step = (read_result(folder) or {})["best_kept"]["step"] if best else None
    kind = str(inputs.dtype).removeprefix("torch.")
    return Exported(path, name, f"{kind} {shape_text(inputs)}", shape_text(own[0]), len(inputs), difference, step, same)


def batches(count: int) -> list[slice]:
    """Examples that are compared at a time: all in order, then 1, then 3 of them."""
    return [*(slice(start, start + BATCH) for start in range(0, count, BATCH)), slice(0, 1), slice(0, 3)]


@torch.no_grad()
def run_outputs(net: nn.Module, data: Dataset, count: int, named: str) -> list[Tensor]:
    """What the run's own net says of its first `count` test images, all together and then of each of `batches`.

    Raises:
        UserError: it says something else each time.
    """
    images = data.test.take(torch.arange(count))[0]
    outputs = [net(images[part]) * data.unit + data.offset for part in batches(count)]
    if not torch.equal(outputs[-1], net(images[batches(count)[-1]]) * data.unit + data.offset):
        raise UserError(f"{named} has other outputs each time that it is asked, so that no file equals it")
    return [torch.cat(outputs[:-2]), *outputs]


@torch.no_grad()
def largest_difference(net: Net, inputs: Tensor, own: list[Tensor]) -> float:
    """The largest difference of an output of `net` from the run's `own`, as a share of the largest output."""
    scale = float(own[0].abs().max()) or 1.0
    pairs = zip((net(inputs[part]) for part in batches(len(inputs))), own[1:], strict=True)
    return (
        max(float((found - wanted).abs().max()) if found.shape == wanted.shape else math.inf for found, wanted in pairs)
        / scale
    )


@torch.no_grad()
def rounding(net: nn.Module, data: Dataset, own: Tensor) -> float:
    """How far the outputs `own` of `net` are from those in float64, as a share of the largest.

    0 where that is not known, as code that insists on float32 has no other.
    """
    try:
        exact = copy.deepcopy(net).double()(data.test.take(torch.arange(len(own)))[0].double())
    except Exception:
        return 0.0
    exact = exact * data.unit + data.offset
    return float((exact - own).abs().max() / own.abs().max().clamp(min=1e-30))


def recorded(action: Callable[[], T], refused: str) -> T:
    """What `action` returns, which uses torch's or ONNX's own code on the net.

    Raises:
        UserError: it fails; says where the user's code is in the way.
    """
    try:
        return action()
    except UserError:
        raise
    except BaseException as error:  # whatever torch stumbles over in the net's code
        if is_interruption(error):
            raise
        line = own_line(error)
        at = f", in {line}" if line else ""
        raise UserError(
            f"{refused} does not go into such a file, as its code has steps that are not recorded "
            f"({type(error).__name__}{at}); --format=state_dict holds the weights of every net"
        ) from error


def same_classes(folder: Path, data: Dataset, outputs: Tensor, tie: float) -> int | None:
    """Of the first test images, those that get the class that `predictions.npz` has; None where there is none.

    Args:
        folder: the run's.
        data: its.
        outputs: of its net for those images (n, k).
        tie: how near two outputs are that may be told either way, as a share of the largest.

    Raises:
        UserError: others get another class that is no tie.
    """
    kept = read_predictions(folder) if data.classes else None
    if kept is None:
        return None
    count = min(len(outputs), len(kept["index"]))
    told, outputs = torch.from_numpy(kept["predicted"][:count].astype("int64")), outputs[:count]
    if kept["index"][:count].tolist() != data.test.index[:count].tolist() or int(told.max()) >= outputs.shape[1]:
        raise UserError(f"export: {folder}/predictions.npz is of other test images than data.name has now")
    behind = outputs.amax(1) - outputs.gather(1, told[:, None])[:, 0]
    other = int((behind > tie * outputs.abs().max()).sum())
    if other:
        raise UserError(
            f"export: {other} of {count} test images get another class than in {folder}/predictions.npz: data or code "
            "are not those of the run any more; nothing was written"
        )
    return int((outputs.argmax(1) == told).sum())


def shape_text(values: Tensor) -> str:
    """`(b, 1, 28, 28)`."""
    return f"({', '.join(['b', *map(str, values.shape[1:])])})"
