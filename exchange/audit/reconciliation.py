"""Engine, ledger and registry side by side: pure arithmetic on what each of them says.

The three must be looked at when each has read the log to its end; while one is behind, it differs.
An asset is 0 for the market's cash (minor units) or an instrument's id (tonnes), as in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exchange.audit.history import compare_positions
from exchange.ledger import (
    CASH,
    EXTERNAL_CASH,
    EXTERNAL_UNITS,
    FEE_INCOME,
    HELD_SETTLEMENT,
    held_settlement,
    owner_of,
)
from exchange.positions import Positions

SHOWN_MAX = 5  # differences told in a check's text

AssetKey = tuple[int, int]  # account, asset

HOLDS_CHECK = "holds equal open orders"
LEDGER_CHECK = "engine equals ledger"
REGISTRY_CHECK = "engine equals registry"
HELD_CHECK = "held for settlement equals trades due"
CASH_CHECK = "cash conserved"
ISSUE_CHECK = "units conserved"
VENUE_CHECK = "units on the venue equal deposits less releases"
OPENING_CHECKS = frozenset(
    {
        HOLDS_CHECK,
        LEDGER_CHECK,
        HELD_CHECK,
        REGISTRY_CHECK,
        CASH_CHECK,
        ISSUE_CHECK,
        VENUE_CHECK,
    }
)
"""What must have been compared before a trading day opens."""


class DueLegs(NamedTuple):
    """What trades that are not settled hold, of one buyer, seller and instrument together."""

    buyer_account: int
    seller_account: int
    instrument_id: int
    quantity: int
    proceeds: int  # the seller's, minor units


class Books(NamedTuple):
    """What the parts of the venue say about one market."""

    positions: Positions  # from `events`
    ledger: Mapping[AssetKey, int]  # every balance, the venue's own accounts (negative) too
    trading_units: Mapping[AssetKey, int]  # registry: units in TRADING positions
    issued: Mapping[int, int]  # registry, by instrument: tonnes ever issued
    held: Mapping[int, int]  # ... in any position now
    surrendered: Mapping[int, int]
    cancelled: Mapping[int, int]
    engine: bytes | None = None  # `Engine.snapshot()` at the same place, where there is one
    due: Sequence[DueLegs] = ()  # trades that are not settled


class Check(NamedTuple):
    """One proof: its name, how many differences, and the figures in words."""

    name: str
    breaks: int
    figures: str

    @property
    def ok(self) -> bool:
        """Whether nothing differs. O(1)."""
        return self.breaks == 0


def reconcile(books: Books) -> list[Check]:
    """Every check, in the data's order. O(accounts + orders)."""
    checks = [_engine_equals_events(books)] if books.engine is not None else []
    return [
        *checks,
        _holds_equal_open_orders(books),
        _engine_equals_ledger(books),
        _held_equals_due(books),
        _engine_equals_registry(books),
        _cash_conserved(books),
        _units_conserved(books),
        _units_on_the_venue(books),
    ]


def breaks(checks: list[Check]) -> int:
    """Differences over all checks. O(checks)."""
    return sum(check.breaks for check in checks)


def _check(name: str, wrong: list[str], figures: str) -> Check:
    shown = "; ".join(wrong[:SHOWN_MAX])
    more = f"; and {len(wrong) - SHOWN_MAX} more" if len(wrong) > SHOWN_MAX else ""
    return Check(name, len(wrong), f"{figures}: {shown}{more}" if wrong else figures)


def _compare(
    left: str, ours: Mapping[AssetKey, int], right: str, theirs: Mapping[AssetKey, int]
) -> list[str]:
    return [
        f"account {account} {_asset(asset)}: {left} {ours.get((account, asset), 0)}, "
        f"{right} {theirs.get((account, asset), 0)}"
        for account, asset in sorted(ours.keys() | theirs.keys())
        if ours.get((account, asset), 0) != theirs.get((account, asset), 0)
    ]


def _asset(asset: int) -> str:
    return "cash" if asset == CASH else f"units of instrument {asset}"


def _engine_equals_events(books: Books) -> Check:
    assert books.engine is not None  # noqa: S101 - the caller asked
    wrong = compare_positions(books.positions, books.engine)
    accounts, orders = len(books.positions.accounts), len(books.positions.orders)
    return _check(
        "engine state equals its events", wrong, f"{accounts} accounts, {orders} open orders"
    )


def _holds_equal_open_orders(books: Books) -> Check:
    positions = books.positions
    cash, units = positions.held_by_orders()
    wrong = list(positions.differences)
    held_cash = held_units = 0
    for account_id, account in positions.accounts.items():
        held_cash += account.cash.held
        if account.cash.held != cash.get(account_id, 0):
            wrong.append(
                f"account {account_id} cash: held {account.cash.held}, "
                f"open orders need {cash.get(account_id, 0)}"
            )
        for instrument_id, holding in account.units.items():
            held_units += holding.held
            needed = units.get((account_id, instrument_id), 0)
            if holding.held != needed:
                wrong.append(
                    f"account {account_id} units of instrument {instrument_id}: held "
                    f"{holding.held}, open orders need {needed}"
                )
    figures = f"{held_cash} minor units and {held_units} t for {len(positions.orders)} orders"
    return _check(HOLDS_CHECK, wrong, figures)


def _engine_balances(positions: Positions) -> dict[AssetKey, int]:
    balances = {(account, CASH): amount for account, amount in positions.cash_totals() if amount}
    balances.update(positions.unit_totals())
    return balances


def _engine_equals_ledger(books: Books) -> Check:
    ours = _engine_balances(books.positions)
    theirs = {key: amount for key, amount in _by_owner(books.ledger).items() if amount}
    wrong = _compare("engine", ours, "ledger", theirs)
    fees = books.ledger.get((FEE_INCOME, CASH), 0)
    if fees != books.positions.fees:
        wrong.append(f"fees: engine {books.positions.fees}, ledger {fees}")
    return _check(LEDGER_CHECK, wrong, f"{len(ours)} balances, fees {books.positions.fees}")


def _by_owner(ledger: Mapping[AssetKey, int]) -> dict[AssetKey, int]:
    """What members have, available and held for settlement together. O(balances)."""
    sums: dict[AssetKey, int] = {}
    for (account, asset), amount in ledger.items():
        if account >= 0:
            key = owner_of(account), asset
            sums[key] = sums.get(key, 0) + amount
    return sums


def _held_equals_due(books: Books) -> Check:
    needed: dict[AssetKey, int] = {}
    for legs in books.due:
        for key, amount in (
            ((held_settlement(legs.seller_account), CASH), legs.proceeds),
            ((held_settlement(legs.buyer_account), legs.instrument_id), legs.quantity),
        ):
            needed[key] = needed.get(key, 0) + amount
    held = {key: amount for key, amount in books.ledger.items() if key[0] >= HELD_SETTLEMENT}
    wrong = [
        f"account {owner_of(account)} {_asset(asset)}: held {held.get((account, asset), 0)}, "
        f"trades due need {needed.get((account, asset), 0)}"
        for account, asset in sorted(held.keys() | needed.keys())
        if held.get((account, asset), 0) != needed.get((account, asset), 0)
    ]
    tonnes = sum(legs.quantity for legs in books.due)
    cash = sum(legs.proceeds for legs in books.due)
    return _check(HELD_CHECK, wrong, f"{cash} minor units against {tonnes} t")


def _engine_equals_registry(books: Books) -> Check:
    """The registry moves the units of a trade when it is settled, the engine with the fill."""
    ours = dict(books.positions.unit_totals())
    then = dict(books.trading_units)
    for legs in books.due:
        bought, sold = (
            (account, legs.instrument_id) for account in (legs.buyer_account, legs.seller_account)
        )
        then[bought] = then.get(bought, 0) + legs.quantity
        then[sold] = then.get(sold, 0) - legs.quantity
    theirs = {key: amount for key, amount in then.items() if amount}
    wrong = _compare("engine", ours, "registry", theirs)
    return _check(REGISTRY_CHECK, wrong, f"{sum(ours.values())} t in {len(ours)} holdings")


def _cash_conserved(books: Books) -> Check:
    positions = books.positions
    came = positions.cash_deposited - positions.cash_withdrawn
    there = sum(amount for _, amount in positions.cash_totals())
    wrong = []
    if came != there + positions.fees:
        wrong.append(f"{there} in accounts and {positions.fees} of fees are not {came}")
    if books.ledger.get((EXTERNAL_CASH, CASH), 0) != -came:
        wrong.append(f"ledger's external cash is {books.ledger.get((EXTERNAL_CASH, CASH), 0)}")
    total = sum(amount for (_, asset), amount in books.ledger.items() if asset == CASH)
    if total:
        wrong.append(f"the ledger's cash sums to {total}, not 0")
    figures = (
        f"deposits {positions.cash_deposited} - withdrawals {positions.cash_withdrawn} = "
        f"balances {there} + fees {positions.fees}"
    )
    return _check(CASH_CHECK, wrong, figures)


def _units_conserved(books: Books) -> Check:
    wrong, totals = [], [0, 0, 0, 0]
    tables = (books.issued, books.held, books.surrendered, books.cancelled)
    for instrument_id in sorted(set().union(*tables)):
        amounts = [table.get(instrument_id, 0) for table in tables]
        totals = [total + amount for total, amount in zip(totals, amounts, strict=True)]
        issued, held, surrendered, cancelled = amounts
        if issued != held + surrendered + cancelled:
            wrong.append(
                f"instrument {instrument_id}: issued {issued} t, held {held} + surrendered "
                f"{surrendered} + cancelled {cancelled}"
            )
    issued, held, surrendered, cancelled = totals
    figures = f"issued {issued} t = held {held} + surrendered {surrendered} + cancelled {cancelled}"
    return _check(ISSUE_CHECK, wrong, figures)


def _units_on_the_venue(books: Books) -> Check:
    held: dict[int, int] = {}
    for (_, instrument_id), amount in books.positions.unit_totals():
        held[instrument_id] = held.get(instrument_id, 0) + amount
    wrong, total = [], 0
    for instrument_id, instrument in sorted(books.positions.instruments.items()):
        came = instrument.deposited - instrument.released
        total += came
        there = held.get(instrument_id, 0)
        outside = books.ledger.get((EXTERNAL_UNITS, instrument_id), 0)
        if not came == there == -outside:
            wrong.append(
                f"instrument {instrument_id}: deposits less releases {came} t, holdings {there}, "
                f"ledger's external units {outside}"
            )
    return _check(VENUE_CHECK, wrong, f"{total} t")
