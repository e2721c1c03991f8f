"""The laboratory file as an HL7 v2.5.1 batch of ORU^R01 messages, one message for each order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from .pages import Table
from .protocol import LABEL

ENCODING = "UNICODE UTF-8"
LAB_SYSTEM, SITE_ID, RECEIVER = "LIS", "YHD", "UCMSC"
CODING = "99YHD"
"""Local coding system: HL7 table 0396 reserves 99 and three characters for it."""
OFFSET = "+0800"

PANEL_NAMES = {
    "B": "生化检验",
    "N": "血氨",
    "C": "凝血检验",
    "H": "血常规",
    "T": "肿瘤标志物",
    "I": "炎症指标",
}
SPECIMENS = {"血清": "SER", "血浆": "PLAS", "全血": "BLD"}
"""Specimen types of HL7 table 0487."""
FLAGS = {"↑": "H", "↓": "L"}
SEXES = {"男": "M", "女": "F"}
NUMBER = re.compile(r"-?\d+(\.\d+)?")
CENSORED = re.compile(r"([<>]=?)(\d+(\.\d+)?)")
LIS_TIME = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2}) (\d{1,2}):(\d{2})")
ESCAPES = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"})

OF_MESSAGE = (
    "病历号", "门诊住院号", "姓名(脱敏)", "性别", "申请单号", "条码号", "标本类型", "采集时间", "接收时间", "报告时间",
    "结果状态", "修订号",
)  # fmt: skip
"""What a message says once for all its results."""

Row = dict[str, str]


def escaped(text: str) -> str:
    r"""Return text with the delimiters of HL7 escaped: ``10^9/L`` becomes ``10\S\9/L``."""
    return text.translate(ESCAPES)


def moment(text: str) -> str:
    """Return ``2022/6/20 8:05`` as ``202206200805+0800``; any other text as it is."""
    found = LIS_TIME.fullmatch(text)
    if not found:
        return escaped(text)
    year, month, day, hour, minute = (int(part) for part in found.groups())
    return f"{year:04d}{month:02d}{day:02d}{hour:02d}{minute:02d}{OFFSET}"


def value(text: str) -> tuple[str, str]:
    """Return OBX-2 and OBX-5: NM for a number, SN for a censored one, else ST."""
    if NUMBER.fullmatch(text):
        return "NM", text
    found = CENSORED.fullmatch(text)
    return ("SN", f"{found[1]}^{found[2]}") if found else ("ST", escaped(text))


def segment(name: str, fields: dict[int, str]) -> str:
    """Return a segment; fields are numbered as HL7 does, and empty ones at the end are left out."""
    return "|".join([name, *(fields.get(place, "") for place in range(1, max(fields) + 1))])


def _header(name: str, fields: dict[int, str]) -> str:
    """A segment that defines the delimiters: its field 1 is the separator itself."""
    shifted = {place - 1: text for place, text in fields.items() if place > 1}
    return segment(name, {1: "^~\\&", **shifted})


def control_id(rows: Sequence[Row]) -> str:
    """Return the order and its latest revision, as a message control id."""
    return f"{escaped(rows[0]['申请单号'])}-{max(row['修订号'] for row in rows)}"


def message(rows: Sequence[Row], nth: int = 1) -> list[str]:
    """Return the segments of one order's results, which are all of one tube and one time.

    `nth` counts the messages of one control id, so that each has its own.
    """
    first = rows[0]
    order, barcode = escaped(first["申请单号"]), escaped(first["条码号"])
    letter = first["申请单号"][-1:]
    collected, received, reported = (moment(first[column]) for column in ("采集时间", "接收时间", "报告时间"))
    encounter = first["门诊住院号"]
    states = {row["结果状态"] for row in rows}
    specimen = first["标本类型"]
    out = [
        _header(
            "MSH",
            {
                3: LAB_SYSTEM,
                4: SITE_ID,
                5: "EDC",
                6: RECEIVER,
                7: reported,
                9: "ORU^R01^ORU_R01",
                10: control_id(rows) + (f"-{nth}" if nth > 1 else ""),
                11: "T",
                12: "2.5.1",
                18: ENCODING,
            },
        ),
        segment(
            "PID",
            {
                1: "1",
                3: f"{escaped(first['病历号'])}^^^{SITE_ID}^MR",
                5: escaped(first["姓名(脱敏)"]),
                8: SEXES.get(first["性别"], escaped(first["性别"])),
            },
        ),
        segment("PV1", {1: "1", 2: "I" if encounter.startswith("ZY") else "O", 19: escaped(encounter)}),
        segment("ORC", {1: "RE", 2: order, 3: barcode}),
        segment(
            "OBR",
            {
                1: "1",
                2: order,
                3: barcode,
                4: f"{escaped(letter)}^{PANEL_NAMES.get(letter, '')}^{CODING}",
                7: collected,
                14: received,
                22: reported,
                25: "C" if "C" in states else "P" if states == {"P"} else "F",
            },
        ),
    ]
    for number, row in enumerate(rows, start=1):
        kind, result = value(row["结果"])
        out.append(
            segment(
                "OBX",
                {
                    1: str(number),
                    2: kind,
                    3: f"{escaped(row['项目代码'])}^{escaped(row['项目名称'])}^{CODING}",
                    4: escaped(row["修订号"]),
                    5: result,
                    6: escaped(row["单位"]),
                    7: escaped(row["参考范围"]),
                    8: FLAGS.get(row["提示"], escaped(row["提示"])),
                    11: escaped(row["结果状态"]),
                    14: moment(row["采集时间"]),
                    18: escaped(row["仪器"]),
                },
            )
        )
        if row["备注"]:
            out.append(segment("NTE", {1: "1", 2: "L", 3: escaped(row["备注"])}))
    kind = f"{SPECIMENS.get(specimen, '')}^{escaped(specimen)}^HL70487"
    out.append(segment("SPM", {1: "1", 2: f"^{barcode}", 4: kind, 17: collected, 18: received}))
    return out


def batch_bytes(table: Table, extracted: datetime) -> tuple[bytes, int]:
    """Return the batch file (FHS, BHS, messages, BTS, FTS) in UTF-8 and the number of its OBX segments.

    Rows of one order that differ in person, tube, time, state or revision are messages of their own, so that
    nothing of the table is lost but the age, which HL7 has no field for.
    """
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    messages, seen = [], Counter[str]()
    for _, group in groupby(rows, key=lambda row: [row[name] for name in OF_MESSAGE]):
        own = list(group)
        seen[control_id(own)] += 1
        messages.append(message(own, seen[control_id(own)]))
    stamp = f"{extracted:%Y%m%d%H%M}{OFFSET}"
    fields = {3: LAB_SYSTEM, 4: SITE_ID, 5: "EDC", 6: RECEIVER, 7: stamp, 9: table.name, 10: LABEL}
    lines: Iterable[str] = [
        _header("FHS", fields),
        _header("BHS", {**fields, 9: "1"}),
        *(line for one in messages for line in one),
        segment("BTS", {1: str(len(messages))}),
        segment("FTS", {1: "1"}),
    ]
    return "".join(f"{line}\r" for line in lines).encode("utf-8"), len(rows)
