"""The functions of `import lab` that give the net of a finished run: as a torch module, or as a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from lab.api.asked import PathLike
from lab.api.session import session, torch_untouched

if TYPE_CHECKING:
    from torch import nn

    from lab.api.run_result import RunResult
    from lab.runs.export import Exported


def load_model(
    run: "RunResult | PathLike",
    device: str = "cpu",
    scaled: bool = False,
    own_parts: bool = False,
    best: bool = False,
) -> "nn.Module":
    """The net of a finished run with the weights that it ended with, or its best, in evaluation mode.

    Args:
        run: a result of `lab.train` or `lab.load`, or the folder of a run, or one that holds only one of seed 0.
        device: as `train.device`.
        scaled: whether the net takes inputs as the data set stores them, and predicts targets in their unit; without,
            it takes scaled ones, as it was trained.
        own_parts: whether code that the run's configuration names, `module:attribute`, may run.
        best: whether to take the weights of its best logged point, which `train.keep_best=true` keeps.

    Raises:
        UserError: the run is not finished, kept no best weights, its data or weights are missing, or it names code.
    """
    with session(), torch_untouched():
        from lab.runs.origin import find_run, load_net
        from lab.runs.scaled import Scaled
        from lab.system.devices import resolve_device

        place = resolve_device(str(device))
        folder = find_run(str(folder_of(run)), 0, "load_model")
        _, data, net = load_net(folder, place, own_parts, "load_model", "give own_parts=True", best)
        return Scaled(net, data).eval() if scaled else net


def export(
    run: "RunResult | PathLike",
    out: PathLike | None = None,
    format: str | None = None,
    replace: bool = False,
    own_parts: bool = False,
    best: bool = False,
) -> "Exported":
    """Writes the net of a finished run as a file for other programs, with the scaling inside: `lab export`.

    Args:
        run: as of `load_model`.
        out: the file; `export.onnx` and the like in the run's folder if None.
        format: `state_dict`, `torchscript` or `onnx`; what `out` ends with says so if None, else `state_dict`.
        replace: whether a file that is there may be replaced.
        own_parts: whether code that the run's configuration names, `module:attribute`, may run.
        best: as of `load_model`.

    Raises:
        UserError: the run is not finished, a package is missing, the file is there, or the form does not hold the net;
            nothing is written then.
    """
    path = None if out is None else Path(out)
    with session(), torch_untouched():
        from lab.runs.export import export as exported

        return exported(folder_of(run), format, path, replace, own_parts, "export", "give own_parts=True", best)


def folder_of(run: "RunResult | PathLike") -> Path:
    """The folder of a run that is given as such, or as a result."""
    from lab.api.run_result import RunResult

    return run.path if isinstance(run, RunResult) else Path(run)
