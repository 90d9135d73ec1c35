"""The one place that imports torchvision, so that it also loads beside a CPU build of torch.

PyPI's torchvision carries a CUDA extension; without CUDA it does not load, and then `import torchvision` dies with
"operator torchvision::nms does not exist", because it registers fake kernels for operators that were never defined.
Defining the missing schemas first lets data sets, transforms, layers and models import; where they exist, nothing is
done.
"""

import contextlib
from types import ModuleType

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library = None  # kept alive: the definitions vanish with the Library object


def torchvision() -> ModuleType:
    """Imports torchvision with its data sets, with or without its C extension."""
    define_missing()
    import torchvision
    import torchvision.datasets

    return torchvision


def define_missing() -> None:
    """Defines what torchvision needs to be imported, by anybody: a user's own part imports it by itself."""
    global _library
    import torch

    if _library is None:
        _load_extension()
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                _library.define(f"{name}{_SCHEMA}")


def _load_extension() -> None:
    """Loads torchvision's C extension where it fits this torch, without importing torchvision itself."""
    import importlib.machinery
    import importlib.util

    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return
    for name in ("_C", "_C_stable"):  # its name before torchvision 0.29, and since
        found = importlib.machinery.PathFinder.find_spec(name, list(spec.submodule_search_locations))
        if found is not None and found.origin:
            with contextlib.suppress(OSError):  # built for CUDA, on a machine without
                torch.ops.load_library(found.origin)
