"""Vital signs of the CDISC pilot in bare pandas: python -m benchmarks.bare_vs RAW_DIR OUT_FILE."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import bare

# Column: test, name, and the unit of numbers below a limit and of the others.
TESTS = {
    "IT.HEIGHT_VSORRES": ("HEIGHT", "Height", 100, "in", "cm"),
    "IT.WEIGHT": ("WEIGHT", "Weight", 60, "kg", "LB"),
    "IT.TEMP": ("TEMP", "Temperature", 50, "C", "F"),
    "SYS_BP": ("SYSBP", "Systolic Blood Pressure", 0, "mmHg", "mmHg"),
    "DIA_BP": ("DIABP", "Diastolic Blood Pressure", 0, "mmHg", "mmHg"),
    "PULSE": ("PULSE", "Pulse Rate", 0, "beats/min", "beats/min"),
}
UNITS = ["in", "cm", "kg", "LB", "C", "F", "mmHg", "beats/min"]
STANDARD = {"in": "cm", "LB": "kg", "F": "C"}
POINTS = {
    "after Lying Down for 5 Minutes": (815, "PT5M", "PATIENT SUPINE"),
    "after Standing for 1 Minute": (816, "PT1M", "PATIENT STANDING"),
    "after Standing for 3 Minutes": (817, "PT3M", "PATIENT STANDING"),
}
KEPT = ["PATNUM", "INSTANCE", "VTLD", "IT.TEMP_LOC", "TMPTC", "SUBPOS"]


def results(wide: pd.DataFrame) -> pd.DataFrame:
    """One row per result, with its number and unit."""
    parts = []
    codes = [code for code, *_ in TESTS.values()]
    for place, (column, (_, _, limit, below, other)) in enumerate(TESTS.items()):
        number = bare.numbers(wide[column])
        rows = np.flatnonzero(~np.isnan(number))
        part = wide.loc[rows, KEPT].assign(number=number[rows])
        part["VSTESTCD"] = pd.Categorical.from_codes(np.full(len(rows), place), codes)
        unit = np.where(number[rows] < limit, UNITS.index(below), UNITS.index(other))
        part["VSORRESU"] = pd.Categorical.from_codes(unit, UNITS)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def main(raw: Path, out: Path) -> None:
    """Write VS."""
    dates = bare.reference_dates(raw)
    collected = results(bare.read(raw / "vs_raw.csv"))
    number, unit, point = collected["number"].to_numpy(), collected["VSORRESU"], collected["TMPTC"]
    vs = collected[["PATNUM"]].copy()
    vs["USUBJID"] = bare.recode(collected["PATNUM"], "01-{}".format)
    vs["VSTESTCD"] = test = bare.recode(collected["VSTESTCD"], str)
    vs["VSTEST"] = bare.recode(test, {code: name for code, name, *_ in TESTS.values()})
    vs["VSPOS"] = bare.filled(collected["SUBPOS"]).where(test.isin(["SYSBP", "DIABP", "PULSE"]))
    vs["VSLOC"] = bare.filled(collected["IT.TEMP_LOC"]).where(test == "TEMP")
    vs["VSTPT"] = bare.recode(point, lambda text: text.upper() or None)
    point_number = pd.Series({name: number for name, (number, _, _) in POINTS.items()})
    vs["VSTPTNUM"] = bare.spread(point, point_number.reindex(point.cat.categories).to_numpy())
    vs["VSELTM"] = bare.recode(point, {name: time for name, (_, time, _) in POINTS.items()})
    vs["VSTPTREF"] = bare.recode(point, {name: position for name, (_, _, position) in POINTS.items()})

    vs["VSORRES"], vs["VSORRESU"] = bare.number_text(number), unit
    imperial = [unit == "in", unit == "LB", unit == "F"]
    converted = np.select(imperial, [number * 2.54, number * 0.4536, (number - 32) * 5 / 9], np.nan)
    rounded = np.floor(np.round(converted * 100, 6) + 0.5) / 100
    vs["VSSTRESN"] = np.where(np.isnan(converted), number, rounded)
    vs["VSSTRESC"] = bare.number_text(vs["VSSTRESN"].to_numpy())
    vs["VSSTRESU"] = bare.recode(unit, lambda text: STANDARD.get(text, text))

    day = bare.moments(collected["VTLD"], "%d-%b-%Y")
    days = collected["VTLD"].cat.categories
    iso = pd.to_datetime(days, format="%d-%b-%Y").strftime("%Y-%m-%d")
    vs["VSDTC"] = bare.recode(collected["VTLD"], dict(zip(days, iso, strict=True)))
    bare.add_visit(vs, collected["INSTANCE"])
    bare.add_timing(vs, "VS", dates, day)
    bare.add_last_before(vs, "VS", ["USUBJID", "VSTESTCD", "VSTPTNUM"], day)
    vs["VSBLFL"] = bare.flag(vs["VISIT"] == "BASELINE")
    bare.write(vs, "VS", ["USUBJID", "VSTESTCD", "VISITNUM", "VSTPTNUM", "VSDTC"], out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
