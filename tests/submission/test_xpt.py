"""The transport file against the public record layout (TS-140), two independent readers, and what it must refuse."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from datetime import date, datetime, time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyreadstat
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.e2e.test_machine import possible
from tests.submission.tables import CREATED, batches, sized, table, write
from transforms.core import text
from transforms.submission import ibm, layout, xpt
from transforms.submission.faults import ExportRefusedError
from transforms.submission.header import Encoding
from transforms.submission.layout import Layout, Variable
from transforms.submission.read_back import pandas_counts, read_back

ROOT = Path(__file__).resolve().parents[2]

# Worked out by hand from the definition in TS-140: sign, power of 16 + 64, fraction.
#   1 = 1/16 * 16^1; 0.1 = 0x0.1999...9A * 16^0, the double nearest to 0.1; -118.625 = -(0x76.A) = -0x0.76A * 16^2.
BY_HAND = {
    1.0: "4110000000000000",
    0.1: "401999999999999A",
    -118.625: "C276A00000000000",
    100.0: "4264000000000000",
    16.0**-65: "0010000000000000",
    16.0**62 * (16 - 2**-49): "7FFFFFFFFFFFFFF8",
    0.0: "0000000000000000",
    math.nan: "2E00000000000000",
}


@pytest.mark.parametrize(("value", "expected"), [*BY_HAND.items(), (-0.0, "0000000000000000")])
def test_a_number_as_worked_out_by_hand(value: float, expected: str) -> None:
    assert f"{ibm.from_ieee(np.array([value]))[0]:016X}" == expected


in_range = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda value: value == 0 or 16.0**-65 <= abs(value) < 16.0**63
)


@given(st.lists(in_range, min_size=1, max_size=50))
def test_every_double_in_range_is_held_exactly(values: list[float]) -> None:
    for value, bits in zip(values, ibm.from_ieee(np.array(values)).tolist(), strict=True):
        power = ((bits >> 56) & 0x7F) - 64
        held = Fraction(bits & ((1 << 56) - 1), 1 << 56) * Fraction(16) ** power * (-1 if bits >> 63 else 1)
        assert held == Fraction(value)
        assert value == 0 or bits & (0xF << 52), "not normalised"


def test_the_layout_of_the_file(tmp_path: Path) -> None:
    """Byte for byte as TS-140 lays it out, written down here by hand."""
    content = table({"USUBJID": ["S-1", "S-22"], "ADT": pa.array([date(1960, 1, 2), None])}, "ADX", "A label")
    write(tmp_path / "adx.xpt", content)
    written = (tmp_path / "adx.xpt").read_bytes()
    stamp = b"31JAN25:00:00:00"
    cards = [
        b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!000000000000000000000000000000  ",
        b"SAS     SAS     SASLIB  9.4     " + b" " * 32 + stamp,
        stamp + b" " * 64,
        b"HEADER RECORD*******MEMBER  HEADER RECORD!!!!!!!000000000000000001600000000140  ",
        b"HEADER RECORD*******DSCRPTR HEADER RECORD!!!!!!!000000000000000000000000000000  ",
        b"SAS     ADX     SASDATA 9.4     " + b" " * 32 + stamp,
        stamp + b" " * 16 + b"A label".ljust(40) + b" " * 8,
        b"HEADER RECORD*******NAMESTR HEADER RECORD!!!!!!!000000000200000000000000000000  ",
    ]
    text = (
        bytes([0, 2, 0, 0, 0, 4, 0, 1])  # type 2 character, hash 0, length 4, variable 1
        + b"USUBJID "
        + b"Label of USUBJID".ljust(40)
        + b" " * 8  # no format
        + bytes([0, 0, 0, 0, 0, 0, 0, 0])  # its width, decimals, justification; two unused bytes
        + b" " * 8  # no informat
        + bytes([0, 0, 0, 0, 0, 0, 0, 0])  # its width and decimals; position 0
        + bytes(52)
    )
    number = (
        bytes([0, 1, 0, 0, 0, 8, 0, 2])
        + b"ADT     "
        + b"Label of ADT".ljust(40)
        + b"DATE    "
        + bytes([0, 9, 0, 0, 0, 0, 0, 0])
        + b" " * 8
        + bytes([0, 0, 0, 0, 0, 0, 0, 4])  # position 4
        + bytes(52)
    )
    described = (text + number).ljust(320)
    observations = b"S-1 " + bytes.fromhex("4110000000000000") + b"S-22" + bytes.fromhex("2E00000000000000")
    cards += [
        described,
        b"HEADER RECORD*******OBS     HEADER RECORD!!!!!!!000000000000000000000000000000  ",
        observations.ljust(80),
    ]
    assert all(len(card) % 80 == 0 for card in cards)
    assert written == b"".join(cards)


def test_dates_and_times_are_numbers_with_formats(tmp_path: Path) -> None:
    content = table(
        {
            "ADT": pa.array([date(2024, 2, 29), None]),
            "ADTM": pa.array([datetime(2024, 2, 29, 13, 45, 1), None], pa.timestamp("s")),
            "ATM": pa.array([time(13, 45), None], pa.time32("s")),
        }
    )
    write(tmp_path / "ae.xpt", content)
    frame, metadata = pyreadstat.read_xport(str(tmp_path / "ae.xpt"))
    assert metadata.original_variable_types == {"ADT": "DATE9", "ADTM": "DATETIME20", "ATM": "TIME5"}
    assert frame.ADT[0] == date(2024, 2, 29) and pd.isna(frame.ADT[1])
    assert frame.ADTM[0] == pd.Timestamp(2024, 2, 29, 13, 45, 1)
    assert frame.ATM[0] == time(13, 45) and pd.isna(frame.ATM[1])


def test_special_missing_values(tmp_path: Path) -> None:
    """Neither reader tells them apart, so the bytes are compared with TS-140: the letter, then zeros."""
    codes = [None, ".A", ".Z", "._", "."]
    content = table({"AVAL": pa.array([None, None, None, None, 1.5]), "WHY": [*codes[:4], None]})
    write(tmp_path / "ae.xpt", content, special={"AVAL": "WHY"})
    observations = (tmp_path / "ae.xpt").read_bytes()[-80:]
    assert observations.rstrip(b" ") == b".\0\0\0\0\0\0\0A\0\0\0\0\0\0\0Z\0\0\0\0\0\0\0_\0\0\0\0\0\0\0" + bytes.fromhex(
        "4118000000000000"
    )
    shape = sized(content, special={"AVAL": "WHY"})
    assert read_back(tmp_path / "ae.xpt", shape, batches(content), "ascii", content.num_rows).faults == ()
    assert [variable.name for variable in shape.variables] == ["AVAL"]


LONG = "the name has 9 bytes; the format holds 8"
NO_ASCII = "a character that ascii lacks"
UNSEEN = "a character that does not show, or stands for one that was lost"
REFUSED = [
    ({"ABCDEFGHI": ["x"]}, f"AE.ABCDEFGHI: {LONG}"),
    ({"1A": ["x"]}, "AE.1A: the name is not made of A to Z"),
    ({"A-B": ["x"]}, "AE.A-B: the name is not made of A to Z"),
    ({"Abc": ["x"]}, "AE.Abc: the name is not in capitals"),
    ({"AB": ["x"], "ab": ["x"]}, "AE.AB: another variable has the same name, upper and lower case being the same"),
    (
        {"A": ["x" * 201, "y", "z" * 202]},
        r"AE.A: a text longer than the 200 bytes of the variable in 2 record\(s\): 1, 3",
    ),
    ({"A": ["y", "é"]}, rf"AE.A: {NO_ASCII} in 1 record\(s\): 2"),
    ({"A": ["y", "x\0"]}, r"AE.A: a NUL in a text in 1 record\(s\): 2"),
    ({"A": ["x", "y\tz", "a\r\nb", "\x7f"]}, rf"AE.A: {UNSEEN} in 3 record\(s\): 2, 3, 4. Remove it in the mapping"),
    ({"A": ["x\u00a0y"]}, f"AE.A: {NO_ASCII}"),
    ({"A": ["\u200bx"]}, f"AE.A: {UNSEEN}"),
    ({"A": pa.array([b"x", b"\xe9 \xed\xa0\x80"]).view(pa.string())}, rf"AE.A: {UNSEEN} in 1 record\(s\): 2"),
    ({"A": ["y", " x"]}, r"AE.A: a text that begins with a blank in 1 record\(s\): 2"),
    ({"A": ["x "]}, r"AE.A: a text that ends in a blank, which the format does not keep in 1 record\(s\): 1"),
    ({"A": ["x", " "]}, r"AE.A: a text that ends in a blank"),
    ({"A": [1.0, math.inf]}, r"AE.A: an infinite number in 1 record\(s\): 2"),
    ({"A": [-math.inf]}, "AE.A: an infinite number"),
    ({"A": [1e75, 1e76]}, r"AE.A: a number too large or too near to zero for the format in 1 record\(s\): 2"),
    ({"A": [1e-79]}, "AE.A: a number too large or too near to zero"),
    ({"A": [2**53 + 1]}, "AE.A: a whole number beyond 2"),
    ({"A": pa.array([-200_000], pa.int32()).cast(pa.date32())}, "AE.A: a date outside 1582 to 19900"),
    ({"A": pa.array([1_500], pa.timestamp("ms"))}, "AE.A: a time finer than a second"),
    ({"A": ["x", None]}, r"AE: the last record is all blank, which reads as no record at all in 1 record\(s\): 2"),
    ({"A": ["x", ""]}, "AE: the last record is all blank"),
]


@pytest.mark.parametrize(("columns", "message"), REFUSED)
def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    content = table(columns)
    with pytest.raises(ExportRefusedError, match=message):
        write(tmp_path / "ae.xpt", content, shape=layout.layout_of(content.schema))
    assert list(tmp_path.iterdir()) == []


# Which record is the last is known when all are written.
OF_RECORDS = [one for one in REFUSED if "record\\(s" in one[1] and "last record" not in one[1]]


@pytest.mark.parametrize(("columns", "message"), OF_RECORDS)
def test_looking_through_finds_what_writing_refuses(columns: dict[str, list[object]], message: str) -> None:
    content = table(columns)
    measured = xpt.measure(layout.layout_of(content.schema), batches(content), "ascii")
    with pytest.raises(ExportRefusedError, match=message):
        xpt.refuse(measured.faults)


def test_no_value_is_told(tmp_path: Path) -> None:
    content = table({"A": ["secret é"], "B": [1.25e77], "C": ["x" * 300]})
    with pytest.raises(ExportRefusedError) as refused:
        write(tmp_path / "ae.xpt", content, shape=layout.layout_of(content.schema))
    assert "secret" not in str(refused.value) and "25" not in str(refused.value) and "xxx" not in str(refused.value)
    assert len(refused.value.faults) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_a_character_that_does_not_show_is_refused_by_the_writer_as_by_the_engine(encoding: Encoding) -> None:
    """What core.text says of a character, Arrow's expression says of it too; surrogates are no UTF-8."""
    known = [chr(code) for code in range(1, 0x10000) if not 0xD800 <= code <= 0xDFFF]
    unseen = [one for one in known if text.unseen(f"a{one}b")]
    assert len(unseen) == 31 + 33 + 1 + 5 + 7 + 5 + 1 + 3
    content = table({"A": [f"a{one}b" for one in known]})
    measured = xpt.measure(layout.layout_of(content.schema), batches(content), encoding)
    (fault,) = [one for one in measured.faults if one.problem == UNSEEN]
    assert fault.count == len(unseen)


def test_a_text_beyond_the_length_of_its_variable(tmp_path: Path) -> None:
    content = table({"A": ["abc", "abcd"]})
    shape = Layout("AE", "", (Variable("A", "", "text", 3),))
    with pytest.raises(ExportRefusedError, match=r"longer than the 3 bytes .* record\(s\): 2. Give the variable"):
        write(tmp_path / "ae.xpt", content, shape=shape)


@pytest.mark.parametrize(
    ("shape", "encoding", "message"),
    [
        (Layout("AE", "x" * 41, (Variable("A", "", "text", 1),)), "ascii", "AE: the label has 41 bytes in ascii"),
        (Layout("AE", "", (Variable("A", "x" * 41, "text", 1),)), "ascii", "AE.A: the label has 41 bytes in ascii"),
        (Layout("AE", "", (Variable("A", "术语", "text", 1),)), "ascii", "AE.A: the label has a character that ascii"),
        (Layout("AE", "", (Variable("A", "语" * 14, "text", 1),)), "utf-8", "AE.A: the label has 42 bytes in utf-8"),
        (Layout("AE", "", (Variable("A", "语" * 21, "text", 1),)), "gbk", "AE.A: the label has 42 bytes in gbk"),
        (Layout("AE", "", (Variable("A", "a\0", "text", 1),)), "ascii", "AE.A: the label holds a NUL"),
        (
            Layout("AE", "a\nb", (Variable("A", "", "text", 1),)),
            "ascii",
            r"AE: the label holds U\+000A, which does not",
        ),
        (
            Layout("AE", "", (Variable("A", "a\u200b", "text", 1),)),
            "utf-8",
            r"AE.A: the label holds U\+200B, which does",
        ),
        (Layout("AE", "", (Variable("A", "a ", "text", 1),)), "ascii", "AE.A: the label ends in a blank"),
        (Layout("TOOLONGNA", "", (Variable("A", "", "text", 1),)), "ascii", f"TOOLONGNA: {LONG}"),
        (Layout("AE", "", ()), "ascii", "AE: has no variable"),
        (Layout("AE", "", (Variable("A", "", "text", 201),)), "ascii", "AE.A: a text of 201 bytes"),
        (Layout("AE", "", (Variable("A", "", "number", 4),)), "ascii", "AE.A: a number of 4 bytes"),
        (
            Layout("AE", "", tuple(Variable(f"A{number}", "", "number") for number in range(10_000))),
            "ascii",
            "AE: has 10,000 variables; the format counts to 9,999",
        ),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, shape: Layout, encoding: str, message: str) -> None:
    with pytest.raises(ExportRefusedError, match=message):
        xpt.write(tmp_path / "ae.xpt", shape, [], encoding=encoding, created=CREATED)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("why", "message"),
    [([".a", None], r"no special missing value in WHY in 1 record\(s\): 1"), ([None, ".A"], "a number where WHY says")],
)
def test_special_missing_values_that_are_refused(tmp_path: Path, why: list[str | None], message: str) -> None:
    content = table({"AVAL": pa.array([None, 1.5]), "WHY": pa.array(why)})
    with pytest.raises(ExportRefusedError, match=message):
        write(tmp_path / "ae.xpt", content, special={"AVAL": "WHY"})


ALPHABETS = {
    "ascii": st.characters(min_codepoint=32, max_codepoint=126),
    "utf-8": st.characters(
        min_codepoint=32, max_codepoint=0xFFFF, exclude_categories=["C", "Z"], exclude_characters="\ufffd"
    ),
    "gbk": st.sampled_from("abc XYZ0129%<>±×°μ酒精性肝硬化乏力瘙痒汉族白蛋呋塞米"),
}


@st.composite
def tables(draw: st.DrawFn, encoding: str) -> pa.Table:
    rows = draw(st.integers(1, 12))
    texts = st.text(ALPHABETS[encoding], max_size=12).map(lambda one: one.strip(" ") or None)
    number = st.none() | in_range
    days = st.none() | st.dates(date(1582, 1, 1), date(9999, 12, 31))
    moments = st.none() | st.datetimes(datetime(1582, 1, 1), datetime(9999, 12, 31)).map(
        lambda value: value.replace(microsecond=0)
    )

    def column(values: st.SearchStrategy[object], kind: pa.DataType) -> pa.Array:
        return pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)

    columns = {
        "USUBJID": pa.array([f"SUBJECT-{number}" for number in range(rows)]),
        "A": column(texts, pa.string()),
        "B": column(number, pa.float64()),
        "C": column(st.none() | st.integers(-(2**53), 2**53), pa.int64()),
        "D": column(days, pa.date32()),
        "E": column(moments, pa.timestamp("s")),
        "F": column(texts, pa.string()).dictionary_encode(),
        "G": pa.array(["fills the record beyond eighty bytes, so that pandas counts"] * rows),
    }
    return table(columns)


@pytest.mark.parametrize("encoding", ALPHABETS)
def test_what_was_written_is_read_by_both_readers(encoding: str) -> None:
    @settings(max_examples=60)
    @given(tables(encoding), st.integers(1, 5))
    def round_trip(content: pa.Table, rows: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ae.xpt"
            shape = sized(content, encoding)  # type: ignore[arg-type]
            written = write(path, content, encoding=encoding, rows=rows)  # type: ignore[arg-type]
            back = read_back(path, shape, batches(content, 5), encoding, content.num_rows)  # type: ignore[arg-type]
            assert written.records == back.records == content.num_rows
            assert back.readers == ("pyreadstat", "pandas")
            assert back.faults == ()
            # The comparison itself, without ours: pyreadstat's frame against Arrow's own conversion.
            frame, _ = pyreadstat.read_xport(str(path), encoding=encoding.upper(), disable_datetime_conversion=True)
            assert frame["A"].tolist() == [one or "" for one in content["A"].to_pylist()]
            expected = [math.nan if one is None else one for one in content["B"].to_pylist()]
            np.testing.assert_array_equal(frame["B"].to_numpy(float), np.array(expected))

    round_trip()


def test_codes_of_one_byte(tmp_path: Path) -> None:
    """A dictionary of 128 texts fills the codes of one byte, so that none is left for a missing text."""
    texts = pa.array([f"text {number}" for number in range(128)])
    codes = pa.array([*range(128), None, 5], pa.int8())
    content = table({"A": pa.DictionaryArray.from_arrays(codes, texts)})
    write(tmp_path / "ae.xpt", content)
    frame, _ = pyreadstat.read_xport(str(tmp_path / "ae.xpt"))
    assert frame["A"].tolist() == [*texts.to_pylist(), "", "text 5"]


def test_batches_do_not_show(tmp_path: Path) -> None:
    content = table({"A": ["x", "yy", None, "zz"], "B": [1.5, None, 2.0, 3.0]})
    one = write(tmp_path / "one.xpt", content)
    other = write(tmp_path / "other.xpt", content, rows=1)
    assert one == other


def test_a_dataset_without_records(tmp_path: Path) -> None:
    content = table({"A": pa.array([], pa.string()), "B": pa.array([], pa.float64())})
    shape = sized(content)
    assert write(tmp_path / "ae.xpt", content).records == 0
    assert read_back(tmp_path / "ae.xpt", shape, batches(content), "ascii", content.num_rows).faults == ()
    assert [variable.length for variable in shape.variables] == [1, 8]


@given(st.lists(st.sampled_from(["x", "12345678", None]), min_size=1, max_size=25), st.integers(1, 9))
@example(["x", None, "x"], 1)
def test_short_records(values: list[str | None], width: int) -> None:
    """Where records are shorter than 80 bytes the blanks at the end must not be counted, nor the blank ones before."""
    values = [*(value[:width] if value else None for value in values), "x"]
    content = table({"A": pa.array(values, pa.string())})
    shape = Layout("AE", "Adverse Events", (Variable("A", "Label of A", "text", width),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ae.xpt"
        assert write(path, content, shape=shape).records == len(values)
        back = read_back(path, shape, batches(content), "ascii", len(values))
        assert back.faults == ()
        assert ("pandas" in back.readers) == (len(pd.read_sas(path, encoding="ascii")) == len(values))


def test_pandas_miscounts_short_records(tmp_path: Path) -> None:
    """Why such a file is read by pyreadstat alone; when pandas is corrected this test says so."""
    content = table({"A": ["12345678"] * 3, "B": ["x", None, "x"]})
    shape = Layout("AE", "Adverse Events", (Variable("A", "", "text", 8), Variable("B", "", "text", 8)))
    write(tmp_path / "ae.xpt", content, shape=shape)
    assert not pandas_counts(tmp_path / "ae.xpt", shape, 3)
    assert len(pd.read_sas(tmp_path / "ae.xpt", encoding="ascii")) != 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-80], "reads other records"),
        (lambda content: content + content[-160:], "reads another number of records"),
        (lambda content: content.replace(b"yy", b"yz"), "reads another value than was written"),
        (lambda content: content.replace(b"Label of A", b"Label of X"), "its labels read back otherwise"),
        (lambda content: content.replace(b"DATE ", b"TIME "), "its formats read back otherwise"),
    ],
)
def test_a_file_that_is_not_the_dataset_is_told(tmp_path: Path, change: object, message: str) -> None:
    content = table({"A": ["x" * 70, "yy", "z"] * 5, "B": [1.0, 2.0, None] * 5, "C": pa.array([date(2024, 1, 1)] * 15)})
    shape = sized(content)
    path = tmp_path / "ae.xpt"
    write(path, content)
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    told = read_back(path, shape, batches(content), "ascii", content.num_rows).faults
    assert any(message in str(fault) for fault in told), [str(fault) for fault in told]


WRITE = """
import sys
from datetime import datetime
from pathlib import Path
import pyarrow.parquet as pq
from transforms.submission import layout, xpt
source, target = map(Path, sys.argv[1:])
shape = layout.layout_of(pq.read_schema(source))
shape = shape.with_lengths(xpt.measure(shape, layout.batches_of(source), "utf-8").lengths)
xpt.write(target, shape, layout.batches_of(source), encoding="utf-8", created=datetime(2025, 1, 31))
"""


def written_apart(
    source: Path, target: Path, *, prefix: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-c", WRITE, str(source), str(target)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_same_bytes_everywhere(tmp_path: Path) -> None:
    """Another time zone, locale, hash seed and day (a clock a year ahead, if the machine can be told so)."""
    content = table({"A": ["乏力", "x", None, "y"], "B": [0.1, None, 2.0, 3.0], "C": pa.array([date(2024, 2, 29)] * 4)})
    pq.write_table(content, tmp_path / "ae.parquet")
    here = {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}
    there = {"TZ": "Asia/Shanghai", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"}
    done = [
        written_apart(tmp_path / "ae.parquet", tmp_path / "1.xpt", **here),
        written_apart(tmp_path / "ae.parquet", tmp_path / "2.xpt", **there),
    ]
    assert all(one.returncode == 0 for one in done), [one.stderr for one in done]
    os.utime(tmp_path / "ae.parquet", (0, 0))
    shape = sized(content, "utf-8")
    xpt.write(tmp_path / "3.xpt", shape, batches(content), encoding="utf-8", created=CREATED)
    assert len({(tmp_path / f"{number}.xpt").read_bytes() for number in (1, 2, 3)}) == 1


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    prefix = possible("--user", "--map-root-user", "--mount")
    content = table({"A": [f"text {number:06d}" for number in range(20_000)]})
    pq.write_table(content, tmp_path / "ae.parquet")
    full = tmp_path / "full"
    full.mkdir()
    mount = f"mount -t tmpfs -o size=64k none '{full}' && \"$@\"; echo exit $?; ls -A '{full}'"
    done = written_apart(tmp_path / "ae.parquet", full / "ae.xpt", prefix=(*prefix, "sh", "-c", mount, "sh"))
    assert "No space left on device" in done.stderr
    assert done.stdout.split() == ["exit", "1"], "something was left on the full disk"


def test_an_earlier_file_stands_when_the_new_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "ae.xpt", table({"A": ["x"]}))
    before = (tmp_path / "ae.xpt").read_bytes()
    bad = table({"A": ["é"]})
    with pytest.raises(ExportRefusedError):
        write(tmp_path / "ae.xpt", bad, shape=layout.layout_of(bad.schema))
    assert (tmp_path / "ae.xpt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["ae.xpt"]


def test_lengths_are_those_of_the_study() -> None:
    """Every dataset the same length of a variable, but SUPP-- each its own (FDA, Dataset Column Length)."""
    used = {
        "AE": {"USUBJID": 9, "AETERM": 20},
        "ADAE": {"USUBJID": 9, "AETERM": 18, "AEX": 0},
        "SUPPAE": {"USUBJID": 9, "QVAL": 3},
        "SUPPCM": {"USUBJID": 11, "QVAL": 7},
    }
    assert layout.shared_lengths(used) == {
        "AE": {"USUBJID": 9, "AETERM": 20},
        "ADAE": {"USUBJID": 9, "AETERM": 20, "AEX": 1},
        "SUPPAE": {"USUBJID": 9, "QVAL": 3},
        "SUPPCM": {"USUBJID": 11, "QVAL": 7},
    }
