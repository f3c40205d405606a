"""The files of the page, by the name they are served under. Nothing else is ever read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
VENDOR = FOLDER / "vendor"
JAVASCRIPT = "text/javascript; charset=utf-8"


class PageFile(NamedTuple):
    """One file of the page."""

    path: Path
    media_type: str

    def content(self) -> bytes:
        """Its bytes; a hint instead of a vendor file that was not built."""
        if self.path.exists():
            return self.path.read_bytes()
        return b"throw new Error('not built: run python -m gateway.console.build');\n"


FILES: dict[str, PageFile] = {
    "index.html": PageFile(FOLDER / "index.html", "text/html; charset=utf-8"),
    "style.css": PageFile(FOLDER / "style.css", "text/css; charset=utf-8"),
    "app.js": PageFile(FOLDER / "app.js", JAVASCRIPT),
    "book.js": PageFile(FOLDER / "book.js", JAVASCRIPT),
    "chart.js": PageFile(FOLDER / "chart.js", JAVASCRIPT),
    "words.js": PageFile(FOLDER / "words.js", JAVASCRIPT),
    "lightweight-charts.js": PageFile(VENDOR / "lightweight-charts.js", JAVASCRIPT),
}
