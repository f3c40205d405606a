"""Golden bytes of the vocabulary: `python -m tests.golden.vocabulary` adds what is missing.

An entry of a released version never changes: an old record must be readable for ever. Before the
first release `--remake` writes all anew.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import pkgutil
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import exchange.messages
from exchange.messages import frames

GOLDEN = Path(__file__).parent / "messages.json"
TEXT = "Grüne Tonne 碳"


def structs() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Every struct of the vocabulary, by `module.Name`."""
    for found in pkgutil.iter_modules(exchange.messages.__path__):
        module = importlib.import_module(f"exchange.messages.{found.name}")
        for name, item in vars(module).items():
            is_struct = isinstance(item, type) and issubclass(item, msgspec.Struct)
            if is_struct and item.__module__ == module.__name__:
                yield f"{found.name}.{name}", item


def encoding(item: type[msgspec.Struct]) -> str:
    """Arrays travel as MessagePack between services, objects as JSON to people."""
    return "msgpack" if item.__struct_config__.array_like else "json"


def sample(kind: Any, place: int) -> Any:
    """A value of a type, different at each place, with every member of a union of structs."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is int:
        return 2**33 + place
    if kind is bool:
        return place % 2 == 0
    if kind is dt.date:
        return dt.date(2026, 1, 1 + place % 28)
    if kind is str:
        return f"{TEXT} {place}"
    if origin is typing.Literal:
        return inner[place % len(inner)]
    if origin is dict:
        return {sample(inner[0], place): sample(inner[1], place + 1)}
    if origin is tuple:
        members = typing.get_args(inner[0]) or (inner[0],)
        return tuple(sample(member, place + at) for at, member in enumerate(members))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return make(kind)
    if inner:
        return sample(inner[0], place)
    raise TypeError(f"no sample for {kind}")


def make(item: type[msgspec.Struct]) -> msgspec.Struct:
    """A struct with every field filled."""
    types = typing.get_type_hints(item)
    names = item.__struct_fields__
    return item(**{name: sample(types[name], at) for at, name in enumerate(names)})


def encode(value: msgspec.Struct) -> str:
    """JSON as it is, MessagePack in hexadecimal."""
    if encoding(type(value)) == "json":
        return msgspec.json.encode(value).decode()
    return msgspec.msgpack.encode(value).hex()


def decode(item: type[msgspec.Struct], text: str) -> msgspec.Struct:
    """The struct that `encode` wrote."""
    if encoding(item) == "json":
        return msgspec.json.decode(text, type=item)
    return msgspec.msgpack.decode(bytes.fromhex(text), type=item)


def command_frame() -> bytes:
    """A frame of `orders`: an order, an instruction and its note."""
    records = [
        frames.command(
            frames.Command.NEW_ORDER,
            side=frames.Side.SELL,
            order_type=frames.OrderType.LIMIT,
            time_in_force=frames.TimeInForce.GTC,
            instrument_id=0x0B0A,
            valid_ms=5_000,
            account_id=0x01020304,
            session_id=0x11121314,
            ref=0x2122232425262728,
            quantity=1_234_567,
            price=-7_125,
            order_id=2**64 - 2,
            client_order_id=b"golden-0123456",
        ),
        frames.command(
            frames.Command.INSTRUCTION,
            order_type=frames.Instruction.SURRENDER,
            account_id=203,
            instrument_id=21,
            quantity=61_728,
            price=2024,
        ),
        *frames.notes(TEXT),
    ]
    return frames.build_commands(records, writer=7, batch=9, time_ns=1_542_000_000_000_000_001)


def event_parts() -> list[bytes]:
    """Output of one record of `orders` in two parts."""
    one = bytes(range(frames.RECORD_SIZE))
    parts, _ = frames.seal_events(
        one * 8_193,
        input_offset=41,
        first_event=99,
        epoch=3,
        time_ns=1_542_000_000_000_000_002,
        chain=bytes(range(32)),
    )
    return parts


def entries() -> dict[str, str]:
    """Name -> golden text, as the vocabulary encodes today."""
    found = {name: encode(make(item)) for name, item in structs()}
    found["frames.commands"] = command_frame().hex()
    found["frames.events.header_of_part_0"] = event_parts()[0][: frames.HEADER_SIZE].hex()
    found["frames.events.part_1"] = event_parts()[1].hex()
    return found


def main(arguments: list[str]) -> None:
    """Adds missing entries, or writes all anew with `--remake`."""
    known = {} if "--remake" in arguments else json.loads(GOLDEN.read_text("utf-8"))
    merged = entries() | known
    text = json.dumps(dict(sorted(merged.items())), indent=1, ensure_ascii=False)
    GOLDEN.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
