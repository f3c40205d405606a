"""A small raw FIX client for these tests: it numbers, signs and reads, and can do each wrong."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from exchange.clock import Clock
from gateway.client import SigningKey
from gateway.fix.acceptor import signed_logon
from gateway.fix.codec import Framer, GarbledError, Message, decode, encode, utc_text

VENUE = "CARBON"


class Broker:
    """One connection at a time; the numbers outlive it, as a broker's engine keeps them."""

    def __init__(self, key: SigningKey, clock: Clock) -> None:
        self.key, self.clock = key, clock
        self.next_out = 1
        self.next_in = 1
        self.sent: dict[int, tuple[str, list[tuple[int, Any]], int]] = {}
        self.came: list[Message] = []
        self._reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self._framer = Framer()
        self._ready: list[Message] = []

    async def connect(self, port: int) -> None:
        if self.writer is not None:
            self.writer.close()
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self._framer = Framer()
        self._ready = []

    def raw(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)

    def say(self, msg_type: str, *values: tuple[int, Any], number: int = 0, **how: Any) -> int:
        """Sends a message; returns its number. `number` sends it under another, once more."""
        now = self.clock.now_ns()
        used = number or self.next_out
        if not number:
            self.next_out += 1
            self.sent[used] = (msg_type, list(values), now)
        sender, target = how.pop("sender", self.key.id), how.pop("target", VENUE)
        self.raw(encode(msg_type, used, sender, target, how.pop("time", now), values, **how))
        return used

    def repeat(self, number: int) -> None:
        """A message once more, as a resend."""
        msg_type, values, sent = self.sent[number]
        self.say(msg_type, *values, number=number, original_ns=sent)

    def logon(
        self, *more: tuple[int, Any], seconds: int = 30, number: int = 0, **wrong: Any
    ) -> None:
        used = number or self.next_out
        now = self.clock.now_ns()
        sender = wrong.get("sender", self.key.id)
        text = signed_logon(sender, wrong.get("target", VENUE), used, utc_text(now))
        signature = wrong.pop("signature", b64(self.key.private.sign(text)))
        values = ((98, 0), (108, seconds), (95, len(signature)), (96, signature), *more)
        self.say("A", *values, number=number, time=now, **wrong)

    async def enter(self, port: int, *more: tuple[int, Any], **how: Any) -> Message:
        """Connects and logs on; the answer."""
        await self.connect(port)
        self.logon(*more, **how)
        return await self.take("A")

    async def next(self, wait_s: float = 5) -> Message | None:
        """The next message; None when the connection is over."""
        assert self._reader is not None
        while not self._ready:
            data = await asyncio.wait_for(self._reader.read(65_536), wait_s)
            if not data:
                return None
            for found in self._framer.feed(data):
                assert not isinstance(found, GarbledError), found
                message = decode(found)
                assert message.fault is None, (message.fault, found)
                self._ready.append(message)
        message = self._ready.pop(0)
        self.came.append(message)
        if not message.is_dup:
            self.next_in = message.sequence + 1
        return message

    async def take(self, msg_type: str) -> Message:
        """The next message, which has to be of that type."""
        message = await self.next()
        assert message is not None, f"the connection ended instead of {msg_type}"
        assert message.msg_type == msg_type, message
        return message

    async def silent(self, wait_s: float = 0.05) -> bool:
        try:
            message = await self.next(wait_s)
        except TimeoutError:
            return True
        raise AssertionError(message)

    async def over(self) -> None:
        """The connection ends, and nothing more comes before."""
        try:
            message = await self.next()
        except ConnectionResetError:  # what was still on its way when it ended
            return
        assert message is None, message

    def cut(self) -> None:
        assert self.writer is not None
        self.writer.transport.abort()

    def order(self, label: str, **changes: Any) -> int:
        return self.say("D", *order(label, self.clock.now_ns(), **changes))

    def cancel(self, label: str, original: str, now: int = 0) -> int:
        return self.say("F", (11, label), (41, original), (1, 101), (55, "EUA"), (54, 1),
                        (60, utc_text(self.clock.now_ns())))  # fmt: skip


def order(label: str, now: int, **changes: Any) -> list[tuple[int, Any]]:
    """A NewOrderSingle; `t44="70.50"` changes a field, None leaves it out."""
    fields = {
        11: label, 1: 101, 55: "EUA", 54: 1, 38: 10, 40: 2, 44: "70.00", 59: 0, 60: utc_text(now)
    } | {int(name[1:]): value for name, value in changes.items()}  # fmt: skip
    return [(tag, value) for tag, value in fields.items() if value is not None]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
