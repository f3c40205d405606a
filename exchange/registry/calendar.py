"""When a registry works: local days and hours of the rulebook, as ns UTC of the log.

Which registry's rules hold is chosen by the scheme of the instrument. Where the rulebook knows no
hours of it, what is asked is done at once.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Collection
from typing import NamedTuple

from exchange.rulebook import Rulebook
from exchange.rulebook.catalogue import RegistryRule
from exchange.rulebook.registries import (
    Hours,
    hours_of,
    transfer_execution,
    trusted_list_effective,
)

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_HOUR_NS = 3_600 * 1_000_000_000


class Execution(NamedTuple):
    """When a transfer is carried out, and until when it may be cancelled; ns UTC."""

    due_ns: int
    cancel_until_ns: int


class _Office(NamedTuple):
    hours: Hours
    rule: RegistryRule
    zone: zoneinfo.ZoneInfo


class Calendar:
    """The registries' working hours, with the days on which this venue's registry is closed."""

    def __init__(self, rulebook: Rulebook, holidays: Collection[dt.date] = ()) -> None:
        self._offices: dict[str, _Office] = {}  # by scheme
        self._confirming: dict[str, RegistryRule] = {}  # by scheme: where silence blocks
        for rule in rulebook.registry_rule:
            if rule.data_confirmed_by and rule.unconfirmed_account == "blocked":
                self._confirming.update(dict.fromkeys(rule.schemes, rule))
            if rule.open and rule.close and rule.untrusted_cutoff:
                hours = hours_of(rulebook, rule.id, holidays)
                office = _Office(hours, rule, zoneinfo.ZoneInfo(rule.timezone))
                self._offices.update(dict.fromkeys(rule.schemes, office))

    def execution(
        self, scheme: str, approved_ns: int, *, is_trusted: bool, is_kyoto: bool
    ) -> Execution:
        """When a transfer approved at a moment is carried out. O(days).

        Now, where the rulebook knows no hours. A national Kyoto registry's person accounts wait 26
        hours, by day and night.
        """
        office = self._offices.get(scheme)
        if office is None:
            return Execution(approved_ns, approved_ns)
        if is_kyoto and office.rule.kyoto_person_account_transfer_delay_hours:
            due_ns = approved_ns + office.rule.kyoto_person_account_transfer_delay_hours * _HOUR_NS
        else:
            approved = _local(office.zone, approved_ns)
            executes = transfer_execution(office.hours, approved, is_trusted=is_trusted).executes
            due_ns = approved_ns if executes <= approved else _utc_ns(office.zone, executes)
        return Execution(due_ns, due_ns - office.hours.cancel_until_hours * _HOUR_NS)

    def to_be_confirmed(self, scheme: str, since_ns: int, time_ns: int) -> int:
        """The last year for which an account's data had to be confirmed by now; 0: none. O(1).

        Of an account whose data the registry took in at `since_ns`: that year needs no more.
        """
        rule = self._confirming.get(scheme)
        if rule is None:
            return 0
        zone = zoneinfo.ZoneInfo(rule.timezone)
        today, known = _local(zone, time_ns).date(), _local(zone, since_ns).date()
        due = dt.date.fromisoformat(f"{today.year}-{rule.data_confirmed_by}")
        year = today.year if today > due else today.year - 1
        return year if year > known.year else 0

    def trusted_from(self, scheme: str, approved_ns: int, *, is_kyoto: bool) -> int:
        """From when an account put on the trusted list counts; now without hours. O(days)."""
        office = self._offices.get(scheme)
        if office is None:
            return approved_ns
        days = office.rule.trusted_list_addition_working_days or 0
        if is_kyoto:
            days = office.rule.trusted_list_addition_working_days_kyoto or days
        approved = _local(office.zone, approved_ns)
        return _utc_ns(office.zone, trusted_list_effective(office.hours, approved, days))


def _local(zone: zoneinfo.ZoneInfo, time_ns: int) -> dt.datetime:
    moment = _EPOCH + dt.timedelta(microseconds=time_ns // 1_000)
    return moment.astimezone(zone).replace(tzinfo=None)


def _utc_ns(zone: zoneinfo.ZoneInfo, local: dt.datetime) -> int:
    since = local.replace(tzinfo=zone) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
