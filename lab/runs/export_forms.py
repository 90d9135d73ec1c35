"""The forms in which a net leaves the lab: how each is written to bytes, and how another program reads them again."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

from lab.errors import UserError
from lab.runs.scaled import Scaled

Net = Callable[[Tensor], Tensor]
"""From inputs (b, ...) as the data set stores them to outputs (b, k)."""

INPUTS, OUTPUTS = "inputs", "outputs"
"""Their names in an ONNX file."""


def pack_state(net: Scaled, examples: Tensor) -> bytes:
    """Weights, statistics and scaling by name."""
    file = io.BytesIO()
    torch.save({name: value.detach().clone() for name, value in net.state_dict().items()}, file)
    return file.getvalue()


def open_state(content: bytes, fresh: Callable[[], Scaled]) -> Net:
    """The net built anew, with all that it has replaced by what was kept."""
    net = fresh()
    net.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    return net


def pack_torchscript(net: Scaled, examples: Tensor) -> bytes:
    """The operations of a pass, recorded; where they depend on the examples, the code of the net itself."""
    file = io.BytesIO()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        kept = torch.jit.trace(net, (examples,), check_trace=False)
        if any(issubclass(one.category, torch.jit.TracerWarning) for one in said):
            kept = scripted(net) or kept  # which is checked in any case
        torch.jit.save(kept, file)
    return file.getvalue()


def scripted(net: Scaled) -> torch.jit.ScriptModule | None:
    """The compiled code of the net; None where it is not in the part of Python that torch compiles."""
    try:
        return torch.jit.script(net)  # pyright: ignore[reportReturnType]
    except Exception:
        return None


def open_torchscript(content: bytes, fresh: Callable[[], Scaled]) -> Net:
    """The net as torch reads it without its code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have programs be written otherwise from now on
        return torch.jit.load(io.BytesIO(content), map_location="cpu")


def pack_onnx(net: Scaled, examples: Tensor) -> bytes:
    """The graph of a pass, for any number of examples."""
    with silence():
        program = torch.onnx.export(
            net,
            (examples,),
            dynamo=True,
            verbose=False,
            input_names=[INPUTS],
            output_names=[OUTPUTS],
            dynamic_shapes={INPUTS: {0: torch.export.Dim("batch")}},
        )
    assert program is not None
    return program.model_proto.SerializeToString()


@contextmanager
def silence() -> Iterator[None]:
    """Keeps torch from telling, in three ways, what it then raises."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def open_onnx(content: bytes, fresh: Callable[[], Scaled]) -> Net:
    """The net as ONNX Runtime computes it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run([OUTPUTS], {INPUTS: inputs.numpy()})[0])


@dataclass(frozen=True)
class Form:
    """One of them."""

    suffix: str
    """Ends the name of a file."""

    pack: Callable[[Scaled, Tensor], bytes]
    """From a net in evaluation mode on the CPU, and two examples or more, to the content of the file."""

    open: Callable[[bytes, Callable[[], Scaled]], Net]
    """From that to what it computes; the function builds the net of the run again, with weights of whatever values."""

    packages: tuple[str, ...] = ()
    """What has to be installed besides, as it is imported."""


FORMS: dict[str, Form] = {
    "state_dict": Form(".state_dict.pt", pack_state, open_state),
    "torchscript": Form(".torchscript.pt", pack_torchscript, open_torchscript),
    "onnx": Form(".onnx", pack_onnx, open_onnx, ("onnx", "onnxscript", "onnxruntime")),
}


def require(name: str) -> None:
    """Raises `UserError` unless all is installed that the form `name` needs."""
    if missing := [package for package in FORMS[name].packages if find_spec(package) is None]:
        raise UserError(
            f"--format={name} needs {', '.join(missing)}, which come with: pip install 'architecture-lab[onnx]'"
            f" (or: pip install {' '.join(missing)})"
        )
