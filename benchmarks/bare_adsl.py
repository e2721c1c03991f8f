"""ADSL of the CDISC pilot from SDTM in Parquet, bare pandas: `python -m benchmarks.bare_adsl SDTM_DIR OUT_FILE`.

Written from the study's published definitions; see benchmarks.bare.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

DOSES = {"Pbo": 0, "Xan_Lo": 54, "Xan_Hi": 81}
RACES = {"WHITE": 1, "BLACK OR AFRICAN AMERICAN": 2, "ASIAN": 3, "AMERICAN INDIAN OR ALASKA NATIVE": 6}
REASONS = {
    "ADVERSE EVENT": "Adverse Event",
    "COMPLETED": "Completed",
    "DEATH": "Death",
    "LACK OF EFFICACY": "Lack of Efficacy",
    "LOST TO FOLLOW-UP": "Lost to Follow-up",
    "PHYSICIAN DECISION": "Physician Decision",
    "STUDY TERMINATED BY SPONSOR": "Sponsor Decision",
    "WITHDRAWAL BY SUBJECT": "Withdrew Consent",
    "PROTOCOL VIOLATION": "Protocol Violation",
}
ADAS, CIBIC = "ALZHEIMER'S DISEASE ASSESSMENT SCALE", "CLINICIAN'S INTERVIEW-BASED IMPRESSION OF CHANGE (CIBIC+)"
DAY = np.timedelta64(1, "D")


def read(sdtm: Path, name: str, columns: list[str], filters: list | None = None) -> pd.DataFrame:
    """Some columns of a dataset."""
    return pd.read_parquet(sdtm / f"{name}.parquet", columns=columns, filters=filters)


def rounded(values: pd.Series, decimals: int) -> pd.Series:
    """Half away from zero, whatever binary arithmetic leaves below the ninth decimal."""
    size = np.floor((values.abs() * 10**decimals).round(9 - decimals) + 0.5) / 10**decimals
    return np.sign(values) * size


def day(column: pd.Series) -> pd.Series:
    """The days of complete ISO 8601 dates; a time of day is left out."""
    return pd.to_datetime(column.str.slice(0, 10), format="%Y-%m-%d", errors="coerce")


def yes(condition: pd.Series, otherwise: str | None = None) -> pd.Series:
    """Y where a condition holds."""
    return pd.Series(np.where(condition, "Y", otherwise), condition.index, dtype="str")


def first(records: pd.DataFrame, value: str) -> pd.Series:
    """The first value of each subject."""
    return records.dropna(subset=[value]).groupby("USUBJID")[value].first()


def subjects(sdtm: Path) -> pd.DataFrame:
    """One record per randomised subject, all variables of ADSL."""
    dm = read(sdtm, "dm", ["STUDYID", "USUBJID", "SUBJID", "SITEID", "ARM", "ARMCD", "AGE", "AGEU", "RACE", "SEX",
                           "ETHNIC", "DTHFL", "RFSTDTC", "RFENDTC", "RFXSTDTC"])  # fmt: skip
    adsl = dm[dm["ARMCD"].notna()].sort_values("USUBJID", ignore_index=True)
    of = adsl["USUBJID"].map

    visits = read(sdtm, "sv", ["USUBJID", "VISITNUM", "SVSTDTC"], [("VISITNUM", "in", [1, 4, 8, 10, 12])])
    visits["SVSTDT"] = day(visits["SVSTDTC"])
    reached = visits.groupby(["VISITNUM", "USUBJID"])["SVSTDT"].min()
    doses = read(sdtm, "ex", ["USUBJID", "EXSEQ", "EXENDTC"]).sort_values(["USUBJID", "EXSEQ"])
    last_end = day(doses.drop_duplicates("USUBJID", keep="last").set_index("USUBJID")["EXENDTC"])
    ended = read(sdtm, "ds", ["USUBJID", "DSTERM", "DSDECOD", "VISITNUM"], [("DSCAT", "==", "DISPOSITION EVENT")])
    ended = ended.set_index("USUBJID")
    sizes = [("VSTESTCD", "in", ["HEIGHT", "WEIGHT"])]
    signs = read(sdtm, "vs", ["USUBJID", "VSTESTCD", "VISITNUM", "VSSTRESN"], sizes)
    scores = read(sdtm, "qs", ["USUBJID", "QSCAT"], [("QSCAT", "in", [ADAS, CIBIC]), ("VISITNUM", ">", 3)])
    items = [f"MMITM0{number}" for number in range(1, 7)]
    mmse = read(sdtm, "qs", ["USUBJID", "QSSTRESN"], [("QSTESTCD", "in", items)])

    for name in ("TRT01P", "TRT01A"):
        adsl[name] = adsl["ARM"]
        adsl[f"{name}N"] = adsl["ARMCD"].map(DOSES)
    per_arm = adsl.groupby(["SITEID", "ARM"]).size().unstack(fill_value=0)
    adsl["SITEGR1"] = adsl["SITEID"].where(adsl["SITEID"].map((per_arm >= 3).all(axis=1)), "900")
    adsl["TRTSDT"], adsl["RFENDT"] = day(adsl["RFXSTDTC"]), day(adsl["RFENDTC"])
    adsl["TRTEDT"] = of(last_end).fillna(adsl["RFENDT"])
    adsl["TRTDUR"] = (adsl["TRTEDT"] - adsl["TRTSDT"]).dt.days + 1
    adsl["TRTDURD"] = adsl["TRTDUR"]

    week_2, week_24 = of(reached[4]), of(reached[12])
    early = week_2.isna() | (adsl["TRTEDT"] <= week_2)
    whole = week_24.notna() & (adsl["TRTEDT"] > week_24)
    until = week_24.where(whole, adsl["TRTEDT"])
    low = (week_2 - adsl["TRTSDT"]).dt.days + 1
    stepped = 54 * low + 81 * (until - week_2).dt.days + 54 * (adsl["TRTEDT"] - until).dt.days
    flat = adsl["TRT01PN"].where(adsl["TRT01PN"] != 81, 54) * adsl["TRTDUR"]
    adsl["CUMDOSE"] = stepped.where((adsl["TRT01PN"] == 81) & ~early, flat).astype(float)
    adsl["AVGDD"] = rounded(adsl["CUMDOSE"] / adsl["TRTDUR"], 1)

    age = adsl["AGE"]
    adsl["AGEGR1"] = np.select([age < 65, age <= 80], ["<65", "65-80"], ">80")
    adsl["AGEGR1N"] = np.select([age < 65, age <= 80], [1, 2], 3)
    adsl["RACEN"] = adsl["RACE"].map(RACES)
    origins = [adsl["ETHNIC"] == "HISPANIC OR LATINO", adsl["RACEN"] == 1, adsl["RACEN"] == 2]
    adsl["RACEGR1"] = np.select(origins, ["Hispanic", "Caucasian", "African Descent"], "Other")

    adsl["ITTFL"] = "Y"
    adsl["SAFFL"] = yes(adsl["TRTSDT"].notna(), "N")
    rated = [adsl["USUBJID"].isin(scores.loc[scores["QSCAT"] == name, "USUBJID"]) for name in (ADAS, CIBIC)]
    adsl["EFFFL"] = yes((adsl["SAFFL"] == "Y") & rated[0] & rated[1], "N")
    for week, visit in {8: 8, 16: 10, 24: 12}.items():
        adsl[f"COMP{week}FL"] = yes(of(reached[visit]) <= adsl["RFENDT"], "N")

    adsl["HEIGHTBL"] = rounded(of(first(signs.query("VSTESTCD == 'HEIGHT' and VISITNUM == 1"), "VSSTRESN")), 1)
    adsl["WEIGHTBL"] = rounded(of(first(signs.query("VSTESTCD == 'WEIGHT' and VISITNUM == 3"), "VSSTRESN")), 1)
    adsl["BMIBL"] = rounded(adsl["WEIGHTBL"] / (adsl["HEIGHTBL"] / 100) ** 2, 1)
    groups = [adsl["BMIBL"].isna() | (adsl["BMIBL"] < 25), adsl["BMIBL"] < 30]
    adsl["BMIBLGR1"] = np.select(groups, ["<25", "25-<30"], ">=30")
    adsl["VISIT1DT"] = of(reached[1])

    adsl["VISNUMEN"] = of(ended["VISITNUM"]).replace(13, 12)
    adsl["DCDECOD"] = of(ended["DSDECOD"])
    entry = (adsl["DCDECOD"] == "PROTOCOL VIOLATION") & (of(ended["DSTERM"]) == "PROTOCOL ENTRY CRITERIA NOT MET")
    adsl["DCREASCD"] = adsl["DCDECOD"].map(REASONS).mask(entry, "I/E Not Met")
    completed = adsl["DCREASCD"] == "Completed"
    adsl["EOSSTT"] = np.where(completed, "COMPLETED", "DISCONTINUED")
    adsl["DCSREAS"] = adsl["DCREASCD"].mask(completed)
    adsl["DISCONFL"], adsl["DSRAEFL"] = yes(~completed), yes(adsl["DCREASCD"] == "Adverse Event")
    total = mmse.groupby("USUBJID")["QSSTRESN"].agg(["sum", "count"])
    adsl["MMSETOT"] = of(total["sum"].where(total["count"] == len(items)))
    return adsl.drop(columns=["ARMCD", "RFXSTDTC"])


def of_subject(records: pd.DataFrame, adsl: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Records of the subjects of ADSL, with variables of theirs."""
    return records.merge(adsl[["USUBJID", *names]], on="USUBJID", validate="many_to_one")


def write(frame: pd.DataFrame, path: Path) -> None:
    """Dates as dates; texts, numbers and missing values as they are."""
    moments = frame.select_dtypes("datetime").columns
    frame.astype(dict.fromkeys(moments, "date32[pyarrow]")).to_parquet(path, compression="zstd", index=False)


def main(sdtm: Path, out: Path) -> None:
    """Write ADSL."""
    write(subjects(sdtm), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
