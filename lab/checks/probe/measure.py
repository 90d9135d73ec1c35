"""One draw of a configuration's weights: what each operation does to signals and gradients, and one step to weights."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from lab.checks.lint.operation import INPUT, Graph, Operation
from lab.checks.lint.trace import Recorder, tensors, whole_kind
from lab.config import RunConfig
from lab.identity import derive_seed
from lab.nets.parts.heads import GlobalPool
from lab.nets.pointwise import Pointwise, pointwise
from lab.nets.weights import DropConnect
from lab.runs.build import Parts, assemble
from lab.training.graph import set_rate

Numbers = dict[int, float]
"""By the index of an operation."""


@dataclass
class Draw:
    """What one draw of the weights showed."""

    graph: Graph
    images: Tensor
    parts: Parts
    moment: Numbers = field(default_factory=dict)
    """Mean square of the results."""
    variance: Numbers = field(default_factory=dict)
    """Variance of all results about their common mean."""
    gradient: Numbers = field(default_factory=dict)
    """Mean square of the gradients with respect to the results."""
    idle: Numbers = field(default_factory=dict)
    """Share of dead units, or of saturated values, by `Pointwise.idle`."""
    updates: dict[str, float] = field(default_factory=dict)
    """Norm of one step's update over that of the weight, by the parameter's name."""
    weights: dict[int, Tensor] = field(default_factory=dict)
    """Copies of the weights that act, of layers without a theory of their draws."""
    loss: float = 0.0
    moments: dict[int, Tensor] = field(default_factory=dict)
    """Mean squares for each example and place, (b, 1, ...); of some draws together their sums."""
    means: dict[int, Tensor] = field(default_factory=dict)
    gradients: dict[int, Tensor] = field(default_factory=dict)

    def absorb(self, other: "Draw") -> None:
        """Adds the values for each example and place of another draw, which then keeps nothing large."""
        for name in ("moments", "means", "gradients"):
            own, others = getattr(self, name), getattr(other, name)
            setattr(self, name, {index: own[index] + others[index] for index in own if index in others})
            setattr(other, name, {})
        other.images, other.parts, other.graph = self.images, self.parts, Graph([], other.graph.outputs)


def measure(config: RunConfig, number: int, acts: dict[int, Pointwise | None]) -> Draw:
    """Builds the net of `config` with draw `number` of its weights, and takes the first batch through it and back.

    Args:
        config: of one run; computed on the CPU in float32, without compilation.
        number: 0 for the weights with which `lab train` starts.
        acts: filled by the first draw, read by the others: which operations are functions of single numbers.

    Raises:
        UserError: the configuration is wrong.
    """
    train = replace(config.train, compile=False, graph="off", precision="fp32", device="cpu")
    config = replace(config, train=train, model=replace(config.model, draw=config.model.draw + number))
    parts = assemble(config)
    images, labels = parts.training.train_step.batch(0)
    model = parts.model.train()
    found = Draw(Graph([], []), images, parts)
    results: dict[int, Tensor] = {INPUT: images}
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(derive_seed(config.seed, "dropout", number))
        recorder = Recorder(model, images, layer_kind, seen(found, results))
        outputs: list[Tensor] = []
        handle = model.register_forward_hook(lambda _net, _given, result: outputs.extend(tensors(result)))
        with recorder.hooked(), recorder:
            found.updates = first_update(parts, config.optimizer.lr, images, labels)
        handle.remove()
        found.graph = recorder.graph(outputs)
        found.idle = idle_shares(found.graph, results, acts)
    found.loss = float(parts.training.train_step.loss(outputs[0].detach(), labels, "mean"))
    return found


def layer_kind(module: nn.Module) -> str:
    """Kind of a module that is one operation: as for `lab lint`, and layers of somebody's own that hold no others."""
    if kind := whole_kind(module):
        return kind
    own = not type(module).__module__.startswith("torch.") and not list(module.children())
    return "layer" if own and not isinstance(module, GlobalPool | DropConnect) else ""


def seen(found: Draw, results: dict[int, Tensor]) -> Callable[[Operation, Tensor], None]:
    """What the recorder calls at each operation: takes its measures, and hooks its gradient."""

    def take(operation: Operation, result: Tensor) -> None:
        index, values = operation.index, result.detach()
        results[index] = values
        if not values.is_floating_point() or not values.numel():
            return
        values = values.float()
        found.moments[index], found.means[index] = by_place(values.square()), by_place(values)
        found.moment[index] = float(found.moments[index].double().mean())
        found.variance[index] = found.moment[index] - float(found.means[index].double().mean()) ** 2
        if result.requires_grad:

            def keep(gradient: Tensor) -> None:
                found.gradients[index] = by_place(gradient.detach().float().square())
                found.gradient[index] = float(found.gradients[index].double().mean())

            result.register_hook(keep)

    return take


def idle_shares(graph: Graph, results: dict[int, Tensor], acts: dict[int, Pointwise | None]) -> Numbers:
    """`Pointwise.idle` of each activation, for what reached it."""
    found = {}
    for one in graph:
        if one.index not in acts:
            acts[one.index] = function_of(one)
        act = acts[one.index]
        share = act.idle(results[one.inputs[0]]) if act and one.inputs[0] in results else None
        if share is not None:
            found[one.index] = share
    return found


def function_of(operation: Operation) -> Pointwise | None:
    """The activation that an operation is; None of all others."""
    call = operation.call
    if operation.kind not in ("act", "layer") or len(operation.inputs) != 1 or call is None:
        return None
    return pointwise(lambda x: call({operation.inputs[0]: x}), operation.in_shape[1:])


def by_place(values: Tensor) -> Tensor:
    """Means over channels or features, (b, 1, ...), which are alike; as they are where it is not known which axis has
    them."""
    return values if values.ndim in (1, 3) else values.mean(1, keepdim=True)


def first_update(parts: Parts, rate: float, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Norm of the update over that of the weight after one step at `rate`, the schedule aside; the weights come back.

    Parameters that are 0 are left out.
    """
    step = parts.training.train_step
    before = {name: one.detach().clone() for name, one in parts.model.named_parameters()}
    set_rate(step.optimizer, rate)
    step.update(images, labels)
    found = {}
    with torch.no_grad():
        for name, one in parts.model.named_parameters():
            size = float(before[name].norm())
            if size:
                found[name] = float((one - before[name]).norm()) / size
            one.copy_(before[name])
    return found
