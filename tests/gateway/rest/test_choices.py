"""A refusal of a word says which words there are."""

from __future__ import annotations

from typing import Any, Literal

import httpx
import msgspec
import pytest

from exchange.messages.orders import OrderRequest
from exchange.messages.reasons import EdgeReason
from gateway.entry.fields import decode, unpack
from gateway.refusal import Refused
from gateway.rest.choices import told
from tests.gateway.conftest import House

ORDER = {
    "type": "NewOrderSingle", "ref": 1, "symbol": "EUA", "account": 101, "side": "BUY",
    "quantity": 1, "price": "70.00",
}  # fmt: skip
REQUESTS = msgspec.json.Decoder(OrderRequest | list[OrderRequest])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (ORDER | {"side": "buy"}, "'buy' - at $.side: one of BUY, SELL. "),
        ([ORDER, ORDER | {"side": "buy"}], "'buy' - at $[1].side: one of BUY, SELL. "),
        (ORDER | {"post_only": "NO"}, "at $.post_only: one of REFUSE, REPRICE. "),
        (ORDER | {"type": "Order"}, "'Order' - at $.type: one of NewOrderSingle, Order"),
        (ORDER | {"account": "x"}, "Expected int, got str - at $.account. "),
    ],
)
def test_the_words_of_a_field(body: Any, text: str) -> None:
    packed = msgspec.msgpack.Decoder(OrderRequest | list[OrderRequest])
    for refusing in (
        lambda: decode(msgspec.json.encode(body), REQUESTS),
        lambda: unpack(msgspec.msgpack.encode(body), packed),
    ):
        with pytest.raises(Refused) as refused:
            refusing()
        assert text in refused.value.text


def test_a_field_that_is_not_there_is_missing_and_no_wrong_value() -> None:
    body = {name: value for name, value in ORDER.items() if name != "side"}
    packed = msgspec.msgpack.Decoder(OrderRequest | list[OrderRequest])
    for refusing in (
        lambda: decode(msgspec.json.encode(body), REQUESTS),
        lambda: unpack(msgspec.msgpack.encode([body]), packed),
    ):
        with pytest.raises(Refused, match="side") as refused:
            refusing()
        assert refused.value.row.number == EdgeReason.MISSING_FIELD


def test_a_list_of_words_and_a_word_that_is_none_of_a_struct() -> None:
    class Asked(msgspec.Struct):
        names: list[Literal["a", "b"]]

    for kind, text in ((Asked, "one of a, b"), (list[Literal["a", "b"]], "at $[0]")):
        value = {"names": ["c"]} if kind is Asked else ["c"]
        with pytest.raises(msgspec.ValidationError) as error:
            msgspec.convert(value, kind)
        assert told(error.value, kind).endswith(text)


async def test_words_of_a_query_and_a_path_that_is_not_there(house: House) -> None:
    async with httpx.AsyncClient(base_url=house.url) as client:
        problem = (await client.get("/bars?symbol=EUA&width=5m")).json()
        assert (
            "query: Invalid enum value '5m' - at $.width: one of 1d, 1h, 1m. "
            in (problem["detail"])
        )
        problem = (await client.get("/nope")).json()
        assert problem["reason"] == 523
        assert problem["detail"].startswith("GET /nope: there is no such path, /openapi.json has")
