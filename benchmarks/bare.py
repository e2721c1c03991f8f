"""What the bare scripts share: the study's dates, visits and flags, written straight in pandas.

These scripts know the CDISC pilot and nothing else. They are the yard-stick for cost and, written from the study's
definitions and not from the engine, a second route to its values.
"""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

VISITS = """VISIT,VISITNUM,VISITDY
SCREENING 1,1,-7
SCREENING 2,2,-1
BASELINE,3,1
AMBUL ECG PLACEMENT,3.5,13
WEEK 2,4,14
WEEK 4,5,28
AMBUL ECG REMOVAL,6,30
WEEK 6,7,42
WEEK 8,8,56
WEEK 10 (T),8.1,70
WEEK 12,9,84
WEEK 14 (T),9.1,98
WEEK 16,10,112
WEEK 18 (T),10.1,126
WEEK 20,11,140
WEEK 22 (T),11.1,154
WEEK 24,12,168
WEEK 26,13,182
AE FOLLOW-UP,101,
RETRIEVAL,201,168
"""


def read(path: Path) -> pd.DataFrame:
    """An extract as text."""
    return pd.read_csv(path, dtype="str", keep_default_na=False)


def reference_dates(raw: Path) -> pd.DataFrame:
    """By PATNUM: first visit, first dose, and date of the disposition record."""
    ec = read(raw / "ec_raw.csv")
    first = pd.to_datetime(ec["IT.ECSTDAT"], format="%d-%b-%Y").groupby(ec["PATNUM"]).min()
    ds = read(raw / "ds_raw.csv")
    ds = ds[(ds["IT.DSDECOD"] != "") & (ds["IT.DSDECOD"] != "Randomized")]
    last = pd.to_datetime(ds["DSDTCOL"], format="%m-%d-%Y").groupby(ds["PATNUM"]).min()
    log = read(raw / "visits.csv")
    log = log[log["VISIT"] == "Screening 1"]
    screening = pd.to_datetime(log["VISIT_START"], format="%Y-%m-%d").groupby(log["PATNUM"]).min()
    return pd.DataFrame({"SCRNDT": screening, "RFSTDT": first, "RFENDT": last}).reindex(first.index)


def add_visit(frame: pd.DataFrame, collected: pd.Series) -> pd.DataFrame:
    """VISIT, VISITNUM and VISITDY; an unscheduled visit carries its number in its name."""
    visits = pd.read_csv(io.StringIO(VISITS))
    frame["VISIT"] = collected.str.upper()
    frame = frame.merge(visits, on="VISIT", how="left")
    missing = frame["VISITNUM"].isna()
    frame.loc[missing, "VISITNUM"] = frame.loc[missing, "VISIT"].str.extract(r"UNSCHEDULED (\d+\.\d+)")[0].astype(float)
    return frame


def add_timing(frame: pd.DataFrame, prefix: str, dates: pd.DataFrame, day: pd.Series) -> pd.DataFrame:
    """--DY and EPOCH from a column of days."""
    start = frame["PATNUM"].map(dates["RFSTDT"])
    end = frame["PATNUM"].map(dates["RFENDT"])
    difference = (day - start).dt.days
    frame[f"{prefix}DY"] = difference.where(difference < 0, difference + 1)
    frame["EPOCH"] = None
    screened = frame["PATNUM"].map(dates["SCRNDT"])
    frame.loc[((day >= screened) & (day < start)).to_numpy(), "EPOCH"] = "SCREENING"
    frame.loc[((day >= start) & (day <= end)).to_numpy(), "EPOCH"] = "TREATMENT"
    frame["before"] = (day <= start).to_numpy()
    return frame


def add_last_before(frame: pd.DataFrame, prefix: str, by: list[str], moment: pd.Series) -> pd.DataFrame:
    """--LOBXFL: the last result on or before the day of first treatment."""
    flagged = frame.assign(moment=moment.to_numpy())
    flagged = flagged[flagged["before"] & flagged[f"{prefix}STRESC"].notna()]
    last = flagged.sort_values([*by, "moment", "VISITNUM"], kind="stable").drop_duplicates(by, keep="last")
    frame[f"{prefix}LOBXFL"] = None
    frame.loc[last.index, f"{prefix}LOBXFL"] = "Y"
    return frame


def write(frame: pd.DataFrame, domain: str, keys: list[str], path: Path) -> None:
    """Sort, number and write."""
    frame = frame.sort_values(keys, kind="stable", na_position="first", ignore_index=True)
    frame[f"{domain}SEQ"] = frame.groupby("USUBJID").cumcount() + 1
    frame.insert(0, "STUDYID", "CDISCPILOT01")
    frame.insert(1, "DOMAIN", domain)
    frame.drop(columns=["PATNUM", "before"]).to_parquet(path, compression="zstd", index=False)


def number_text(values: pd.Series) -> pd.Series:
    """Shortest text of a number."""
    codes, distinct = pd.factorize(values)
    texts = pd.array([*(f"{value:.15g}" for value in distinct), None], dtype="str")
    return pd.Series(texts.take(codes), index=values.index)
