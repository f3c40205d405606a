"""What lets more through than now, and so takes two persons."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from exchange.messages.operations import LimitWord
from gateway.control.limits import ZERO_IS_NONE, is_looser, is_outside_bands

LOOSER: tuple[tuple[LimitWord, int, int, bool], ...] = (
    ("BAND_BP", 500, 499, False), ("BAND_BP", 500, 500, False), ("BAND_BP", 500, 501, True),
    ("BAND_BP", 500, 0, True), ("BAND_BP", 0, 10_000, False), ("ORDER_RATE", 0, 1, False),
    ("ORDER_RATE", 1, 2, True), ("QUANTITY_MIN", 5, 4, True), ("QUANTITY_MIN", 5, 6, False),
    ("QUANTITY_MIN", 5, 0, True), ("QUANTITY_MAX", 5, 6, True), ("VALUE_MAX", 5, 4, False),
    ("PROTECTION_BP", 500, 0, False), ("MESSAGE_RATE", 10, 11, True),
    ("BLOCK_BAND_BP", 0, 3_000, False), ("VOLATILITY_CALL_MS", 9, 8, True),
    ("VOLATILITY_CALL_MS", 9, 10, False), ("VOLATILITY_CALL_MS", 9, 0, False),
    ("VOLATILITY_CALL_MS", 0, 9, True), ("RANDOM_END_MS", 9, 8, True),
    ("RANDOM_END_MS", 9, 10, False), ("RANDOM_END_MS", 9, 0, True),
    ("PICK_LEVELS", 5, 6, True), ("PICK_LEVELS", 5, 4, False), ("PICK_OLDEST", 1, 0, True),
    ("PICK_OLDEST", 0, 1, False), ("BLOCK_OPEN", 0, 1, True), ("BLOCK_OPEN", 1, 0, False),
    ("BLOCK_QUANTITY_MIN", 5, 4, True), ("BLOCK_QUANTITY_MIN", 5, 6, False),
    ("COLLAR_BP", 300, 301, True), ("COLLAR_BP", 300, 299, False), ("COLLAR_BP", 0, 300, False),
    ("VOLATILITY_BP", 300, 301, True), ("VOLATILITY_BP", 300, 299, False),
    ("VOLATILITY_BP", 0, 300, False), ("INSTRUMENT_HOLDING_MAX", 9, 10, True),
    ("INSTRUMENT_HOLDING_MAX", 9, 8, False), ("INSTRUMENT_HOLDING_MAX", 0, 9, False),
    ("PROTECTION_BP", 500, 501, True), ("BLOCK_BAND_BP", 500, 501, True),
    ("VALUE_MAX", 5, 6, True), ("QUANTITY_MAX", 5, 4, False), ("MESSAGE_RATE", 10, 9, False),
    ("HOLDING_MAX", 5, 6, True), ("HOLDING_MAX", 5, 4, False), ("HOLDING_MAX", 0, 5, False),
    ("POSITION_MAX", 5, 6, True), ("POSITION_MAX", 5, 4, False), ("POSITION_MAX", 0, 5, False),
    ("ORDER_TRADE_RATIO", 5, 6, True), ("ORDER_TRADE_RATIO", 5, 4, False),
    ("VOLUME_TRADE_RATIO", 5, 6, True), ("VOLUME_TRADE_RATIO", 5, 4, False),
)  # fmt: skip


@pytest.mark.parametrize("word", get_args(LimitWord))
def test_every_limit_has_a_looser_and_a_tighter_case(word: LimitWord) -> None:
    assert {looser for of, _, _, looser in LOOSER if of == word} == {True, False}


@pytest.mark.parametrize(("word", "now", "wanted", "looser"), LOOSER)
def test_what_lets_more_through_is_looser(word: Any, now: int, wanted: int, looser: bool) -> None:
    assert is_looser(word, now, wanted) == looser
    if word in ZERO_IS_NONE:
        assert is_looser(word, now or 1, 0)


@pytest.mark.parametrize(("references", "bands", "price", "is_outside"), [
    ((1_000,), (1_000, 0), 1_100, False), ((1_000,), (1_000, 0), 1_101, True),
    ((1_000,), (1_000, 0), 900, False), ((1_000,), (1_000, 0), 899, True),
    ((1_000,), (0, 500), 1_050, False), ((1_000,), (0, 500), 1_051, True),
    ((1_000,), (1_000, 500), 1_051, True),  # a block's band is moved too
    ((1_000, 1_100), (1_000, 0), 1_150, True), ((1_100, 1_000), (1_000, 0), 1_150, True),
    ((1_000, 1_000), (0, 0), 9_000, False),  # no band is moved
    ((0, 0), (1_000, 1_000), 9_000, False),  # there was none
])  # fmt: skip
def test_what_moves_a_band(
    references: tuple[int, ...], bands: tuple[int, ...], price: int, is_outside: bool
) -> None:
    assert is_outside_bands(references, bands, price) is is_outside
