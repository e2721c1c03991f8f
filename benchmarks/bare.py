"""What the bare scripts share: the study's dates, visits and flags, written straight in pandas.

These scripts know the CDISC pilot and nothing else. They are the yard-stick for cost and, written from the
study's definitions and not from the engine, a second route to its values. Extracts repeat few texts over many
rows, so columns are categories, and what depends on one column alone is worked out once per category.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
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
    """An extract as text, each column a category."""
    return pd.read_csv(path, dtype="str", keep_default_na=False, engine="pyarrow").astype("category")


def spread(column: pd.Series, values: np.ndarray) -> np.ndarray:
    """One value per category, spread over the rows of a column without missing values."""
    return values[column.cat.codes.to_numpy()]


def recode(column: pd.Series, by: Mapping | Callable) -> pd.Series:
    """Another text for each category, missing where there is none; the new categories are sorted."""
    texts = pd.Categorical(column.cat.categories.map(by))
    codes = np.append(texts.codes, -1)[column.cat.codes.to_numpy()]
    return pd.Series(pd.Categorical.from_codes(codes, texts.categories), index=column.index)


def filled(column: pd.Series) -> pd.Series:
    """The column, missing where its text is empty."""
    return recode(column, lambda text: text or None)


def numbers(column: pd.Series) -> np.ndarray:
    """The column as numbers, missing where its text is none."""
    texts = column.cat.categories.to_series()
    return spread(column, pd.to_numeric(texts, errors="coerce").to_numpy(dtype=float))


def moments(column: pd.Series, form: str) -> np.ndarray:
    """The column as dates and times."""
    return spread(column, pd.to_datetime(column.cat.categories, format=form).to_numpy())


def number_text(values: np.ndarray) -> pd.Series:
    """Shortest text of a number."""
    codes, distinct = pd.factorize(values)
    texts = pd.Categorical([f"{value:.15g}" for value in distinct])
    return pd.Series(pd.Categorical.from_codes(np.append(texts.codes, -1)[codes], texts.categories))


def choice(conditions: list[np.ndarray], texts: list[str]) -> pd.Categorical:
    """The text of the first condition that holds, missing where none does."""
    return pd.Categorical.from_codes(np.select(conditions, range(len(texts)), -1), texts)


def flag(rows: np.ndarray | pd.Series) -> pd.Categorical:
    """Y where a condition holds."""
    return choice([np.asarray(rows)], ["Y"])


def reference_dates(raw: Path) -> pd.DataFrame:
    """By PATNUM: first visit, first dose, and date of the disposition record."""
    ec = read(raw / "ec_raw.csv").astype("str")
    first = pd.to_datetime(ec["IT.ECSTDAT"], format="%d-%b-%Y").groupby(ec["PATNUM"]).min()
    ds = read(raw / "ds_raw.csv").astype("str")
    ds = ds[(ds["IT.DSDECOD"] != "") & (ds["IT.DSDECOD"] != "Randomized")]
    last = pd.to_datetime(ds["DSDTCOL"], format="%m-%d-%Y").groupby(ds["PATNUM"]).min()
    log = read(raw / "visits.csv").astype("str")
    log = log[log["VISIT"] == "Screening 1"]
    screening = pd.to_datetime(log["VISIT_START"], format="%Y-%m-%d").groupby(log["PATNUM"]).min()
    return pd.DataFrame({"SCRNDT": screening, "RFSTDT": first, "RFENDT": last}).reindex(first.index)


def add_visit(frame: pd.DataFrame, collected: pd.Series) -> None:
    """VISIT, VISITNUM and VISITDY; an unscheduled visit carries its number in its name."""
    frame["VISIT"] = recode(collected, str.upper)
    names = frame["VISIT"].cat.categories
    planned = pd.read_csv(io.StringIO(VISITS), index_col="VISIT").reindex(names)
    unscheduled = names.str.extract(r"^UNSCHEDULED (\d+\.\d+)$")[0].astype(float).to_numpy()
    number = planned["VISITNUM"].fillna(pd.Series(unscheduled, names))
    frame["VISITNUM"] = spread(frame["VISIT"], number.to_numpy())
    frame["VISITDY"] = spread(frame["VISIT"], planned["VISITDY"].to_numpy())


def add_timing(frame: pd.DataFrame, prefix: str, dates: pd.DataFrame, day: np.ndarray) -> None:
    """--DY and EPOCH from a column of days."""
    of_patient = dates.reindex(frame["PATNUM"].cat.categories)
    screened, start, end = (spread(frame["PATNUM"], of_patient[name].to_numpy()) for name in of_patient)
    difference = (day - start) / np.timedelta64(1, "D")
    frame[f"{prefix}DY"] = np.where(difference < 0, difference, difference + 1)
    frame["EPOCH"] = choice(
        [(day >= screened) & (day < start), (day >= start) & (day <= end)], ["SCREENING", "TREATMENT"]
    )
    frame["before"] = day <= start


def add_last_before(frame: pd.DataFrame, prefix: str, by: list[str], moment: np.ndarray) -> None:
    """--LOBXFL: the last result on or before the day of first treatment."""
    rows = (frame["before"] & frame[f"{prefix}STRESC"].notna()).to_numpy()
    candidates = frame.loc[rows, [*by, "VISITNUM"]].assign(moment=moment[rows])
    last = candidates.sort_values([*by, "moment", "VISITNUM"], kind="stable").drop_duplicates(by, keep="last")
    frame[f"{prefix}LOBXFL"] = flag(frame.index.isin(last.index))


def write(frame: pd.DataFrame, domain: str, keys: list[str], path: Path) -> None:
    """Sort, number and write."""
    frame = frame.sort_values(keys, kind="stable", na_position="first", ignore_index=True)
    frame[f"{domain}SEQ"] = frame.groupby("USUBJID", observed=True).cumcount() + 1
    for place, (name, value) in enumerate({"STUDYID": "CDISCPILOT01", "DOMAIN": domain}.items()):
        frame.insert(place, name, pd.Categorical.from_codes(np.zeros(len(frame), dtype="int8"), [value]))
    frame.drop(columns=["PATNUM", "before"]).to_parquet(path, compression="zstd", index=False)
