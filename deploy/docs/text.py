"""Markdown of the pages that are made from the code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTICE = (
    "<!-- Made from the code by `python -m deploy.docs.generate`; change the code instead. -->\n"
)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """Text as code, or nothing."""
    return f"`{text}`" if text else ""
