"""A market's registry in memory, told one settled item after another, for tests without a log."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import msgspec

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import InstructionRefused, RegistryItem
from exchange.messages.settlement import AccountOpened, InstructionPassed, SettlementItem
from exchange.reference.venue import Venue
from exchange.registry.blocks import Position
from exchange.registry.holdings import Holdings
from exchange.registry.instructions import Registrar
from exchange.registry.rows import RegistryPosition
from exchange.registry.years import Figures
from exchange.rulebook import Rulebook, load_rulebook
from gateway.views.holdings import Holdings as View
from tests.books_venue import VENUE

EUA = 1
RULEBOOK = load_rulebook()
BRUSSELS = zoneinfo.ZoneInfo("Europe/Brussels")
MONDAY = dt.datetime(2026, 11, 23, 10, 0, tzinfo=BRUSSELS)


def ns(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 10**9


def at(day: int, hour: int, minute: int = 0, second: int = 0) -> int:
    """A local time in Brussels on a day of November 2026, the 23rd being a Monday; ns UTC."""
    return ns(dt.datetime(2026, 11, day, hour, minute, second, tzinfo=BRUSSELS))


class Books:
    """One market's registrar with a few accounts; `tell` is one settlement record."""

    def __init__(
        self,
        accounts: dict[int, int],
        *,
        market: str = "EU",
        venue: Venue = VENUE,
        rulebook: Rulebook = RULEBOOK,
        time_ns: int = ns(MONDAY),
        **changes: Any,
    ) -> None:
        own = msgspec.structs.replace(venue.market_of(market), **changes)
        self.holdings = Holdings(RegistryPosition())
        self.registrar = Registrar(self.holdings, own, venue, rulebook)
        self.number, self.time_ns = 0, time_ns
        self._view = View()
        self.rule = ""  # of the last refusal
        for account, participant in accounts.items():
            self.record(AccountOpened(account, participant))

    def record(self, *items: SettlementItem, time_ns: int = 0) -> list[RegistryItem]:
        """One settlement record; what the registry says to it."""
        self.time_ns = time_ns or self.time_ns
        said = self.registrar.begin_record(self.number, self.time_ns)
        for item in items:
            said += self.registrar.apply(item, self.number, self.time_ns)
        self.holdings.end_record(self.number, self.time_ns)
        self.number += 1
        for item in said:
            self._view.apply(item)
        return said

    def tell(
        self,
        kind: Instruction,
        account: int,
        quantity: int = 0,
        argument: int = 0,
        notes: str = "",
        *,
        instrument: int = EUA,
        time_ns: int = 0,
    ) -> list[RegistryItem]:
        """One instruction; its id is the number of its record."""
        passed = InstructionPassed(
            self.number, int(kind), account, instrument, quantity, argument, "", notes
        )
        return self.record(passed, time_ns=time_ns)

    def both(
        self, kind: Instruction, account: int, quantity: int = 0, notes: str = "office\nfile 8",
        *, instrument: int = EUA,
    ) -> list[RegistryItem]:  # fmt: skip
        """What two persons of an office decide; what is said when the second one approves."""
        number = self.number
        self.tell(kind, account, quantity, 0, f"{notes}\noperator", instrument=instrument)
        return self.tell(
            Instruction.APPROVE_TRANSFER, account, quantity, number, "second\noperator",
            instrument=instrument,
        )  # fmt: skip

    def owe(self, account: int, scheme: str, year: int, quantity: int) -> None:
        """What an account is to surrender, as if it were reported and verified."""
        figures = Figures(reported=quantity, verified=quantity)
        self.holdings.set_year((account, scheme, year), figures)

    def refused(self, kind: Instruction, account: int, *rest: Any, **more: Any) -> RegistryReason:
        """An instruction that is refused and changes nothing; the reason. `rule` has the rule."""
        before = dict(self.holdings.totals)
        (said,) = self.tell(kind, account, *rest, **more)
        assert isinstance(said, InstructionRefused), said
        assert dict(self.holdings.totals) == before
        self.rule = said.rule
        assert bool(said.rule) == bool(said.source)
        return RegistryReason(said.reason)

    def told(self) -> dict[tuple[int, int, str], int]:
        """Tonnes by account, instrument and position, as `registry` told them to a gateway."""
        view = self._view
        return {key[:3]: view.quantity(key) for key in view.keys()}  # noqa: SIM118 - no mapping

    def tonnes(self, account: int, instrument: int = EUA) -> dict[str, int]:
        """Tonnes of an account by position, without zeros."""
        found: dict[str, int] = {}
        for place, quantity in self.holdings.totals.items():
            if (place.account, place.instrument_id) == (account, instrument):
                name = Position(place.position).name
                found[name] = found.get(name, 0) + quantity
        return found

    def pass_time(self, time_ns: int) -> list[RegistryItem]:
        """A record with nothing but its time."""
        return self.record(time_ns=time_ns)
