"""Fonts for paper: Noto Sans for Latin, Greek and Cyrillic, Noto Sans SC for Chinese.

Both are Open Font License and come from PyPI. Only the characters that a market can need are cut
out, once a run, so that hundreds of statements do not each read megabytes of glyphs.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer

_LATIN = ("fontpkg_noto_sans", "files/NotoSans[wdth,wght].ttf")
_CHINESE = ("pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf")
_ALWAYS = set(string.printable.strip() + " –…·")
_LAYOUT = {"GSUB", "GPOS", "GDEF", "BASE", "STAT", "VORG", "vhea", "vmtx"}
_REGULAR, _BOLD = 400, 600


class Fonts(NamedTuple):
    """Files of a run's fonts, and which characters they have."""

    regular: Path
    bold: Path
    chinese: Path | None  # None when nothing needs it
    characters: frozenset[str]

    def printable(self, text: str) -> str:
        """The text with what no font has written as `[U+0627]`. O(characters)."""
        return "".join(c if c in self.characters else f"[U+{ord(c):04X}]" for c in text)


def cut_fonts(characters: Iterable[str], folder: Path) -> Fonts:
    """Writes fonts with these characters into `folder`; the same ones give the same bytes.

    About a second. Raises OSError.
    """
    wanted = _ALWAYS | set(characters)
    latin = _covered(_LATIN, wanted)
    chinese = _covered(_CHINESE, wanted - latin)
    regular, bold = folder / "regular.ttf", folder / "bold.ttf"
    with _open(_LATIN) as font:
        variable = BytesIO(_cut(font, latin))
    for path, weight in ((regular, _REGULAR), (bold, _BOLD)):
        with TTFont(variable, recalcTimestamp=False) as font:
            instancer.instantiateVariableFont(font, {"wght": weight, "wdth": 100}).save(path)
    if not chinese:
        return Fonts(regular, bold, None, frozenset(latin))
    fallback = folder / "chinese.otf"
    with _open(_CHINESE) as font:
        fallback.write_bytes(_cut(font, chinese | set(string.digits)))
    return Fonts(regular, bold, fallback, frozenset(latin | chinese))


def _covered(font: tuple[str, str], wanted: set[str]) -> set[str]:
    with _open(font) as opened:
        known = opened.getBestCmap()
        return {character for character in wanted if ord(character) in known}


def _cut(font: TTFont, characters: set[str]) -> bytes:
    for table in _LAYOUT & set(font.keys()):
        del font[table]  # read in full otherwise, only to be thrown away
    options = subset.Options()
    options.layout_features = []
    options.hinting = False
    options.notdef_outline = True
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=sorted(map(ord, characters)))
    cutter.subset(font)
    made = BytesIO()
    font.save(made)
    return made.getvalue()


def _open(font: tuple[str, str]) -> TTFont:
    package, name = font
    with as_file(files(package) / name) as path:
        return TTFont(BytesIO(path.read_bytes()), lazy=True, recalcTimestamp=False)
