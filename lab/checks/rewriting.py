"""Terms on their way to a normal form, by identities that are applied from the inputs on, until none applies."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.checks.terms import Bank, Leaf, Term, in_order, inside

Identity = Callable[["Rewriting", Term], "Term | None"]
"""From a term to an equal one, or None where it does not apply."""


@dataclass
class Rewriting:
    """One term on its way to the normal form."""

    bank: Bank
    uses: Mapping[int, int]
    """How many terms take each term."""

    identities: Sequence[Identity]
    silent: Collection[Identity] = ()
    """Identities that nobody needs to be told."""

    reasons: Counter[str] = field(default_factory=Counter)
    """How often each identity was used, in words."""

    free: bool = False
    """Whether weights were joined: the same functions, which train otherwise."""

    done: dict[int, Any] = field(default_factory=dict)
    forms: dict[int, str] = field(default_factory=dict)

    def make(self, name: str, args: tuple[Any, ...], shape: tuple[int, ...]) -> Term:
        """The normal form of a call whose arguments are in normal form."""
        term = self.bank.term(name, args, shape)
        for identity in self.identities:
            found = identity(self, term)
            if found is not None and found is not term:
                if identity not in self.silent:
                    self.reasons[identity.__doc__ or ""] += 1
                return found
        return term

    def normal(self, term: Term) -> Term:
        """The normal form of a term."""
        for one in in_order(term):  # no recursion, which deep nets would exhaust
            args = tuple(map(self.replaced, one.args))
            self.done[id(one)] = self.make(one.name, args, one.shape) if args else one
        return self.done[id(term)]

    def replaced(self, value: Any) -> Any:
        """An argument with the terms in it in normal form."""
        if isinstance(value, tuple):
            return tuple(map(self.replaced, value))
        return self.done[id(value)] if isinstance(value, Term) else value

    def form(self, value: Any) -> str:
        """A text by which terms are put in order; weights count by their shapes."""
        if isinstance(value, tuple):
            return f"({','.join(map(self.form, value))})"
        if isinstance(value, Leaf):
            return f"w{value.shape}"
        if not isinstance(value, Term):
            return str(value)
        for one in in_order(value) if id(value) not in self.forms else ():
            parts = [self.forms[id(part)] if isinstance(part, Term) else self.form(part) for part in one.args]
            self.forms.setdefault(id(one), hashlib.sha256(f"{one.name} {parts}".encode()).hexdigest())
        return self.forms[id(value)]


def users(term: Term) -> Counter[int]:
    """How many times each term below `term` is taken."""
    return Counter(id(inner) for one in in_order(term) for inner in inside(one.args))


def first(term: Any, *names: str) -> Term | None:
    """The first argument of `term`, if that is a call of one of `names`."""
    found = term.args[0] if isinstance(term, Term) and term.args else None
    return found if isinstance(found, Term) and found.name in names else None


def numbers(term: Term) -> list[float]:
    """The numbers among the arguments behind the first."""
    found = []
    for one in term.args[1:]:
        try:
            found.append(float(one))
        except (TypeError, ValueError):
            continue
    return found
