"""Much in one hand: of what is on the venue near the day to surrender, or of what one may hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from exchange.surveillance.detector import Detector, Tell
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, InstrumentScene, against

KIND = "LARGE_POSITION"
LARGE_HOLDER = "LARGE_HOLDER"


class LargePositions(Detector):
    """LARGE_POSITION, looked at when a trading day starts.

    `events` know what lies on the venue; what accounts have in the registry only is not counted.
    """

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__(limits, tell)
        self._instruments: dict[int, InstrumentScene] = {}
        self._tonnes: dict[int, dict[int, int]] = defaultdict(dict)  # instrument, account

    def holding_changed(
        self, account: int, instrument: InstrumentScene, by: int, now_ns: int
    ) -> None:
        """Follows the units of an account. O(1)."""
        self._instruments[instrument.instrument_id] = instrument
        held = self._tonnes[instrument.instrument_id]
        held[account] = held.get(account, 0) + by
        if not held[account]:
            del held[account]

    def day_started(self, date: int, owners: Mapping[int, int], now_ns: int) -> None:
        """Judges every holding of an instrument whose day to surrender is near. O(holdings)."""
        limit = self.limits[KIND]
        for instrument_id, instrument in sorted(self._instruments.items()):
            days = days_until(date, instrument.deadline)
            if instrument.deadline and days <= limit["days_max"] and instrument.units > 0:
                self._judge(instrument, self._tonnes[instrument_id], owners, days, now_ns)

    def _judge(
        self,
        instrument: InstrumentScene,
        tonnes: Mapping[int, int],
        owners: Mapping[int, int],
        days: int,
        now_ns: int,
    ) -> None:
        limit = self.limits[KIND]
        totals: dict[int, int] = defaultdict(int)
        accounts: dict[int, list[int]] = defaultdict(list)
        for account, held in sorted(tonnes.items()):
            totals[owners[account]] += held
            accounts[owners[account]].append(account)
        for owner, total in sorted(totals.items()):
            share = total * 10_000 // instrument.units
            if share < limit["share_min_bp"] or total < limit["quantity_min_t"]:
                continue
            text = (
                f"participant {owner} has {total:,} t of the {instrument.units:,} t of "
                f"{instrument.symbol} on the venue, {share} bp, {days} days before the day to "
                f"surrender; limit {limit['share_min_bp']} bp within {limit['days_max']} days"
            )
            self.tell(
                (instrument.instrument_id, owner),
                Finding(KIND, instrument, tuple(accounts[owner]), now_ns, 0,
                        against(share, limit["share_min_bp"]),
                        {"quantity": total, "units": instrument.units, "share_bp": share,
                         "days": days}, text),
            )  # fmt: skip


class LargeHolders(Detector):
    """LARGE_HOLDER: an account came near what it may hold of an instrument (HOLDING_MAX).

    By the share of the limits, or, where the scheme's venue publishes positions, above so many
    tonnes less than the limit. Told when it comes there, and again when it comes back. O(1) each;
    a new limit of an instrument O(accounts that hold it).
    """

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__(limits, tell)
        self._tonnes: dict[int, dict[int, int]] = defaultdict(dict)  # instrument, account
        self._most: dict[tuple[int, int], int] = {}  # by instrument and account; account 0: of all
        self._above: set[tuple[int, int]] = set()

    def holding_changed(
        self, account: int, instrument: InstrumentScene, by: int, now_ns: int
    ) -> None:
        """Follows the units of an account."""
        held = self._tonnes[instrument.instrument_id]
        held[account] = held.get(account, 0) + by
        self._judge(account, instrument, now_ns)

    def holding_bounded(
        self, account: int, instrument: InstrumentScene, most: int, now_ns: int
    ) -> None:
        """Follows the limits."""
        self._most[instrument.instrument_id, account] = most
        who = [account] if account else sorted(self._tonnes[instrument.instrument_id])
        for each in who:
            self._judge(each, instrument, now_ns)

    def _judge(self, account: int, instrument: InstrumentScene, now_ns: int) -> None:
        number, limit = instrument.instrument_id, self.limits[LARGE_HOLDER]
        most = self._most.get((number, account), 0) or self._most.get((number, 0), 0)
        held = self._tonnes[number].get(account, 0)
        share = held * 10_000 // most if most else 0
        from_t = most * limit["share_min_bp"] // 10_000
        is_above = most > 0 and share >= limit["share_min_bp"]
        if instrument.published_below:
            from_t = most - instrument.published_below
            is_above = most > 0 and held > from_t
        key = (number, account)
        if not is_above:
            self._above.discard(key)
            return
        if key in self._above:
            return
        self._above.add(key)
        word = "published above" if instrument.published_below else "reported from"
        text = (
            f"account {account} has {held:,} t of {instrument.symbol} on the venue, {share} bp of "
            f"its limit of {most:,} t; {word} {from_t:,} t"
        )
        self.tell(
            key,
            Finding(LARGE_HOLDER, instrument, (account,), now_ns, 0,
                    against(share, limit["share_min_bp"]),
                    {"quantity": held, "limit": most, "share_bp": share, "from": from_t}, text),
        )  # fmt: skip


def days_until(date: int, deadline: int) -> int:
    """Days from a date (YYYYMMDD) to the next MMDD at or after it. O(1)."""
    year, today = date // 10_000, date % 10_000
    return _day_number(year + (today > deadline), deadline) - _day_number(year, today)


def _day_number(year: int, month_day: int) -> int:
    """Days since a fixed day, in the Gregorian calendar. O(1)."""
    month, day = divmod(month_day, 100)
    if month < 3:
        year, month = year - 1, month + 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 8) // 5 + day
