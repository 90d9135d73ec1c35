"""Defers `torch._dynamo`, the front end of `torch.compile`, until something is compiled.

Every optimizer of torch imports it for its first step, which takes nearly as long as torch itself. Eager training uses
two names of it, and both do nothing there: `graph_break`, which ends a graph, and `disable`, which keeps a function out
of one (docs.pytorch.org/docs/stable/torch.compiler_api.html). A stand-in has these two; a request for
anything else, as from `torch.compile`, loads the real module, which replaces the stand-in.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"

TESTED = ("2.11", "2.12", "2.13", "2.14")
"""The minor versions of torch that the stand-in was tested with; any other imports the module, which is slower."""


class StandIn(ModuleType):
    """Replaces the module until something asks for more than `graph_break` and `disable`."""

    def graph_break(self, msg: str = "") -> None:
        """Nothing is compiled, so there is no graph to end."""

    def disable(self, fn: Callable | None = None, recursive: bool = True, **kwargs: Any) -> Callable:
        """The function itself; without one, a decorator that leaves functions as they are."""
        return fn if fn is not None else lambda function: function

    def __getattr__(self, name: str) -> Any:
        # The import of a submodule asks for `__path__`; introspection asks for the other names.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(f"{NAME} is not loaded yet, and its stand-in has no {name}")
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        return getattr(importlib.import_module(NAME), name)


def defer_dynamo() -> None:
    """Installs the stand-in, unless the module is loaded already or torch is of a version that was not tested."""
    import torch

    if NAME not in sys.modules and is_tested(torch.__version__):
        torch._dynamo = sys.modules[NAME] = StandIn(NAME)


def is_tested(version: str) -> bool:
    """Whether `version`, as `2.13.0+cpu`, is one of the minor versions `TESTED`."""
    return ".".join(version.split(".")[:2]) in TESTED
