"""Reads what the source says beside the values: comments on the line of a field or a constant."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from types import ModuleType
from typing import NamedTuple


class Row(NamedTuple):
    """One documented name: its source text and the comment on its line."""

    name: str
    type: str
    value: str
    comment: str


class Section(NamedTuple):
    """A class: its docstring, its bases' names and its rows in the order of the source."""

    name: str
    text: str
    bases: tuple[str, ...]
    words: dict[str, str]
    rows: tuple[Row, ...]


def comments(text: str) -> dict[int, str]:
    """Line number -> the comment at its end. O(text)."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokens
        if token.type == tokenize.COMMENT and token.line.split("#")[0].strip()
    }


def _rows(body: list[ast.stmt], said: dict[int, str]) -> tuple[Row, ...]:
    rows = []
    for node in body:
        comment = said.get(node.end_lineno or 0, "") or said.get(node.lineno, "")
        if isinstance(node, ast.AnnAssign):
            value = ast.unparse(node.value) if node.value else ""
            rows.append(Row(ast.unparse(node.target), ast.unparse(node.annotation), value, comment))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            rows.append(Row(node.targets[0].id, "", ast.unparse(node.value), comment))
    return tuple(rows)


def sections(module: ModuleType) -> list[Section]:
    """Every class of a module, in the order of its source."""
    text = inspect.getsource(module)
    said = comments(text)
    return [
        Section(
            node.name,
            ast.get_docstring(node) or "",
            tuple(ast.unparse(base) for base in node.bases),
            {word.arg or "": ast.unparse(word.value) for word in node.keywords},
            _rows(node.body, said),
        )
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
    ]


def constants(module: ModuleType) -> tuple[Row, ...]:
    """Every upper-case constant of a module, with its comment."""
    text = inspect.getsource(module)
    rows = _rows(ast.parse(text).body, comments(text))
    return tuple(row for row in rows if row.name.isupper())


def summary(module: ModuleType) -> str:
    """The docstring of a module."""
    return inspect.getdoc(module) or ""


def dtype_comments(module: ModuleType, name: str) -> dict[str, str]:
    """Field -> comment of the numpy dtype `name`, which the source writes one field a line."""
    text = inspect.getsource(module)
    said = comments(text)
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return {
                str(item.elts[0].value): said.get(item.lineno, "")
                for item in ast.walk(node.value)
                if isinstance(item, ast.Tuple) and isinstance(item.elts[0], ast.Constant)
            }
    raise KeyError(f"{module.__name__} has no dtype {name}")
