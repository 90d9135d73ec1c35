"""What a rule finds, and the table of rules."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

SEVERITIES = ("error", "warning", "note")
"""It cannot work; it will harm; it is worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One fault at one place."""

    what: str
    """The fault, in one sentence."""
    fix: str
    """What to change, on one line; empty where the sentence says it."""
    layer: str = ""
    """Dotted name of the layer; empty of the whole net or of its training."""
    shape: tuple[int, ...] = ()
    """Shape that the layer takes, without the batch."""
    repair: tuple[str, ...] = ()
    """Overrides of the lab that repair it, where there are any."""
    severity: str = ""
    """In place of the rule's own."""


Check = Callable[..., Iterable[Any]]
"""Of a net: from `Graph` and `Task` to findings. Of a comparison, see `lab.checks.fairness`."""


@dataclass(frozen=True)
class Rule:
    """One rule of `lab lint`: its docstring says why, with the source."""

    code: str
    severity: str
    check: Check

    @property
    def why(self) -> str:
        """The docstring of the check: a line that says what is found, then the reason and the source."""
        return self.check.__doc__ or ""


@dataclass(frozen=True)
class Said:
    """A finding with the rule that made it."""

    rule: Rule
    finding: Finding

    @property
    def severity(self) -> str:
        return self.finding.severity or self.rule.severity
