"""Numbers given by a formula of other keys, as `0.001 * train.batch_size / 64`: keys that move together."""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.errors import UserError, nearest
from lab.literals import number
from lab.overrides.typed import short_word
from lab.validation import all_keys

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
"""What a formula may do; a root is `** 0.5`."""


def is_formula(key: str, text: str) -> bool:
    """Whether `text`, for a key that takes a number, is a formula with another key in it."""
    known = all_keys().get(key)
    return known is not None and known.kind in (int, float) and number(text) is None and _parsed(text) is not None


def evaluate(key: str, text: str, values: Mapping[str, Any]) -> str:
    """The value of the formula `text` of `key`, as it can be typed.

    Args:
        key: what it is for.
        text: a formula (`is_formula`).
        values: all keys, flat.

    Raises:
        UserError: it has an unknown key, a key that holds no number, or no finite value.
    """
    shown, tree = short_word(f"{key}={text}"), _parsed(text)
    assert tree is not None

    def value(node: ast.AST) -> float:
        match node:
            case ast.Constant(value=int() | float() as found):
                return found
            case ast.UnaryOp():
                return OPERATORS[type(node.op)](value(node.operand))
            case ast.BinOp():
                return OPERATORS[type(node.op)](value(node.left), value(node.right))
        name = ast.unparse(node)
        if name not in values:
            raise UserError(f"{shown}: {name} is no key of the configuration{nearest(name, values)}")
        found = values[name]
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise UserError(f"{shown}: {name}={found} is not a number")
        return found

    try:
        found = value(tree)
    except UserError:
        raise
    except (ArithmeticError, ValueError) as error:
        raise UserError(f"{shown} has no value: {error}") from None
    if not math.isfinite(found):
        raise UserError(f"{shown} has no finite value")
    return repr(int(found)) if float(found).is_integer() and all_keys()[key].kind is int else repr(float(found))


def _parsed(text: str) -> ast.expr | None:
    """The formula that `text` is, with a dotted key in it; None for anything else."""
    if not re.fullmatch(r"[\w.+*/() -]+", text, re.ASCII):
        return None
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if _fits(tree) and any(isinstance(node, ast.Attribute) for node in ast.walk(tree)) else None


def _fits(node: ast.AST) -> bool:
    """Whether a part of a formula is a number, a dotted key, or such parts joined by `OPERATORS`."""
    match node:
        case ast.Constant():
            return type(node.value) in (int, float)
        case ast.Attribute():
            return isinstance(node.value, ast.Name)
        case ast.UnaryOp():
            return type(node.op) in OPERATORS and _fits(node.operand)
        case ast.BinOp():
            return type(node.op) in OPERATORS and _fits(node.left) and _fits(node.right)
    return False
