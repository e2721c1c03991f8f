"""Writes the world's samples as the laboratory system's text file."""

from __future__ import annotations

import zlib
from datetime import date, datetime, timedelta

from .analytes import ANALYTES, PANELS, Analyte, Panel, reference_range
from .pages import Table
from .protocol import DOSE_VISITS, LABEL
from .world import Sample, Subject, World

COLUMNS = (
    "病历号",
    "门诊住院号",
    "姓名(脱敏)",
    "性别",
    "年龄",
    "申请单号",
    "条码号",
    "标本类型",
    "采集时间",
    "接收时间",
    "报告时间",
    "项目代码",
    "项目名称",
    "结果",
    "提示",
    "单位",
    "参考范围",
    "仪器",
    "结果状态",
    "修订号",
    "备注",
)

PANEL_ITEMS = {panel.letter: tuple(item for item in ANALYTES if item.panel == panel.letter) for panel in PANELS}


def moment_text(moment: datetime) -> str:
    """Return ``2022/6/20 8:05``, as the laboratory system prints a time."""
    return f"{moment.year}/{moment.month}/{moment.day} {moment.hour}:{moment.minute:02d}"


def result_text(analyte: Analyte, value: float) -> str:
    """Return the printed result: fixed decimals, or ``<limit`` below the reporting limit."""
    if analyte.limit is not None and value < analyte.limit:
        return f"<{analyte.limit:.{analyte.decimals}f}"
    return f"{value:.{analyte.decimals}f}"


def range_text(analyte: Analyte, bounds: tuple[float, float]) -> str:
    """Return ``9-50``, ``0.0-26.0``: the range in its own number of decimals."""
    places = analyte.decimals if analyte.range_decimals is None else analyte.range_decimals
    return f"{bounds[0]:.{places}f}-{bounds[1]:.{places}f}"


def flag(value: float, bounds: tuple[float, float]) -> str:
    """Return the arrow of a result outside its range, else an empty string."""
    return "↑" if value > bounds[1] else "↓" if value < bounds[0] else ""


def order_times(order: str, panel: Panel, collected: datetime) -> tuple[datetime, datetime]:
    """Times of receipt and report of one order: settled by the order number alone."""
    code = zlib.crc32(order.encode("ascii"))
    received = collected + timedelta(minutes=12 + code % 30)
    return received, received + timedelta(minutes=60 * panel.hours - 20 + (code >> 8) % 60)


def _orders(subject: Subject, sample: Sample, extracted: datetime) -> list[list[str]]:
    day: date = sample.collected.date()
    encounter = "ZY" if sample.planned.name in DOSE_VISITS else "MZ"
    person = [
        subject.mrn,
        f"{encounter}{subject.subj}{sample.planned.num:02d}",
        subject.name,
        "女" if subject.female else "男",
        f"{sample.age}岁",
    ]
    rows: list[list[str]] = []
    for panel in PANELS:
        if panel.letter not in sample.planned.panels:
            continue
        order = f"{day:%Y%m%d}{subject.subj}{panel.letter}"
        received, reported = order_times(order, panel, sample.collected)
        if reported > extracted:
            continue
        barcode = f"99{subject.subj}{sample.planned.num:02d}{panel.digit}"
        head = [*person, order, barcode, panel.specimen]
        head += [moment_text(moment) for moment in (sample.collected, received, reported)]
        for item in PANEL_ITEMS[panel.letter]:
            value = sample.values[item.code]
            bounds = reference_range(item, female=subject.female, age=sample.age)
            rows.append(
                [
                    *head,
                    item.code,
                    item.name,
                    result_text(item, value),
                    flag(value, bounds),
                    item.unit,
                    range_text(item, bounds),
                    panel.analyser,
                    "F",
                    "1",
                    LABEL,
                ]
            )
    return rows


def build_lis(world: World, extracted: datetime) -> Table:
    """Return every result reported at or before the extract time, in order of collection."""
    draws = [
        (sample.collected, subject.subj, subject, sample) for subject in world.subjects for sample in subject.samples
    ]
    draws.sort(key=lambda draw: (draw[0], len(draw[1]), draw[1]))
    rows = [row for _, _, subject, sample in draws for row in _orders(subject, sample, extracted)]
    return Table(f"LIS_YHD_{extracted:%Y%m%d_%H%M}.txt", COLUMNS, rows)


def text_bytes(table: Table) -> bytes:
    """Return the file's bytes: GB18030, ``|`` between fields, CRLF, never quoted."""
    lines = ["|".join(table.columns), *("|".join(row) for row in table.rows)]
    return "".join(line + "\r\n" for line in lines).encode("gb18030")
