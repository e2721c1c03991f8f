"""Fonts of figures: one that comes with matplotlib, and one of the machine for Chinese."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from matplotlib import font_manager, ft2font

from transforms.errors import UsageError

OWN = "DejaVu Sans"
CHINESE = (
    "NotoSansCJK",
    "NotoSansSC",
    "SourceHanSansSC",
    "SourceHanSansCN",
    "wqy-microhei",
    "wqy-zenhei",
    "DroidSansFallback",
    "PingFang",
    "msyh",
    "simhei",
    "simsun",
)
"""File names of fonts with Chinese characters begin so; the first that is there is taken."""
PACKAGES = "fonts-noto-cjk (Debian, Ubuntu), google-noto-sans-cjk-fonts (Fedora), font-noto-cjk (Alpine)"


class FontMissingError(UsageError):
    """A text has characters that no font of the machine has."""


@cache
def chinese_font() -> str | None:
    """The file of a font with Chinese characters, in its regular weight; None if the machine has none."""
    found = sorted(font_manager.findSystemFonts(), key=lambda one: (Path(one).name, one))
    for wanted in CHINESE:
        fitting = [one for one in found if Path(one).name.casefold().startswith(wanted.casefold())]
        regular = [one for one in fitting if "regular" in Path(one).name.casefold()]
        if fitting:
            return (regular or fitting)[0]
    return None


def families(texts: Iterable[str]) -> list[str]:
    """The fonts in which some texts can be drawn. Raises FontMissingError where a character has none."""
    wanted = {character for text in texts for character in text if not character.isspace()}
    missing = wanted - _characters(font_manager.findfont(OWN))
    if not missing:
        return [OWN]
    file = chinese_font()
    if file is not None:
        missing -= _characters(file)
    if missing or file is None:
        codes = ", ".join(f"U+{ord(one):04X}" for one in sorted(missing)[:5])
        raise FontMissingError(
            f"no font of this machine has {len(missing)} characters of the figure's texts (first: {codes}), so it is "
            f"not drawn with boxes in their place. Install a font with Chinese characters: {PACKAGES}"
        )
    font_manager.fontManager.addfont(file)
    return [OWN, font_manager.FontProperties(fname=file).get_name()]


@cache
def _characters(file: str) -> set[str]:
    return {chr(code) for code in ft2font.FT2Font(file).get_charmap()}
