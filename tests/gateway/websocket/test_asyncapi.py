"""The AsyncAPI description is current, whole, and true of the bytes that are sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from exchange import topics
from exchange.messages.executions import SessionMessage
from exchange.messages.market_data import FeedMessage, TradeTick
from exchange.messages.orders import OrderRequest
from gateway.websocket.asyncapi import describe
from gateway.websocket.fan_out import Label
from gateway.websocket.feed import CHANNEL, ChannelName
from tests.golden import vocabulary

WRITTEN = Path(__file__).parents[3] / "deploy/docs/asyncapi.json"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return describe()


def test_the_written_description_is_current(described) -> None:
    assert json.loads(WRITTEN.read_text("utf-8")) == json.loads(json.dumps(described)), (
        "run `python -m gateway.websocket.asyncapi > deploy/docs/asyncapi.json`"
    )


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_reference_leads_somewhere(described) -> None:
    found = set(references(described))
    assert len(found) > 80
    for reference in found:
        at: Any = described
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]


def test_every_message_and_every_topic_is_in_it(described) -> None:
    messages = described["components"]["messages"]
    assert {f"feed.{kind.__name__}" for kind in get_args(FeedMessage)} <= set(messages)
    assert set(CHANNEL) == set(get_args(FeedMessage))
    assert set(CHANNEL.values()) == set(get_args(ChannelName))
    requests = set(references(messages["Requests"]["payload"]))
    assert requests == {f"#/components/schemas/{kind.__name__}" for kind in get_args(OrderRequest)}
    said = set(references(messages["SessionMessages"]["payload"]))
    assert said == {f"#/components/schemas/{kind.__name__}" for kind in get_args(SessionMessage)}
    addresses = {channel["address"].split(".")[0] for channel in described["channels"].values()}
    assert addresses == {"/marketdata", "/orders", "/drop-copy"} | {
        topic.name for topic in topics.TOPICS
    }
    frames = {
        topic.name
        for topic in topics.TOPICS
        if messages[f"record.{topic.name}"]["contentType"] == "application/octet-stream"
    }
    assert frames == {"orders", "events", "checkpoints"}


def test_each_message_is_sent_by_one_side(described) -> None:
    sides: dict[str, set[str]] = {"receive": set(), "send": set()}
    for operation in described["operations"].values():
        sides[operation["action"]] |= set(references(operation["messages"]))
    assert not sides["receive"] & sides["send"]
    everything = {
        f"#/channels/{name}/messages/{message}"
        for name, channel in described["channels"].items()
        for message in channel["messages"]
    }
    assert sides["receive"] | sides["send"] == everything
    assert "#/channels/marketdata/messages/Subscribe" in sides["receive"]


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether a value is of a schema, as far as these schemas go."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return fits(value, root["components"]["schemas"][name], root)
    if "allOf" in schema:
        return all(fits(value, inner, root) for inner in schema["allOf"])
    if "anyOf" in schema:
        return any(fits(value, inner, root) for inner in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if schema["type"] == "object":
        properties = schema["properties"]
        return set(schema["required"]) <= set(value) and all(
            fits(inner, properties[key], root) for key, inner in value.items() if key in properties
        )
    if schema["type"] == "array":
        if "prefixItems" in schema:
            pairs = zip(value, schema["prefixItems"], strict=True)
            return all(fits(inner, kind, root) for inner, kind in pairs)
        return all(fits(inner, schema["items"], root) for inner in value)
    kinds: dict[str, type] = {"integer": int, "boolean": bool, "string": str}
    return isinstance(value, kinds[schema["type"]])


@pytest.mark.parametrize("kind", get_args(FeedMessage))
def test_what_is_sent_is_what_is_described(described, kind: type[msgspec.Struct]) -> None:
    payload = described["components"]["messages"][f"feed.{kind.__name__}"]["payload"]
    frame = Label("EUA").frame(vocabulary.make(kind), 7, "json")
    sent = json.loads(frame[frame.index(b"{") :])
    assert fits(sent, payload, described)
    for name in (*kind.__struct_fields__[:2], "symbol", "number", "type"):
        assert not fits({key: sent[key] for key in sent if key != name}, payload, described)


def test_a_wrong_message_does_not_fit(described) -> None:
    payload = described["components"]["messages"]["feed.TradeTick"]["payload"]
    said = json.loads(msgspec.json.encode(TradeTick(1, 2, 3, 4, 1, 6)))
    assert fits(said | {"symbol": "EUA", "number": 1}, payload, described)
    assert not fits(said | {"symbol": "EUA", "number": 1, "price": "3"}, payload, described)
