"""A certificate as a CSV file, and on paper with the hash of that file: like facts, like bytes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from exchange.certificates.facts import SURRENDER, Certificate, Units
from exchange.end_of_day.days import local_text, utc_text
from exchange.end_of_day.files import CsvFile, FileDigest, whole_folder, write_whole
from exchange.end_of_day.fonts import Fonts, cut_fonts
from exchange.end_of_day.names import Names
from exchange.end_of_day.sheet import GREY, LINE, Column, Sheet, serials
from exchange.settings import STATEMENT_LINES_MAX

COLUMNS = (
    "certificate", "market", "kind", "time_utc", "account", "participant", "lei", "symbol",
    "beneficiary", "reason", "scheme", "year", "rule", "programme", "first_serial", "last_serial",
    "tonnes", "vintage", "project", "project_name", "methodology", "project_type", "region",
    "period_from", "period_to",
)  # fmt: skip
_UNITS = (
    Column("Serial numbers", 66),
    Column("Vintage", 16, "R"),
    Column("Project", 46, "R"),
    Column("Reductions", 34, "R"),
    Column("Tonnes", 20, "R"),
)


def write_certificate(told: Certificate, names: Names, folder: Path) -> list[FileDigest]:
    """Writes the CSV file and the paper into a new folder; what was written. O(serial runs).

    Raises DayRefusedError when the folder is there and not empty, OSError.
    """
    with whole_folder(folder) as made:
        with CsvFile(made / f"{number(told, names)}.csv", COLUMNS) as file:
            for units in told.units:
                file.row(_row(told, units, names))
        table = file.digest()
        fonts_folder = made / "fonts"
        fonts_folder.mkdir()
        fonts = cut_fonts(names.characters() | _characters(told), fonts_folder)
        paper = _Certificate(told, names, table, fonts).write()
        for path in (fonts.regular, fonts.bold, fonts.chinese):
            if path is not None:
                path.unlink()
        fonts_folder.rmdir()
        return [table, write_whole(made / f"{number(told, names)}.pdf", paper)]


def number(told: Certificate, names: Names) -> str:
    """The certificate's number: market and instruction, as `CN-655360`. O(1)."""
    return f"{names.market.code}-{told.instruction_id}"


def _row(told: Certificate, units: Units, names: Names) -> tuple[str | int, ...]:
    firm, lei = names.firm(told.account)
    details = units.details
    known = (
        (details.name, details.methodology, details.project_type, details.region)
        if details
        else ("", "", "", "")
    )
    return (
        number(told, names), names.market.code, told.kind, utc_text(told.time_ns), told.account,
        firm, lei, names.symbol(told.instrument_id), told.beneficiary, told.reason, told.scheme,
        told.year or "", told.rule, units.programme, units.first, units.last, units.quantity,
        units.vintage or "", units.project or "", *known, _day(units.period_from),
        _day(units.period_to),
    )  # fmt: skip


def _characters(told: Certificate) -> set[str]:
    words = [told.beneficiary, told.reason]
    words += [item.details.name for item in told.units if item.details is not None]
    return set("".join(words))


def _day(value: int) -> str:
    return dt.date.fromisoformat(str(value)).isoformat() if value else ""


class _Certificate(Sheet):
    def __init__(self, told: Certificate, names: Names, file: FileDigest, fonts: Fonts) -> None:
        self._told, self._names, self._file = told, names, file
        title = f"Certificate {number(told, names)}"
        foot = f"{names.venue.name} · {title}"
        super().__init__(title=title, foot=foot, made_ns=told.time_ns, fonts=fonts)

    def write(self) -> bytes:
        """The PDF."""
        told, names = self._told, self._names
        is_surrender = told.kind == SURRENDER
        self.text(names.venue.name, 9, color=GREY)
        kind = "surrender" if is_surrender else "cancellation"
        self.text(f"Certificate of {kind}", 18, "B", height=10)
        self.pdf.ln(2)
        what = names.symbol(told.instrument_id)
        self.text(f"{told.quantity:,} tonnes of CO2 equivalent, {what}", 12, "B", height=8)
        reason = (
            f"were surrendered for the emission year {told.year} under {told.scheme} and can never "
            "be used again."
            if is_surrender
            else "were cancelled for good and can never be used again."
        )
        self.text(reason, 9)
        self.pdf.ln(2)
        firm, lei = names.firm(told.account)
        facts = [
            ("Certificate", number(told, names)),
            ("Account", f"{told.account}  {names.account(told.account)}"),
            ("Participant", f"{firm}  {'LEI ' + lei if lei else ''}"),
            ("Time", f"{utc_text(told.time_ns)}  "
             f"({local_text(told.time_ns, names.market.time_zone)} {names.market.time_zone})"),
        ]  # fmt: skip
        if is_surrender and told.rule:
            facts.append(("Rule", told.rule))
        if not is_surrender:
            facts += [("Beneficiary", told.beneficiary), ("Reason", told.reason)]
        self.facts(facts)
        self._units()
        self._how_to_verify()
        return bytes(self.pdf.output())

    def _units(self) -> None:
        self.title("Units")
        self.heading(_UNITS)
        shown = self._told.units[:STATEMENT_LINES_MAX]
        for item in shown:
            reductions = "–".join(filter(None, (_day(item.period_from), _day(item.period_to))))
            name = item.details.name if item.details else ""
            self.row(
                _UNITS,
                (
                    serials(item.programme, item.first, item.last),
                    str(item.vintage or ""),
                    f"{item.project} {name}" if item.project else "",
                    reductions,
                    f"{item.quantity:,}",
                ),
            )
        rest = len(self._told.units) - len(shown)
        if rest:
            self.text(
                f"{rest} more runs of serial numbers are in {self._file.name}.", 8, color=GREY
            )

    def _how_to_verify(self) -> None:
        first = self._told.units[0]
        self.pdf.ln(2 * LINE)
        self.text(
            f"The same facts are in {self._file.name}, SHA-256 {self._file.sha256}. Who has the "
            "venue's log can rebuild the registry from it and compare; a unit's history is "
            f"what `exchange serial {first.programme} {first.first}` prints.", 8, color=GREY,
        )  # fmt: skip
