"""Vital signs of the CDISC pilot in bare pandas: python -m benchmarks.bare_vs RAW_DIR OUT_FILE."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import bare

TESTS = {
    "IT.HEIGHT_VSORRES": ("HEIGHT", "Height"),
    "IT.WEIGHT": ("WEIGHT", "Weight"),
    "IT.TEMP": ("TEMP", "Temperature"),
    "SYS_BP": ("SYSBP", "Systolic Blood Pressure"),
    "DIA_BP": ("DIABP", "Diastolic Blood Pressure"),
    "PULSE": ("PULSE", "Pulse Rate"),
}
POINTS = {
    "after Lying Down for 5 Minutes": (815, "PT5M", "PATIENT SUPINE"),
    "after Standing for 1 Minute": (816, "PT1M", "PATIENT STANDING"),
    "after Standing for 3 Minutes": (817, "PT3M", "PATIENT STANDING"),
}


def main(raw: Path, out: Path) -> None:
    """Write VS."""
    dates = bare.reference_dates(raw)
    wide = bare.read(raw / "vs_raw.csv")
    keep = ["PATNUM", "INSTANCE", "VTLD", "IT.TEMP_LOC", "TMPTC", "SUBPOS"]
    vs = wide.melt(id_vars=keep, value_vars=list(TESTS), var_name="column", value_name="collected")
    vs = vs[vs["collected"] != ""].reset_index(drop=True)
    number = vs["collected"].astype(float)
    vs["USUBJID"] = "01-" + vs["PATNUM"]
    vs["VSTESTCD"] = vs["column"].map({column: code for column, (code, _) in TESTS.items()})
    vs["VSTEST"] = vs["column"].map({column: name for column, (_, name) in TESTS.items()})
    measured = vs["VSTESTCD"].isin(["SYSBP", "DIABP", "PULSE"])
    vs["VSPOS"] = vs["SUBPOS"].where(measured & (vs["SUBPOS"] != ""))
    vs["VSORRES"] = bare.number_text(number)
    test = vs["VSTESTCD"]
    conditions = [
        (test == "HEIGHT") & (number < 100),
        test == "HEIGHT",
        (test == "WEIGHT") & (number < 60),
        test == "WEIGHT",
        (test == "TEMP") & (number < 50),
        test == "TEMP",
        test == "PULSE",
    ]
    vs["VSORRESU"] = np.select(conditions, ["in", "cm", "kg", "LB", "C", "F", "beats/min"], "mmHg")
    unit = vs["VSORRESU"]
    converted = np.select(
        [unit == "in", unit == "LB", unit == "F"], [number * 2.54, number * 0.4536, (number - 32) * 5 / 9], number
    )
    rounded = np.floor(np.round(converted * 100, 6) + 0.5) / 100
    vs["VSSTRESN"] = np.where(unit.isin(["in", "LB", "F"]), rounded, number)
    vs["VSSTRESC"] = bare.number_text(vs["VSSTRESN"])
    vs["VSSTRESU"] = unit.replace({"in": "cm", "LB": "kg", "F": "C"})
    vs["VSLOC"] = vs["IT.TEMP_LOC"].where((test == "TEMP") & (vs["IT.TEMP_LOC"] != ""))
    vs["VSTPT"] = vs["TMPTC"].str.upper().where(vs["TMPTC"] != "")
    vs["VSTPTNUM"] = vs["TMPTC"].map({name: point[0] for name, point in POINTS.items()})
    vs["VSELTM"] = vs["TMPTC"].map({name: point[1] for name, point in POINTS.items()})
    vs["VSTPTREF"] = vs["TMPTC"].map({name: point[2] for name, point in POINTS.items()})
    codes, collected = pd.factorize(vs["VTLD"])
    days = pd.to_datetime(pd.Series(collected), format="%d-%b-%Y")
    day = pd.Series(days.to_numpy()[codes])
    vs["VSDTC"] = days.dt.strftime("%Y-%m-%d").array.take(codes)
    vs = bare.add_visit(vs, vs["INSTANCE"])
    vs = bare.add_timing(vs, "VS", dates, day)
    vs = bare.add_last_before(vs, "VS", ["USUBJID", "VSTESTCD", "VSTPTNUM"], day)
    vs["VSBLFL"] = pd.Series("Y", index=vs.index).where(vs["VISIT"] == "BASELINE")
    vs = vs.drop(columns=[*keep[1:], "column", "collected"])
    bare.write(vs, "VS", ["USUBJID", "VSTESTCD", "VISITNUM", "VSTPTNUM", "VSDTC"], out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
