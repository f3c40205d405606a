"""What a field may be that was refused: the words of a schema, for the text of a refusal."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

_WHERE = re.compile(r"^Invalid (?:enum )?value .* - at `?\$(?:\[\d+\])*\.(\w+)")


def told(error: msgspec.ValidationError, kind: Any) -> str:
    """The error's text; where a word was wrong with those that the field of `kind` may have."""
    text = str(error)
    found = _WHERE.match(text)
    words = _words(kind, found[1]) if found else ()
    text = text.replace("`", "")
    return f"{text}: one of {', '.join(words)}" if words else text


@functools.lru_cache(256)
def _words(kind: Any, field: str) -> tuple[str, ...]:
    """The words of the field in each struct of the type, in their order. O(fields)."""
    found: dict[str, None] = {}
    for struct in _structs(inspect.type_info(kind)):
        if field == struct.tag_field:
            found[str(struct.tag)] = None
        for item in struct.fields:
            if item.encode_name == field:
                found |= dict.fromkeys(_literals(item.type))
    return tuple(found)


def _structs(kind: Any) -> Iterator[inspect.StructType]:
    if isinstance(kind, inspect.StructType):
        yield kind
    for part in _parts(kind):
        yield from _structs(part)


def _literals(kind: Any) -> Iterator[str]:
    if isinstance(kind, inspect.LiteralType):
        yield from (value for value in map(str, kind.values) if value)
    for part in _parts(kind):
        yield from _literals(part)


def _parts(kind: Any) -> tuple[Any, ...]:
    """What unions and lists are made of."""
    if isinstance(kind, inspect.UnionType):
        return kind.types
    return (kind.item_type,) if isinstance(kind, inspect.ListType | inspect.VarTupleType) else ()
