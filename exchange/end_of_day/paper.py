"""A statement on paper: A4, one account, the same bytes for the same statement."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from exchange.decimals import grouped
from exchange.end_of_day.days import Day, local_text, utc_text
from exchange.end_of_day.fonts import Fonts
from exchange.end_of_day.names import Names
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

_MARGIN = 14  # mm
_WIDTH = 210 - 2 * _MARGIN
_LINE = 5
_GREY = (110, 110, 110)
_RULE = (190, 190, 190)
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
}


class _Column(NamedTuple):
    title: str
    width: int  # mm
    align: str = "L"


_CASH_COLUMNS = (
    _Column("Time", 15),
    _Column("Cause", 24),
    _Column("Reference", 34),
    _Column("Instrument", 23),
    _Column("Quantity t", 18, "R"),
    _Column("Price", 16, "R"),
    _Column("Amount", 26, "R"),
    _Column("Balance", 26, "R"),
)
_TRADING_COLUMNS = (
    _Column("Time", 15),
    _Column("Cause", 24),
    _Column("Reference", 34),
    _Column("Price", 57, "R"),
    _Column("Tonnes", 26, "R"),
    _Column("Balance", 26, "R"),
)
_REGISTRY_COLUMNS = (
    _Column("Time", 15),
    _Column("Cause", 24),
    _Column("Reference", 34),
    _Column("Serial numbers", 57),
    _Column("Tonnes", 26, "R"),
    _Column("Balance", 26, "R"),
)
_COLUMNS = {
    CASH_POSITION: _CASH_COLUMNS,
    CASH_HELD: _CASH_COLUMNS,
    UNITS_HELD: _TRADING_COLUMNS,
    "TRADING": _TRADING_COLUMNS,
    "REGISTRY": _REGISTRY_COLUMNS,
    "FROZEN": _REGISTRY_COLUMNS,
    "PLEDGED": _REGISTRY_COLUMNS,
}
_HOLDING_COLUMNS = (
    _Column("Instrument", 39),
    _Column("Position", 34),
    _Column("Serial numbers", 75),
    _Column("Tonnes", 34, "R"),
)


def render(statement: Statement, names: Names, day: Day, fonts: Fonts) -> bytes:
    """The PDF of a statement. O(its lines), at most STATEMENT_LINES_MAX a section."""
    paper = _Paper(statement, names, day, fonts)
    paper.head()
    for section in statement.sections:
        paper.section(section)
    paper.fees()
    paper.holdings()
    return bytes(paper.pdf.output())


class _Pages(FPDF):
    """Pages with a foot."""

    def __init__(self, foot: str, fonts: Fonts) -> None:
        super().__init__(format="A4")
        self._foot = foot
        self.set_margins(_MARGIN, _MARGIN)
        self.c_margin = 0
        self.set_auto_page_break(auto=True, margin=18)
        self.add_font("text", "", fonts.regular)
        self.add_font("text", "B", fonts.bold)
        if fonts.chinese is not None:
            self.add_font("chinese", "", fonts.chinese)
            self.set_fallback_fonts(["chinese"], exact_match=False)

    def footer(self) -> None:
        """Whose statement it is, and the page."""
        self.set_y(-13)
        self.set_font("text", "", 7)
        self.set_text_color(*_GREY)
        self.cell(_WIDTH - 18, 4, self._foot)
        self.cell(18, 4, f"page {self.page_no()} of {{nb}}")
        self.set_text_color(0)


class _Paper:
    def __init__(self, statement: Statement, names: Names, day: Day, fonts: Fonts) -> None:
        self._statement = statement
        self._names = names
        self._day = day
        self._fonts = fonts
        foot = f"{names.venue.name} · {names.market.code} · {day.date} · {statement.account}"
        self.pdf = _Pages(fonts.printable(foot), fonts)
        made = dt.datetime.fromtimestamp(day.end_ns // 1_000_000_000, dt.UTC)
        self.pdf.set_creation_date(made)
        self.pdf.set_title(f"Account statement {statement.account}, {names.market.code} {day.date}")
        self.pdf.set_lang("en")
        self.pdf.add_page()

    def head(self) -> None:
        """Who, which market, which day."""
        names, day, account = self._names, self._day, self._statement.account
        firm, lei = names.firm(account)
        self._text(names.venue.name, 9, color=_GREY)
        self._text("Account statement", 18, "B", height=10)
        self.pdf.ln(1)
        begin, end = (local_text(at, day.time_zone) for at in (day.begin_ns, day.end_ns))
        facts = [
            ("Account", f"{account}  {names.account(account)}"),
            ("Participant", f"{firm}  {'LEI ' + lei if lei else ''}"),
            ("Market", f"{names.market.code}, {names.market.currency}"),
            ("Day", f"{day.date}, {day.time_zone}: {begin} to {end}"),
            ("In UTC", f"{utc_text(day.begin_ns)[:19]}Z to {utc_text(day.end_ns)[:19]}Z"),
        ]
        for title, value in facts:
            self.pdf.set_font("text", "", 9)
            self.pdf.set_text_color(*_GREY)
            self.pdf.cell(26, _LINE, title)
            self.pdf.set_text_color(0)
            self._text(value.strip(), 9)
        self._summary()

    def _summary(self) -> None:
        columns = (
            _Column("Asset", 40),
            _Column("Position", 40),
            _Column("Opening", 34, "R"),
            _Column("Movements", 34, "R"),
            _Column("Closing", 34, "R"),
        )
        self._title("Summary")
        self._heading(columns)
        for item in self._statement.sections:
            change = item.closing - item.opening
            self._row(
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
            self._text("Nothing was held or moved.", 9)

    def section(self, item: Section) -> None:
        """One asset at one place: opening, movements, sums by cause, closing.

        The summary has what did not move.
        """
        if not item.count:
            return
        unit = self._names.market.currency if item.asset == CASH else "tonnes"
        self._title(f"{self._names.asset(item.asset)}, {_POSITIONS[item.position]} ({unit})")
        columns = _COLUMNS[item.position]
        self._heading(columns)
        self._balance(columns, "Opening balance", item, item.opening)
        for line in item.lines:
            self._row(columns, self._movement(item, line))
        if item.count > len(item.lines):
            file = self._statement.file
            self._text(
                f"{item.count - len(item.lines)} more movements of this asset are in "
                f"{file.name if file else 'the CSV file'}.", 8, color=_GREY,
            )  # fmt: skip
        self._balance(columns, "Closing balance", item, item.closing)
        if item.sums:
            sums = ",  ".join(
                f"{cause} {self._signed(item.asset, amount)}"
                for cause, amount in sorted(item.sums.items())
            )
            self._text(f"By cause:  {sums}", 8, color=_GREY)

    def _movement(self, item: Section, line: Line) -> tuple[str, ...]:
        clock = local_text(line.time_ns, self._day.time_zone)[11:]
        amounts = (self._signed(item.asset, line.amount), self._amount(item.asset, line.balance))
        start = (clock, line.cause, str(line.cause_id))
        if line.programme:
            serials = _serials(line.programme, line.first_serial, line.last_serial)
            return (*start, serials, *amounts)
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
        self._title("Fees")
        money = grouped(self._names.money(fees))
        self._text(f"Fees of the day: {money} {self._names.market.currency}{tax}", 9)

    def holdings(self) -> None:
        """Serial numbers at the end of the day, and what is between the two positions."""
        statement = self._statement
        if not statement.blocks:
            return
        self._title("Holdings by serial number at the end of the day")
        self._heading(_HOLDING_COLUMNS)
        for block in statement.blocks:
            self._row(
                _HOLDING_COLUMNS,
                (
                    self._names.symbol(block.instrument_id),
                    _POSITIONS[Position(block.position).name],
                    _serials(block.programme, block.first_serial, block.last_serial),
                    f"{block.last_serial - block.first_serial + 1:,}",
                ),
            )
        if statement.block_count > len(statement.blocks):
            more = statement.block_count - len(statement.blocks)
            file = statement.file.name if statement.file else "the CSV file"
            self._text(f"{more} more ranges are in {file}.", 8, color=_GREY)
        for instrument, tonnes in statement.on_their_way.items():
            self._text(
                f"{tonnes:,} t of {self._names.symbol(instrument)} had left the registry position "
                "and were not yet booked in the trading position.", 8, color=_GREY,
            )  # fmt: skip

    # -- pieces ---------------------------------------------------------------------------------

    def _amount(self, asset: int, amount: int) -> str:
        return grouped(self._names.amount(asset, amount))

    def _signed(self, asset: int, amount: int) -> str:
        return ("+" if amount > 0 else "") + self._amount(asset, amount)

    def _text(
        self, text: str, size: int, style: str = "", *, height: int = _LINE,
        color: tuple[int, int, int] = (0, 0, 0),
    ) -> None:  # fmt: skip
        self.pdf.set_font("text", style, size)
        self.pdf.set_text_color(*color)
        self.pdf.multi_cell(
            0, height, self._fonts.printable(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )
        self.pdf.set_text_color(0)

    def _title(self, text: str) -> None:
        self.pdf.ln(4)
        if self.pdf.will_page_break(5 * _LINE):
            self.pdf.add_page()
        self._text(text, 11, "B", height=7)

    def _heading(self, columns: tuple[_Column, ...]) -> None:
        self.pdf.set_font("text", "", 8)
        self.pdf.set_text_color(*_GREY)
        for column in columns:
            self.pdf.cell(column.width, _LINE, column.title, align=column.align)
        self.pdf.ln(_LINE)
        self.pdf.set_text_color(0)
        self._rule()

    def _rule(self) -> None:
        self.pdf.set_draw_color(*_RULE)
        self.pdf.line(_MARGIN, self.pdf.get_y(), _MARGIN + _WIDTH, self.pdf.get_y())

    def _balance(
        self, columns: tuple[_Column, ...], title: str, item: Section, amount: int
    ) -> None:
        last = columns[-1]
        values = (title, self._amount(item.asset, amount))
        self._row((_Column("", _WIDTH - last.width), last), values, columns, style="B")

    def _row(
        self, columns: tuple[_Column, ...], values: tuple[str, ...],
        heading: tuple[_Column, ...] | None = None, style: str = "",
    ) -> None:  # fmt: skip
        if self.pdf.will_page_break(_LINE):
            self.pdf.add_page()
            self._heading(heading or columns)
        for column, value in zip(columns, values, strict=True):
            text = self._fonts.printable(value)
            size = 8
            self.pdf.set_font("text", style, size)
            while size > 5 and self.pdf.get_string_width(text) > column.width - 2:
                size -= 1
                self.pdf.set_font("text", style, size)
            self.pdf.cell(column.width, _LINE, text, align=column.align)
        self.pdf.ln(_LINE)


def _serials(programme: str, first: int, last: int) -> str:
    return f"{programme}-{first:012d}..{last:012d}"
