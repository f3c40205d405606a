"""verify, replay and reconcile: green on a sound venue, and each lie is found and named."""

from __future__ import annotations

from typing import Any

import pytest

from exchange import audit, topics
from exchange.audit.reconciliation import DueLegs, breaks
from exchange.engine.outbox import place_of
from exchange.engine.snapshots import EngineSnapshot, SnapshotStore
from exchange.ledger import CASH, EXTERNAL_CASH, EXTERNAL_UNITS, FEE_INCOME, held_settlement
from exchange.messages.frames import GENESIS, HEADER_SIZE, chain_of_part, seal_events
from exchange.positions import Positions, project
from matching import Engine, reference

ORDERS, EVENTS = topics.orders(0), topics.events(0)


def write(log: Any, frames: list[bytes], *, events: int | None = None) -> Any:
    """The frames on `orders` and an engine's answers on `events` (the first `events` of them)."""
    engine, chain = Engine(), GENESIS
    log.take(ORDERS, frames)
    for record in log.rows[ORDERS][:events]:
        first = engine.next_event
        said = engine.apply(record.offset, record.append_ns, record.value)
        parts, chain = seal_events(
            said,
            input_offset=record.offset,
            first_event=first,
            epoch=engine.epoch,
            time_ns=engine.time_ns,
            chain=chain,
        )
        log.take(EVENTS, parts)
    return engine


@pytest.mark.parametrize("body", [Engine, reference.Engine])
async def test_verify_and_replay_a_sound_log(memory_log, make_flow, body):
    engine = write(memory_log, make_flow(1).frames(120), events=110)
    rows = memory_log.rows[EVENTS]
    memory_log.take(EVENTS, [row.value for row in rows[50:60]])
    steps: list[tuple[int, int]] = []
    found = await audit.verify(
        memory_log, 0, engine=body, progress=lambda done, end: steps.append((done, end))
    )
    assert found.differences == ()
    assert found.is_sound
    assert (found.inputs, found.unanswered, found.repeats) == (110, 11, 10)
    assert found.events == engine.next_event
    assert found.state_hash == engine.state_hash()
    assert steps[-1] == (120, 120)
    again = await audit.replay(
        memory_log, 0, engine=body, end=110, progress=lambda done, end: steps.append((done, end))
    )
    assert (again.state_hash, again.chain) == (found.state_hash, found.chain)
    assert (again.inputs, again.events) == (110, found.events)
    assert steps[-1] == (110, 110)
    whole = await audit.replay(memory_log, 0, engine=body)
    assert whole.inputs == 121
    assert whole.state_hash != found.state_hash


async def test_replay_refuses_an_end_past_the_log(memory_log, make_flow):
    """Waiting for records that were never written would not end."""
    write(memory_log, make_flow(1).frames(20))
    held = len(memory_log.rows[ORDERS])
    assert (await audit.replay(memory_log, 0, end=held)).inputs == held
    with pytest.raises(ValueError, match=rf"end {held + 1} is past .* orders 0 ends at {held}$"):
        await audit.replay(memory_log, 0, end=held + 1)


async def test_verify_an_empty_log(memory_log):
    found = await audit.verify(memory_log, 0)
    assert found.is_sound
    assert (found.inputs, found.unanswered, found.events) == (0, 0, 0)


async def test_verify_names_an_altered_answer(memory_log, make_flow):
    write(memory_log, make_flow(2).frames(40))
    rows = memory_log.rows[EVENTS]
    victim = next(r for r in rows[20:] if len(r.value) > 200)
    altered = victim.value[:150] + bytes([victim.value[150] ^ 1]) + victim.value[151:]
    rows[victim.offset] = victim._replace(value=altered)
    (difference,) = (await audit.verify(memory_log, 0)).differences
    assert f"events record {victim.offset}" in difference


def records_of(row: Any) -> bytes:
    return bytes(row.value[HEADER_SIZE:])


async def test_verify_names_an_answer_that_is_well_made_and_wrong(memory_log, make_flow):
    """Whoever can write the topic can also mend the chain: only the engine knows better."""
    write(memory_log, make_flow(3).frames(40))
    rows = memory_log.rows[EVENTS]
    at = 20
    original = records_of(rows[at])[24:32]
    chain = rows[at - 1].value[HEADER_SIZE - 32 : HEADER_SIZE]
    for row in list(rows[at:]):
        origin, first, time_ns = (
            int.from_bytes(row.value[a : a + 8], "little") for a in (24, 32, 16)
        )
        records = row.value[HEADER_SIZE:]
        if row.offset == at:
            records = records[:24] + b"\x01" + records[25:]
        (value,), chain = seal_events(
            records,
            input_offset=origin,
            first_event=first,
            epoch=0,
            time_ns=time_ns,
            chain=chain,
        )
        rows[row.offset] = row._replace(value=value)
    (difference,) = (await audit.verify(memory_log, 0)).differences
    assert f"events record {at}" in difference
    assert "not what the engine computes" in difference
    said, right = (int.from_bytes(b, "little") for b in (records_of(rows[at])[24:32], original))
    assert f"quantity {said} where {right} is right" in difference


async def test_verify_names_an_altered_command_and_a_lost_one(memory_log, make_flow):
    write(memory_log, make_flow(4).frames(40))
    rows = memory_log.rows[ORDERS]
    kept = rows[0]
    rows[0] = kept._replace(value=kept.value[:-1] + bytes([kept.value[-1] ^ 1]))
    (difference,) = (await audit.verify(memory_log, 0)).differences
    assert "input 0 part 0" in difference
    rows[0] = kept
    del rows[30:]
    (difference,) = (await audit.verify(memory_log, 0)).differences
    assert "orders ends at 30" in difference


async def test_positions_that_differ_are_named(memory_log, make_flow):
    engine = write(memory_log, make_flow(5).frames(60))
    positions = await project(memory_log, 0)
    assert audit.compare_positions(positions, engine.snapshot()) == []
    positions.accounts[1].cash.available += 1
    positions.accounts[2].units[1].locked += 5
    positions.instruments[1].last_price = 1
    positions.fees += 2
    text = "\n".join(audit.compare_positions(positions, engine.snapshot()))
    for words in ("account 1", "(2, 1)", "instrument 1", "total fees"):
        assert words in text
    behind = audit.compare_positions(Positions(), engine.snapshot())
    assert behind == ["positions stand at input 0, engine at 61"]


def books_of(positions: Positions, engine: bytes) -> audit.Books:
    """What a ledger and a registry that did everything right would say."""
    trading = dict(positions.unit_totals())
    ledger = {(account, CASH): amount for account, amount in positions.cash_totals()} | trading
    ledger[FEE_INCOME, CASH] = positions.fees
    ledger[EXTERNAL_CASH, CASH] = positions.cash_withdrawn - positions.cash_deposited
    held = {}
    for key, instrument in positions.instruments.items():
        ledger[EXTERNAL_UNITS, key] = instrument.released - instrument.deposited
        held[key] = instrument.deposited - instrument.released + 100
    return audit.Books(
        positions=positions,
        ledger=ledger,
        trading_units=trading,
        issued={key: amount + 7 for key, amount in held.items()},
        held=held,
        surrendered=dict.fromkeys(held, 4),
        cancelled=dict.fromkeys(held, 3),
        engine=engine,
    )


@pytest.fixture
async def books(memory_log: Any, make_flow: Any) -> audit.Books:
    engine = write(memory_log, make_flow(6).frames(150))
    return books_of(await project(memory_log, 0), engine.snapshot())


async def test_reconcile_is_green_on_sound_books(books):
    checks = audit.reconcile(books)
    assert [check for check in checks if not check.ok] == []
    assert breaks(checks) == 0
    assert len(checks) == 8
    assert all(any(c.isdigit() for c in check.figures) for check in checks)
    assert len(audit.reconcile(books._replace(engine=None))) == 7


LIES = [
    ("engine equals ledger", "ledger", (1, CASH), 1, "account 1 cash"),
    ("engine equals ledger", "ledger", (2, 3), -1, "account 2 units of instrument 3"),
    ("engine equals ledger", "ledger", (FEE_INCOME, CASH), 1, "fees"),
    ("engine equals ledger", "ledger", (404, CASH), 1, "account 404"),
    (
        "held for settlement equals trades due",
        "ledger",
        (held_settlement(1), CASH),
        1,
        "account 1 cash: held 1, trades due need 0",
    ),
    ("engine equals registry", "trading_units", (3, 1), 1, "account 3 units of instrument 1"),
    ("units conserved", "issued", 1, 1, "instrument 1: issued"),
    ("units conserved", "surrendered", 2, -1, "instrument 2: issued"),
    ("cash conserved", "ledger", (EXTERNAL_CASH, CASH), 1, "external cash"),
    (
        "units on the venue equal deposits less releases",
        "ledger",
        (EXTERNAL_UNITS, 1),
        1,
        "external units",
    ),
]


@pytest.mark.parametrize(("name", "table", "key", "more", "words"), LIES)
async def test_each_difference_fails_its_check(books, name, table, key, more, words):
    changed = dict(getattr(books, table))
    changed[key] = changed.get(key, 0) + more
    checks = audit.reconcile(books._replace(**{table: changed}))
    failed = {check.name: check.figures for check in checks if not check.ok}
    assert name in failed
    assert words in failed[name]
    assert breaks(checks) >= 1


async def test_a_hold_without_its_order_fails(books):
    books.positions.accounts[1].cash.held += 1
    failed = {check.name for check in audit.reconcile(books) if not check.ok}
    assert "holds equal open orders" in failed
    assert "engine state equals its events" in failed


async def test_many_differences_are_counted_and_some_are_shown(books):
    ledger = {key: amount + 1 for key, amount in books.ledger.items()}
    (check,) = (
        c
        for c in audit.reconcile(books._replace(ledger=ledger))
        if c.name == "engine equals ledger"
    )
    assert check.breaks > 10
    assert "more" in check.figures


async def test_a_trade_that_is_due_is_held_and_not_in_the_registry_yet(books):
    held = {(held_settlement(1), CASH): 500, (1, CASH): books.ledger.get((1, CASH), 0) - 500}
    held |= {(held_settlement(2), 1): 7, (2, 1): books.ledger.get((2, 1), 0) - 7}
    trading = dict(books.trading_units)
    trading[2, 1] = trading.get((2, 1), 0) - 7
    trading[1, 1] = trading.get((1, 1), 0) + 7
    due = [DueLegs(2, 1, 1, 7, 500)]
    moved = books._replace(ledger={**books.ledger, **held}, trading_units=trading, due=due)
    assert [check for check in audit.reconcile(moved) if not check.ok] == []
    failed = {c.name for c in audit.reconcile(moved._replace(due=())) if not c.ok}
    assert failed == {"held for settlement equals trades due", "engine equals registry"}


def kept(memory_log: Any, folder: Any, at: int) -> Any:
    """A snapshot as an engine leaves it after the records below `at`, and its path."""
    engine = Engine()
    for record in memory_log.rows[ORDERS][:at]:
        engine.apply(record.offset, record.append_ns, record.value)
    rows = memory_log.rows[EVENTS]
    place = next(n for n, row in enumerate(rows) if place_of(n, row.value) == (at, 0))
    chain = chain_of_part(rows[place - 1].value)
    snapshot = EngineSnapshot(at, engine.next_event, place, chain, engine.snapshot())
    return snapshot, SnapshotStore(folder, kept=3).save(snapshot, writer=1)


@pytest.mark.parametrize("body", [Engine, reference.Engine])
async def test_verify_from_a_snapshot_gives_what_the_whole_gives(
    memory_log, make_flow, tmp_path, body
):
    write(memory_log, make_flow(21).frames(120))
    begin, _ = kept(memory_log, tmp_path, 70)
    whole = await audit.verify(memory_log, 0)
    steps: list[tuple[int, int]] = []
    found = await audit.verify(
        memory_log, 0, engine=body, begin=begin,
        progress=lambda done, end: steps.append((done, end)),
    )  # fmt: skip
    assert found.differences == ()
    assert (found.begin, found.inputs) == (70, whole.inputs)
    assert (found.chain, found.state_hash) == (whole.chain, whole.state_hash)
    assert steps[-1] == (whole.inputs - 70, whole.inputs - 70)


async def test_verify_from_a_snapshot_finds_what_comes_after(memory_log, make_flow, tmp_path):
    write(memory_log, make_flow(22).frames(120))
    begin, _ = kept(memory_log, tmp_path, 70)
    rows = memory_log.rows[EVENTS]
    for at in (30, 100):  # the first stands before the snapshot
        victim = rows[at]
        rows[at] = victim._replace(value=victim.value[:-1] + bytes([victim.value[-1] ^ 1]))
    (difference,) = (await audit.verify(memory_log, 0, begin=begin)).differences
    assert "events record 100" in difference
    with pytest.raises(ValueError, match="snapshot"):
        await audit.verify(memory_log, 0, begin=begin._replace(state=begin.state[:-1]))


async def test_verify_compares_the_snapshots_on_its_way(memory_log, make_flow, tmp_path):
    write(memory_log, make_flow(23).frames(120))
    paths = {at: kept(memory_log, tmp_path, at)[1] for at in (40, 70, 100)}
    found = await audit.verify(memory_log, 0, snapshots=paths)
    assert (found.snapshots, found.differences) == (3, ())
    other, _ = kept(memory_log, tmp_path / "other", 41)
    SnapshotStore(tmp_path, kept=3).save(other._replace(next_offset=70), writer=1)
    (difference,) = (await audit.verify(memory_log, 0, snapshots=paths)).differences
    assert difference.startswith(f"snapshot {paths[70].name}: its state is ")
    paths[70].write_bytes(paths[70].read_bytes()[:-5])
    (difference,) = (await audit.verify(memory_log, 0, snapshots=paths)).differences
    assert f"snapshot {paths[70].name}: " in difference
    assert "bytes where" in difference


async def test_a_damaged_snapshot_does_not_end_the_proof_of_the_history(
    memory_log, make_flow, tmp_path
):
    """It is a finding of its own: the history behind it is proved all the same."""
    write(memory_log, make_flow(24).frames(120), events=115)
    paths = {at: kept(memory_log, tmp_path, at)[1] for at in (40, 70, 100)}
    whole = await audit.verify(memory_log, 0)
    for at in (40, 70):
        paths[at].write_bytes(b"damaged")
    found = await audit.verify(memory_log, 0, snapshots=paths)
    told = [difference.partition(": ")[0] for difference in found.differences]
    assert told == [f"snapshot {paths[40].name}", f"snapshot {paths[70].name}"]
    assert (found.is_whole, found.snapshots) == (True, 3)
    assert found._replace(differences=(), snapshots=0) == whole
    rows = memory_log.rows[EVENTS]
    rows[90] = rows[90]._replace(value=rows[90].value[:-1] + b"?")
    found = await audit.verify(memory_log, 0, snapshots=paths)
    assert "events record 90" in found.differences[0]
    assert len(found.differences) == 3
    assert (found.is_whole, found.unanswered) == (False, 0), "it did not look there"


@pytest.mark.parametrize("body", [Engine, reference.Engine])
async def test_a_snapshot_is_compared_as_a_whole(memory_log, make_flow, tmp_path, body):
    """With the right hash at the end of a wrong body no engine would begin from it."""
    write(memory_log, make_flow(25).frames(120))
    snapshot, path = kept(memory_log, tmp_path, 70)
    state = bytearray(snapshot.state)
    state[len(state) // 2] ^= 1
    with pytest.raises(ValueError, match=r"."):
        body.restore(bytes(state))
    SnapshotStore(tmp_path, kept=3).save(snapshot._replace(state=bytes(state)), writer=1)
    found = await audit.verify(memory_log, 0, engine=body, snapshots={70: path})
    (difference,) = found.differences
    assert difference == f"snapshot {path.name}: its state is not that of the hash at its end"


def test_what_was_just_saved_stays_below_unsound_files(memory_log, make_flow, tmp_path):
    """Files with higher names, torn or of another log, are no reason to have nothing."""
    write(memory_log, make_flow(26).frames(60))
    for at in (900, 901, 902):
        (tmp_path / f"{at:020d}.snapshot").write_bytes(b"torn")
    store = SnapshotStore(tmp_path, kept=3)
    for at in (30, 40):
        snapshot, path = kept(memory_log, tmp_path, at)
        assert path.exists()
        assert store.newest() == snapshot
    assert len(store.newest_first()) == 4, "of those below, the newest"
