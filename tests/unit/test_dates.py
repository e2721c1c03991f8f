"""ISO 8601 as SDTM carries it; expected values by SDTMIG 3.4, sections 4.4.1 to 4.4.4, and the calendar."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.core import dates, text


@pytest.mark.parametrize(
    ("collected", "layouts", "iso"),
    [
        ("12/26/2013", ("MM/DD/YYYY",), "2013-12-26"),
        ("01-02-2014", ("MM-DD-YYYY",), "2014-01-02"),
        ("26-Dec-2013", ("DD-Mon-YYYY",), "2013-12-26"),
        ("13JUN2022", ("DDMonYYYY",), "2022-06-13"),
        ("UN/JUN/2022", ("DD/Mon/YYYY",), "2022-06"),
        ("UN/UNK/2022", ("DD/Mon/YYYY",), "2022"),
        ("15/UNK/2022", ("DD/Mon/YYYY",), "2022---15"),
        ("2022/6/20 8:05", ("YYYY/MM/DD hh:mm",), "2022-06-20T08:05"),
        ("20220620080500", ("YYYYMMDDhhmmss",), "2022-06-20T08:05:00"),
        ("202207190805", ("YYYYMMDDhhmmss",), None),
        ("202207190805", ("YYYYMMDDhhmmss", "YYYYMMDDhhmm"), "2022-07-19T08:05"),
        ("20220719805", ("YYYYMMDDhhmm",), None),
        ("202207190805+0800", ("YYYYMMDDhhmm+hhmm",), "2022-07-19T08:05"),
        ("2022719", ("YYYYMMDD",), None),
        ("1JUN2022", ("DDMonYYYY",), "2022-06-01"),
        ("2013", ("MM/DD/YYYY", "YYYY"), "2013"),
        ("11:45", ("hh:mm",), "11:45"),
        ("31/04/2024", ("DD/MM/YYYY",), None),
        ("2023-02-29", ("YYYY-MM-DD",), None),
        ("2024-02-29", ("YYYY-MM-DD",), "2024-02-29"),
        ("13/13/2024", ("DD/MM/YYYY",), None),
        ("24:00", ("hh:mm",), None),
        ("yesterday", ("DD/MM/YYYY",), None),
        ("2024-01-01x", ("YYYY-MM-DD",), None),
    ],
)
def test_a_collected_date_is_read_by_its_layout_only(collected: str, layouts: tuple[str, ...], iso: str | None) -> None:
    assert dates.to_iso(collected, layouts) == iso


@pytest.mark.parametrize("layout", ["", "abc", "YYYY-YYYY"])
def test_a_layout_that_says_nothing_or_repeats_itself_is_refused(layout: str) -> None:
    with pytest.raises(ValueError, match="layout"):
        dates.layout_pattern(layout)


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("2014", True),
        ("2014-01", True),
        ("2014-01-02T11:45", True),
        ("2022---15", True),
        ("2014-1-2", False),
        ("2014-13", False),
        ("2014-02-30", False),
        ("02JAN2014", False),
        ("11:45", False),
    ],
)
def test_what_is_a_date_in_sdtm(value: str, valid: bool) -> None:
    assert dates.is_iso(value) is valid


def test_study_day_has_no_zero_and_needs_complete_dates() -> None:
    values = text.from_values(["2014-01-01", "2014-01-02", "2014-01-03T08:00", "2014-01", None])
    reference = text.constant("2014-01-02T09:30", values.index)
    days = dates.study_days(values, reference)
    assert days.tolist()[:3] == [-1, 1, 2]
    assert days.isna().tolist() == [False, False, False, True, True]


@given(st.dates(datetime.date(1900, 1, 1), datetime.date(2199, 12, 31)), st.integers(-4000, 4000))
def test_study_day_is_the_calendar_distance(reference: datetime.date, distance: int) -> None:
    date = reference + datetime.timedelta(distance)
    values = text.from_values([date.isoformat()])
    (day,) = dates.study_days(values, text.from_values([reference.isoformat()]))
    assert day == (distance + 1 if distance >= 0 else distance)


@given(st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2199, 12, 31)))
def test_a_written_date_reads_back(moment: datetime.datetime) -> None:
    iso = moment.strftime("%Y-%m-%dT%H:%M:%S")
    assert dates.to_iso(iso, ("YYYY-MM-DDThh:mm:ss",)) == iso
    assert dates.is_iso(iso)
    assert dates.first_second(iso) == dates.last_second(iso)


def test_a_time_needs_a_complete_date() -> None:
    assert dates.join("2014-01-02", "11:45") == "2014-01-02T11:45"
    assert dates.join("2014-01", "11:45") == "2014-01"
    assert dates.join("2014-01-02", None) == "2014-01-02"
    assert dates.join(None, "11:45") is None


def test_some_days_later_crosses_months_and_leap_days() -> None:
    assert dates.later("2024-02-28T10:00", 2) == "2024-03-01"
    assert dates.later("2024-02", 2) == "2024-02"


def test_an_untimed_date_lasts_a_day() -> None:
    day = pd.Timestamp("2014-01-02").toordinal() * 86_400
    assert dates.first_second("2014-01-02") == day
    assert dates.last_second("2014-01-02") == day + 86_399
    assert dates.last_second("2014-01-02T08:30") == day + 8 * 3600 + 30 * 60 + 59


@pytest.mark.parametrize(
    ("value", "earliest", "latest"),
    [
        ("2024", "2024-01-01T00:00:00", "2024-12-31T23:59:59"),
        ("2024-02", "2024-02-01T00:00:00", "2024-02-29T23:59:59"),
        ("2023-02", "2023-02-01T00:00:00", "2023-02-28T23:59:59"),
        ("2024---15", "2024-01-01T00:00:00", "2024-12-31T23:59:59"),
        ("2024-02-03", "2024-02-03T00:00:00", "2024-02-03T23:59:59"),
        ("2024-02-03T10:15", "2024-02-03T10:15:00", "2024-02-03T10:15:59"),
    ],
)
def test_a_partial_date_has_an_earliest_and_a_latest_second(value: str, earliest: str, latest: str) -> None:
    """Days of the calendar: 2024 is a leap year, 2023 is none."""
    assert dates.earliest_second(value) == dates.first_second(earliest)
    assert dates.latest_second(value) == dates.first_second(latest)
