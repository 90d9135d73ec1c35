"""Rules about the layers of a net, their order and their shapes."""

from collections.abc import Iterator

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import SATURATING, Graph, Operation
from lab.checks.lint.outputs import at, rate
from lab.checks.lint.task import Task

RISING = ("relu", "leaky_relu", "elu", "selu", "celu", "relu6", "tanh", "hardtanh", "sigmoid", "softplus", "softsign")
"""Activations that never decrease: they commute with max pooling."""

DEEP = {"sigmoid": 3, "hardsigmoid": 3, "softsign": 6, "tanh": 12, "hardtanh": 12}
"""Layers from which an activation saturates in depth, where no norm or shortcut helps."""


def two_linear_maps(graph: Graph, task: Task) -> Iterator[Finding]:
    """No nonlinearity between two layers with weights.

    Two linear maps in a row are one; the second adds parameters and no functions. (A narrow one between wide ones, or
    a separable convolution, is a factorised map and meant: those are left alone.)
    """
    for one in graph.of_kind("linear", "conv"):
        before = linear_before(graph, one)
        if before is None or before.kind not in ("linear", "conv") or before.weight is None or one.weight is None:
            continue
        if factorised(before, one) or len(graph.users(before)) > 1 or attends(before) or attends(one):
            continue
        what = f"nothing nonlinear stands between it and {one.place}, so both are one linear map"
        yield at(before, what, "put an activation between them", "warning")


def only_pooled(graph: Graph, task: Task) -> Iterator[Finding]:
    """Nothing but a max pooling between two convolutions.

    The maximum of a window is weakly nonlinear: neighbours are alike, and values of either sign pass. Nets learn worse
    so than with an activation behind each convolution (Jarrett et al. 2009: rectification matters most).
    """
    for one in graph.of_kind("conv"):
        pool = graph.before(one, ("shape", "dropout", "norm"))
        before = graph.before(pool, ("shape", "dropout", "norm")) if pool is not None and pool.name == "max" else None
        if pool is None or pool.kind != "pool" or before is None or before.kind != "conv" or before.weight is None:
            continue
        if len(graph.users(before)) == 1 and not graph.bypassed(before):
            what = f"nothing but the max pooling {pool.place} stands between it and {one.place}"
            yield at(before, what, "put an activation behind it")


def linear_before(graph: Graph, layer: Operation) -> Operation | None:
    """The last operation before a layer that is neither passive nor an average: they are linear, too."""
    before = graph.before(layer, ("shape", "dropout", "affine", "pad"))
    while before is not None and before.kind == "pool" and before.name == "avg":
        before = graph.before(before, ("shape", "dropout", "affine", "pad"))
    return before


def attends(one: Operation) -> bool:
    """Whether it lies inside an attention, whose products are not seen as nonlinear."""
    return "attn" in one.layer.lower() or "attention" in one.layer.lower()


def factorised(first: Operation, second: Operation) -> bool:
    """Whether two maps in a row save parameters: depthwise and pointwise, or a bottleneck between wide ones."""
    if first.options.get("groups", 1) > 1 or second.options.get("groups", 1) > 1:
        return True
    assert first.weight is not None
    assert second.weight is not None
    width, fan_in, out = first.weight.shape[0], first.weight.shape[1], second.weight.shape[0]
    return 2 * width <= min(fan_in, out)


def softmax_inside(graph: Graph, task: Task) -> Iterator[Finding]:
    """Softmax or sigmoid as an activation inside a net.

    Softmax lets nearly one unit through: all others get a small gradient. (In an attention it is a weight, and meant.)
    """
    tail = {one.index for one in graph.tail()}
    for one in graph.of_kind("softmax"):
        if one.index in tail or attends(one):
            continue
        before = graph.before(one, ("shape",))
        if before is not None and before.kind in ("linear", "conv", "norm") and not multiplied(graph, one):
            yield at(one, f"{one.name} stands inside the net", "take relu")


def multiplied(graph: Graph, one: Operation) -> bool:
    """Whether a result is a weight for others, as in attention or a gate."""
    return any(other.kind in ("matrix", "product") for other in graph.behind(one))


def activation_twice(graph: Graph, task: Task) -> Iterator[Finding]:
    """Two activations in a row.

    ReLU of a ReLU does nothing; a saturating one after another flattens what is left.
    """
    for one in graph.of_kind("softmax"):
        before = graph.before(one, ("shape",))
        if before is not None and before.kind == "act" and before.name in ("relu", "relu6") and not attends(one):
            what = f"{before.name} directly before {one.name}: all scores below 0 become equal"
            yield at(before, what, f"leave the {before.name} out", "warning")
    for one in graph.of_kind("act"):
        before = graph.before(one, ("shape",))
        if before is None or before.kind != "act" or multiplied(graph, before):
            continue
        if (
            len(graph.behind(before, ("shape",))) == 1
        ):  # else it is a weight or a second branch, and the first one stays
            severity = "warning" if one.name == before.name == "relu" or one.name in SATURATING else "note"
            yield at(one, f"{one.name} directly after {before.name}", "leave one of the two out", severity)


def saturating_depth(graph: Graph, task: Task) -> Iterator[Finding]:
    """Saturating activations in depth, without norm or shortcut.

    The slope of a sigmoid is at most 1/4, so gradients shrink by 1/16 in variance a layer (Hochreiter 1991; Glorot and
    Bengio 2010). Tanh lasts longer, by its init.
    """
    if graph.of_kind("norm") or has_shortcut(graph):
        return
    tail = {one.index for one in graph.tail()}
    for name, limit in DEEP.items():
        found = [one for one in graph.of_kind("act") if one.name == name and one.index not in tail]
        found = [one for one in found if not multiplied(graph, one)]
        if len(found) >= limit:
            what = f"{len(found)} layers of {name} in a row: gradients vanish on the way to the first"
            yield at(found[0], what, "take relu with He initialisation, or a norm before each activation")


def has_shortcut(graph: Graph) -> bool:
    """Whether branches meet in a sum or are put side by side."""
    return any(len(one.inputs) > 1 for one in graph.of_kind("sum", "cat", "product"))


def all_dropped(graph: Graph, task: Task) -> Iterator[Finding]:
    """Dropout of everything, or of most.

    At a rate of 1 nothing passes and no gradient comes back; inverted scaling by 1 / (1 - p) multiplies the variance
    of what is left (Srivastava et al. 2014).
    """
    for one in graph.of_kind("dropout"):
        if rate(one) >= 1:
            yield at(one, "dropout at a rate of 1 lets nothing through", "take a rate of 0.1 to 0.5", "error")
        elif rate(one) > 0.8:
            yield at(one, f"dropout leaves {1 - rate(one):.0%} of the units", "take a rate of 0.1 to 0.5")


def drop_before_pool(graph: Graph, task: Task) -> Iterator[Finding]:
    """Dropout straight before max pooling.

    The maximum takes what was not dropped, so single dropped values hardly change it (Wu and Gu 2015, "Max-pooling
    dropout": it then draws by rank). Dropping whole maps is not hidden by it.
    """
    for one in graph.of_kind("dropout"):
        whole = any(word in one.name for word in ("2d", "3d", "spatial", "block", "feature", "depth", "path"))
        pools = [other for other in graph.behind(one, ("shape",)) if other.kind == "pool" and other.name == "max"]
        if rate(one) > 0 and pools and not whole:
            what = f"dropout straight before the max pooling {pools[0].place}"
            yield at(one, what, "put it behind the pool, or drop whole maps")


def dropped_always(graph: Graph, task: Task) -> Iterator[Finding]:
    """Dropout in evaluation mode, too.

    `F.dropout` drops unless it is told not to (`training=self.training`); a dropout that is made in `forward` is in
    training mode. Predictions are then random (Gal and Ghahramani 2016 want that, to measure uncertainty).
    """
    for layer in graph.drops_always:
        yield Finding(
            "dropout acts in evaluation mode, too", "give it training=self.training, or take nn.Dropout", layer
        )


def act_before_pool(graph: Graph, task: Task) -> Iterator[Finding]:
    """An activation before max pooling.

    Max pooling and a non-decreasing activation commute: behind the pool the function is the same and the activation is
    called k*k times less.
    """
    for one in graph.of_kind("pool"):
        before = graph.source(one)
        if one.name != "max" or before is None or before.kind != "act" or before.name not in RISING:
            continue
        if len(graph.users(before)) == 1:
            what = f"{before.name} before the max pooling {one.place}"
            yield at(before, what, "swap the two: the same, and cheaper")


LAYER_RULES = (
    Rule("act-none", "warning", two_linear_maps),
    Rule("act-pooled", "warning", only_pooled),
    Rule("act-softmax", "warning", softmax_inside),
    Rule("act-twice", "note", activation_twice),
    Rule("act-saturates", "warning", saturating_depth),
    Rule("act-before-pool", "note", act_before_pool),
    Rule("drop-all", "warning", all_dropped),
    Rule("drop-before-pool", "note", drop_before_pool),
    Rule("drop-always", "warning", dropped_always),
)
