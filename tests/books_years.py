"""A registrar alone, fed with instructions on given days: compliance years in tests."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TypeVar

import msgspec

from exchange.messages.frames import Instruction
from exchange.messages.registry import (
    InstructionRefused,
    IssuanceDetails,
    ProjectDetails,
    ProjectRegistered,
    RegistryItem,
    UnitsIssued,
    YearFigures,
)
from exchange.messages.settlement import AccountOpened, InstructionPassed
from exchange.reference.venue import Instrument, Market, Venue
from exchange.registry.holdings import Holdings
from exchange.registry.instructions import Registrar
from exchange.registry.rows import RegistryPosition
from exchange.registry.years import Figures
from exchange.rulebook import Rulebook, load_rulebook

NEW = "new_registered_from_2024-01-22"
OLD = "old_filed_before_2017-03-14"
EMITTER, OTHER, VERIFIER = 203, 204, 5
_NAMES = (
    # symbol, product, scheme, kind, vintage, generation
    ("EUA", "EUA", "eu-ets", "allowance", 0, ""),
    ("CER", "CER", "eu-ets", "offset", 0, ""),
    ("CEA-2022", "CEA", "cn-national", "allowance", 2022, ""),
    ("CEA-2023", "CEA", "cn-national", "allowance", 2023, ""),
    ("CEA-2024", "CEA", "cn-national", "allowance", 2024, ""),
    ("CEA-2025", "CEA", "cn-national", "allowance", 2025, ""),
    ("CCER", "CCER", "cn-national", "offset", 0, NEW),
    ("CCER-OLD", "CCER", "cn-national", "offset", 0, OLD),
    ("CALIFORNIA", "CA-ALLOWANCE", "ca-qc", "allowance", 0, ""),
    *(
        (f"{code}{kind}", f"{code}{kind}", f"cn-pilot-{name}", what, 0, "")
        for code, name in (
            ("BJ", "beijing"), ("GD", "guangdong"), ("SH", "shanghai"), ("HB", "hubei"),
            ("SZ", "shenzhen"), ("FJ", "fujian"),
        )
        for kind, what in (("EA", "allowance"),)
    ),
    *(
        (f"{code}-CCER", "CCER", f"cn-pilot-{name}", "offset", 0, "")
        for code, name in (
            ("BJ", "beijing"), ("GD", "guangdong"), ("SH", "shanghai"), ("HB", "hubei"),
            ("SZ", "shenzhen"), ("FJ", "fujian"),
        )
    ),
    ("FFCER", "FFCER", "cn-pilot-fujian", "offset", 0, ""),
    ("CQEA", "CQEA", "cn-pilot-chongqing", "allowance", 0, ""),
    ("CQEA-2015", "CQEA5", "cn-pilot-chongqing", "allowance", 2015, ""),
    ("HBEA-2024", "HBEA2", "cn-pilot-hubei", "allowance", 2024, ""),
    ("ARBOC", "ARBOC", "ca-qc", "offset", 0, ""),
    ("QC_OFFSET", "QC_OFFSET", "ca-qc", "offset", 0, ""),
    ("EUAA", "EUAA", "eu-ets", "allowance", 0, ""),
    ("SZEA-2018", "SZEA8", "cn-pilot-shenzhen", "allowance", 2018, ""),
    ("SZEA-2020", "SZEA0", "cn-pilot-shenzhen", "allowance", 2020, ""),
)  # fmt: skip
INSTRUMENTS = {
    at: Instrument(at, "X", symbol, product, scheme, kind, vintage, generation)  # type: ignore[arg-type]
    for at, (symbol, product, scheme, kind, vintage, generation) in enumerate(_NAMES, 1)
}
MARKET = Market("X", 1, "CNY")
VENUE = Venue("years", (MARKET,), tuple(INSTRUMENTS.values()))
BY_SYMBOL = {item.symbol: item for item in INSTRUMENTS.values()}
_Item = TypeVar("_Item")


def at(text: str, zone: str = "+00:00") -> int:
    """`2025-12-31` or `2025-12-31T23:59:59`, noon by default, as ns UTC."""
    moment = text if "T" in text else f"{text}T12:00:00"
    return int(dt.datetime.fromisoformat(moment + zone).timestamp()) * 10**9


@cache
def _rulebook() -> Rulebook:
    return load_rulebook()


class Office:
    """A registrar, what it said last, and the day on which things happen."""

    def __init__(self, day: str = "2025-03-01", rulebook: Rulebook | None = None) -> None:
        self.rulebook = rulebook or _rulebook()
        self.registrar = Registrar(Holdings(RegistryPosition()), MARKET, VENUE, self.rulebook)
        self.holdings = self.registrar.holdings
        self.number = 0
        self.time_ns = at(day)
        for account, participant in ((EMITTER, 4), (OTHER, 6)):
            self.registrar.apply(AccountOpened(account, participant), 0, self.time_ns)

    def on(self, day: str, zone: str = "+00:00") -> Office:
        """Goes to a day."""
        self.time_ns = at(day, zone)
        return self

    def act(
        self,
        kind: Instruction,
        symbol: str,
        quantity: int = 0,
        argument: int = 0,
        text: str = "",
        account: int = EMITTER,
    ) -> list[RegistryItem]:
        """Gives one instruction; what the registry said."""
        self.number += 1
        item = InstructionPassed(
            self.number, int(kind), account, BY_SYMBOL[symbol].id, quantity, argument, "", text
        )
        said = self.registrar.apply(item, self.number, self.time_ns)
        self.holdings.end_record(self.number, self.time_ns)
        return said

    def pass_time(self, day: str) -> list[RegistryItem]:
        """Goes to a day on which nothing else happens; what the registry says by itself."""
        self.number += 1
        return self.registrar.begin_record(self.number, self.on(day).time_ns)

    def done(self, wanted: type[_Item], *args: object, **named: object) -> _Item:
        """Gives an instruction that must be carried out; the item of a type that it said."""
        said = self.act(*args, **named)  # type: ignore[arg-type]
        found = [item for item in said if isinstance(item, wanted)]
        assert found, said
        return found[-1]

    def refused(self, *args: object, **named: object) -> InstructionRefused:
        """Gives an instruction that must be refused, and change nothing."""
        years = dict(self.holdings.years)
        totals = dict(self.holdings.totals)
        (said,) = self.act(*args, **named)  # type: ignore[arg-type]
        assert isinstance(said, InstructionRefused), said
        assert (self.holdings.years, dict(self.holdings.totals)) == (years, totals)
        return said

    def report(
        self, symbol: str, quantity: int, year: int, account: int = EMITTER, sector: str = ""
    ) -> list[RegistryItem]:
        """The emitter reports."""
        text = f"emitter-{account}" + (f"\nsector {sector}" if sector else "")
        return self.act(Instruction.REPORT_EMISSIONS, symbol, quantity, year, text, account)

    def verify(
        self, symbol: str, quantity: int, year: int, account: int = EMITTER
    ) -> list[RegistryItem]:
        """A verifier confirms or corrects."""
        text = f"verifier\nparticipant {VERIFIER}"
        return self.act(Instruction.VERIFY_EMISSIONS, symbol, quantity, year, text, account)

    def owe(
        self, symbol: str, quantity: int, year: int, account: int = EMITTER, sector: str = ""
    ) -> None:
        """Both: as much is owed."""
        self.report(symbol, quantity, year, account, sector)
        (figures, _) = self.verify(symbol, quantity, year, account)
        assert isinstance(figures, YearFigures)
        assert figures.verified == quantity

    def issue(self, symbol: str, quantity: int, vintage: int = 0, account: int = EMITTER) -> None:
        """Units from outside."""
        self.act(Instruction.ISSUE, symbol, quantity, vintage, account=account)

    def credits(
        self, symbol: str, quantity: int, region: str, year: int, account: int = EMITTER
    ) -> None:
        """Credits of a wind farm in a region, for reductions of a year."""
        project = len(self.holdings.projects) + 1
        details = ProjectDetails(
            name=f"wind {project}", project_type="wind", gas="CO2", region=region,
            co2_ch4_share_bp=10_000,
        )  # fmt: skip
        text = msgspec.json.encode(details).decode()
        self.done(ProjectRegistered, Instruction.REGISTER_PROJECT, symbol, 0, project, text)
        period = IssuanceDetails(project, dt.date(year, 1, 1), dt.date(year, 12, 31))
        text = msgspec.json.encode(period).decode()
        self.done(UnitsIssued, Instruction.ISSUE, symbol, quantity, year, text, account)

    def figures(self, symbol: str, year: int, account: int = EMITTER) -> Figures:
        """A year as it is."""
        return self.holdings.years[account, BY_SYMBOL[symbol].scheme, year]


def allocation(stage: str, method: str = "benchmarking", **words: object) -> str:
    """The text of an ALLOCATE."""
    lines = {"stage": stage, "method": method, **words}
    return "\n".join(["authority", *(f"{name} {value}" for name, value in lines.items())])
