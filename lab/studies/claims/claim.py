"""Claims: what an experiment says before its first run, and how it is read.

A claim names sides by selectors and a margin: `higher` or `lower`, `than`, `by`; `same: [.., ..]`, `within`;
`ordered: [.., .., ..]`, each higher than the next, `by`; or `interaction: [.., ..]`, `between: [.., ..]`, `by`: first
minus second of the interaction is higher at the first level of `between` than at the other. `where` restricts all
sides. How a claim is judged is in `lab.studies.claims.verdict`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lab.errors import UserError, nearest
from lab.metric import Metric, parse_metric
from lab.studies.select.selectors import Flat, as_selector, full_key, is_number

KINDS = {
    "higher": ("than", "by"),
    "lower": ("than", "by"),
    "same": ("within",),
    "ordered": ("by",),
    "interaction": ("between", "by"),
}
CLAIM_KEYS = ("say", "where", "metric", *KINDS, "than", "between", "by", "within")


MOST = 1e100
"""Margins are below."""


@dataclass(frozen=True)
class Claim:
    say: str
    """The claim in words."""

    kind: str
    """`higher`, `lower`, `same`, `ordered` or `interaction`."""

    where: dict[str, Any]
    """Selector of the runs that the claim is about; empty for all."""

    sides: tuple[dict[str, Any], ...]
    """Selectors: the side that is higher or lower, then the other; the two of `same` or `interaction`; the chain of
    `ordered`, highest first."""

    margin: float
    """`by`, the smallest difference that matters, or `within`; in the metric's unit."""

    metric: Metric | None
    """What is compared; None for the study's metric."""

    between: tuple[dict[str, Any], ...] = ()
    """The two levels of an `interaction`: the effect is higher at the first."""

    @property
    def left(self) -> dict[str, Any]:
        return self.sides[0]

    @property
    def right(self) -> dict[str, Any]:
        return self.sides[1]

    def contrasts(self) -> list[list[dict[str, Any]]]:
        """What is subtracted from what: for each step of a chain, or else once, [a, b] for a - b, and [a, b, c, d] for
        the interaction (a - b) - (c - d)."""
        if self.kind == "interaction":
            return [[{**side, **level} for level in self.between for side in self.sides]]
        return [[a, b] for a, b in pairwise(self.sides)]

    def own_keys(self, config: Flat) -> set[str]:
        """The full keys, as `config` has them, in which the sides may differ."""
        return {full_key(key, config) for side in (*self.sides, *self.between) for key in side}


def parse_claim(raw: Any) -> Claim:
    """Reads one claim of a study.

    Raises:
        UserError: a key is unknown or missing, or a part has the wrong form; the message starts with the claim's words.
    """
    if not isinstance(raw, Mapping) or not raw.get("say"):
        raise UserError(f"a claim needs 'say', the claim in words; given: {raw}")
    say = str(raw["say"])

    def need(ok: Any, problem: str) -> None:
        if not ok:
            raise UserError(f"claim '{say}': {problem}")

    for key in raw:
        close = nearest(str(key), CLAIM_KEYS)
        need(key in CLAIM_KEYS, f"'{key}' is unknown{close}; there are: {', '.join(CLAIM_KEYS)}")
    given = [kind for kind in KINDS if kind in raw]
    need(len(given) == 1, f"needs exactly one of {', '.join(KINDS)}; given: {', '.join(given) or 'none'}")
    kind = given[0]
    for key in ("than", "between", "by", "within"):
        need(key not in raw or key in KINDS[kind], f"'{key}' does not belong to '{kind}'")
    need(kind != "interaction" or "between" in raw, "'interaction' needs 'between', a list of two selectors")
    lists = {key: raw[key] for key in ("same", "ordered", "interaction", "between") if key in raw}
    for key, value in lists.items():
        fits = isinstance(value, list | tuple) and (len(value) >= 3 if key == "ordered" else len(value) == 2)
        length = "at least three" if key == "ordered" else "two"
        need(fits, f"'{key}' needs a list of {length} selectors")
    sides = [as_selector(one) for one in (raw[kind] if kind in lists else (raw[kind], raw.get("than", {})))]
    between = [as_selector(one) for one in raw.get("between", ())]
    if kind == "same":
        margin = raw.get("within", 0)
        need(
            is_number(margin) and 0 < margin < MOST,
            f"'same' needs 'within', a finite number above 0; given: {margin!r}",
        )
    else:
        margin = raw.get("by", 0)
        need(is_number(margin) and 0 <= margin < MOST, f"'by' must be a finite number of at least 0; given: {margin!r}")
    where = as_selector(raw.get("where", {}))
    need(isinstance(where, Mapping), f"'where' must be a selector, {{key: value}}; given: {where}")
    for side in (*sides, *between):
        allowed = "{key: value} or the name of an arm"
        need(isinstance(side, Mapping) and side, f"each side must be a selector, {allowed}; given: {side}")
    return Claim(
        say=say,
        kind=kind,
        where=dict(where),
        sides=tuple(map(dict, sides)),
        margin=float(margin),
        metric=parse_metric(str(raw["metric"])) if raw.get("metric") else None,
        between=tuple(map(dict, between)),
    )
