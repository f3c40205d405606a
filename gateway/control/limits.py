"""Limits that operators set while the market runs: where each stands, and what is looser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from exchange.messages.frames import AccountParameter, Parameter
from exchange.messages.operations import LimitWord, SetLimit
from exchange.messages.reasons import EdgeReason
from exchange.positions import Positions
from exchange.reference.venue import Account, Market
from exchange.settings import MESSAGE_RATE_MAX, ORDER_TRADE_RATIO_MAX
from gateway.refusal import Refused
from gateway.views.acts import Acts
from gateway.views.controls import Controls
from gateway.views.order_ratio import RATIO_LIMITS

BP = 10_000  # a whole, in basis points

INSTRUMENT_LIMITS: dict[LimitWord, Parameter] = {
    "BAND_BP": Parameter.BAND_BP,
    "COLLAR_BP": Parameter.COLLAR_BP,
    "PROTECTION_BP": Parameter.PROTECTION_BP,
    "VOLATILITY_BP": Parameter.VOLATILITY_BP,
    "VOLATILITY_CALL_MS": Parameter.VOLATILITY_CALL_MS,
    "BLOCK_BAND_BP": Parameter.BLOCK_BAND_BP,
    "QUANTITY_MIN": Parameter.QUANTITY_MIN,
    "QUANTITY_MAX": Parameter.QUANTITY_MAX,
    "VALUE_MAX": Parameter.VALUE_MAX,
    "HOLDING_MAX": Parameter.HOLDING_MAX,
    "RANDOM_END_MS": Parameter.RANDOM_END_MS,
    "PICK_LEVELS": Parameter.PICK_LEVELS,
    "PICK_OLDEST": Parameter.PICK_OLDEST,
    "BLOCK_OPEN": Parameter.BLOCK_OPEN,
    "BLOCK_QUANTITY_MIN": Parameter.BLOCK_QUANTITY_MIN,
}
ACCOUNT_LIMITS: dict[LimitWord, AccountParameter] = {
    "ORDER_RATE": AccountParameter.ORDER_RATE,
    "POSITION_MAX": AccountParameter.POSITION_MAX,
    "INSTRUMENT_HOLDING_MAX": AccountParameter.INSTRUMENT_HOLDING_MAX,
}
PARTICIPANT_LIMITS = frozenset({"ORDER_RATE", "POSITION_MAX"})
ZERO_IS_NONE = frozenset(
    {"BAND_BP", "BLOCK_BAND_BP", "COLLAR_BP", "VOLATILITY_BP", "HOLDING_MAX", "ORDER_RATE",
     "POSITION_MAX", "INSTRUMENT_HOLDING_MAX", *RATIO_LIMITS}
)  # fmt: skip
"""Limits of which 0 means that there is none: the loosest of all."""

LEAST = frozenset(
    {"QUANTITY_MIN", "VOLATILITY_CALL_MS", "RANDOM_END_MS", "PICK_OLDEST", "BLOCK_QUANTITY_MIN"}
)
"""Limits from below: the higher, the tighter."""

ZERO_IS_ENDLESS = frozenset({"VOLATILITY_CALL_MS"})
"""Of which 0 is the tightest: the call lasts until an operator ends it."""


class Standing(Protocol):
    """What stands in a market, as far as its log was read."""

    @property
    def positions(self) -> Positions:
        """What the engine said."""

    @property
    def acts(self) -> Acts:
        """What operators did."""

    @property
    def controls(self) -> Controls:
        """What they set."""


def is_looser(parameter: LimitWord, now: int, wanted: int) -> bool:
    """Whether a new value lets more through than the one in force. Pure, O(1)."""
    if now == wanted:
        return False
    if parameter in ZERO_IS_ENDLESS and 0 in (now, wanted):
        return now == 0
    if parameter in LEAST:
        return wanted < now
    if parameter in ZERO_IS_NONE and 0 in (now, wanted):
        return wanted == 0
    return wanted > now


def is_outside_bands(references: Iterable[int], bands: Iterable[int], price: int) -> bool:
    """Whether a price lies outside a band about a reference; 0 is none of either. Pure, O(both)."""
    widths = [width for width in bands if width]
    return any(
        abs(price - reference) * BP > reference * min(widths)
        for reference in references
        if reference and widths
    )


def limit_parameter(
    request: SetLimit, account: Callable[[Market, int], Account], market: Market
) -> Parameter | AccountParameter | None:
    """What the engine calls the limit; None for the gateways' own (rates of messages, ratios).

    Refused (INVALID_FIELD, UNKNOWN_ACCOUNT) unless the request names what such a limit is of.
    """
    word = request.parameter
    given = {
        name for name in ("symbol", "account", "participant", "session") if getattr(request, name)
    }
    if word == "MESSAGE_RATE":
        _expect(given in ({"participant"}, {"session"}), word, "participant or session")
        if not 1 <= request.value <= MESSAGE_RATE_MAX:
            raise Refused(EdgeReason.INVALID_FIELD, f"value: outside 1..{MESSAGE_RATE_MAX}")
        _expect(0 < (request.session or request.participant) < 2**32, word, "a number of 32 bits")
        return None
    if word in RATIO_LIMITS:
        _expect(given in ({"participant"}, {"symbol"}), word, "participant or symbol")
        if not 0 <= request.value <= ORDER_TRADE_RATIO_MAX:
            raise Refused(EdgeReason.INVALID_FIELD, f"value: outside 0..{ORDER_TRADE_RATIO_MAX}")
        _expect(0 <= request.participant < 2**32, word, "a number of 32 bits")
        return None
    if not 0 <= request.value < 2**63:
        raise Refused(EdgeReason.INVALID_FIELD, f"value: {request.value} is no limit")
    if word in INSTRUMENT_LIMITS:
        _expect(given == {"symbol"}, word, "symbol")
        return INSTRUMENT_LIMITS[word]
    if word == "INSTRUMENT_HOLDING_MAX":
        _expect(given == {"symbol", "account"}, word, "symbol and account")
    else:
        _expect(given in ({"account"}, {"participant"}), word, "account or participant")
    if request.account:
        account(market, request.account)
    _expect(0 <= request.participant < 2**32, word, "a number of 32 bits")
    return ACCOUNT_LIMITS[word]


def loosens(view: Standing, request: SetLimit, instrument: int, message_rate: int) -> bool:
    """Whether a request lets more through than now, as this gateway has read the log. O(limits).

    One's own limit goes before everybody's, which holds again where there is no own: so both sides
    of the comparison are what counts, not what was set.
    """
    own = _set_limit(view, request, instrument, message_rate)
    return any(
        is_looser(request.parameter, own or of_all, request.value or of_all)
        for of_all in _of_all(view, request, instrument)
    )


def _of_all(view: Standing, request: SetLimit, instrument: int) -> set[int]:
    """Everybody's limits that hold where the request's own is 0; 0: there is none."""
    word = request.parameter
    if word == "INSTRUMENT_HOLDING_MAX":
        known = view.positions.instruments.get(instrument)
        return {known.parameters[Parameter.HOLDING_MAX] if known is not None else 0}
    if word in RATIO_LIMITS and request.participant:
        limits = view.acts.ratio_limits.items()
        return {0, *(value for (of, whose, _), value in limits if (of, whose) == (word, 0))}
    return {0}


def _set_limit(view: Standing, request: SetLimit, instrument: int, message_rate: int) -> int:
    word = request.parameter
    if word == "MESSAGE_RATE":
        if request.session:
            return view.acts.session_rates.get(request.session, message_rate)
        return view.acts.participant_rates.get(request.participant, message_rate)
    if word in RATIO_LIMITS:
        of_ratio = RATIO_LIMITS[RATIO_LIMITS.index(word)]
        return view.acts.ratio_limits.get((of_ratio, request.participant, request.symbol), 0)
    if word in INSTRUMENT_LIMITS:
        known = view.positions.instruments.get(instrument)
        return known.parameters[INSTRUMENT_LIMITS[word]] if known is not None else 0
    if request.participant:
        return view.controls.of_participant(request.participant, ACCOUNT_LIMITS[word])
    return view.controls.of_account(request.account, ACCOUNT_LIMITS[word], instrument)


def _expect(is_so: bool, word: str, what: str) -> None:
    if not is_so:
        raise Refused(EdgeReason.INVALID_FIELD, f"{word} is of {what}")
