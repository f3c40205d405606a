"""The end of day: trade file, unit file, statements and totals of one market's calendar day.

Reads the books of record (settlement's and the registry's tables), no topic, and writes files. In
the order of the work: `days` finds which part of the books a day is, `rows` streams it, `files`
writes CSV and hashes it, `statements` makes one statement an account, `paper` prints it, `closing`
does all of it. The same day of the same books gives the same bytes again.
"""

from exchange.end_of_day.closing import Closed, close_day
from exchange.end_of_day.days import Day, DayRefusedError, day_of, parse_day

__all__ = ["Closed", "Day", "DayRefusedError", "close_day", "day_of", "parse_day"]
