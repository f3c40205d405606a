"""What a matching engine is: the protocol both bodies keep, and the rules of the market in prose.

`matching.reference.Engine` is the executable specification, `matching.compiled.Engine` the fast
body; for the same log they give the same event records byte for byte and the same snapshot.

**Shape.** `apply(offset, append_ns, frame)` takes the record at `offset` of `orders` and gives the
event records (n x 64 bytes) which it causes: a pure function of the log so far. Nothing raises on
data. A frame that does not decode gives one FRAME_REFUSED. `offset` must be the next one expected,
anything else is a bug of the caller (ValueError). Engine time = max(engine time, append_ns).

**Order of checks of one command.** Kind known; session number (`session_id` not 0 and `ref` not
above the session's last: DUPLICATE, which carries the original order id where the account still
remembers the client order id; else the session's last becomes `ref`, whatever follows); receive
window (`valid_ms` not 0 and engine time > frame time + window: EXPIRED); account; instrument; then
the reasons of `layout.Reason` in rising number. A new session's last is 0. A cancel or a replace
names an order and so no instrument; the account and the instrument 0 do not exist.

**Answers.** REJECTED, DUPLICATE, INSTRUCTED and NOTED repeat the fields of the command. Transfers
and ACCOUNT_OPENED carry its `order_id` and label, other events only what `layout.Event` names.

**Client order ids.** An empty label is no label. Accepted orders and replaces are remembered by
(account, label) until DAY_ROLL; labels of resting orders stay longer. The same label with the same
instrument, side, type, time in force, quantity and price is a DUPLICATE with the original order
id; with another body it is refused, naming the first field that differs. It is checked before
phase, so that a resend is answered at any hour. A replace with a known label is a DUPLICATE when
it names the same order, quantity and price as remembered, even if that order is gone, else
CLIENT_ORDER_ID_REUSED_*. After a replace the order carries the new label, if there is one.

**Accept = hold.** A buy holds price x leaves + the worst fee still to come, a sell holds its leaves
in units. Fees are charged on an order as a whole: `accrued` is the sum over its fills of price x
quantity x fee_bp (maker's or taker's), `charged` = half_up(accrued / 10000), and a fill's fee is
the rise of `charged`. So the hold of a buy is

    leaves x price + half_up((accrued + leaves x price x max(maker, taker)) / 10000) - charged

which no sequence of fills can exceed. A sell pays its fee out of its proceeds. A fill pays the
seller and delivers to the buyer at once, inside the engine, and releases price improvement at
once. Bought units are saleable at once, or from the next DAY_ROLL with RESALE_NEXT_DAY = 1
(`locked`). Fees leave the accounts; the market's `fees` total collects them.

**Priority.** Price, then the position in the log. The trade price is the resting order's. A partly
filled order stays first. A replace keeps its place only when the price stays and the quantity
falls; otherwise it leaves the book and comes again as the newest order (it may trade at once) under
the same order id. A replaced quantity is the order's total: leaves = quantity - executed, and must
be positive (QUANTITY_NOT_ABOVE_EXECUTED). A replace is checked like a new order (phase, quantity,
price, band, value, then funds with the old hold given back first); refused, it leaves the order
untouched. A market order never rests, so never is replaced.

**Market orders** carry price 0, must be IOC or FOK, and take the protection price as their limit:
the best opposite price moved by PROTECTION_BP (buy: rounded down to the tick, at most the upper
band and PRICE_LIMIT; sell: rounded up, at least the lower band and one tick). No opposite order:
NO_LIQUIDITY.

**FOK** trades whole against levels within its limit or is accepted and cancelled at once
(FILL_OR_KILL_UNFILLED); **IOC** remainders are cancelled (IMMEDIATE_OR_CANCEL_REMAINDER).

**Events of one command**: ACCEPTED or REPLACED, then for each fill the maker's FILL and right
after it the taker's, then CANCELLED. The trade id is the event number of the maker's FILL.

**Band.** With BAND_BP > 0 and a reference price > 0 a limit must lie within
half_up(reference x (10000 +- band) / 10000 to the tick) (lower bound at least one tick), bounds
included. Band and tick are checked when an order comes; a REFERENCE_PRICE and a DAY_ROLL check
resting orders again and cancel those outside (BAND_MOVED).

**Phases.** CLOSED and HALT refuse new orders and replaces; cancels always pass. PHASE_CHANGE of
instrument 0 moves each instrument whose transition is allowed, in order of id; none = refused.
REFERENCE_PRICE must lie in 1..PRICE_LIMIT (PARAMETER_OUT_OF_RANGE) and is refused in CONTINUOUS
(PHASE_TRANSITION_REFUSED).

**DAY_ROLL** needs every instrument CLOSED (NOT_ALL_CLOSED) and a later date (DATE_NOT_LATER). For
each instrument by id: the close is found by CLOSE_RULE (day volume at or below CLOSE_VOLUME_MIN:
the reference price stays) and becomes the reference; DAY_CLOSED; then bids and asks in priority:
DAY orders end (DAY_ENDED), others outside the new band end (BAND_MOVED); day figures start anew.
Then locked units are unlocked (UNITS_UNLOCKED by account, instrument), labels forgotten, and
DAY_STARTED closes the command. Day volume and turnover stop growing at TOTAL_LIMIT.

**Cash and units.** CASH_DEPOSIT and UNITS_DEPOSIT add to available, WITHDRAW and RELEASE take from
it or are refused. The market's cash (that of all accounts and the fees) and each instrument's units
stay at or below TOTAL_LIMIT.

**Epochs.** EPOCH_START with epoch = current + 1 wins (EPOCH_STARTED), else EPOCH_STALE. It, like
CLOCK_TICK, may come with session 0, which is never numbered.

**Passed on.** INSTRUCTION (kind of `layout.Instruction`, known account, known instrument) is
echoed as INSTRUCTED with its log position as order_id; NOTE records right after it in its frame are
echoed as NOTED; a NOTE elsewhere gives nothing. A NOTE is a part of its INSTRUCTION: it has no
number, window or account of its own.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Limits(NamedTuple):
    """Bounds of the engine's tables; part of the state, so equal on every replica."""

    orders_max: int = 4_194_304
    client_order_ids_max: int = 16_777_216
    accounts_max: int = 1_048_576
    sessions_max: int = 1_048_576


class EngineProtocol(Protocol):
    """A pure state machine: frames in, event records out."""

    def __init__(self, limits: Limits = ...) -> None: ...

    @property
    def next_offset(self) -> int:
        """The offset of `orders` which `apply` expects next. O(1)."""

    @property
    def next_event(self) -> int:
        """The number which the next event will have. O(1)."""

    @property
    def epoch(self) -> int:
        """The epoch in force. O(1)."""

    @property
    def leader(self) -> int:
        """The node which won the epoch in force, 0 before the first. O(1)."""

    @property
    def time_ns(self) -> int:
        """Engine time, ns UTC: the largest append time seen. O(1)."""

    def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        """Event records (n x 64 bytes) of the record at `offset`; ValueError if it is not next.

        O(commands x log(levels) + fills).
        """

    def snapshot(self) -> bytes:
        """The whole state in the canonical form of `matching.snapshot`. O(state)."""

    @classmethod
    def restore(cls, data: bytes) -> EngineProtocol:
        """The engine that `snapshot` described; ValueError if the bytes are not sound. O(state)."""

    def state_hash(self) -> bytes:
        """BLAKE2b-256 of `snapshot()`. O(state)."""

    def self_check(self) -> list[str]:
        """Every broken invariant in words (holds = open orders, totals, queues); [] is sound."""
