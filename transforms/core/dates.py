"""ISO 8601 dates and times as SDTM carries them: partial, never imputed, no time zone.

Texts are `YYYY`, `YYYY-MM`, `YYYY-MM-DD`, `YYYY-MM-DDThh:mm` or `YYYY-MM-DDThh:mm:ss`; an unknown
month before a known day is written `YYYY---DD`. Source: SDTMIG 3.4, section 4.4.
"""

from __future__ import annotations

import calendar
import datetime
import re
from functools import lru_cache

import numpy as np
import pandas as pd

from transforms.core import text

MONTHS = {
    name: number
    for number, name in enumerate(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), start=1
    )
}
UNKNOWN = {"UN", "UK", "UNK", "XX", "--", "?"}
WHOLE_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:T|$)")
ISO = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d{2})(-(?P<day>\d{2})(T(?P<hour>\d{2}):(?P<minute>\d{2})(:(?P<second>\d{2}))?)?)?)?"
)
ISO_UNKNOWN_MONTH = re.compile(r"\d{4}---\d{2}")
TOKENS = {
    "YYYY": r"(?P<year>\d{4})",
    "MM": r"(?P<month>\d{1,2}|UN|UK|UNK|XX)",
    "Mon": r"(?P<monthname>[A-Za-z]{3}|UN|UK|UNK|XX)",
    "DD": r"(?P<day>\d{1,2}|UN|UK|UNK|XX)",
    "hh": r"(?P<hour>\d{1,2})",
    "mm": r"(?P<minute>\d{2})",
    "ss": r"(?P<second>\d{2})",
    "+hhmm": r"(?:[+-]\d{2}:?\d{2}|Z)",
}
TOKEN = re.compile("|".join(re.escape(one) for one in sorted(TOKENS, key=len, reverse=True)))
# The number a spreadsheet shows for a date that lost its format: days since 1899-12-30, and the part of the day.
EXCEL_SERIAL = "EXCELSERIAL"
EXCEL_NUMBER = re.compile(r"(?P<days>[1-9]\d{4})(?P<part>\.\d+)?")
EXCEL_BEGIN = datetime.datetime(1899, 12, 30)  # noqa: DTZ001 (SDTM dates have no zone)
SECONDS_PER_DAY = 86_400
EPOCH = datetime.date(1970, 1, 1).toordinal()


@lru_cache(maxsize=256)
def layout_pattern(layout: str) -> re.Pattern[str]:
    """The regular expression of a layout such as `DD-Mon-YYYY` or `YYYY-MM-DDThh:mm`, or of EXCELSERIAL.

    `+hhmm` is an offset from UTC: it is read and not kept, the local time stays as collected. Parts that touch another
    have two digits each, so that 202207190805 is no YYYYMMDDhhmmss with a day of one digit.

    Raises ValueError for a layout without a year (unless it is a time of day) or with a repeated part.
    """
    if layout == EXCEL_SERIAL:
        return EXCEL_NUMBER
    if not TOKEN.search(layout):
        raise ValueError(f"layout {layout!r} holds no date or time part")
    pattern, position = "", 0
    found = list(TOKEN.finditer(layout))
    numeric = [match.span() for match in found if match[0] not in ("Mon", "+hhmm")]
    starts, ends = {start for start, _ in numeric}, {end for _, end in numeric}
    for match in found:
        part = TOKENS[match[0]]
        if match.start() in ends or match.end() in starts:
            part = part.replace(r"\d{1,2}", r"\d{2}")
        pattern += re.escape(layout[position : match.start()]) + part
        position = match.end()
    pattern += re.escape(layout[position:])
    try:
        return re.compile(pattern, re.ASCII)
    except re.error as error:
        raise ValueError(f"layout {layout!r} repeats a part ({error})") from error


def layout_parts(layout: str) -> frozenset[str]:
    """The parts of a date or time that a layout holds, as `year`, `month` (however written) or `minute`."""
    return frozenset("month" if name == "monthname" else name for name in layout_pattern(layout).groupindex)


def to_iso(collected: str, layouts: tuple[str, ...]) -> str | None:
    """The ISO 8601 text of a collected date under the first layout that fits; None if none does.

    Unknown parts (`UN`, `UNK`, `XX`) end the text there: `UN/JUN/2022` is `2022-06`. A date that is not
    in the calendar (31 April) fits no layout.
    """
    stripped = collected.strip()
    for layout in layouts:
        match = layout_pattern(layout).fullmatch(stripped)
        if match:
            iso = _excel(match) if layout == EXCEL_SERIAL else _assemble(match.groupdict())
            if iso is not None:
                return iso
    return None


def _excel(match: re.Match[str]) -> str:
    """The date of a spreadsheet's number (1900 date system), with its time to the minute where it has one."""
    day = EXCEL_BEGIN + datetime.timedelta(days=int(match["days"]))
    if match["part"] is None:
        return day.date().isoformat()
    return (day + datetime.timedelta(minutes=round(float(match["part"]) * 1440))).isoformat(timespec="minutes")


def _assemble(parts: dict[str, str | None]) -> str | None:
    if not parts.get("year"):
        return _time(parts)
    month = parts.get("month")
    name = parts.get("monthname")
    if name is not None:
        number = MONTHS.get(name.upper())
        if number is None and name.upper() not in UNKNOWN:
            return None
        month = str(number) if number is not None else name
    day = parts.get("day")
    year = int(parts["year"] or 0)
    month_number = int(month) if month is not None and month.isdigit() else None
    day_number = int(day) if day is not None and day.isdigit() else None
    if month_number is None:
        return f"{year:04d}" if day_number is None else f"{year:04d}---{day_number:02d}"
    if day_number is None:
        return f"{year:04d}-{month_number:02d}" if 1 <= month_number <= 12 else None
    try:
        datetime.date(year, month_number, day_number)
    except ValueError:
        return None
    date = f"{year:04d}-{month_number:02d}-{day_number:02d}"
    if parts.get("hour") is None:
        return date
    clock = _time(parts)
    return f"{date}T{clock}" if clock is not None else None


def _time(parts: dict[str, str | None]) -> str | None:
    hour, minute, second = parts.get("hour"), parts.get("minute"), parts.get("second")
    if hour is None or minute is None:
        return None
    if int(hour) > 23 or int(minute) > 59 or (second is not None and int(second) > 59):
        return None
    return f"{int(hour):02d}:{minute}" + (f":{second}" if second is not None else "")


def is_iso(value: str) -> bool:
    """True for a valid complete or partial ISO 8601 date(time) in the forms SDTM allows here."""
    match = ISO.fullmatch(value)
    if match is None:
        return bool(ISO_UNKNOWN_MONTH.fullmatch(value))
    return _assemble({**match.groupdict(), "monthname": None}) == value


def is_moment(value: str) -> bool:
    """True for a whole date in ISO 8601, with or without a time and its offset from UTC."""
    try:
        datetime.datetime.fromisoformat(value)
    except ValueError:
        return False
    return bool(WHOLE_DATE.match(value))


def offset_of(moment: str) -> datetime.timedelta | None:
    """The offset from UTC that a whole date and time in ISO 8601 carries; None without one."""
    return datetime.datetime.fromisoformat(moment).utcoffset() if is_moment(moment) else None


def instant(moment: str, usual: datetime.timedelta | None = None) -> datetime.datetime:
    """When a date and time in ISO 8601 was, in UTC; one without an offset has the `usual` one (none: it is UTC).

    Parts that are not there are the first ones: 2024-03 began on 2024-03-01 at 00:00.
    """
    known = datetime.datetime.fromisoformat(_with_first_day(moment))
    offset = known.utcoffset()
    return known.replace(tzinfo=None) - ((usual if offset is None else offset) or datetime.timedelta())


def _with_first_day(value: str) -> str:
    """A year or month as its first day; a whole date, with or without a time, as it is."""
    return value + "-01-01"[len(value) - len("YYYY") :] if len(value) < len("YYYY-MM-DD") else value


def join(date: str | None, time: str | None) -> str | None:
    """A date and a time of day as one ISO text; the time is dropped when the date is not complete."""
    if date is None:
        return None
    return f"{date}T{time}" if time is not None and len(date) == 10 else date


def date_part(value: str) -> str | None:
    """The complete date of an ISO text; None when a part of it is unknown."""
    return value[:10] if len(value) >= 10 and "--" not in value[:10] else None


def later(value: str, days: int) -> str:
    """The date some days after a complete date (its time of day is dropped); a partial date stays as it is."""
    date = date_part(value)
    return (datetime.date.fromisoformat(date) + datetime.timedelta(days)).isoformat() if date else value


def day_number(value: str) -> float | None:
    """Days since 0001-01-01 of a complete date; None when the day is unknown."""
    date = date_part(value)
    return float(datetime.date.fromisoformat(date).toordinal()) if date else None


def day_numbers(values: pd.Series) -> pd.Series:
    """`day_number` of a column of ISO texts, or of a column of dates."""
    if values.dtype.kind == "M":
        days = values.to_numpy().astype("datetime64[D]")
        return pd.Series(np.where(np.isnat(days), np.nan, days.astype(np.int64) + EPOCH), index=values.index)
    return text.map_number(values, day_number)


def to_dates(values: pd.Series) -> pd.Series:
    """Complete ISO dates as dates (`datetime64[s]` at midnight, the time of day dropped); partial ones are missing."""
    return _moments(text.map_number(values, day_number).to_numpy() * SECONDS_PER_DAY, values.index)


def to_datetimes(values: pd.Series) -> pd.Series:
    """ISO texts with a time as datetimes to the second; a date without time is missing, it is never imputed."""
    return _moments(
        text.map_number(values, lambda value: first_second(value) if len(value) > 10 else None).to_numpy(), values.index
    )


def from_seconds(seconds: np.ndarray, index: pd.Index) -> pd.Series:
    """Seconds since 0001-01-01 (as `first_second` counts them) as datetimes; NaN is missing."""
    return _moments(seconds, index)


def seconds_of(values: pd.Series) -> np.ndarray:
    """Seconds since 0001-01-01 of a column of dates or datetimes; NaN for missing."""
    moments = values.to_numpy().astype("datetime64[s]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) + EPOCH * SECONDS_PER_DAY)


def _moments(seconds: np.ndarray, index: pd.Index) -> pd.Series:
    missing = np.isnan(seconds)
    since_epoch = np.where(missing, 0, seconds - EPOCH * SECONDS_PER_DAY).astype(np.int64)
    moments = since_epoch.astype("datetime64[s]")
    moments[missing] = np.datetime64("NaT")
    return pd.Series(moments, index=index)


def first_second(value: str) -> float | None:
    """Seconds since 0001-01-01 at the start of what the ISO text says; None when the day is unknown."""
    return _second(value, 0)


def last_second(value: str) -> float | None:
    """The same at the end: a date without time ends at its last second."""
    return _second(value, 1)


def earliest_second(value: str) -> float | None:
    """Seconds since 0001-01-01 before which nothing of a date, which may be partial, can have been."""
    return first_second(_with_first_day(value[:4] if "--" in value else value))


def latest_second(value: str) -> float | None:
    """The same at the other end: 2024-02 ends with 29 February."""
    year = value[:4] if "--" in value else value
    if len(year) >= len("YYYY-MM-DD"):
        return last_second(year)
    month = year if len(year) > len("YYYY") else f"{year}-12"
    if not is_iso(month):
        return None
    return last_second(f"{month}-{calendar.monthrange(int(month[:4]), int(month[5:]))[1]:02d}")


def _second(value: str, end: int) -> float | None:
    day = day_number(value)
    if day is None:
        return None
    clock = value[11:].split(":") if len(value) > 10 else []
    if not clock:
        return day * SECONDS_PER_DAY + end * (SECONDS_PER_DAY - 1)
    seconds = int(clock[0]) * 3600 + int(clock[1]) * 60
    return day * SECONDS_PER_DAY + seconds + (int(clock[2]) if len(clock) > 2 else end * 59)


def study_days(values: pd.Series, reference: pd.Series) -> pd.Series:
    """Days from `reference`, plus one on or after it, never 0; missing unless both dates are complete.

    Source: SDTMIG 3.4, section 4.4.4.
    """
    difference = day_numbers(values).to_numpy() - day_numbers(reference).to_numpy()
    return pd.Series(np.where(difference >= 0, difference + 1, difference), index=values.index)
