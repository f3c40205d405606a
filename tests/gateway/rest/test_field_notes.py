"""Descriptions say of each field what its source says beside it."""

from __future__ import annotations

import types
from typing import Any
from unittest.mock import Mock

import httpx
import msgspec
import pytest

from gateway.rest import app, field_notes, openapi
from gateway.rest.field_notes import annotate
from gateway.websocket import asyncapi
from tests.gateway.conftest import House


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


def test_every_field_is_described() -> None:
    schemas = openapi.describe()["components"]["schemas"]
    bare = [
        (name, field)
        for name, kind in schemas.items()
        for field, schema in kind.get("properties", {}).items()
        if field != "type" and "description" not in schema
    ]
    assert bare == []
    assert len(schemas) > 100


def test_a_name_of_two_kinds_is_described_by_its_kind() -> None:
    schemas = openapi.describe()["components"]["schemas"]
    assert described(schemas, "TradeRow", "price").startswith("currency units")
    assert described(schemas, "TradeTick", "price").startswith("minor units")
    assert described(schemas, "AuctionRow", "reason").startswith("name of the reason")


def test_what_has_no_source_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(msgspec.Struct):
        field: int

    monkeypatch.setitem(field_notes.sys.modules, "nowhere", types.ModuleType("nowhere"))
    Bare.__module__ = "nowhere"
    components = {"Bare": {"properties": {"field": {"type": "integer"}}}}
    annotate(components, [Bare])
    assert components == {"Bare": {"properties": {"field": {"type": "integer"}}}}


async def test_the_description_is_made_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock(return_value={"openapi": "3.1.0"})
    monkeypatch.setattr(app, "describe", made)
    app._described.cache_clear()
    try:
        async with httpx.AsyncClient(base_url=house.url) as client:
            for _ in range(3):
                assert (await client.get("/openapi.json")).json() == {"openapi": "3.1.0"}
    finally:
        app._described.cache_clear()
    made.assert_called_once_with()
