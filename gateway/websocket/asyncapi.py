"""The AsyncAPI 3.0 description of the sockets and the topics, made from the message structs.

What a union of messages takes up appears here by itself: the feed's from `messages.market_data`,
order entry from `messages.orders` and `messages.executions`, the topics from `exchange.topics`.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import msgspec

from exchange import topics
from exchange.messages.executions import Closing, Logon, Reject, SessionMessage
from exchange.messages.market_data import FeedMessage
from exchange.messages.orders import OrderRequest
from gateway.rest.field_notes import annotate
from gateway.rest.openapi import VERSION
from gateway.websocket.fan_out import EncodingName
from gateway.websocket.feed import CHANNEL, STATES, ChannelName
from gateway.websocket.subscriber import Subscribe

REF = "#/components/schemas/{name}"
JSON, MSGPACK, BYTES = "application/json", "application/msgpack", "application/octet-stream"


class Subscribed(msgspec.Struct, frozen=True, tag="subscribed", tag_field="type"):
    """The answer to a subscription; what comes after it is of the market."""

    symbols: list[str]
    channels: list[ChannelName]
    encoding: EncodingName


class FeedLabel(msgspec.Struct, frozen=True):
    """What every message of the feed carries besides: symbol, and its record's number."""

    symbol: str
    number: int


FEED = get_args(FeedMessage)
REQUESTS = get_args(OrderRequest)
SESSION = get_args(SessionMessage)
_STRUCT_NAMED = re.compile(r"`messages\.(\w+)\.(\w+)`")


def describe() -> dict[str, Any]:
    """The whole description as JSON-ready data."""
    records = {topic.name: record_of(topic) for topic in topics.TOPICS}
    own = [Subscribe, Subscribed, FeedLabel, Reject, Closing, Logon]
    kinds = list(dict.fromkeys([*own, *FEED, *REQUESTS, *SESSION, *filter(None, records.values())]))
    _, schemas = msgspec.json.schema_components(kinds, ref_template=REF)
    annotate(schemas, kinds)
    channels = {"marketdata": _feed(), "orders": _order_entry(), "drop_copy": _drop_copy()}
    channels |= {f"topic_{topic.name}": _topic(topic) for topic in topics.TOPICS}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "carbon-exchange",
            "version": VERSION,
            "description": "Market data, order entry and the topics of the log. Types of messages "
            "may be added at any time: ignore those that you do not know. Whoever says nothing "
            "within five seconds of connecting is cut.",
        },
        "servers": {
            "sockets": {"host": "localhost:8081", "protocol": "ws"},
            "log": {"host": "localhost:9092", "protocol": "kafka"},
        },
        "channels": channels,
        "operations": dict(_operations(channels)),
        "components": {
            "messages": dict(sorted(_messages(records))),
            "schemas": dict(sorted(schemas.items())),
        },
    }


def record_of(topic: topics.Topic) -> type[msgspec.Struct] | None:
    """The struct that the map names for a topic's records; None for frames."""
    named = _STRUCT_NAMED.search(topic.value)
    if named is None:
        return None
    module = importlib.import_module(f"exchange.messages.{named[1]}")
    found: type[msgspec.Struct] = getattr(module, named[2])
    return found


def _schema(kind: type) -> dict[str, str]:
    return {"$ref": REF.format(name=kind.__name__)}


def _summary(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _messages(records: dict[str, type[msgspec.Struct] | None]) -> Iterator[tuple[str, Any]]:
    for kind in FEED:
        channel = CHANNEL[kind]
        policy = "newest replaces" if channel in STATES else "queued, or the connection ends"
        yield (
            f"feed.{kind.__name__}",
            {
                "name": kind.__struct_config__.tag,
                "summary": _summary(kind),
                "contentType": JSON,
                "description": f"Channel `{channel}`. To a reader who lags: {policy}.",
                "payload": {"allOf": [_schema(FeedLabel), _schema(kind)]},
            },
        )
    single = {Subscribe, Subscribed, Reject, Closing, Logon, *REQUESTS, *SESSION}
    for kind in single:
        yield (
            kind.__name__,
            {
                "name": kind.__struct_config__.tag,
                "summary": _summary(kind),
                "contentType": JSON,
                "payload": _schema(kind),
            },
        )
    yield (
        "LastWord",
        {
            "summary": "An array with one Closing: why the connection ends.",
            "contentType": JSON,
            "payload": {"type": "array", "items": _schema(Closing)},
        },
    )
    yield (
        "Requests",
        {
            "summary": "One request, or several in an array.",
            "contentType": JSON,
            "payload": {
                "oneOf": [_one_of(REQUESTS), {"type": "array", "items": _one_of(REQUESTS)}]
            },
        },
    )
    yield (
        "SessionMessages",
        {
            "summary": "Every message of the venue is an array.",
            "contentType": JSON,
            "payload": {"type": "array", "items": _one_of(SESSION)},
        },
    )
    for topic in topics.TOPICS:
        yield f"record.{topic.name}", _record(topic, records[topic.name])


def _one_of(kinds: Iterable[type]) -> dict[str, Any]:
    return {"oneOf": [_schema(kind) for kind in kinds]}


def _record(topic: topics.Topic, kind: type[msgspec.Struct] | None) -> dict[str, Any]:
    said: dict[str, Any] = {"summary": topic.value}
    if kind is None:
        return said | {"contentType": BYTES, "payload": {"type": "string", "format": "binary"}}
    content = MSGPACK if topic.value.startswith("MessagePack") else JSON
    return said | {"contentType": content, "payload": _schema(kind)}


def _channel(address: str, server: str, description: str, messages: Iterable[str]) -> Any:
    return {
        "address": address,
        "description": description,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {
            name.replace(".", "_"): {"$ref": f"#/components/messages/{name}"} for name in messages
        },
    }


def _feed() -> Any:
    return _channel(
        "/marketdata",
        "sockets",
        "Public market data. Subscribe first; the snapshots and states of each symbol come before "
        "all else. One message a frame, never an array: JSON in text frames, or MessagePack of the "
        "same maps in binary frames; what is said of the connection is JSON text always.",
        ["Subscribe", "Subscribed", "Reject", "LastWord", *(f"feed.{k.__name__}" for k in FEED)],
    )


def _order_entry() -> Any:
    return _channel(
        "/orders",
        "sockets",
        "Order entry of a member's key: a signed Logon, then requests. JSON in text frames, or "
        "MessagePack in binary ones; the first frame chooses.",
        ["Logon", "Requests", "SessionMessages"],
    )


def _drop_copy() -> Any:
    return _channel(
        "/drop-copy",
        "sockets",
        "What a member's sessions hear, to watch and not to trade: a signed Logon first.",
        ["Logon", "SessionMessages"],
    )


def _topic(topic: topics.Topic) -> Any:
    per_participant = topic in (topics.INTAKE, topics.REPORTS)
    channel = _channel(
        f"{topic.name}.{{participant}}" if per_participant else topic.name,
        "log",
        f"Written by {', '.join(topic.writers)}; read by {', '.join(topic.readers)}. Kept "
        f"{topic.retention}. " + ("" if per_participant else "One partition a market."),
        [f"record.{topic.name}"],
    )
    if per_participant:
        channel["parameters"] = {"participant": {"description": "Its number."}}
    return channel


_SENT_BY_CLIENTS = {"Subscribe", "Logon", "Requests", "record_intake"}


def _operations(channels: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """From the venue's side: it receives what clients send, and sends the rest."""
    for name, channel in channels.items():
        for action, is_wanted in (("receive", True), ("send", False)):
            messages = [
                {"$ref": f"#/channels/{name}/messages/{message}"}
                for message in channel["messages"]
                if (message in _SENT_BY_CLIENTS) == is_wanted
            ]
            if messages:
                yield (
                    f"{action}_{name}",
                    {
                        "action": action,
                        "channel": {"$ref": f"#/channels/{name}"},
                        "messages": messages,
                    },
                )


def main() -> None:
    """Prints the description: for `deploy/docs/asyncapi.json`."""
    sys.stdout.write(json.dumps(describe(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
