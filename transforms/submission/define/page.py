"""The page beside a define.xml, rendered beforehand: browsers no longer run stylesheets on files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lxml import etree

STYLESHEET = Path(__file__).with_name("define.xsl")


def to_html(define: bytes) -> bytes:
    """The page of a define.xml by the stylesheet that lies beside it, as UTF-8."""
    page = _transform()(etree.fromstring(define))
    written: bytes = etree.tostring(page, method="html", encoding="UTF-8", doctype="<!DOCTYPE html>")
    return written


def stylesheet() -> bytes:
    """The stylesheet, to be delivered with the define.xml that names it."""
    return STYLESHEET.read_bytes()


@cache
def _transform() -> etree.XSLT:
    return etree.XSLT(etree.parse(str(STYLESHEET)))
