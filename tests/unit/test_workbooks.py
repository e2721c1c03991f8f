"""Workbooks: texts and numbers come back as they went in, what Excel cannot hold is refused, bytes never change."""

from __future__ import annotations

import io
import re
import time
import zipfile
from datetime import UTC, datetime
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

from transforms.core.workbooks import LONGEST_TEXT, Cell, Sheet, WorkbookRefusedError, workbook

CREATED = datetime(2024, 12, 31, 23, 59, 59)
TEXTS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(1)",
    "007",
    "1e5",
    "NA",
    "TRUE",
    " kept ",
    "two\nlines",
    "\r\n",
    "中文 < & >",
    "2024-02-30",
]
SHEETS = (
    Sheet("Texts", {"Text": 40, "Empty": 5}, [[one, None] for one in TEXTS]),
    Sheet("Numbers", {"Number": 12}, [[0], [-3], [2**53], [np.float64(0.1) + 0.2], [1e300]]),
)


def read(content: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(content))


def one_cell(value: object) -> bytes:
    return workbook([Sheet("Only", {"A": 10}, [[value]])], created=CREATED)  # type: ignore[list-item]


def test_texts_and_numbers_come_back_exactly() -> None:
    content = workbook(SHEETS, created=CREATED)
    book = read(content)
    assert book.sheetnames == ["Texts", "Numbers"]
    cells = [row[0] for row in book["Texts"].iter_rows(min_row=2)]
    assert [cell.value for cell in cells] == TEXTS
    assert {cell.data_type for cell in cells} == {"s"}
    assert [row[0].value for row in book["Numbers"].iter_rows(min_row=2)] == [0, -3, 2**53, 0.1 + 0.2, 1e300]
    assert [sheet.freeze_panes for sheet in book] == ["A2", "A2"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheets = [archive.read(name).decode() for name in archive.namelist() if "worksheets/" in name]
    assert len(sheets) == 2 and not any("<f" in sheet for sheet in sheets)


def test_a_row_is_as_tall_as_its_longest_cell() -> None:
    rows: list[list[Cell]] = [["x", 1], ["x" * 30, 1], ["中" * 18, 1], ["a\nb\nc", 1], ["x" * 5_000, 1]]
    sheet = read(workbook([Sheet("Only", {"A": 20, "B": 5}, rows)], created=CREATED)).active
    assert [sheet.row_dimensions[number].height for number in range(1, 7)] == [15, 15, 30, 30, 45, 409]


def test_the_longest_text_is_whole() -> None:
    text = "x" * (LONGEST_TEXT - 1) + "y"
    assert read(one_cell(text)).active["A2"].value == text
    frame = pd.read_excel(io.BytesIO(one_cell("007")), dtype=str)
    assert frame["A"].tolist() == ["007"]


def test_the_bytes_know_neither_day_nor_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = workbook(SHEETS, created=CREATED)
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(2024, 12, 31, 23, 59, 58)}
        core = archive.read("docProps/core.xml").decode()
    assert re.findall(r"\d{4}-\d{2}-\d{2}T[\d:]+Z", core) == ["2024-12-31T23:59:59Z"] * 2
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 400 * 86_400)
    try:
        assert workbook(SHEETS, created=CREATED.replace(tzinfo=UTC)) == first
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x" * (LONGEST_TEXT + 1), r"Only!A2: a text of 32,768 characters; a cell holds 32,767\. Split it"),
        ("\U00020000" * 16_384, r"a text of 32,768 characters"),
        ("a\x00b", r"Only!A2: the character U\+0000 cannot be held\. Correct the text"),
        ("a\x0bb", r"U\+000B"),
        ("\ufffe", r"U\+FFFE"),
        ("\ud800", r"U\+D800"),
        ("a_x000D_b", r"Only!A2: _x000D_ is read as one character"),
        (float("nan"), r"Only!A2: an infinite number or none"),
        (float("inf"), r"an infinite number or none"),
        (2**53 + 1, r"a whole number beyond 2\^53"),
        (True, r"it is a bool; a cell holds a text or a number"),
        (CREATED, r"it is a datetime"),
    ],
)
def test_what_a_cell_cannot_hold_is_refused(value: Cell, message: str) -> None:
    with pytest.raises(WorkbookRefusedError, match=message):
        one_cell(value)


@pytest.mark.parametrize(
    ("sheets", "message"),
    [
        ([], "it has no sheet"),
        ([Sheet("x" * 32, {"A": 1}, [])], "a name has 1 to 31 characters"),
        ([Sheet("a/b", {"A": 1}, [])], "a name has 1 to 31 characters"),
        ([Sheet("Rules", {"A": 1}, []), Sheet("RULES", {"A": 1}, [])], "sheet 'RULES': the name is taken"),
        ([Sheet("History", {"A": 1}, [])], "the name is taken"),
        ([Sheet("A", {"A": 1}, [["x", "y"]])], "A, row 2: it has 2 cells; there are 1 columns"),
        ([Sheet("A", {"A": 1}, [["x"]] * 1_048_576)], "1,048,576 rows; a sheet takes 16,384 and 1,048,575"),
    ],
)
def test_a_sheet_that_excel_cannot_open_is_refused(sheets: list[Sheet], message: str) -> None:
    with pytest.raises(WorkbookRefusedError, match=message):
        workbook(sheets, created=CREATED)


def test_every_fault_is_counted() -> None:
    rows = [["\x01"] for _ in range(7)]
    with pytest.raises(WorkbookRefusedError, match=r"7 fault\(s\)[\s\S]*Only!A6[\s\S]*and 2 more"):
        workbook([Sheet("Only", {"A": 1}, rows)], created=CREATED)
