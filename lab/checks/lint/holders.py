"""Which attribute of a net holds a tensor that is no parameter of it."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


def whereabouts(tensor: Tensor, net: nn.Module) -> str:
    """Dotted name of a tensor that is no parameter of `net`; empty where no attribute holds it."""
    for name, module in net.named_modules():
        for key, value in vars(module).items():
            if key in ("_parameters", "_buffers", "_modules"):
                continue
            for path, part in parts_of(value, f"{name}.{key}".lstrip(".")):
                named = part.named_parameters(path) if isinstance(part, nn.Module) else [(path, part)]
                for found, one in named:
                    if one is tensor:
                        return found
    return ""


def parts_of(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Modules and tensors in lists, tuples and dicts, with their dotted names."""
    if isinstance(value, nn.Module | Tensor):
        yield path, value
    elif isinstance(value, list | tuple | dict):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from parts_of(one, f"{path}.{key}")
