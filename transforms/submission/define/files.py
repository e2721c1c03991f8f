"""A define as files: define.xml, the stylesheet it names, and the page rendered beforehand."""

from __future__ import annotations

from pathlib import Path

from transforms.submission.define.model import Define
from transforms.submission.define.page import stylesheet, to_html
from transforms.submission.define.xml_file import STYLESHEET, to_xml

DEFINE, PAGE = "define.xml", "define.html"


def contents_of(define: Define) -> dict[str, bytes]:
    """The three files by name."""
    content = to_xml(define)
    return {DEFINE: content, STYLESHEET: stylesheet(), PAGE: to_html(content)}


def write(define: Define, folder: Path) -> tuple[Path, ...]:
    """Write define.xml, define.xsl and define.html into a folder, which is made; returns their paths.

    Each is written under a temporary name and renamed, so that no half of one is ever seen.
    """
    written = contents_of(define)
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in written.items():
        temporary = folder / f".{name}.part"
        temporary.write_bytes(one)
        temporary.replace(folder / name)
    return tuple(folder / name for name in written)
