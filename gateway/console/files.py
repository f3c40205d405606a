"""The files of the page, by the name they are served under. Nothing else is ever read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
VENDOR = FOLDER / "vendor"
JAVASCRIPT = "text/javascript; charset=utf-8"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": JAVASCRIPT,
}


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
    path.name: PageFile(path, MEDIA_TYPES[path.suffix])
    for path in sorted(FOLDER.iterdir())
    if path.suffix in MEDIA_TYPES
} | {"lightweight-charts.js": PageFile(VENDOR / "lightweight-charts.js", JAVASCRIPT)}
