"""Descriptions say of each field what its source says beside it."""

from __future__ import annotations

import types
from typing import Any

import msgspec
import pytest

from gateway import asyncapi, field_notes, openapi
from gateway.field_notes import annotate


def described(schemas: dict[str, Any], name: str, field: str) -> str:
    return schemas[name]["properties"][field].get("description", "")


def test_fields_are_described_as_in_the_source() -> None:
    api = openapi.describe()
    schemas = api["components"]["schemas"]
    assert described(schemas, "NewOrderSingle", "price").startswith("currency units a tonne")
    assert described(schemas, "ExecutionReport", "request_id").startswith("log position")
    assert described(schemas, "AuctionRow", "state") == "OPEN, CLEARED, CANCELLED"
    schemas = asyncapi.describe()["components"]["schemas"]
    assert described(schemas, "Logon", "cancel_on_disconnect") == (
        "whose orders end when the connection is lost"
    )
    for kind in schemas.values():
        for field in kind.get("properties", {}).values():
            assert not field.get("description", "").startswith(("fmt:", "noqa", "type:"))


def test_what_has_no_source_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(msgspec.Struct):
        field: int

    monkeypatch.setitem(field_notes.sys.modules, "nowhere", types.ModuleType("nowhere"))
    Bare.__module__ = "nowhere"
    components = {"Bare": {"properties": {"field": {"type": "integer"}}}}
    annotate(components, [Bare])
    assert components == {"Bare": {"properties": {"field": {"type": "integer"}}}}
