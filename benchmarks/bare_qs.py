"""Questionnaires of the CDISC pilot in bare pandas: python -m benchmarks.bare_qs RAW_DIR OUT_FILE."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from benchmarks import bare

ADAS = {
    f"ACITM{item:02d}": most
    for item, most in zip((1, 2, 4, 5, 6, 7, 8, 11, 12, 13, 14), (10, 5, 5, 5, 5, 8, 12, 5, 5, 5, 5), strict=True)
}
NPIX = {f"NPITM{item:02d}S": 1 for item in (1, 2, 3, 4, 5, 7, 8, 9, 10)}
BASELINE = (
    "ALZHEIMER'S DISEASE ASSESSMENT SCALE",
    "DISABILITY ASSESSMENT FOR DEMENTIA (DAD)",
    "NEUROPSYCHIATRIC INVENTORY - REVISED (NPI-X)",
)


def recompute(qs: pd.DataFrame, total: str, weights: dict[str, int]) -> None:
    """A total from its items, prorated over missing ones, in place."""
    by = ["USUBJID", "VISIT", "QSDTC"]
    items = qs[qs["QSTESTCD"].isin(weights) & qs["QSSTRESN"].notna()]
    items = items.assign(weight=items["QSTESTCD"].map(weights))
    sums = items.groupby(by).agg(score=("QSSTRESN", "sum"), present=("weight", "sum"))
    sums["total"] = sums["score"] * sum(weights.values()) / sums["present"]
    rows = qs["QSTESTCD"] == total
    qs.loc[rows, "QSSTRESN"] = qs.loc[rows, by].merge(sums, left_on=by, right_index=True, how="left")["total"]


def main(raw: Path, out: Path) -> None:
    """Write QS."""
    dates = bare.reference_dates(raw)
    qs = bare.read(raw / "questionnaires.csv").drop(columns=["STUDY"])
    qs = qs.rename(
        columns={"FORM": "QSCAT", "SUBFORM": "QSSCAT", "ITEM_CODE": "QSTESTCD", "ITEM": "QSTEST", "ASSESSED": "QSDTC"}
    )
    qs["USUBJID"] = "01-" + qs["PATNUM"]
    qs["QSSTRESN"] = pd.to_numeric(qs.pop("SCORE"))
    recompute(qs, "ACTOT", ADAS)
    recompute(qs, "NPTOT", NPIX)
    for column, source in (("QSORRES", "RESPONSE"), ("QSDRVFL", "DERIVED"), ("QSSCAT", "QSSCAT")):
        values = qs.pop(source)
        qs[column] = values.where(values != "")
    qs["QSSTRESC"] = bare.number_text(qs["QSSTRESN"])
    qs["QSSTAT"] = pd.Series("NOT DONE", index=qs.index).where(qs["QSORRES"].isna() & qs["QSSTRESN"].isna())
    day = pd.to_datetime(qs["QSDTC"], format="%Y-%m-%d")
    qs = bare.add_visit(qs, qs["VISIT"])
    qs = bare.add_timing(qs, "QS", dates, day)
    qs = bare.add_last_before(qs, "QS", ["USUBJID", "QSTESTCD"], day)
    qs["QSBLFL"] = pd.Series("Y", index=qs.index).where((qs["VISIT"] == "BASELINE") & qs["QSCAT"].isin(BASELINE))
    bare.write(qs, "QS", ["USUBJID", "QSCAT", "QSTESTCD", "VISITNUM", "QSDTC"], out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
