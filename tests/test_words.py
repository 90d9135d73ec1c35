"""The terms of the field, and none of the words that they replaced, in everything that people read."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FOLDERS = ("docs", "experiments", "benchmarks", "configs")
CODE = ("lab", "benchmarks")
"""Folders whose docstrings, comments and messages are read."""

TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", *FOLDERS)

REPLACED = {
    r"pictures?": "image",
    r"look(s|ed)?(?! (up|like)\b)|looking at": "interim analysis, or another verb",
    r"marks?": "threshold",
    r"(?<!tuning )trials?": "tuning trial; of a hypothesis contrast or test",
    r"(is|are|was|were) over": "finished, terminal",
    r"(another process|it) is at (it|the run)|at the run": "is locked by another process",
    r"cannot be(?! (read|written)\b)|says nothing to": "is not possible, is not supported",
    r"numbers that are learnt": "weights, parameters",
    r"(the|its|their) best report|(since the|the) last report|(every|each) report": "evaluation, logged point",
    r"reports (in a row|without)|metric of the reports|at reports": "evaluations, logged points",
    r"of (its|their|one's) own|what (is|was) (typed|there)|com(es|ing) to|came to": "verb and object",
    r"has to be below|for ever": "threshold; forever",
}
"""Whole words that nobody should read, and what to write instead."""

KEYS = r"`[^`\n]*`|train\.pictures|looks\.json|^looks$"
"""Keys, file names and code, which keep their names."""


def files(places: tuple[str, ...], *suffixes: str) -> list[str]:
    found = [path for place in places for path in ([ROOT / place] if "." in place else (ROOT / place).rglob("*"))]
    return sorted(path.relative_to(ROOT).as_posix() for path in found if path.suffix in suffixes)


def words(name: str) -> Iterator[tuple[int, str]]:
    """Line and text of each piece that a reader sees: all of a page, and of code the strings and comments."""
    text = (ROOT / name).read_text()
    if not name.endswith(".py"):
        yield 1, text
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    comments = [
        token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    ]
    yield from ((token.start[0], token.string) for token in comments)


@pytest.mark.parametrize("name", [*files(CODE, ".py", ".j2"), *files(TEXTS, ".md", ".yaml", ".toml")])
def test_no_word_that_was_replaced(name: str) -> None:
    found = []
    for line, text in words(name):
        plain = re.sub(r"\s+", " ", re.sub(KEYS, "KEY", text))
        for pattern, instead in REPLACED.items():
            for hit in re.finditer(rf"(?<![\w.-])(?:{pattern})(?![\w-])", plain, re.IGNORECASE):
                around = plain[max(0, hit.start() - 30) : hit.end() + 30]
                found.append(f"{name}:{line}: '{hit[0]}' in '...{around}...'; write: {instead}")
    assert not found, "\n".join(found)
