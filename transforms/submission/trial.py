"""The trial summary (TS) of a package: its dates, and the parameters that an agency requires."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from transforms.core import dates
from transforms.submission.contents import Contents, Submitted, record_faults
from transforms.submission.faults import Fault

START, END, CUT_OFF = "SSTDTC", "SENDTC", "DCUTDTC"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
DURATION = re.compile(r"P(?=[\dT])(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)", re.ASCII)
FORMS: Mapping[str, Callable[[str], bool]] = {
    "ISO 8601": lambda one: dates.is_iso(one) or DURATION.fullmatch(one) is not None,
    "ISO 3166-1 Alpha-3": lambda one: re.fullmatch("[A-Z]{3}", one) is not None,
}
"""What a value is where its record names a reference (TSVCDREF)."""
REMEDY = "Correct it in the trial summary (sdtm/ts.yml and its table)"


def start(contents: Contents) -> Iterator[Fault]:
    """No trial summary, no start date of the study in it, one that is no full date, or another study."""
    remedy = "Write the trial summary in the study's configuration (sdtm/ts.yml)"
    trial = contents.dataset("TS")
    if trial is None:
        yield Fault("TS", "", "is not in the package, so that it has no study start date", remedy)
        return
    starts = _values(trial, START)
    if starts.empty:
        yield Fault("TS", "TSVAL", f"has no parameter {START}, the study start date", remedy)
    yield from _no_days(trial, START, starts)
    if set(trial.columns("STUDYID")["STUDYID"].to_pylist()) != {contents.studyid}:
        yield Fault("TS", "STUDYID", f"is not {contents.studyid}, the study of the package", remedy)


def values_fit(contents: Contents) -> Iterator[Fault]:
    """Dates of the study that cannot be, and values that are in another form than their record says."""
    trial = contents.dataset("TS")
    if trial is None:
        return
    yield from _dates_fit(trial, contents.cut_off.isoformat())
    said = {name: _column(trial, name) for name in ("TSVAL", "TSVALNF", "TSVCDREF")}
    filled, reasoned = said["TSVAL"] != "", said["TSVALNF"] != ""
    remedy = f"{REMEDY}: one of both is filled"
    yield from record_faults(trial, "TSVAL", (filled & reasoned).to_numpy(), "a value, and a reason for none", remedy)
    yield from record_faults(trial, "TSVAL", (~filled & ~reasoned).to_numpy(), "neither a value nor a reason", remedy)
    for reference, fits in FORMS.items():
        other = filled & (said["TSVCDREF"] == reference) & ~said["TSVAL"].map(fits)
        yield from record_faults(trial, "TSVAL", other.to_numpy(), f"a value that is not of {reference}", REMEDY)


def _dates_fit(trial: Submitted, last: str) -> Iterator[Fault]:
    starts, ends = _said(trial, START), _said(trial, END)
    first = min((one for one in starts if DAY.fullmatch(one)), default="")
    yield from _no_days(trial, START, starts)
    yield from _no_days(trial, END, ends)
    # An end after the cut-off is no fault: the trial summary of an interim package says the planned one.
    yield from _told(trial, START, starts, lambda one: one[:10] > last, f"lies after the cut-off, {last}")
    yield from _told(trial, END, ends, lambda one: bool(DAY.fullmatch(one)) and one < first, f"lies before {START}")
    cuts = _said(trial, CUT_OFF)
    yield from _told(trial, CUT_OFF, cuts, lambda one: one[:10] != last, f"is not the cut-off of the snapshot, {last}")


def required_parameters(contents: Contents, rules: Iterable[Mapping[str, Any]]) -> Iterator[Fault]:
    """Parameters that are not there, or without a value and a reason why there is none."""
    trial = contents.dataset("TS")
    if trial is None:
        return
    said = [name for name in ("TSVAL", "TSVALNF") if trial.has(name)]
    known: dict[str, set[str]] = {}
    for row in trial.columns("TSPARMCD", *said).to_pylist():
        known.setdefault(row["TSPARMCD"], set()).update(row[name] for name in said if row[name])
    for rule in rules:
        if all(value in known.get(code, ()) for code, value in rule.get("when", {}).items()):
            because = "".join(f", which {code} {value} asks for" for code, value in rule.get("when", {}).items())
            for code in rule["parameters"]:
                if code not in known:
                    remedy = "Write it in the trial summary, with TSVALNF where there is no value"
                    yield Fault("TS", "TSPARMCD", f"has no parameter {code}{because}", remedy)
                elif not known[code]:
                    remedy = "Write its value in the trial summary, or in TSVALNF why there is none"
                    yield Fault("TS", "TSVAL", f"its parameter {code} has no value{because}", remedy)


def _values(trial: Submitted, code: str) -> pd.Series:
    """The values of a parameter by the position of its record; empty where there is none."""
    values: pd.Series = _column(trial, "TSVAL")[_column(trial, "TSPARMCD") == code]
    return values


def _column(trial: Submitted, name: str) -> pd.Series:
    """A text variable with an empty text for a missing one, and throughout where there is no such variable."""
    if not trial.has(name):
        return pd.Series("", index=pd.RangeIndex(trial.records))
    values: pd.Series = trial.columns(name)[name].to_pandas().fillna("")
    return values


def _said(trial: Submitted, code: str) -> pd.Series:
    values = _values(trial, code)
    return values[values != ""]


def _no_days(trial: Submitted, code: str, values: pd.Series) -> Iterator[Fault]:
    problem = "is no complete ISO 8601 date, or has a time"
    yield from _told(trial, code, values, lambda one: not (DAY.fullmatch(one) and dates.is_iso(one)), problem)


def _told(
    trial: Submitted,
    code: str,
    values: pd.Series,
    wrong: Callable[[str], bool],
    problem: str,
) -> Iterator[Fault]:
    found = pd.Series(False, index=pd.RangeIndex(trial.records))
    found[values.index[[wrong(one) for one in values]]] = True
    yield from record_faults(trial, "TSVAL", found.to_numpy(), f"its parameter {code} {problem}", REMEDY)
