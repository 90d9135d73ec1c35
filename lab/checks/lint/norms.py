"""Rules about norms: what stands before and behind them, and what they undo."""

from collections.abc import Iterator
from math import prod

from lab.checks.lint.finding import Finding, Rule
from lab.checks.lint.operation import Graph, Operation
from lab.checks.lint.outputs import at, rate
from lab.checks.lint.task import Task

STRONG_DROP = 0.5
"""Dropout rate from which batch norm and dropout are said to be much together."""

LARGE_GAIN = 100
"""Times that a layer multiplies the variance, from which nobody can have meant it."""

HOMOGENEOUS = ("relu", "leaky_relu", "prelu")
"""Activations that pass the scale of their input on: f(a x) = a f(x) for a > 0."""


def drop_before_norm(graph: Graph, task: Task) -> Iterator[Finding]:
    """Dropout straight before batch norm.

    Dropout adds variance in training alone, so the running statistics do not fit evaluation (Li et al. 2019, "variance
    shift").
    """
    for one in graph.of_kind("dropout"):
        found = batch_norm_behind(graph, one)
        if rate(one) > 0 and found is not None:
            yield at(one, f"dropout straight before the batch norm {found.place}", "put the norm before the dropout")


def batch_norm_behind(graph: Graph, drop: Operation) -> Operation | None:
    """A batch norm that the result of a dropout meets before anything with weights or an activation."""
    found = [one for one in graph.behind(drop, ("shape", "pool")) if one.kind == "norm" and one.name == "batch"]
    return found[0] if found else None


def strong_drop(graph: Graph, task: Task) -> Iterator[Finding]:
    """Strong dropout in a net with batch norm.

    The noise of the batches regularises already (Ioffe and Szegedy 2015, section 4.2.1), and each batch norm behind a
    dropout learns statistics that evaluation does not have (Li et al. 2019: put it behind the last norm, or take 0.2
    and less). Where both stay, compare with and without over several seeds.
    """
    norms = [one for one in graph.of_kind("norm") if one.name == "batch"]
    for one in graph.of_kind("dropout"):
        straight = batch_norm_behind(graph, one) is not None  # which has its own rule
        if STRONG_DROP <= rate(one) < 1 and not straight and graph.reaches(one, norms.__contains__):
            what = f"dropout of {rate(one):g} with batch norm behind it"
            yield at(one, what, "drop behind the last norm only, or 0.2 and less")


def bias_before_norm(graph: Graph, task: Task) -> Iterator[Finding]:
    """A bias straight before a batch or instance norm.

    The norm subtracts it again; it costs memory and does nothing (Ioffe and Szegedy 2015, section 3.2).
    """
    for one in graph.of_kind("norm"):
        before = graph.source(one)
        if one.name not in ("batch", "instance") or before is None or before.kind not in ("linear", "conv"):
            continue
        if before.bias is not None:
            yield at(before, f"its bias is removed by the norm {one.place}", "make it without bias (bias=False)")


def norm_of_few(graph: Graph, task: Task) -> Iterator[Finding]:
    """A norm over too few values.

    Statistics of a batch norm come from the batch: below 8 values a channel they are noise (Wu and He 2018). Of one
    value the mean is the value itself, so that the output is always 0, whatever the input.
    """
    for one in graph.of_kind("norm"):
        places = prod(one.in_shape[2:])
        if values := single(one):
            yield at(one, f"{one.name} norm of a single value is always 0", f"take {values}", "error")
        elif one.name != "batch" or task.batch_size is None:
            continue
        elif task.batch_size * places < 2:
            yield at(one, "batch norm of a single value a channel", "take larger batches, or group norm", "error")
        elif task.batch_size < 8:
            what = f"batch norm over batches of {task.batch_size}"
            severity = "warning" if task.batch_size == 1 or task.batch_size * places < 16 else "note"
            yield at(one, what, "take batches of 16 or more, or group norm", severity)


def single(norm: Operation) -> str:
    """What to take instead of a norm whose every statistic is of a single value; empty of others."""
    places = prod(norm.in_shape[2:])
    if norm.name == "instance" and places == 1:
        return "layer norm"
    if norm.name == "group" and places == 1 and norm.options.get("groups") == norm.in_shape[1]:
        return "fewer groups"
    if norm.name == "layer" and prod(norm.options.get("over") or (2,)) == 1:
        return "batch norm, or normalise over more axes"
    return ""


def init_behind_norm(graph: Graph, task: Task) -> Iterator[Finding]:
    """An initialisation whose scale a norm undoes.

    A norm divides by the size of what reaches it, so the scale of the weights before it changes no output. Their
    gradients shrink by that scale, so it acts as a learning rate only (van Laarhoven 2017).
    """
    held = [one for one in graph.of_kind("linear", "conv") if one.weight is not None and one is not graph.head()]
    undone = [one for one in held if norm_behind(graph, one) is not None]
    if task.init and undone and 2 * len(undone) > len(held):
        what = f"{task.init} acts on {len(held)} layers before the last, of which {len(undone)} stand before a norm"
        yield at(undone[0], what, "compare initialisations without norms, or as rates")
        return
    for one in undone:
        assert one.weight is not None
        gain = 0.0 if one.weight.is_meta else one.weight[0].numel() * float(one.weight.detach().square().mean())
        if gain > LARGE_GAIN:
            norm = norm_behind(graph, one)
            assert norm is not None
            what = (
                f"weights that multiply the variance by {gain:.2g} stand before the norm {norm.place}, which undoes it"
            )
            yield at(one, what, "take he_normal or xavier_normal, and set the rate instead")


def norm_behind(graph: Graph, layer: Operation) -> Operation | None:
    """The norm that undoes the scale of a layer's weights; None where there is none, or a way around it."""
    behind, one = graph.users(layer), None
    while len(behind) == 1:
        one = behind[0]
        if one.kind == "norm":
            return one
        if one.kind not in ("shape", "dropout", "pool") and not (one.kind == "act" and one.name in HOMOGENEOUS):
            return None
        behind = graph.users(one)
    return None


def decay_before_norm(graph: Graph, task: Task) -> Iterator[Finding]:
    """L2 or weight decay on weights before a norm.

    The function does not depend on the scale of such weights, so decay regularises nothing there: it keeps the
    effective rate, which is rate / scale^2, from falling (van Laarhoven 2017). Tune it together with the rate.
    """
    if task.decay <= 0:
        return
    undone = [one for one in graph.of_kind("linear", "conv") if one.weight is not None and norm_behind(graph, one)]
    if undone:
        what = f"a decay of {task.decay:g} acts on {len(undone)} layers whose scale a norm undoes"
        yield at(undone[0], what, "tune it together with the rate, over several seeds")


def decay_of_norms(graph: Graph, task: Task) -> Iterator[Finding]:
    """Weight decay on norms and biases.

    They are few and hold scale and place of a channel: decay pulls them to 0 without making the net simpler
    (Goyal et al. 2017; He et al. 2019, "Bag of tricks", section 3.1).
    """
    if task.decay <= 0:
        return
    norms = [
        one for one in graph.of_kind("norm") if one.weight is not None and (task.decays_all or one.weight.ndim > 1)
    ]
    biases = [one for one in graph if one.kind != "norm" and one.bias is not None and task.decays_all]
    if norms or biases:
        counts = [(len(norms), "norm", "norms"), (len(biases), "bias", "biases")]
        told = " and ".join(f"{count} {many if count > 1 else one}" for count, one, many in counts if count)
        fix = "give parameters of one dimension to the optimizer as a group without decay"
        yield at((norms or biases)[0], f"weight decay acts on {told}", fix)


NORM_RULES = (
    Rule("drop-before-norm", "warning", drop_before_norm),
    Rule("norm-drop", "note", strong_drop),
    Rule("norm-bias", "note", bias_before_norm),
    Rule("norm-few", "note", norm_of_few),
    Rule("norm-init", "note", init_behind_norm),
    Rule("norm-decay", "note", decay_before_norm),
    Rule("decay-all", "note", decay_of_norms),
)
