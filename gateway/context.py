"""What every request of the gateway can reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exchange import metrics
from exchange.clock import Clock
from exchange.database.connection import Database
from exchange.messages.reasons import AccessReason
from exchange.reference.venue import Key, Venue
from exchange.settings import ORDER_TRADE_PER_SECOND, Settings
from gateway.access.addresses import Origins, counted
from gateway.access.identity import Identities, Signed, signed_text
from gateway.access.logins import Logins
from gateway.access.roles import sees_all_accounts
from gateway.access.throttle import Allowance, Throttle
from gateway.control.opening import OpeningGate
from gateway.control.operations import Operations
from gateway.entry.order_entry import OrderEntry
from gateway.refusal import Refused
from gateway.views.alerts import Alerts
from gateway.views.checkpoints import Checkpoints
from gateway.views.order_ratio import Excess, excesses
from gateway.views.venue_view import MarketView
from gateway.websocket.feed import Feed


@dataclass(slots=True)
class Context:
    """The parts of one gateway process."""

    venue: Venue
    settings: Settings
    clock: Clock
    identities: Identities
    throttle: Throttle
    entry: OrderEntry
    operations: Operations
    feed: Feed
    views: dict[str, MarketView]
    alerts: Alerts
    checkpoints: Checkpoints
    not_ready: Callable[[], list[str]]  # names of what has not caught up
    origins: Origins
    websocket_port: int = 0
    books: Database | None = None  # read only; a gateway without it answers no question to them
    gate: OpeningGate | None = None  # None: markets open whenever an operator says so
    logins: Logins | None = None  # None: nobody logs in here

    def verified(self, method: str, target: str, signed: Signed, body: bytes, address: str) -> Key:
        """The key that signed; Refused. Who fails too often from one address is not heard."""
        text = signed_text(method, target, signed.key, signed.timestamp_ns, signed.window_ms, body)
        return self.verified_text(signed, text, address)

    def verified_text(self, signed: Signed, text: bytes, address: str) -> Key:
        """As `verified`, of a text that another protocol signs (FIX)."""
        place = counted(address)
        self.throttle.check_address(place)
        try:
            return self.identities.verify_text(signed, text, address=address)
        except Refused:
            self.throttle.take_address(place)
            raise

    def take(
        self, key: Key, budget: str, count: int = 1, *, now_ns: int | None = None
    ) -> Allowance:
        """Takes messages of the key's budgets, all or none; Refused (THROTTLED). O(markets).

        Operators slow down orders and questions; cancels always have the venue's own rate.
        """
        take = self.throttle.take
        if budget.endswith("cancels"):
            return take(key.participant, budget, count, now_ns=now_ns)
        firm, session = self.rates(key)
        if budget.endswith("orders") and (excess := self.excess(key)) is not None:
            return self._slow(key, budget, count, now_ns, excess)
        if session >= firm:
            return take(key.participant, budget, count, now_ns=now_ns, rate=firm)
        # what a slowed session is refused must not be missing to the other keys of its firm
        self.throttle.check(key.session, budget, count, now_ns=now_ns, rate=session, kind="session")
        take(key.participant, budget, count, now_ns=now_ns, rate=firm)
        return take(key.session, budget, count, now_ns=now_ns, rate=session, kind="session")

    def excess(self, key: Key) -> Excess | None:
        """Where the key's participant is above a limit of orders to trades. O(instruments)."""
        for code, view in self.views.items():
            limits = view.acts.ratio_limits
            if limits:
                instruments, counts = self.venue.instruments_of(code), view.controls.ratios.today
                for found in excesses(counts, limits, instruments, key.participant):
                    return found
        return None

    def _slow(
        self, key: Key, budget: str, count: int, now_ns: int | None, excess: Excess
    ) -> Allowance:
        try:
            return self.throttle.take(
                key.participant, f"{budget} above its ratio", count, now_ns=now_ns,
                rate=ORDER_TRADE_PER_SECOND,
            )  # fmt: skip
        except Refused as refused:
            metrics.GATEWAY_RATIO_THROTTLED.inc()
            raise Refused(
                AccessReason.ORDER_TO_TRADE_EXCEEDED,
                f"{excess.word} of participant {excess.participant} in {excess.symbol} is "
                f"{excess.ratio}, the limit {excess.limit}",
                retry_after_ms=refused.retry_after_ms,
            ) from None

    def rates(self, key: Key) -> tuple[int, int]:
        """Messages a second of the key's participant and of its session. O(markets).

        The venue's own, unless operators set others; of several markets the lowest counts.
        """
        of_firm: list[int] = []
        of_session: list[int] = []
        for view in self.views.values():
            acts = view.acts
            if acts.participant_rates and key.participant in acts.participant_rates:
                of_firm.append(acts.participant_rates[key.participant])
            if acts.session_rates and key.session in acts.session_rates:
                of_session.append(acts.session_rates[key.session])
        participant = min(of_firm) if of_firm else self.throttle.per_second
        return participant, min(of_session) if of_session else participant

    def visible_accounts(self, key: Key, market: str) -> frozenset[int]:
        """The accounts of a market that a key may see."""
        if sees_all_accounts(key):
            return frozenset(account.id for account in self.venue.accounts_of(market))
        return self.entry.accounts_of(key, self.views[market].market)
