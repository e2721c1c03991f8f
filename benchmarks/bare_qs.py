"""Questionnaires of the CDISC pilot in bare pandas: python -m benchmarks.bare_qs RAW_DIR OUT_FILE."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from benchmarks import bare

MOST = {1: 10, 2: 5, 4: 5, 5: 5, 6: 5, 7: 8, 8: 12, 11: 5, 12: 5, 13: 5, 14: 5}
ADAS = {f"ACITM{item:02d}": most for item, most in MOST.items()}
NPIX = {f"NPITM{item:02d}S": 1 for item in (1, 2, 3, 4, 5, 7, 8, 9, 10)}
BASELINE = (
    "ALZHEIMER'S DISEASE ASSESSMENT SCALE",
    "DISABILITY ASSESSMENT FOR DEMENTIA (DAD)",
    "NEUROPSYCHIATRIC INVENTORY - REVISED (NPI-X)",
)


def recompute(qs: pd.DataFrame, total: str, weights: dict[str, int]) -> None:
    """A total from its items, prorated over missing ones, in place."""
    by = ["USUBJID", "VISIT", "QSDTC"]
    items = qs.loc[qs["QSTESTCD"].isin(list(weights)) & qs["QSSTRESN"].notna(), [*by, "QSTESTCD", "QSSTRESN"]]
    items["weight"] = items["QSTESTCD"].astype("str").map(weights)
    grouped = items.groupby(by, observed=True, as_index=False)
    sums = grouped.agg(score=("QSSTRESN", "sum"), present=("weight", "sum"))
    sums["total"] = sums["score"] * sum(weights.values()) / sums["present"]
    rows = qs["QSTESTCD"] == total
    qs.loc[rows, "QSSTRESN"] = qs.loc[rows, by].merge(sums, on=by, how="left")["total"].to_numpy()


def main(raw: Path, out: Path) -> None:
    """Write QS."""
    dates = bare.reference_dates(raw)
    forms = bare.read(raw / "questionnaires.csv")
    qs = forms[["PATNUM"]].copy()
    qs["USUBJID"] = bare.recode(forms["PATNUM"], "01-{}".format)
    qs["QSTESTCD"], qs["QSTEST"] = forms["ITEM_CODE"], forms["ITEM"]
    qs["QSCAT"], qs["QSSCAT"] = forms["FORM"], bare.filled(forms["SUBFORM"])
    qs["QSORRES"], qs["QSDRVFL"] = bare.filled(forms["RESPONSE"]), bare.filled(forms["DERIVED"])
    qs["QSDTC"] = forms["ASSESSED"]
    bare.add_visit(qs, forms["VISIT"])
    qs["QSSTRESN"] = bare.numbers(forms["SCORE"])
    recompute(qs, "ACTOT", ADAS)
    recompute(qs, "NPTOT", NPIX)
    qs["QSSTRESC"] = bare.number_text(qs["QSSTRESN"].to_numpy())
    unanswered = qs["QSORRES"].isna() & qs["QSSTRESN"].isna()
    qs["QSSTAT"] = bare.choice([unanswered.to_numpy()], ["NOT DONE"])
    day = bare.moments(forms["ASSESSED"], "%Y-%m-%d")
    bare.add_timing(qs, "QS", dates, day)
    bare.add_last_before(qs, "QS", ["USUBJID", "QSTESTCD"], day)
    qs["QSBLFL"] = bare.flag((qs["VISIT"] == "BASELINE") & qs["QSCAT"].isin(BASELINE))
    bare.write(qs, "QS", ["USUBJID", "QSCAT", "QSTESTCD", "VISITNUM", "QSDTC"], out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
