"""A4 sheets as all papers of the venue have them: facts, titles, tables; like input, like bytes."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from exchange.end_of_day.fonts import Fonts

_MARGIN = 14  # mm
WIDTH = 210 - 2 * _MARGIN
LINE = 5
GREY = (110, 110, 110)
_RULE = (190, 190, 190)
_FACT_WIDTH = 26


class Column(NamedTuple):
    """A column of a table: millimetres wide, aligned L or R."""

    title: str
    width: int
    align: str = "L"


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
        self.set_text_color(*GREY)
        self.cell(WIDTH - 18, 4, self._foot)
        self.cell(18, 4, f"page {self.page_no()} of {{nb}}")
        self.set_text_color(0)


class Sheet:
    """A paper being written from top to bottom; `pdf` has its pages."""

    def __init__(self, *, title: str, foot: str, made_ns: int, fonts: Fonts) -> None:
        self._fonts = fonts
        self.pdf = _Pages(fonts.printable(foot), fonts)
        made = dt.datetime.fromtimestamp(made_ns // 1_000_000_000, dt.UTC)
        self.pdf.set_creation_date(made)
        self.pdf.set_title(title)
        self.pdf.set_lang("en")
        self.pdf.add_page()

    def facts(self, facts: list[tuple[str, str]]) -> None:
        """Names and values, one a line. O(facts)."""
        for title, value in facts:
            self.pdf.set_font("text", "", 9)
            self.pdf.set_text_color(*GREY)
            self.pdf.cell(_FACT_WIDTH, LINE, title)
            self.pdf.set_text_color(0)
            self.text(value.strip(), 9)

    def text(
        self, text: str, size: int, style: str = "", *, height: int = LINE,
        color: tuple[int, int, int] = (0, 0, 0),
    ) -> None:  # fmt: skip
        """Lines of text from margin to margin. O(characters)."""
        self.pdf.set_font("text", style, size)
        self.pdf.set_text_color(*color)
        self.pdf.multi_cell(
            0, height, self._fonts.printable(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )
        self.pdf.set_text_color(0)

    def title(self, text: str) -> None:
        """The title of a section, with room for some lines below it."""
        self.pdf.ln(4)
        if self.pdf.will_page_break(5 * LINE):
            self.pdf.add_page()
        self.text(text, 11, "B", height=7)

    def heading(self, columns: tuple[Column, ...]) -> None:
        """The titles of columns, and a rule below."""
        self.pdf.set_font("text", "", 8)
        self.pdf.set_text_color(*GREY)
        for column in columns:
            self.pdf.cell(column.width, LINE, column.title, align=column.align)
        self.pdf.ln(LINE)
        self.pdf.set_text_color(0)
        self.rule()

    def rule(self) -> None:
        """A line from margin to margin."""
        self.pdf.set_draw_color(*_RULE)
        self.pdf.line(_MARGIN, self.pdf.get_y(), _MARGIN + WIDTH, self.pdf.get_y())

    def row(
        self, columns: tuple[Column, ...], values: tuple[str, ...],
        heading: tuple[Column, ...] | None = None, style: str = "",
    ) -> None:  # fmt: skip
        """One row; what is too wide is set smaller. A new page repeats the titles."""
        if self.pdf.will_page_break(LINE):
            self.pdf.add_page()
            self.heading(heading or columns)
        for column, value in zip(columns, values, strict=True):
            text = self._fonts.printable(value)
            size = 8
            self.pdf.set_font("text", style, size)
            while size > 5 and self.pdf.get_string_width(text) > column.width - 2:
                size -= 1
                self.pdf.set_font("text", style, size)
            self.pdf.cell(column.width, LINE, text, align=column.align)
        self.pdf.ln(LINE)


def serials(programme: str, first: int, last: int) -> str:
    """Serial numbers as people read them. O(1)."""
    return f"{programme}-{first:012d}..{last:012d}"
