"""Rules about shapes: what no layer can take, and kernels, pools and strides out of proportion to the image."""

from collections.abc import Iterator

from torch import nn

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import Graph, Operation
from lab.checks.lint.outputs import at
from lab.checks.lint.task import Task

STEM = 64
"""Pixels from which an image can do with a fourth of them after its first layers (an ImageNet stem)."""


def cannot_build(graph: Graph, task: Task) -> Iterator[Finding]:
    """A net that fails when an example goes through it.

    A layer cannot take the shape that reaches it: pixels run out without padding, a linear layer expects another
    number of features.
    """
    if not graph.failure and graph.result is None:
        yield Finding("forward returns no tensor", "return the outputs")
    if not graph.failure or missing_flatten_at(graph):
        return
    shape = graph.failed_shape[1:]
    what = f"it cannot take shape {shape}: {graph.failure}"
    yield Finding(what, remedy(graph), graph.failed_layer, shape)


def remedy(graph: Graph) -> str:
    """What to change where a layer fails."""
    module = graph.failed_module
    if isinstance(module, nn.Linear) and graph.failed_shape:
        return f"give it {graph.failed_shape[-1]} input features instead of {module.in_features}"
    if module is not None and "Pool" in type(module).__name__:
        return "pad the convolutions before it, or leave a pool out"
    if module is not None and "Conv" in type(module).__name__:
        wanted, spatial = getattr(module, "in_channels", 0), len(getattr(module, "kernel_size", ()))
        if len(graph.failed_shape) == spatial + 2 and graph.failed_shape[1] != wanted:
            return f"give it {graph.failed_shape[1]} input channels instead of {wanted}"
        return "pad the convolutions before it, or take smaller kernels"
    return "make the shapes of the layers before and after it agree"


def missing_flatten(graph: Graph, task: Task) -> Iterator[Finding]:
    """A linear layer straight on maps or a sequence.

    torch applies it to the last axis alone, at every place; the output then has a value for each place, not for each
    example.
    """
    if graph.failure:
        if missing_flatten_at(graph):
            shape = graph.failed_shape[1:]
            what = f"a linear layer meets shape {shape}, without a flatten before it"
            yield Finding(what, "flatten, or average over all places, before it", graph.failed_layer, shape)
        return
    head = graph.head()
    if head is None or head.kind != "linear" or len(graph.out_shape) <= 2:
        return
    convs = [one for one in graph.of_kind("conv") if graph.reaches(one, lambda other: other is head)]
    if convs and task.kind != "numbers":
        what = f"the net has outputs of shape {graph.out_shape[1:]}: the last linear layer meets maps, not features"
        yield Finding(what, "flatten, or average over all places, before it", head.layer, head.in_shape[1:])


def missing_flatten_at(graph: Graph) -> bool:
    """Whether a net failed for want of a flatten."""
    return isinstance(graph.failed_module, nn.Linear) and len(graph.failed_shape) > 2


def out_of_proportion(graph: Graph, task: Task) -> Iterator[Finding]:
    """Kernels, pools and strides out of proportion to the image.

    An ImageNet stem (7x7 with stride 2, then a pool) throws away 15 of 16 pixels of a 32x32 image at once (timm, issue
    2481: 59.8 instead of 76 % on CIFAR-100); a pool over 10x10 forgets where anything was.
    """
    first = next(iter(graph.of_kind("conv")), None)
    for one in graph.of_kind("conv", "pool"):
        side = min(one.in_shape[2:], default=0)
        kernel = kernel_of(one)
        if len(one.in_shape) != 4 or one.options.get("adaptive") or not kernel or side < 2:
            continue
        last = not any(other.kind == "conv" for other in graph.behind(one, ("shape", "act", "norm", "dropout")))
        if one.kind == "conv" and one is first and kernel >= 9 and kernel * 4 > side and strides(one) < kernel < side:
            severity = "warning" if kernel * 2 > side else ""
            yield at(one, f"kernels of {kernel}x{kernel} on {side}x{side} pixels", "take 3x3 or 5x5", severity)
        elif one.kind == "pool" and kernel >= 5 and not last:
            severity = "warning" if kernel >= 10 and kernel * 3 > side else ""
            yield at(one, f"a pool of {kernel}x{kernel} in the middle of the net", "take 2x2 or 3x3", severity)
        elif one.kind == "pool" and kernel >= 8 and kernel < side:
            yield at(
                one, f"a pool of {kernel}x{kernel} on {side}x{side} pixels", "take 2x2, or average over all places"
            )
    if first is not None and len(first.in_shape) == 4 and min(first.in_shape[2:]) < STEM and strides(first) > 1:
        after = next((one for one in graph.behind(first, ("norm", "act", "shape")) if one.kind == "pool"), None)
        if after is not None and kernel_of(first) >= 5:
            what = f"an ImageNet stem on {first.in_shape[2]}x{first.in_shape[3]} pixels: stride 2, then a pool"
            yield at(first, what, "take 3x3 with stride 1 and no pool behind it")


def kernel_of(one: Operation) -> int:
    """The larger side of a kernel; 0 where it is not known."""
    if one.kind == "conv":
        return max(one.weight.shape[2:]) if one.weight is not None else 0
    found = one.options.get("kernel", 0)
    return max(found) if isinstance(found, tuple | list) and found else found if isinstance(found, int) else 0


def strides(one: Operation) -> int:
    """The largest stride of a convolution."""
    found = one.options.get("stride", 1)
    return max(found) if isinstance(found, tuple | list) else int(found)


SHAPE_RULES = (
    Rule("shape-fails", "error", cannot_build),
    Rule("shape-flatten", "error", missing_flatten),
    Rule("shape-proportion", "note", out_of_proportion),
)
