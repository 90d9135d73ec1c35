"""Records a real execution of any `nn.Module` as a graph of operations: modules, functions and methods alike.

A recorded execution sees what a symbolic trace does not: branches that depend on shapes, functions of
`torch.nn.functional`, methods of tensors, weights used twice. It sees one way through the net, that of these inputs.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lab.checks.lint.calls import kind_of, options_of
from lab.checks.lint.gradients import follow
from lab.checks.lint.holders import whereabouts
from lab.checks.lint.operation import INPUT, Call, Graph, Operation, Slot
from lab.checks.lint.simpler import simplify

WHOLE: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.RNNBase, "recurrent"),
    (nn.RNNCellBase, "recurrent"),
    (nn.MultiheadAttention, "attention"),
    (nn.Embedding, "embedding"),
    (nn.EmbeddingBag, "embedding"),
)
"""Modules that are one operation, whatever they call."""

WHOLE_DROPS = ("drop", "stochasticdepth")
"""What the class name of a dropout begins or ends with, of whatever library, if it has no weights."""


def trace(net: nn.Module, inputs: Tensor, gradient: bool = True) -> Graph:
    """Runs a copy of `net` in training mode and records what it does.

    Args:
        net: any module; it stays as it is. One that refuses to be copied is run itself, with its buffers restored.
        inputs: (b, ...), of a type and scale as in training.
        gradient: whether to go backward as well, and note what no gradient reaches.
    """
    try:
        net = copy.deepcopy(net)
    except Exception:  # whatever its author had in mind: lazy handles, locks, tensors with history
        gradient = False
    training, buffers = net.training, {name: one.clone() for name, one in net.named_buffers()}
    try:
        graph = run(net, inputs, gradient, gradient and inputs.is_floating_point())
        if "requires grad" in graph.failure:  # it takes its inputs to numpy, or changes them in place
            graph = run(net, inputs, gradient, False)
        if any(one.kind == "dropout" and "training" in one.options for one in graph) and not graph.failure:
            graph.drops_always = always_dropped(net, inputs)
    finally:
        net.train(training)
        for name, one in net.named_buffers():
            if name in buffers and one.shape == buffers[name].shape:
                with torch.no_grad():
                    one.copy_(buffers[name])
    return graph


def run(net: nn.Module, inputs: Tensor, gradient: bool, to_inputs: bool) -> Graph:
    """What `net` does in training mode, forward and, with `gradient`, backward: `to_inputs` or to parameters alone."""
    fed = inputs.detach().clone().requires_grad_().clone() if to_inputs else inputs
    recorder = Recorder(net, fed)
    with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(gradient):
        torch.manual_seed(0)
        net.train()
        try:
            with recorder.hooked(), recorder:
                outputs = list(tensors(net(fed)))
        except Exception as error:
            return recorder.failed(error)
        graph = recorder.graph(outputs)
        graph.wanting = sum(one.requires_grad for one in net.parameters())
        graph.frozen = [name for name, one in net.named_parameters() if not one.requires_grad]
        if gradient and outputs and all(one.is_floating_point() for one in outputs):
            follow(graph, net, fed, outputs)
    return graph


def always_dropped(net: nn.Module, inputs: Tensor) -> list[str]:
    """Layers whose dropout acts in evaluation mode, too."""
    recorder = Recorder(net, inputs)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), suppress(Exception):
        net.eval()
        with recorder.hooked(), recorder:
            net(inputs)
    acting = [one for one in recorder.found if one.kind == "dropout" and one.options.get("training")]
    return list(dict.fromkeys(one.layer or one.place for one in acting))


def tensors(outputs: Any) -> Iterator[Tensor]:
    """All tensors in a net's outputs, in order."""
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, dict):
        yield from tensors(list(outputs.values()))
    elif isinstance(outputs, list | tuple):
        for one in outputs:
            yield from tensors(one)


class Recorder(TorchFunctionMode):
    """Sees each call of torch while `net` runs."""

    def __init__(
        self,
        net: nn.Module,
        inputs: Tensor,
        whole: Callable[[nn.Module], str] | None = None,
        seen: Callable[[Operation, Tensor], None] | None = None,
    ):
        """
        Args:
            net: what will be executed.
            inputs: what it will be given.
            whole: the kind of a module that is one operation, whatever it calls, and empty of others; `whole_kind` if
                None.
            seen: gets each operation with its result; `measure` if None.
        """
        super().__init__()
        self.whole_kind, self.seen = whole or whole_kind, seen or measure
        self.net = net
        self.found: list[Operation] = []
        self.made: dict[int, int] = {id(inputs): INPUT}
        self.held: list[Any] = [inputs]  # so that no address is used twice
        self.stack: list[tuple[str, nn.Module, tuple[int, ...]]] = []
        self.names = {module: name for name, module in net.named_modules()}
        self.parameters = {id(one) for one in net.parameters()}
        self.not_held: dict[int, str] = {}
        self.whole = 0

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Knows the module that runs, as long as this lasts."""
        handles = []
        for module in self.net.modules():
            handles.append(module.register_forward_pre_hook(self.enter, with_kwargs=True))
            handles.append(module.register_forward_hook(self.leave, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        first = next(tensors([args, list(kwargs.values())]), None)
        self.stack.append((self.names.get(module, ""), module, () if first is None else tuple(first.shape)))
        self.whole += bool(self.whole_kind(module))

    def leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:
        kind = self.whole_kind(module)
        if kind and self.whole == 1:  # still counted, so that nothing is recorded of what `seen` computes
            options = {"p": dropout_rate(module)} if kind == "dropout" else {}
            given = list(tensors([args, list(kwargs.values())]))
            self.record(kind, type(module).__name__.lower(), given, outputs, options, self.call(module, args, kwargs))
        self.whole -= bool(kind)
        self.stack.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.stack and not self.whole and any(True for _ in tensors(result)):
            kind, name = kind_of(func, args)
            given = list(tensors([list(args), list(kwargs.values())]))
            if kind in ("matrix", "sum") and any(id(one) in self.parameters for one in given):
                kind = "linear" if kind == "matrix" else "affine"
            self.record(kind, name, given, result, options_of(kind, name, args, kwargs), self.call(func, args, kwargs))
        return result

    def call(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Call:
        """A call with slots for results of operations."""
        return Call(func, self.slotted(args), self.slotted(kwargs))

    def slotted(self, arguments: Any) -> Any:
        if isinstance(arguments, Tensor):
            return Slot(self.made[id(arguments)]) if id(arguments) in self.made else arguments
        if isinstance(arguments, dict):
            return {name: self.slotted(one) for name, one in arguments.items()}
        if type(arguments) in (list, tuple):
            return type(arguments)(self.slotted(one) for one in arguments)
        return arguments

    def record(
        self, kind: str, name: str, given: list[Tensor], result: Any, options: dict[str, Any], call: Call
    ) -> None:
        """Adds an operation that made `result` of the tensors `given`."""
        layer, module, _ = self.stack[-1] if self.stack else ("", self.net, ())
        weights = [one for one in given if id(one) in self.parameters]
        inputs = [one for one in given if id(one) in self.made]
        for one in given:
            if one.is_leaf and one.requires_grad and not {id(one)} & (self.parameters | self.made.keys()):
                self.not_held[id(one)] = whereabouts(one, self.net) or layer or "forward"
        if not inputs and not weights:
            return  # about no data: a mask, a range of positions
        if not inputs:
            kind = "shape"  # a weight that is cast or reshaped before it is used
        weight, bias = weights_of(kind, module, weights)
        first = next(tensors(result))
        one = Operation(
            index=len(self.found),
            kind=kind,
            name=name,
            layer=layer,
            inputs=tuple(dict.fromkeys(self.made[id(tensor)] for tensor in inputs)),
            in_shape=tuple(inputs[0].shape) if inputs else (),
            out_shape=tuple(first.shape),
            module=module,
            weight=weight,
            bias=bias,
            options=options,
            call=call,
        )
        if not inputs:
            for tensor in tensors(result):  # still a weight
                self.parameters.add(id(tensor))
                self.held.append(tensor)
            return
        self.seen(one, first)
        self.found.append(one)
        for tensor in tensors(result):
            self.made[id(tensor)] = one.index
            self.held.append(tensor)

    def graph(self, outputs: list[Tensor]) -> Graph:
        """What was recorded, of a run that ended with `outputs`."""
        simplify(self.found)
        ends = [self.made[id(one)] for one in outputs if id(one) in self.made]
        shape, result = (tuple(outputs[0].shape), outputs[0].detach()) if outputs else ((), None)
        not_held = list(self.not_held.values())
        return Graph(self.found, ends, shape, not_held=not_held, result=result, inputs=self.held[0])

    def failed(self, error: Exception) -> Graph:
        """What was recorded until `error`."""
        layer, module, shape = self.stack[-1] if self.stack else ("", self.net, ())
        text = str(error).strip().split("\n")[0] or type(error).__name__
        return Graph(self.found, [], failure=text, failed_layer=layer, failed_shape=shape, failed_module=module)


def whole_kind(module: nn.Module) -> str:
    """The kind of a module that is one operation; empty of others."""
    for kind, word in WHOLE:
        if isinstance(module, kind):
            return word
    name = type(module).__name__.lower()
    drops = name.startswith(WHOLE_DROPS) or name.endswith(("dropout", "droppath", "dropblock"))
    return "dropout" if drops and next(module.parameters(), None) is None and not list(module.children()) else ""


def dropout_rate(module: nn.Module) -> float:
    """The rate of a dropout, whatever its author called it."""
    found = [getattr(module, name, None) for name in ("p", "rate", "drop_prob", "drop_rate")]
    return next((float(one) for one in found if isinstance(one, int | float)), 0.0)


def weights_of(kind: str, module: nn.Module, given: Iterable[Tensor]) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias among the parameters `given` to a call, or those of a module that is one operation."""
    shaped = [one for one in given if one.ndim > 1]
    flat = [one for one in given if one.ndim == 1]
    if kind in ("recurrent", "attention", "embedding"):
        own = list(module.parameters())
        return next((one for one in own if one.ndim > 1), None), next((one for one in own if one.ndim == 1), None)
    if kind == "norm":
        return flat[0] if flat else None, flat[1] if len(flat) > 1 else None
    return shaped[0] if shaped else None, flat[0] if flat else None


def measure(operation: Operation, result: Tensor) -> None:
    """Notes the size of `result`, and how much it differs between examples."""
    if result.is_meta or not result.is_floating_point() or not result.numel():
        return
    values = result.detach()
    operation.moment = float(values.square().mean())
    if (count := len(values) if values.ndim > 1 else 0) > 1:
        away = (
            values - values[:1]
        )  # exactly 0 where all examples are the same; a variance over axis 0 takes 30 x as long
        spread = away.square().sum() - away.sum(0).square().sum() / count
        operation.varies = float(spread) / (count - 1) / values[0].numel()
    if operation.kind == "act" and values.ndim > 1:
        units = values.transpose(0, 1).flatten(1) if values.ndim > 2 else values.T
        operation.dead = float((units == 0).all(1).float().mean())
