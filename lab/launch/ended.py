"""How a sweep ended."""

from dataclasses import dataclass

from lab.studies.comparison.compare import Comparison


@dataclass(frozen=True)
class Ended:
    """What a sweep leaves in memory; the rest lies in its folder."""

    code: int
    """The exit code of the command: 0, 1 if a run failed, 130 if interrupted."""

    comparison: Comparison | None = None
    """None where nothing was compared."""

    problems: tuple[str, ...] = ()
    """What went wrong, in lines."""
