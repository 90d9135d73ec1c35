"""What a call of torch is: a function of `torch`, of `torch.nn.functional`, or a method of a tensor."""

from typing import Any

from torch import Tensor

ACTS = (
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish"),
    *("softplus", "glu", "sigmoid", "tanh", "hardtanh", "hardsigmoid", "hardswish", "softsign", "logsigmoid"),
    *("tanhshrink", "hardshrink", "softshrink", "threshold", "clamp", "sin", "cos", "exp", "square", "abs"),
)
RENAMED = {"expit": "sigmoid", "clamp_min": "relu", "clip": "clamp", "maximum": "relu"}
"""Functions that people write for an activation."""

SHAPES = (
    *("flatten", "view", "view_as", "reshape", "squeeze", "unsqueeze", "permute", "transpose", "contiguous"),
    *("unflatten", "getitem", "chunk", "split", "expand", "to", "float", "double", "type", "clone", "pad"),
    *("t", "movedim", "swapaxes", "select", "narrow", "detach", "get", "repeat", "unbind", "type_as"),
    *("requires_grad_", "cpu", "cuda", "half", "long", "int"),
)
SUMS = ("add", "sub", "radd", "iadd", "rsub", "isub")
PRODUCTS = ("mul", "rmul", "imul", "div", "truediv", "idiv", "itruediv", "rtruediv")
PRODUCT_MATRICES = ("matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "rmatmul")
NORMS = {"batch_norm": "batch", "layer_norm": "layer", "group_norm": "group", "instance_norm": "instance"}
NORMS |= {"rms_norm": "rms", "local_response_norm": "response"}
DROPS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout")


def kind_of(func: Any, args: tuple[Any, ...]) -> tuple[str, str]:
    """Kind and name of a call."""
    name = getattr(func, "__name__", "").strip("_")
    if RENAMED.get(name, name) in ACTS:
        return "act", RENAMED.get(name, name)
    if name in ("softmax", "log_softmax", "softmin", "gumbel_softmax"):
        return "softmax", name
    if name in ("linear", "bilinear"):
        return "linear", name
    if name.startswith("conv"):
        return "conv", name
    if name in NORMS:
        return "norm", NORMS[name]
    if name in DROPS:
        return "dropout", name
    if "pool" in name:
        return "pool", "max" if "max" in name else "avg"
    if name in ("mean", "amax", "max", "sum") and args and isinstance(args[0], Tensor) and args[0].ndim > 2:
        return "pool", "avg" if name in ("mean", "sum") else "max"
    kinds = (("shape", SHAPES), ("sum", SUMS), ("product", PRODUCTS), ("matrix", PRODUCT_MATRICES))
    for kind, names in kinds:
        if name in names:
            return kind, name
    return ("cat", name) if name in ("cat", "concat", "stack", "hstack") else ("other", name)


def options_of(kind: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call that the rules read."""
    places = {
        "conv": {"stride": 3, "dilation": 5, "groups": 6},
        "pool": {"kernel": 1, "stride": 2},
        "norm": {"group": {"groups": 1}, "layer": {"over": 1}}.get(name, {}),
        "dropout": {"p": 1, "training": 2},
        "softmax": {"dim": 1},
    }.get(kind, {})
    known = {"kernel": ("kernel_size", "output_size", "dim"), "over": ("normalized_shape",), "training": ("train",)}
    if kind == "norm":
        known["groups"] = ("num_groups",)
    if "transpose" in name:
        places = places | {"dilation": 7}
    found = {}
    for option, place in places.items():
        names = (option, *known.get(option, ()))
        given = next((kwargs[one] for one in names if one in kwargs), None)
        found[option] = args[place] if given is None and len(args) > place else given
    if kind == "dropout" and found.get("training") is None:
        found["training"] = True  # what torch's functions take
    if kind == "pool":
        found["adaptive"] = "adaptive" in name
    return {option: value for option, value in found.items() if value is not None}
