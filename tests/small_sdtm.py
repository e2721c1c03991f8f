"""SDTM datasets of a study written by hand, a few records each, for tests of what is derived from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from transforms.adam.engine import Derived, derive_study
from transforms.core import text
from transforms.study import Study, analyses

CUT_OFF = "2024-12-31"
FIRST_DOSE = "2022-07-01T09:00"
Records = Mapping[str, Iterable[Mapping[str, Any]]]


def frames(study: Study, records: Records) -> dict[str, pd.DataFrame]:
    """Every SDTM dataset of the study with the records given, in their order; --SEQ counts where none is given."""
    result = {}
    for name in sorted({*study.datasets, *(f"SUPP{one}" for one in study.datasets if one != "TA")}):
        columns = analyses.columns_of(study, name)
        if columns is None or (name.startswith("SUPP") and name not in records):
            continue
        rows = [{"STUDYID": study.file.studyid, "DOMAIN": name, **one} for one in records.get(name, ())]
        unknown = {key for row in rows for key in row} - {*columns, "DOMAIN"}
        assert not unknown, f"{name} has no {unknown}"
        counted: dict[str, int] = {}
        for row in rows:
            counted[row["USUBJID"]] = counted.get(row["USUBJID"], 0) + 1
            if f"{name}SEQ" in columns:
                row.setdefault(f"{name}SEQ", counted[row["USUBJID"]])
        result[name] = pd.DataFrame(
            {one: _column(study, name, one, [row.get(one) for row in rows]) for one in sorted(columns)},
            index=pd.RangeIndex(len(rows)),
        )
    return result


def _column(study: Study, dataset: str, name: str, values: list[Any]) -> pd.Series:
    standard = study.standards.variable(dataset, name) if dataset in study.standards.datasets else None
    if standard is not None and standard.is_number:
        return pd.Series([np.nan if one is None else float(one) for one in values], dtype=float)
    return text.from_values(values, pd.RangeIndex(len(values)))


def derive(study: Study, records: Records, *only: str, cut_off: str = CUT_OFF) -> Derived:
    """The analysis datasets of such records."""
    return derive_study(study, frames(study, records), cut_off=cut_off, only=only or None)


def plain(derived: Derived, name: str) -> pd.DataFrame:
    """An analysis dataset with texts as objects and missing ones as None."""
    frame = derived.datasets[name].frame
    texts = {one: frame[one].astype(object) for one in frame if isinstance(frame[one].dtype, pd.CategoricalDtype)}
    return frame.assign(**{one: values.where(values.notna(), None) for one, values in texts.items()})


def subject(number: str = "1001", **other: Any) -> dict[str, Any]:
    """A treated man of fifty in DM."""
    return {
        "USUBJID": number,
        "SUBJID": number,
        "SITEID": "01",
        "RFSTDTC": FIRST_DOSE,
        "RFXSTDTC": FIRST_DOSE,
        "RFICDTC": "2022-06-20",
        "BRTHDTC": "1972-03",
        "AGE": 50,
        "AGEU": "YEARS",
        "SEX": "M",
        "RACE": "ASIAN",
        "ARMCD": "UC05",
        "ARM": "UCMSC 0.5 x 10^6 cells/kg",
        "ACTARMCD": "UC05",
        "ACTARM": "UCMSC 0.5 x 10^6 cells/kg",
        "COUNTRY": "CHN",
        **other,
    }


def infusion(number: str = "1001", at: str = FIRST_DOSE, dose: float = 0.5, **other: Any) -> dict[str, Any]:
    """A record of EX; one after the first day is a repeat administration."""
    kind = "INITIAL" if at == FIRST_DOSE else "REPEAT"
    return {
        "USUBJID": number,
        "EXTRT": "UCMSC",
        "EXSCAT": f"{kind} ADMINISTRATION",
        "EXDOSE": dose,
        "EXDOSU": "10^6 Therapeutic Cells/kg",
        "EXSTDTC": at,
        "EXENDTC": f"{at[:11]}10:00",
        **other,
    }


def end_of_treatment(number: str = "1001", reason: str = "COMPLETED", on: str = "2022-07-22") -> dict[str, Any]:
    """The end of treatment in DS, after which the last dose moves no more."""
    return {
        "USUBJID": number,
        "DSCAT": "DISPOSITION EVENT",
        "DSSCAT": "STUDY TREATMENT",
        "DSDECOD": reason,
        "DSSTDTC": on,
    }


UNITS = {
    "BILI": "umol/L",
    "INR": "RATIO",
    "CREAT": "umol/L",
    "SODIUM": "mmol/L",
    "ALB": "g/L",
    "ALT": "U/L",
    "AST": "U/L",
    "ALP": "U/L",
    "PLAT": "10^9/L",
    "NEUT": "10^9/L",
    "LYM": "10^9/L",
    "WBC": "10^9/L",
    "HGB": "g/L",
}


def result(
    test: str,
    value: float | None,
    at: str,
    number: str = "1001",
    *,
    low: float | None = None,
    high: float | None = None,
    accession: str = "A1",
    **other: Any,
) -> dict[str, Any]:
    """A record of LB, its indicator by the limits."""
    indicator = None
    if value is not None and (low is not None or high is not None):
        indicator = "NORMAL"
        if low is not None and value < low:
            indicator = "LOW"
        if high is not None and value > high:
            indicator = "HIGH"
    return {
        "USUBJID": number,
        "LBTESTCD": test,
        "LBTEST": test.title(),
        "LBCAT": "CHEMISTRY",
        "LBSTRESN": value,
        "LBSTRESC": None if value is None else f"{value:g}",
        "LBSTRESU": UNITS[test],
        "LBSTNRLO": low,
        "LBSTNRHI": high,
        "LBNRIND": indicator,
        "LBDTC": at,
        "LBREFID": accession,
        **other,
    }


def day(elapsed: int, time: str = "T08:00") -> str:
    """The date some days after the first dose."""
    return str(np.datetime64("2022-07-01") + elapsed) + time
