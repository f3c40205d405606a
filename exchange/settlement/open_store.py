"""The rows of trades on their way to settlement: written with a batch, read at the start.

Statements for both databases; the stores of `exchange.settlement.store` run them on their own
connections, in the transaction of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from exchange.settlement.cycle import OPEN, TradeState
from exchange.settlement.open_trades import (
    Act,
    Approval,
    Changes,
    Loaded,
    OpenTrade,
    Proposal,
    TradeTerms,
)
from exchange.settlement.suspensions import Member, Suspensions

_OPEN_STATES = ", ".join(str(int(state)) for state in sorted(OPEN))
_TERMS = ", ".join(f"t.{name}" for name in TradeTerms._fields)
_STATE = ("state", "due_ns", "is_late", "since_ns", "ref", "instruction_id", "account", "acts")
_STATES = ", ".join(f"s.{name}" for name in _STATE)
_ACT = ("trade_id", "number", "message", "state_before", "state_after", "instruction_id",
        "event_number", "given_by", "reason", "time_ns")  # fmt: skip

Mark = Callable[[int], str]  # how a database writes its n-th parameter, from 1
Statement = tuple[str, list[tuple[Any, ...]]]


def question_mark(_at: int) -> str:
    """How SQLite writes a parameter. O(1)."""
    return "?"


def dollar_mark(at: int) -> str:
    """How PostgreSQL writes a parameter. O(1)."""
    return f"${at}"


def statements(market: int, changes: Changes, mark: Mark) -> list[Statement]:
    """What writes the changes: statements with the rows for each, where any. O(changes)."""
    trades = [(trade_id, *item[1:]) for trade_id, item in sorted(changes.trades.items())]
    accounts, participants = changes.suspensions
    found: list[Statement] = [
        (_upsert("settlement_account", ("account",), Member._fields, market, mark),
         [(account, *member) for account, member in sorted(accounts.items())]),
        (_upsert("settlement_participant", ("participant",), ("is_suspended",), market, mark),
         sorted(participants.items())),
        (_upsert("settlement_instrument", ("instrument_id",), ("resale",), market, mark),
         sorted(changes.resale.items())),
        (_upsert("trade_settlement", ("trade_id",), _STATE, market, mark), trades),
        (_insert("settlement_act", _ACT, market, mark), _rows(changes.acts)),
        (_insert("trade_cancel_proposal", Proposal._fields, market, mark),
         _rows(changes.proposals)),
        (_insert("trade_cancel_approval", Approval._fields, market, mark),
         _rows(changes.approvals)),
    ]  # fmt: skip
    return [(statement, rows) for statement, rows in found if rows]


def open_query(market: int) -> str:
    """The trades that something still follows, by id."""
    return (
        f"SELECT {_TERMS}, {_STATES} FROM trade_settlement s JOIN trade t "  # noqa: S608
        "ON t.market = s.market AND t.trade_id = s.trade_id "
        f"WHERE s.market = {int(market)} AND s.state IN ({_OPEN_STATES}) ORDER BY t.trade_id"
    )


def trades_query(market: int, trade_ids: Iterable[int]) -> str:
    """Trades by id, with where they stand; NULLs for those settled with the fill."""
    named = ", ".join(str(int(trade_id)) for trade_id in sorted(trade_ids))
    return (
        f"SELECT {_TERMS}, {_STATES} FROM trade t LEFT JOIN trade_settlement s "  # noqa: S608
        "ON t.market = s.market AND t.trade_id = s.trade_id "
        f"WHERE t.market = {int(market)} AND t.trade_id IN ({named})"
    )


def proposals_query(market: int) -> str:
    """Every proposal: whoever starts anew refuses an old one as who ran on does."""
    return (
        f"SELECT {', '.join(Proposal._fields)} FROM trade_cancel_proposal "  # noqa: S608
        f"WHERE market = {int(market)} ORDER BY instruction_id"
    )


def resale_query(market: int) -> str:
    """What is known of each instrument."""
    return (
        "SELECT instrument_id, resale FROM settlement_instrument "  # noqa: S608
        f"WHERE market = {int(market)}"
    )


def accounts_query(market: int) -> str:
    """Whose each account is, and whether it is suspended."""
    return (
        f"SELECT account, {', '.join(Member._fields)} FROM settlement_account "  # noqa: S608
        f"WHERE market = {int(market)}"
    )


def participants_query(market: int) -> str:
    """Which participants are suspended."""
    return (
        "SELECT participant, is_suspended FROM settlement_participant "  # noqa: S608
        f"WHERE market = {int(market)}"
    )


def ref_query(market: int) -> str:
    """The last ref given to a step, 0 before the first."""
    return (
        "SELECT coalesce(max(ref), 0) FROM trade_settlement "  # noqa: S608
        f"WHERE market = {int(market)} AND ref <> 0"
    )


def loaded_from(
    trades: Sequence[Sequence[Any]],
    proposals: Sequence[Sequence[Any]],
    resale: Sequence[Sequence[Any]],
    ref: Sequence[Sequence[Any]],
    accounts: Sequence[Sequence[Any]],
    participants: Sequence[Sequence[Any]],
) -> Loaded:
    """The rows of the six queries. O(rows)."""
    return Loaded(
        [trade_from(row) for row in trades],
        [Proposal(*row) for row in proposals],
        {int(row[0]): int(row[1]) for row in resale},
        int(ref[0][0]),
        Suspensions(
            {int(row[0]): Member(int(row[1]), int(row[2])) for row in accounts},
            {int(row[0]): int(row[1]) for row in participants},
        ),
    )


def trade_from(row: Sequence[Any]) -> OpenTrade:
    """A row of `open_query` or `trades_query`. O(1)."""
    terms, state = row[: len(TradeTerms._fields)], row[len(TradeTerms._fields) :]
    if state[0] is None:
        return OpenTrade(TradeTerms(*terms), int(TradeState.SETTLED), 0)
    return OpenTrade(TradeTerms(*terms), *state)


def _rows(items: Sequence[Act | Proposal | Approval]) -> list[tuple[Any, ...]]:
    return [tuple(item) for item in items]


@functools.cache
def _insert(table: str, columns: tuple[str, ...], market: int, mark: Mark) -> str:
    marks = ", ".join(mark(at) for at in range(1, len(columns) + 1))
    return (
        f"INSERT INTO {table} (market, {', '.join(columns)}) "  # noqa: S608
        f"VALUES ({int(market)}, {marks})"
    )


@functools.cache
def _upsert(
    table: str, keys: tuple[str, ...], values: tuple[str, ...], market: int, mark: Mark
) -> str:
    changed = ", ".join(f"{name} = excluded.{name}" for name in values)
    inserted = _insert(table, (*keys, *values), market, mark)
    return f"{inserted} ON CONFLICT (market, {', '.join(keys)}) DO UPDATE SET {changed}"
