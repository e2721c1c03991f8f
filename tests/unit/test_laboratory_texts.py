"""Writings of results, ranges, units and identifiers, and which version of a result stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.core import text
from transforms.core.dates import to_iso
from transforms.core.identifiers import telling
from transforms.core.results import ResultTexts, labelled_range, reference_range
from transforms.core.tables import Table, read_table
from transforms.core.units import Units, spelling
from transforms.deliveries import direct_identifiers
from transforms.staging import revisions


def table(tmp_path: Path, content: str) -> Table:
    path = tmp_path / "table.csv"
    path.write_text(content, encoding="utf-8")
    return read_table(path, "tables/table.csv")


@pytest.mark.parametrize(
    ("collected", "expected"),
    [
        ("9-50", "9-50"), ("9--50", "9-50"), ("9 - 50", "9-50"), ("9~50", "9-50"), ("９－５０", "9-50"),
        ("<26", "<26"), ("≤26.0", "<=26.0"), ("< 26", "<26"), ("≥ 60", ">=60"), ("-3-3", "-3-3"), ("-5--2", None),
        ("50-9", "50-9"), ("50--9", None), ("", None), ("9-", None), ("9-50-60", None), ("阴性", None),
    ],
)  # fmt: skip
def test_reference_ranges(collected: str, expected: str | None) -> None:
    """`-5--2` is -5 to -2 and, with a doubled dash, -5 to 2: nobody can say which."""
    assert reference_range(collected) == expected


@pytest.mark.parametrize(
    ("collected", "label", "expected"),
    [
        ("男:57-97", "男", (True, "57-97")), ("男:57-97", "女", (True, None)), ("男:57-97", None, (True, None)),
        ("男:57-97 女:41-73", "女", (True, "41-73")), ("男：57-97；女：41-73", "男", (True, "57-97")),
        ("男:≤26.0,女:≤21.0", "女", (True, "<=21.0")), ("57-97", "女", (True, "57-97")),
        ("成人:57-97", "女", (False, None)), ("男:57-97 女:x", "男", (False, None)),
        ("男:57-97 etc", "男", (False, None)),
    ],
)  # fmt: skip
def test_a_range_with_parts(collected: str, label: str | None, expected: tuple[bool, str | None]) -> None:
    assert labelled_range(collected, label, ("男", "女")) == expected


@pytest.mark.parametrize(
    "same",
    [
        ("μmol/L", "µmol/L", "umol/L", "umol/l", " umol / L", "ｕｍｏｌ／Ｌ"),
        ("10^9/L", "×10^9/L", "x10^9/L", "10*9/L", "×10⁹/L", "10E9/L", "10**9/L", "* 10^9/l"),
        ("mg/dL", "mg/dl", "MG/DL", "㎎/㎗"),
        ("mL/min/1.73m2", "ml/min/1.73m²", "mL/min/1.73㎡"),
    ],
)
def test_writings_of_one_unit(same: tuple[str, ...]) -> None:
    assert len({spelling(one) for one in same}) == 1


def test_units_that_differ_stay_apart() -> None:
    different = ("10^9/L", "10^12/L", "109/L", "mg/L", "mg/dL", "g/L", "ug/L", "mmol/L", "umol/L", "U/L", "kU/L", "%")
    assert len({spelling(one) for one in different}) == len(different)


def test_a_unit_is_listed_once_per_analyte(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 3: 'MU/L' is another writing of 'mU/L'"):
        Units.read(table(tmp_path, "ITEM,UNIT\nINS,mU/L\nINS,MU/L\n"), "ITEM")
    units = Units.read(table(tmp_path, "ITEM,UNIT\nCREA,μmol/L\nCREA,mg/dL\nINR,\n"), "ITEM")
    assert (units.usual("CREA"), units.usual("INR")) == ("μmol/L", "")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("(,number,\\1,,", "line 2: "),
        ("a,number,\\1,,", "line 2: invalid group"),
        ("a,nothing,,,", "line 2: unknown KIND"),
        ("a,number,,,", "line 2: a number or term has a RESULT"),
        ("a,not_done,,,", "line 2: a number or term has a RESULT"),
        ("a,uninterpretable,x,,", "line 2: a number or term has a RESULT"),
    ],
)
def test_a_form_that_cannot_be_used_is_named(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ResultTexts.read(table(tmp_path, f"PATTERN,KIND,RESULT,FLAG,REASON\n{row}\n"))


def test_a_listed_number_is_a_number(tmp_path: Path) -> None:
    forms = ResultTexts.read(table(tmp_path, "PATTERN,KIND,RESULT,FLAG,REASON\n(.*)!,number,\\1,!,\n"))
    read = forms.reading("1.5E+03!")
    assert read is not None
    assert (read.result, read.flag, read.rule) == ("1500", "!", 2)
    assert forms.reading("about 5!") is None


@given(st.text(max_size=20))
def test_narrow_is_stable_and_leaves_plain_texts_alone(written: str) -> None:
    once = text.narrow(written)
    assert text.narrow(once) == once
    if written.isascii():
        assert once == written


@pytest.mark.parametrize(
    ("collected", "expected"),
    [("44713", "2022-06-01"), ("45342", "2024-02-20"), ("44713.5", "2022-06-01T12:00"), ("61", None), ("447130", None)],
)
def test_dates_of_a_spreadsheet(collected: str, expected: str | None) -> None:
    """The first two as Excel shows them; its 1900 date system counts from 1899-12-30."""
    assert to_iso(collected, ("EXCELSERIAL",)) == expected
    assert to_iso(collected, ("YYYY-MM-DD",)) is None


IDENTIFIERS = {
    "ID 110101198001011237": "an identity card number",
    "１１０１０１１９８００１０１１２３Ｘ": "an identity card number",
    "call 13912345678": "a mobile telephone number",
    "+86 13912345678": "a mobile telephone number",
    "138 1234 5678": "a mobile telephone number",
    "家住山东省烟台市芝罘区毓璜顶东路20号": "an address",
    "姓名：李小红": "a name or contact with its label",
    "联系电话:0535-6691999": "a name or contact with its label",
    "write to someone@example.org": "an e-mail address",
    "same as 771001": "a known identifier",
    "771001": "a known identifier",
    "王小明": "a known identifier",
}


@pytest.mark.parametrize("written", IDENTIFIERS)
def test_direct_identifiers_are_found(written: str) -> None:
    found = direct_identifiers().found(["calm", written, "7710019"], telling({"771001", "王小明", "王*", "12"}))
    assert found == {IDENTIFIERS[written]: [1]}


def test_other_texts_are_left_alone() -> None:
    plain = ["calm, rested", "2024061512345678901", "12000000000", "bp 120/80", "139123456789", "v1.13912345678",
             "99100101B", "20220620100101B", "轻度溶血+", "患者一般情况可", "血清", "OTHER: note", "12"]  # fmt: skip
    assert direct_identifiers().found(plain, telling({"771001", "12", "张*"})) == {}


P, F, C, X = revisions.PRELIMINARY, revisions.FINAL, revisions.CORRECTED, revisions.CANCELLED
Z = revisions.UNKNOWN


@pytest.mark.parametrize(
    ("rows", "fates"),
    [
        # (revision, state, file) of one record
        ([(1, F, 0)], [revisions.STANDS]),
        ([(1, F, 0), (2, F, 0)], [revisions.EARLIER, revisions.STANDS]),
        ([(2, F, 0), (1, F, 1)], [revisions.STANDS, revisions.EARLIER]),
        ([(10, F, 0), (9, F, 0)], [revisions.STANDS, revisions.EARLIER]),
        ([(1, P, 0), (1, F, 0)], [revisions.BEFORE_FINAL, revisions.STANDS]),
        ([(1, P, 0), (2, F, 0)], [revisions.BEFORE_FINAL, revisions.STANDS]),
        ([(1, F, 0), (2, P, 0)], [revisions.STANDS, revisions.PENDING]),
        ([(1, P, 0), (2, P, 0)], [revisions.PENDING, revisions.PENDING]),
        ([(1, F, 0), (2, X, 0)], [revisions.OF_CANCELLED, revisions.CANCELS]),
        ([(1, F, 0), (1, X, 0)], [revisions.OF_CANCELLED, revisions.CANCELS]),
        ([(1, X, 0), (2, F, 0)], [revisions.EARLIER, revisions.STANDS]),
        ([(1, X, 0), (1, X, 0)], [revisions.CANCELS, revisions.CANCELS]),
        ([(1, F, 0), (1, F, 0)], [revisions.AMBIGUOUS, revisions.AMBIGUOUS]),
        ([(1, F, 0), (2, F, 0), (2, F, 0)], [revisions.EARLIER, revisions.AMBIGUOUS, revisions.AMBIGUOUS]),
        ([(1, F, 0), (1, C, 0)], [revisions.EARLIER, revisions.STANDS]),
        ([(1, C, 0), (1, F, 0)], [revisions.STANDS, revisions.EARLIER]),
        ([(1, P, 0), (1, C, 0)], [revisions.BEFORE_FINAL, revisions.STANDS]),
        ([(1, C, 0), (1, X, 0)], [revisions.OF_CANCELLED, revisions.CANCELS]),
        ([(1, C, 0), (2, F, 0)], [revisions.EARLIER, revisions.STANDS]),
        ([(1, F, 0), (1, C, 0), (1, C, 0)], [revisions.EARLIER, revisions.AMBIGUOUS, revisions.AMBIGUOUS]),
        ([(1, F, 0), (1, F, 1)], [revisions.LATER_FILE, revisions.STANDS]),
        ([(1, F, 0), (2, Z, 0)], [revisions.UNREADABLE, revisions.UNREADABLE]),
        ([(1, F, 0), (float("nan"), F, 0)], [revisions.UNREADABLE, revisions.UNREADABLE]),
    ],
)
def test_which_version_stands(rows: list[tuple[float, int, int]], fates: list[int]) -> None:
    numbers, states, files = (np.array(part) for part in zip(*rows, strict=True))
    # Another record before and after, which must not matter.
    records = np.array([0, *([1] * len(rows)), 2])
    found = revisions.standing(
        records,
        np.array([1.0, *numbers.astype(float), 1.0]),
        np.array([F, *states, F]),
        np.array([0, *files, 0]),
    )
    assert found.fate.tolist() == [revisions.STANDS, *fates, revisions.STANDS]
    for row, (fate, by) in enumerate(zip(found.fate, found.by, strict=True)):
        superseded = fate in (revisions.EARLIER, revisions.BEFORE_FINAL, revisions.OF_CANCELLED, revisions.LATER_FILE)
        assert (by >= 0) == superseded
        assert by == -1 or records[by] == records[row]
