"""Reading a PDF without the library that wrote it: its text by poppler, its bookmarks from the bytes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TITLE = re.compile(rb"/Title \(((?:[^()\\]|\\.)*)\)")


def text_of(path: Path) -> str:
    """The text of a PDF, every run of blanks one blank; a test without pdftotext is skipped, and says so."""
    if shutil.which("pdftotext") is None:
        pytest.skip("NOT TESTED: pdftotext (poppler-utils) is not installed")
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True)
    return " ".join(done.stdout.decode("utf-8").split())


def pages_of(path: Path) -> list[str]:
    """The text of each page."""
    if shutil.which("pdftotext") is None:
        pytest.skip("NOT TESTED: pdftotext (poppler-utils) is not installed")
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True)
    return done.stdout.decode("utf-8").split("\f")[:-1]


def bookmarks_of(content: bytes) -> list[str]:
    """The titles of the bookmarks, in the order of the file; those in UTF-16 too."""
    found = []
    for one in TITLE.findall(content):
        plain = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), one)
        plain = re.sub(rb"\\(.)", rb"\1", plain, flags=re.DOTALL)
        found.append(
            plain.decode("utf-16") if plain.startswith((b"\xfe\xff", b"\xff\xfe")) else plain.decode("latin-1")
        )
    return found
