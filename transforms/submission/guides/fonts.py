"""Fonts of the guides, all embedded: DejaVu Sans, and one of the machine where a text has Chinese characters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib
from fontTools import subset
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont, newTable
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont as Embedded

from transforms.errors import UsageError

PLAIN, BOLD, CHINESE = "CairnSans", "CairnSans-Bold", "CairnChinese"
FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FILES = {PLAIN: FOLDER / "DejaVuSans.ttf", BOLD: FOLDER / "DejaVuSans-Bold.ttf"}
POSTSCRIPT_NAME = 6
FACE = " SC"
"""The face for simplified Chinese in a file of several."""


class Fonts:
    """The fonts of one document, made for the characters of its texts.

    Raises UsageError where a character is in none of them: no box is ever printed in its place.
    """

    def __init__(self, texts: Iterable[str], chinese_file: str | None) -> None:
        for name, file in FILES.items():
            if name not in pdfmetrics.getRegisteredFontNames():
                pdfmetrics.registerFont(Embedded(name, str(file)))
        wanted = {character for text in texts for character in text if not character.isspace()}
        self.other = wanted - (_characters(str(FILES[PLAIN])) & _characters(str(FILES[BOLD])))
        if not self.other:
            return
        missing = self.other - (_characters(chinese_file) if chinese_file else set())
        if missing or chinese_file is None:
            codes = ", ".join(f"U+{ord(one):04X}" for one in sorted(missing)[:5])
            raise UsageError(
                f"no font of this machine has {len(missing)} characters of the guides (first: {codes}), so they are "
                "not written with boxes in their place. Install a font with Chinese characters, such as the package "
                "fonts-noto-cjk of Debian"
            )
        # reportlab takes two faces of one name for the same one, so each choice of characters has a name of its own.
        chosen = "".join(sorted(self.other))
        self.name = f"{CHINESE}-{hashlib.sha256(chosen.encode()).hexdigest()[:12]}"
        if self.name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(Embedded(self.name, BytesIO(_truetype(chinese_file, chosen, self.name))))

    def markup(self, text: str) -> str:
        """A text as reportlab's paragraphs take it: escaped, each run in a font that has its characters."""
        parts, run, other = [], "", False
        for character in text:
            if (character in self.other) != other:
                parts.append(self._run(run, other))
                run, other = "", not other
            run += character
        return "".join([*parts, self._run(run, other)])

    def _run(self, text: str, other: bool) -> str:
        if not text:
            return ""
        return f'<font name="{self.name}">{escape(text)}</font>' if other else escape(text)


def _face(file: str) -> TTFont:
    """The font of a file; of a collection the face for simplified Chinese, else the first."""
    if not file.lower().endswith((".ttc", ".otc")):
        return TTFont(file, recalcTimestamp=False)
    faces = TTCollection(file).fonts
    names = [str(face["name"].getDebugName(4)) for face in faces]
    number = next((number for number, name in enumerate(names) if name.endswith(FACE)), 0)
    return TTFont(file, fontNumber=number, recalcTimestamp=False)


@cache
def _characters(file: str) -> frozenset[str]:
    return frozenset(chr(code) for code in _face(file).getBestCmap())


def _truetype(file: str, characters: str, name: str) -> bytes:
    """A font of some characters, under a name, with TrueType outlines, which is what reportlab embeds.

    Most fonts with Chinese characters have PostScript outlines; their curves are approximated to a thousandth.
    """
    font = _face(file)
    options = subset.Options(layout_features=[], notdef_outline=True, name_IDs=[1, 2, 4, 6], hinting=False)
    options.drop_tables += ["BASE", "GDEF", "GPOS", "GSUB", "VORG", "vhea", "vmtx", "DSIG"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    if "glyf" not in font:
        _with_quadratic_curves(font)
    for record in font["name"].names:
        if record.nameID == POSTSCRIPT_NAME:
            record.string = name
    written = BytesIO()
    font.save(written, reorderTables=True)
    return written.getvalue()


def _with_quadratic_curves(font: TTFont) -> None:
    """Replace PostScript outlines by TrueType ones."""
    drawn, order = font.getGlyphSet(), font.getGlyphOrder()
    outlines = newTable("glyf")
    outlines.glyphOrder, outlines.glyphs = order, {}
    for name in order:
        pen = TTGlyphPen(None)
        drawn[name].draw(Cu2QuPen(pen, 1.0, reverse_direction=True))
        outlines.glyphs[name] = pen.glyph()
    font["glyf"], font["loca"] = outlines, newTable("loca")
    for name in order:
        width, _ = font["hmtx"][name]
        font["hmtx"][name] = (width, getattr(outlines.glyphs[name], "xMin", 0))
    limits = font["maxp"]
    limits.tableVersion = 0x00010000
    limits.maxZones, limits.maxTwilightPoints, limits.maxStorage = 1, 0, 0
    limits.maxFunctionDefs = limits.maxInstructionDefs = limits.maxStackElements = 0
    limits.maxSizeOfInstructions, limits.maxComponentElements = 0, 0
    limits.maxPoints = limits.maxContours = limits.maxCompositePoints = limits.maxCompositeContours = 0
    limits.maxComponentDepth = 0
    font["post"].formatType = 3.0
    font["head"].glyphDataFormat = 0
    for name in ("CFF ", "CFF2"):
        if name in font:
            del font[name]
    font.sfntVersion = "\000\001\000\000"
