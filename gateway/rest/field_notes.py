"""What the source says beside the fields of messages, for the descriptions that generators read."""

from __future__ import annotations

import ast
import functools
import inspect
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from gateway.rest.common_notes import common_note

_TOOLS = ("fmt:", "noqa", "type:")  # comments that are for tools


def annotate(components: dict[str, Any], types: Iterable[Any]) -> None:
    """Gives the fields of `components` that `types` lead to their meaning. O(source read).

    That is the comment beside them, else what the name means everywhere.
    """
    for cls in _structs(types):
        properties = components.get(cls.__name__, {}).get("properties", {})
        for field in msgspec.structs.fields(cls):
            schema = properties.get(field.encode_name)
            if schema is None:
                continue
            note = note_of(cls, field.name) or common_note(field.encode_name, schema)
            if note:
                schema.setdefault("description", note)


def _structs(types: Iterable[Any]) -> set[type[msgspec.Struct]]:
    """Every struct that is in the types, however deep. O(fields)."""
    found: set[type[msgspec.Struct]] = set()
    waiting: list[Any] = list(msgspec.inspect.multi_type_info(list(types)))
    seen: set[int] = set()
    while waiting:
        kind = waiting.pop()
        if id(kind) in seen:
            continue
        seen.add(id(kind))
        if isinstance(kind, msgspec.inspect.StructType):
            found.add(kind.cls)
            waiting += [field.type for field in kind.fields]
        else:
            parts = (getattr(kind, name, None) for name in kind.__struct_fields__)
            waiting += [item for part in parts for item in _kinds(part)]
    return found


def _kinds(part: Any) -> Iterator[Any]:
    for item in part if isinstance(part, tuple) else (part,):
        if isinstance(item, msgspec.inspect.Type):
            yield item


def note_of(cls: type, field: str) -> str:
    """The comment on the line of the field, in the class or the base that has it."""
    for owner in cls.__mro__:
        note = _notes(owner.__module__).get((owner.__name__, field))
        if note is not None:
            return note
    return ""


@functools.cache
def _notes(module: str) -> dict[tuple[str, str], str]:
    """Class and field -> comment; empty for what has no source in Python. O(source)."""
    try:
        text = inspect.getsource(sys.modules[module])
    except (OSError, TypeError):
        return {}
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    classes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef))
    for owner in classes:
        for node in owner.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                said = comments.get(node.end_lineno or 0, "") or comments.get(node.lineno, "")
                note = "" if said.startswith(_TOOLS) else said
                found[owner.name, node.target.id] = note
    return found
