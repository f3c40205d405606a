"""Bugs to plant, so that it can be seen whether the simulation finds them.

Each is a mistake that somebody could make, put into the venue's code from outside while a run
lasts; the auditor's own engine stays sound. Nothing of this is part of a venue.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from exchange.auctions import Auctions
from exchange.derived import DerivedService
from exchange.engine import service as engine_service
from exchange.engine import snapshots
from exchange.engine.publisher import Publisher
from exchange.engine.snapshots import EngineSnapshot
from exchange.fault_points import reached
from exchange.log.protocol import AppendUncertainError, LogError, Record
from exchange.log.simulated import SimulatedLog, SimulatedReader
from exchange.marketdata.service import MarketDataService
from exchange.messages.executions import ExecutionReport, Reject
from exchange.messages.frames import Event, EventRow, order_id_of
from exchange.messages.reasons import EdgeReason
from exchange.outbox import NumberedTopic
from exchange.registry.service import RegistryService
from exchange.registry.surrenders import SurrenderChecks
from exchange.registry.years import Figures
from exchange.settlement import service
from exchange.settlement.store import Batch, SqliteStore
from exchange.simulation.faults import mistakes
from exchange.simulation.faults.engines import (
    LosesHolds,
    PrefersNewest,
    ReferenceEngine,
    TakesLastRefAgain,
    replaced,
    without_refs,
)
from gateway.access.keyring import KeyRing
from gateway.control.operations import Operations
from gateway.entry.intake import ParticipantIntake
from gateway.entry.submitter import Submitter
from gateway.faults import house
from gateway.refusal import Refused
from gateway.views.executions import Execution
from gateway.views.requests import Requests
from gateway.views.venue_view import MarketView
from gateway.websocket import sessions
from gateway.websocket.sessions import OrderSession, ReportHub

Plant = Callable[[], contextlib.AbstractContextManager[None]]


def _with_engine(engine: type[ReferenceEngine]) -> contextlib.AbstractContextManager[None]:
    return replaced((house, "Engine", engine), (house, "ReferenceEngine", engine))


def _in_both(places: mistakes.Places) -> contextlib.AbstractContextManager[None]:
    """A mistake of the rules, which every engine makes, the auditor's among them."""
    return replaced((house, "Engine", ReferenceEngine), *places)


# -- the engine ---------------------------------------------------------------------------------


def _snapshot_forgets_refs() -> contextlib.AbstractContextManager[None]:
    load = snapshots.load

    def forgetful(path: Path) -> EngineSnapshot:
        snapshot = load(path)
        return snapshot._replace(state=without_refs(snapshot.state))

    return replaced((engine_service, "load", forgetful))


def _uncertain_is_certain() -> contextlib.AbstractContextManager[None]:
    publish = Publisher._publish

    async def trusting(publisher: Publisher) -> None:
        log = publisher._log

        class Trusting:
            """Takes an uncertain append for a certain one."""

            async def append(self, partition: Any, values: Sequence[bytes]) -> list[int]:
                try:
                    return await log.append(partition, values)
                except AppendUncertainError:
                    first = publisher._replica.events_offset
                    return list(range(first, first + len(values)))

            def __getattr__(self, name: str) -> Any:
                return getattr(log, name)

        publisher._log = Trusting()
        try:
            await publish(publisher)
        finally:
            publisher._log = log

    return replaced((Publisher, "_publish", trusting))


def _ticks_when_idle() -> contextlib.AbstractContextManager[None]:
    note, said_ns = Publisher._note, dict[Publisher, int]()

    def noted(publisher: Publisher, is_mark_confirmed: bool) -> None:
        said_ns[publisher] = publisher._clock.monotonic_ns()
        note(publisher, is_mark_confirmed)

    async def when_idle(publisher: Publisher) -> None:
        silent_ns = publisher._clock.monotonic_ns() - said_ns.get(publisher, 0)
        if publisher._replica.is_leading and silent_ns >= publisher._tick_ns:
            await publisher._tick()

    return replaced(
        (Publisher, "_note", noted),
        (Publisher, "_tick_if_due", when_idle),
        (Publisher, "_idle_s", lambda publisher: publisher._tick_ns / 1e9),
    )


# -- the gateway --------------------------------------------------------------------------------


def _acknowledges_early() -> contextlib.AbstractContextManager[None]:
    async def write(submitter: Submitter, tickets: list[Any]) -> None:
        log, partition = submitter._log, submitter._partition
        assert isinstance(log, SimulatedLog)  # noqa: S101 - planted in a simulation
        offset = log._disk.end_visible(partition)
        index = 0
        for ticket in tickets:
            submitter._finish(ticket, position=order_id_of(offset, index))
            index += len(ticket.commands)
            ticket.done = lambda _: None
        await original(submitter, tickets)

    original = Submitter._write
    return replaced((Submitter, "_write", write))


def _unknown_is_refused() -> contextlib.AbstractContextManager[None]:
    finish = Submitter._finish

    def refuse(
        submitter: Submitter, ticket: Any, *, position: int = -1, refused: Refused | None = None
    ) -> None:
        if refused is not None and refused.row.number == EdgeReason.STATUS_UNKNOWN:
            refused = Refused(EdgeReason.INVALID_FIELD, "the log did not take it")
        finish(submitter, ticket, position=position, refused=refused)

    return replaced((Submitter, "_finish", refuse))


def _kill_leaves_orders() -> contextlib.AbstractContextManager[None]:
    switch = Operations._switch

    def half(operations: Operations, *asked: Any) -> list[bytes]:
        return switch(operations, *asked)[:1]

    return replaced((Operations, "_switch", half))


def _resume_skips_one() -> contextlib.AbstractContextManager[None]:
    resume = OrderSession._resume

    def later(session: OrderSession, key: Any, view: Any, sequence: int) -> None:
        resume(session, key, view, sequence + 2 if sequence else 0)

    return replaced((OrderSession, "_resume", later))


def _report_leaks() -> contextlib.AbstractContextManager[None]:
    publish = ReportHub.publish

    def leak(hub: ReportHub, view: Any, executions: list[Any]) -> None:
        publish(hub, view, executions)
        for item in executions:
            if item.is_trade and item.sequence % 8 == 3:
                owner = hub._participant[view.market.code].get(item.account, 0)
                for other in sorted(hub._receivers.keys() - {owner}):
                    for receiver in list(hub._receivers[other]):
                        receiver(view.market.code, [item])

    return replaced((ReportHub, "publish", leak))


def _in_other_words(
    change: Callable[[ExecutionReport], ExecutionReport],
) -> contextlib.AbstractContextManager[None]:
    """Sessions are told execution reports as `change` makes them."""
    write: Any = sessions.__dict__["json_array"]

    def changed(message: Any) -> Any:
        report = message.report if isinstance(message, Execution) else message
        return change(report) if isinstance(report, ExecutionReport) else message

    return replaced(
        (sessions, "json_array", lambda messages: write([changed(item) for item in messages]))
    )


def _cancelled_with_leaves() -> contextlib.AbstractContextManager[None]:
    def stale(report: ExecutionReport) -> ExecutionReport:
        if report.exec_type != "CANCELLED":
            return report
        leaves = report.order_quantity - report.cumulative_quantity
        return msgspec.structs.replace(report, leaves_quantity=leaves)

    return _in_other_words(stale)


def _reused_ref_is_status() -> contextlib.AbstractContextManager[None]:
    def kind(report: ExecutionReport) -> ExecutionReport:
        if report.exec_type != "REJECTED" or report.reason != EdgeReason.REF_REUSED:
            return report
        return msgspec.structs.replace(report, exec_type="ORDER_STATUS", reason=0)

    return _in_other_words(kind)


def _average_of_last() -> contextlib.AbstractContextManager[None]:
    def last(report: ExecutionReport) -> ExecutionReport:
        if report.exec_type != "TRADE":
            return report
        return msgspec.structs.replace(report, average_price=f"{report.last_price}0000")

    return _in_other_words(last)


def _partly_is_new() -> contextlib.AbstractContextManager[None]:
    def fresh(report: ExecutionReport) -> ExecutionReport:
        is_partly = report.order_status == "PARTIALLY_FILLED"
        return msgspec.structs.replace(report, order_status="NEW") if is_partly else report

    return _in_other_words(fresh)


def _time_is_cut() -> contextlib.AbstractContextManager[None]:
    def cut(report: ExecutionReport) -> ExecutionReport:
        time_ns = report.transact_time_ns // 1_000_000 * 1_000_000
        return msgspec.structs.replace(report, transact_time_ns=time_ns)

    return _in_other_words(cut)


def _one_person_loosens() -> contextlib.AbstractContextManager[None]:
    return replaced((Operations, "_needs_two", lambda *_: False))


def _refusal_swallowed() -> contextlib.AbstractContextManager[None]:
    append = ParticipantIntake._append

    async def quiet(intake: ParticipantIntake, answers: Any, done: int | None = None) -> None:
        told = [a for a in answers if not isinstance(a, Reject) or a.ref]
        if not told and done is not None:
            intake._done = max(intake._done, done)
        await append(intake, told, done)

    return replaced((ParticipantIntake, "_append", quiet))


# -- settlement, registry, market data ----------------------------------------------------------


def _position_outside() -> contextlib.AbstractContextManager[None]:
    def write(store: SqliteStore, batch: Batch) -> None:
        connection = store._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            store._write_rows(connection, batch._replace(after=batch.before))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        reached("settlement.commit.before")
        names = ", ".join(f"{name} = ?" for name in batch.after._fields)
        connection.execute(
            f"UPDATE settlement_position SET {names} WHERE market = ?",  # noqa: S608
            (*batch.after, store._market),
        )
        reached("settlement.commit.after")

    return replaced((SqliteStore, "_write", write))


def _half_delivery() -> contextlib.AbstractContextManager[None]:
    net_changes: Any = service.__dict__["net_changes"]

    def half(postings: Any) -> list[tuple[int, int, int]]:
        is_odd = (postings.event_number % 16 == 7) & (postings.leg == 2)
        found: list[tuple[int, int, int]] = net_changes(
            postings._replace(amount=np.where(is_odd, 0, postings.amount))
        )
        return found

    return replaced((service, "net_changes", half))


def _publish_gives_up() -> contextlib.AbstractContextManager[None]:
    publish = NumberedTopic.publish

    async def once(topic: NumberedTopic, values: Sequence[Any], stop: Any) -> None:
        append = topic._log.append

        class Once:
            """Goes on as if what failed had been written."""

            async def append(self, partition: Any, batch: Sequence[bytes]) -> list[int]:
                try:
                    return await append(partition, batch)
                except LogError:
                    return []

            def __getattr__(self, name: str) -> Any:
                return getattr(log, name)

        log = topic._log
        topic._log = Once()
        try:
            await publish(topic, values, stop)
        finally:
            topic._log = log

    return replaced((NumberedTopic, "publish", once))


def _deposits_forgotten() -> contextlib.AbstractContextManager[None]:
    load = RegistryService.load

    async def forgetful(registry: RegistryService) -> Any:
        position = await load(registry)
        registry._deposits = []
        return position

    return replaced((RegistryService, "load", forgetful))


def _cap_on_reported() -> contextlib.AbstractContextManager[None]:
    def bases(figures: Figures) -> dict[str, int]:
        found: dict[str, int] = original.fget(figures)
        if figures.reported is not None and figures.verified is not None:
            return dict.fromkeys(found, figures.reported)
        return found

    original: Any = Figures.__dict__["bases"]
    return replaced((Figures, "bases", property(bases)))


def _late_is_in_time() -> contextlib.AbstractContextManager[None]:
    return replaced((SurrenderChecks, "is_late", lambda *_: False))


def _public_skips_one() -> contextlib.AbstractContextManager[None]:
    stand_after = MarketDataService._stand_after

    def one_more(public: MarketDataService, values: Sequence[bytes]) -> bool:
        is_found = stand_after(public, values)
        public._said += is_found
        return is_found

    return replaced((MarketDataService, "_stand_after", one_more))


def _gone_is_skipped() -> contextlib.AbstractContextManager[None]:
    take = SimulatedReader._take

    def go_on(self: SimulatedReader, records_max: int) -> list[Record]:
        self._position = max(self._position, self._held.begin)
        return take(self, records_max)

    return replaced((SimulatedReader, "_take", go_on))


def _best_bid_shown() -> contextlib.AbstractContextManager[None]:
    closed: Any = Auctions.__dict__["_closed"]

    def best(seen: Auctions, row: EventRow, time_ns: int) -> None:
        bids = seen._running[row.instrument_id].bids.values()
        is_sold = row.kind == Event.AUCTION_CLEARED and row.quantity
        price = max(bid.price for bid in bids) if is_sold else row.price
        closed(seen, row._replace(price=price), time_ns)

    return replaced((Auctions, "_closed", best))


# -- stands -------------------------------------------------------------------------------------


def _stand_before_said() -> contextlib.AbstractContextManager[None]:
    apply = DerivedService._apply

    def early(self: Any, records: Sequence[Record]) -> list[Any]:
        made = apply(self, records)
        if records and self._keeper._stands is not None:
            self._next = records[-1].offset + 1
            state = self._state()
            if state is not None:
                self._keeper._stands.save(state)
        return made

    def trusting(self: Any, projection: Any) -> bool:
        self.depth, self._said = projection, max(self._said, projection.next_number)
        return True

    return replaced((DerivedService, "_apply", early), (MarketDataService, "_go_on", trusting))


def _stand_without_refs() -> contextlib.AbstractContextManager[None]:
    stood: Any = MarketView.__dict__["stand"]

    def forgetful(view: MarketView) -> dict[str, Any] | None:
        found = stood(view)
        return None if found is None else {**found, "requests": Requests(), "last_ref": {}}

    return replaced((MarketView, "stand", forgetful))


PLANTED: dict[str, tuple[Plant, str]] = {
    "hold-lost": (lambda: _with_engine(LosesHolds), "a cancelled buy's hold is not released"),
    "dedupe-off-by-one": (
        lambda: _with_engine(TakesLastRefAgain),
        "the last number of a session is taken a second time",
    ),
    "newest-first": (lambda: _with_engine(PrefersNewest), "the newest order of a level trades"),
    "snapshot-forgets-refs": (
        _snapshot_forgets_refs,
        "an engine that starts from a snapshot knows no used numbers",
    ),
    "uncertain-is-certain": (
        _uncertain_is_certain,
        "the engine goes on after an uncertain append as if it were there",
    ),
    "acknowledged-early": (_acknowledges_early, "PENDING is said before the log has the frame"),
    "unknown-is-refused": (_unknown_is_refused, "an uncertain append is told as a refusal"),
    "kill-leaves-orders": (_kill_leaves_orders, "the kill switch leaves live orders"),
    "resume-skips-one": (_resume_skips_one, "a session resumed misses a report"),
    "report-leaks": (_report_leaks, "another member's session is told of an execution"),
    "cancelled-with-leaves": (
        _cancelled_with_leaves,
        "the report of a cancelled order shows leaves that are gone",
    ),
    "reused-ref-is-status": (
        _reused_ref_is_status,
        "another request under a used number is answered as if it were the first",
    ),
    "one-person-loosens": (
        _one_person_loosens,
        "one operator lifts, resumes and widens without a second",
    ),
    "position-outside": (
        _position_outside,
        "settlement writes its position after the transaction",
    ),
    "half-delivery": (_half_delivery, "the seller's units leg misses from balances"),
    "publish-gives-up": (_publish_gives_up, "an outbox goes on after a failed append"),
    "deposits-forgotten": (_deposits_forgotten, "a restarted registry forgets open deposits"),
    "cap-on-reported": (_cap_on_reported, "the cap's base is reported, not verified emissions"),
    "late-is-in-time": (_late_is_in_time, "a surrender after the last day is not marked late"),
    "gone-is-skipped": (_gone_is_skipped, "a reader goes on behind what retention took"),
    "public-skips-one": (_public_skips_one, "market data restarted leaves a record out"),
    "auction-pays-bid": (
        lambda: _in_both(mistakes.auction_pays_bid()),
        "both engines let a uniform auction pay as bid",
    ),
    "tie-by-time": (
        lambda: _in_both(mistakes.tie_by_time()),
        "both engines serve equal bids by time instead of by lot",
    ),
    "bid-hold-kept": (
        lambda: _in_both(mistakes.bid_hold_kept()),
        "both engines keep the cash of bids that end",
    ),
    "average-of-last": (_average_of_last, "the average price told is that of the last fill"),
    "partly-is-new": (_partly_is_new, "an order that is filled in part is told to be new"),
    "time-is-cut": (_time_is_cut, "the engine's time is told in milliseconds"),
    "expired-key-taken": (
        lambda: replaced((KeyRing, "check_use", lambda *_: None)),
        "a key is taken after its end",
    ),
    "any-signature-taken": (
        lambda: replaced((KeyRing, "check_signature", lambda *_: None)),
        "a signature is taken whatever was signed",
    ),
    "refusal-swallowed": (
        _refusal_swallowed,
        "what is refused on an intake topic before its body is read is not answered",
    ),
    "ticks-when-idle": (_ticks_when_idle, "a leader that has other things to say never ticks"),
    "bounds-off-reference": (
        lambda: _in_both(mistakes.bounds_off_reference()),
        "both engines measure bounds from the day's reference, not from the last price",
    ),
    "call-not-drawn": (
        lambda: _in_both(mistakes.call_not_drawn()),
        "both engines end calls without the part that is drawn",
    ),
    "collar-for-buys": (
        lambda: _in_both(mistakes.collar_for_buys()),
        "both engines hold buys alone against the collar",
    ),
    "call-price-highest": (
        lambda: _in_both(mistakes.call_price_highest()),
        "both engines take the highest price of the greatest volume for a call's",
    ),
    "stand-before-said": (
        _stand_before_said,
        "market data keeps where it stands before what led there is said, and trusts it",
    ),
    "stand-without-refs": (
        _stand_without_refs,
        "a gateway that goes on from its stand knows no requests of before",
    ),
    "best-bid-shown": (_best_bid_shown, "an auction's shown price is that of the best bid"),
}
"""Name -> how to plant it, and what it does."""


def planted(name: str) -> contextlib.AbstractContextManager[None]:
    """Plants a bug while the context lasts; KeyError names the known ones."""
    if name not in PLANTED:
        raise KeyError(f"{name!r}: known are {', '.join(PLANTED)}")
    return PLANTED[name][0]()
