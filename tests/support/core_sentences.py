"""The English sentences that the core says to people, found in its source: errors, and reasons why something is not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CORE = Path(__file__).parent.parent.parent / "core/postmeter"
RAISED = {"UsageError", "FetchError", "UntrustedError", "UnreachableError", "ValueError"}
GIVEN = {"add_unique"}  # functions that raise what they are given
FILLED = "\N{BLACK SQUARE}"  # stands for what is filled in


def errors(*modules: str) -> Iterator[tuple[str, str]]:
    """The sentences of all errors in these modules (patterns of paths below core/postmeter), each with its module."""
    for path in sorted({path for pattern in modules for path in CORE.glob(pattern)}):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func) in RAISED | GIVEN:
                yield from ((text, _place(path)) for argument in node.args for text in _texts(argument))


def said(*places: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """What is said in these functions (module, function), or anywhere in a module ("*")."""
    for module, name in places:
        path = CORE / module
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and name in (node.name, "*")]
        assert functions or name == "*", (module, name)
        yield from ((text, _place(path)) for one in functions for line in one.body for text in _texts(line))


def _texts(node: ast.AST) -> Iterator[str]:
    """All texts of two words or more within a node, each in one piece; no docstrings, no SQL."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    text = _text(node)
    if text is None:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)
    elif re.search(r"[A-Za-z]{2}\S* +\S", text.replace(FILLED, " ")) and not re.match(r"[A-Z]{4,} ", text):
        yield text


def _text(node: ast.AST) -> str | None:
    """What a literal, an f-string or a sum of them says; None: the node is something else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None and right is None else f"{left or FILLED}{right or FILLED}"
    return None


def _name(node: ast.expr) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def _place(path: Path) -> str:
    return str(path.relative_to(CORE))
