"""A statement on paper: A4, one account, the same bytes for the same statement."""

from __future__ import annotations

from exchange.decimals import grouped
from exchange.end_of_day.days import Day, local_text, utc_text
from exchange.end_of_day.fonts import Fonts
from exchange.end_of_day.names import Names
from exchange.end_of_day.sheet import GREY, WIDTH, Column, Sheet, serials
from exchange.end_of_day.statements import (
    CASH_HELD,
    CASH_POSITION,
    UNITS_HELD,
    Line,
    Section,
    Statement,
)
from exchange.ledger import CASH
from exchange.registry.blocks import Position

_VAT_WORDS = {
    "S": "standard rate",
    "Z": "zero rated",
    "E": "exempt",
    "AE": "reverse charge",
    "K": "intra-community supply",
    "G": "export",
    "O": "outside the scope",
}
_POSITIONS = {
    CASH_POSITION: "cash",
    CASH_HELD: "cash of trades not settled",
    "TRADING": "trading position",
    UNITS_HELD: "units of trades not settled",
    "REGISTRY": "registry position",
    "FROZEN": "frozen",
    "PLEDGED": "pledged",
    "PENDING": "on their way",
}


_CASH_COLUMNS = (
    Column("Time", 15),
    Column("Cause", 24),
    Column("Reference", 34),
    Column("Instrument", 23),
    Column("Quantity t", 18, "R"),
    Column("Price", 16, "R"),
    Column("Amount", 26, "R"),
    Column("Balance", 26, "R"),
)
_TRADING_COLUMNS = (
    Column("Time", 15),
    Column("Cause", 24),
    Column("Reference", 34),
    Column("Price", 57, "R"),
    Column("Tonnes", 26, "R"),
    Column("Balance", 26, "R"),
)
_REGISTRY_COLUMNS = (
    Column("Time", 15),
    Column("Cause", 24),
    Column("Reference", 34),
    Column("Serial numbers", 57),
    Column("Tonnes", 26, "R"),
    Column("Balance", 26, "R"),
)
_COLUMNS = {
    CASH_POSITION: _CASH_COLUMNS,
    CASH_HELD: _CASH_COLUMNS,
    UNITS_HELD: _TRADING_COLUMNS,
    "TRADING": _TRADING_COLUMNS,
    "REGISTRY": _REGISTRY_COLUMNS,
    "FROZEN": _REGISTRY_COLUMNS,
    "PLEDGED": _REGISTRY_COLUMNS,
    "PENDING": _REGISTRY_COLUMNS,
}
_HOLDING_COLUMNS = (
    Column("Instrument", 39),
    Column("Position", 34),
    Column("Serial numbers", 75),
    Column("Tonnes", 34, "R"),
)


def render(statement: Statement, names: Names, day: Day, fonts: Fonts) -> bytes:
    """The PDF of a statement. O(its lines), at most STATEMENTLINES_MAX a section."""
    paper = _Paper(statement, names, day, fonts)
    paper.head()
    for section in statement.sections:
        paper.section(section)
    paper.fees()
    paper.holdings()
    return bytes(paper.pdf.output())


class _Paper(Sheet):
    def __init__(self, statement: Statement, names: Names, day: Day, fonts: Fonts) -> None:
        self._statement = statement
        self._names = names
        self._day = day
        super().__init__(
            title=f"Account statement {statement.account}, {names.market.code} {day.date}",
            foot=f"{names.venue.name} · {names.market.code} · {day.date} · {statement.account}",
            made_ns=day.end_ns,
            fonts=fonts,
        )

    def head(self) -> None:
        """Who, which market, which day."""
        names, day, account = self._names, self._day, self._statement.account
        firm, lei = names.firm(account)
        self.text(names.venue.name, 9, color=GREY)
        self.text("Account statement", 18, "B", height=10)
        self.pdf.ln(1)
        begin, end = (local_text(at, day.time_zone) for at in (day.begin_ns, day.end_ns))
        facts = [
            ("Account", f"{account}  {names.account(account)}"),
            ("Participant", f"{firm}  {'LEI ' + lei if lei else ''}"),
            ("Market", f"{names.market.code}, {names.market.currency}"),
            ("Day", f"{day.date}, {day.time_zone}: {begin} to {end}"),
            ("In UTC", f"{utc_text(day.begin_ns)[:19]}Z to {utc_text(day.end_ns)[:19]}Z"),
        ]
        self.facts(facts)
        self._summary()

    def _summary(self) -> None:
        columns = (
            Column("Asset", 40),
            Column("Position", 40),
            Column("Opening", 34, "R"),
            Column("Movements", 34, "R"),
            Column("Closing", 34, "R"),
        )
        self.title("Summary")
        self.heading(columns)
        for item in self._statement.sections:
            change = item.closing - item.opening
            self.row(
                columns,
                (
                    self._names.asset(item.asset),
                    _POSITIONS[item.position],
                    self._amount(item.asset, item.opening),
                    self._signed(item.asset, change),
                    self._amount(item.asset, item.closing),
                ),
            )
        if not self._statement.sections:
            self.text("Nothing was held or moved.", 9)

    def section(self, item: Section) -> None:
        """One asset at one place: opening, movements, sums by cause, closing.

        The summary has what did not move.
        """
        if not item.count:
            return
        unit = self._names.market.currency if item.asset == CASH else "tonnes"
        self.title(f"{self._names.asset(item.asset)}, {_POSITIONS[item.position]} ({unit})")
        columns = _COLUMNS[item.position]
        self.heading(columns)
        self._balance(columns, "Opening balance", item, item.opening)
        for line in item.lines:
            self.row(columns, self._movement(item, line))
        if item.count > len(item.lines):
            file = self._statement.file
            self.text(
                f"{item.count - len(item.lines)} more movements of this asset are in "
                f"{file.name if file else 'the CSV file'}.", 8, color=GREY,
            )  # fmt: skip
        self._balance(columns, "Closing balance", item, item.closing)
        if item.sums:
            sums = ",  ".join(
                f"{cause} {self._signed(item.asset, amount)}"
                for cause, amount in sorted(item.sums.items())
            )
            self.text(f"By cause:  {sums}", 8, color=GREY)

    def _movement(self, item: Section, line: Line) -> tuple[str, ...]:
        clock = local_text(line.time_ns, self._day.time_zone)[11:]
        amounts = (self._signed(item.asset, line.amount), self._amount(item.asset, line.balance))
        start = (clock, line.cause, str(line.cause_id))
        if line.programme:
            shown = serials(line.programme, line.first_serial, line.last_serial)
            return (*start, shown, *amounts)
        price = grouped(self._names.money(line.price)) if line.price else ""
        if item.asset != CASH:
            return (*start, price, *amounts)
        if not line.quantity:
            return (*start, "", "", "", *amounts)
        trade = (self._names.symbol(line.instrument_id), f"{line.quantity:,}")
        return (*start, *trade, price, *amounts)

    def fees(self) -> None:
        """The fee line: the only one with a tax code."""
        fees = self._statement.fees
        if not fees:
            return
        code = self._names.market.fee_vat_code
        tax = f", VAT category {code} ({_VAT_WORDS[code]})" if code else ""
        self.title("Fees")
        money = grouped(self._names.money(fees))
        self.text(f"Fees of the day: {money} {self._names.market.currency}{tax}", 9)

    def holdings(self) -> None:
        """Serial numbers at the end of the day, and what is between the two positions."""
        statement = self._statement
        if not statement.blocks:
            return
        self.title("Holdings by serial number at the end of the day")
        self.heading(_HOLDING_COLUMNS)
        for block in statement.blocks:
            self.row(
                _HOLDING_COLUMNS,
                (
                    self._names.symbol(block.instrument_id),
                    _POSITIONS[Position(block.position).name],
                    serials(block.programme, block.first_serial, block.last_serial),
                    f"{block.last_serial - block.first_serial + 1:,}",
                ),
            )
        if statement.block_count > len(statement.blocks):
            more = statement.block_count - len(statement.blocks)
            file = statement.file.name if statement.file else "the CSV file"
            self.text(f"{more} more ranges are in {file}.", 8, color=GREY)
        for instrument, tonnes in statement.on_their_way.items():
            self.text(
                f"{tonnes:,} t of {self._names.symbol(instrument)} had left the registry position "
                "and were not yet booked in the trading position.", 8, color=GREY,
            )  # fmt: skip

    # -- pieces ---------------------------------------------------------------------------------

    def _amount(self, asset: int, amount: int) -> str:
        return grouped(self._names.amount(asset, amount))

    def _signed(self, asset: int, amount: int) -> str:
        return ("+" if amount > 0 else "") + self._amount(asset, amount)

    def _balance(self, columns: tuple[Column, ...], title: str, item: Section, amount: int) -> None:
        last = columns[-1]
        values = (title, self._amount(item.asset, amount))
        self.row((Column("", WIDTH - last.width), last), values, columns, style="B")
