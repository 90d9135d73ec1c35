"""A PyTorch lab in which architecture choices are compared, and the comparison can be believed.

Imports point down this list, and `tests/test_structure.py` holds the order:

    cli                    the commands
    api                    the same in Python: `lab.train`, `lab.sweep`, ...
    launch                 many runs: sweeps, tuning, worker processes
    checks, overrides      theory, before the first run; from overrides and files to runs, the only folder with Hydra
    runs, studies          one run, which joins data, net and training; evidence, from records to a verdict
    data, nets, records    data sets on the device; networks; the files that a run leaves behind
    training               one run's loop, optimizers, schedules, losses, checkpoints
    system                 the machine and its libraries
    metric, space          how a score is read from what a run logged; the points that tuning tries
    identity, validation   what makes two runs the same; the check of every key
    config, ranges         every key with default, meaning, unit and range; ranges to tune over
    errors, knob, literals, quantity, surface, tables  `UserError`; what a key may be; typed values; what runs measure;
                           surfaces to move on; names

`import lab` never imports torch: functions import it where they use it. docs/python.md describes what it offers.
"""

TYPE_CHECKING = False  # that of `typing`, which `import lab` does without
if TYPE_CHECKING:
    from lab.api.calls import compare, lint, load, probe, sweep, train
    from lab.api.comparison_result import ComparisonResult
    from lab.api.net_calls import export, load_model
    from lab.api.run_result import RunResult
    from lab.errors import FailedRunError, UserError

__version__ = "0.1.0"

_PLACES = {
    "lab.api.calls": ("train", "sweep", "compare", "load", "lint", "probe"),
    "lab.api.net_calls": ("export", "load_model"),
    "lab.api.comparison_result": ("ComparisonResult",),
    "lab.api.run_result": ("RunResult",),
    "lab.errors": ("FailedRunError", "UserError"),
}

__all__ = [
    "ComparisonResult",
    "FailedRunError",
    "RunResult",
    "UserError",
    "compare",
    "export",
    "lint",
    "load",
    "load_model",
    "probe",
    "sweep",
    "train",
]


def __getattr__(name: str):
    """What `_PLACES` names, imported when it is asked for."""
    for place, names in _PLACES.items():
        if name in names:
            from importlib import import_module

            globals()[name] = found = getattr(import_module(place), name)
            return found
    raise AttributeError(f"module 'lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
