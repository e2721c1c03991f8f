"""ADLB of the CDISC pilot from SDTM in Parquet, bare pandas: `python -m benchmarks.bare_adlb SDTM_DIR OUT_FILE`.

ADSL is derived and written beside it. Written from the study's published definitions; see benchmarks.bare.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bare_adsl import day, read, rounded, subjects, write, yes

SUBJECT = ["SUBJID", "SITEID", "TRTSDT", "TRTEDT", "AGE", "AGEGR1", "AGEGR1N", "RACE", "RACEN", "SEX", "COMP24FL",
           "DSRAEFL", "SAFFL"]  # fmt: skip
HEMA = ["HGB", "HCT", "MCV", "MCH", "MCHC", "WBC", "LYM", "MONO", "EOS", "BASO", "PLAT", "RBC", "ANISO", "MACROCY",
        "MICROCY", "POIKILO", "POLYCHR"]  # fmt: skip
CHEM = ["SODIUM", "K", "CL", "BILI", "ALP", "GGT", "ALT", "AST", "BUN", "CREAT", "URATE", "PHOS", "CA", "GLUC", "PROT",
        "ALB", "CHOL", "CK"]  # fmt: skip
HYLAW = {
    "BILIHY": "Bilirubin 1.5 x ULN",
    "TRANSHY": "Transaminase 1.5 x ULN",
    "HYLAW": "Total Bili 1.5 x ULN and Transaminase 1.5 x ULN",
}
NUMBERS = {name: number for number, name in enumerate([*HEMA, *CHEM], start=1)}
WEEKS = {"SCREENING 1": 0} | {f"WEEK {week}": week for week in (2, 4, 6, 8, 12, 16, 20, 24, 26)}
ON_TREATMENT = [4, 5, 7, 8, 9, 10, 11, 12]
RECORD = ["USUBJID", "PARAMCD"]
ORDER = ["USUBJID", "PARAMCD", "AVISITN", "VISITNUM", "LBSEQ"]


def read_results(sdtm: Path) -> pd.DataFrame:
    """The chemistry and haematology results of analysed visits, with the variables both parameters of one share."""
    columns = ["STUDYID", "USUBJID", "LBSEQ", "LBTESTCD", "LBTEST", "LBSTRESN", "LBSTRESU", "LBSTNRLO", "LBSTNRHI",
               "LBNRIND", "VISIT", "VISITNUM", "LBDTC", "LBDY"]  # fmt: skip
    asked = [("LBCAT", "in", ["CHEMISTRY", "HEMATOLOGY"]), ("VISITNUM", "not in", [3, 6, 201])]
    lb = read(sdtm, "lb", columns, asked)
    for name in ("STUDYID", "USUBJID", "LBTESTCD", "LBNRIND", "VISIT"):
        lb[name] = lb[name].astype("category")
    moments = lb["LBDTC"].astype("category").cat
    lb["ADT"] = day(moments.categories.to_series()).to_numpy()[moments.codes]
    lb["AVISITN"] = lb["VISIT"].map(WEEKS).astype(float)
    lb["planned"] = lb["AVISITN"].notna()
    names = lb["VISIT"].cat.categories
    shown = ["Baseline" if WEEKS.get(name) == 0 else name.title() if name in WEEKS else "." for name in names]
    lb["AVISIT"] = pd.Categorical(np.array(shown)[lb["VISIT"].cat.codes])
    lb["PARAM"] = lb["LBTEST"].where(
        lb["LBSTRESU"].isna() | lb["LBSTRESU"].isin(["1", "NO UNITS"]), lb["LBTEST"] + " (" + lb["LBSTRESU"] + ")"
    )
    lb["PARAM"] = lb["PARAM"].astype("category")
    return lb.drop(columns=["LBTEST", "LBSTRESU", "LBDTC"])


def as_they_are(lb: pd.DataFrame) -> pd.DataFrame:
    """A record per result: value, ratios to its limits, distance from them and indicator."""
    frame = lb.assign(PARAMCD=lb["LBTESTCD"], AVAL=lb["LBSTRESN"], A1HI=lb["LBSTNRHI"])
    unlimited = frame["LBTESTCD"].isin(["BASO", "EOS"]) & (frame["LBSTNRLO"] == 0)
    frame["A1LO"] = frame["LBSTNRLO"].mask(unlimited)
    frame["R2A1LO"] = (frame["AVAL"] / frame["A1LO"]).where(frame["A1LO"] != 0)
    frame["R2A1HI"] = (frame["AVAL"] / frame["A1HI"]).where(frame["A1HI"] != 0)
    above, below = 1.5 * frame["A1HI"] - frame["AVAL"], frame["AVAL"] - 0.5 * frame["LBSTNRLO"]
    frame["ALBTRVAL"] = np.maximum(above, below)
    value, low, high = (frame[name] for name in ("AVAL", "A1LO", "A1HI"))
    # As published, a missing upper limit counts as the smallest.
    over = (value.round(12) > (1.5 * high).round(12)) | (value.notna() & high.isna())
    frame["ANRIND"] = pd.Categorical(
        np.select([value.round(12) < (0.5 * low).round(12), over], ["L", "H"], "N"), ["H", "L", "N"]
    )
    risk = frame["LBTESTCD"].isin(["ALT", "AST", "BILI"]) & (frame["AVISITN"] <= 24)
    frame["CRIT1"] = np.where(risk, "R2A1HI > 1.5", None)
    met = np.where(frame["R2A1HI"].round(12) > 1.5, "Y", "N")
    frame["CRIT1FL"] = np.where(risk & frame["R2A1HI"].notna(), met, None)
    frame["distance"] = frame["ALBTRVAL"]
    return frame


def changes(lb: pd.DataFrame) -> pd.DataFrame:
    """A record per result: its change from the scheduled visit before, in half widths of the normal range."""
    frame = lb.assign(A1HI=lb["LBSTNRHI"])
    unlimited = frame["LBTESTCD"].isin(["BASO", "EOS"]) & (frame["LBSTNRLO"] == 0)
    frame["A1LO"] = frame["LBSTNRLO"].mask(unlimited)
    frame["PARAMCD"] = lb["LBTESTCD"].cat.rename_categories(lambda name: f"_{name}")
    frame["PARAM"] = lb["PARAM"].cat.rename_categories(
        lambda name: f"{name} change from previous visit, relative to normal range"
    )
    scheduled = frame[frame["planned"]].sort_values([*RECORD, "VISITNUM"], kind="stable")
    before = scheduled.groupby(RECORD, observed=True)["LBSTRESN"].shift()
    half = (frame["A1HI"] - frame["LBSTNRLO"].fillna(0)) * 0.5
    change = (frame["LBSTRESN"] - before.reindex(frame.index)) / half.where(half != 0)
    frame["AVAL"] = rounded(change, 1)
    frame["ANRIND"] = pd.Categorical(
        np.select([frame["AVAL"] < -1, frame["AVAL"] > 1], ["L", "H"], "N"), ["H", "L", "N"]
    )
    frame["PARAMTYP"] = "DERIVED"
    frame["distance"] = frame["AVAL"].abs()
    return frame


def hys_law(lb: pd.DataFrame) -> pd.DataFrame:
    """Three records per scheduled bilirubin to week 24: bilirubin, transaminases and both above 1.5 times the limit."""
    ratio = (lb["LBSTRESN"] / lb["LBSTNRHI"]).round(12)
    of_visit = ["USUBJID", "VISITNUM"]
    visits = lb[lb["planned"] & (lb["AVISITN"] <= 24)].assign(high=ratio > 1.5, known=ratio.notna())
    bili = visits[visits["LBTESTCD"] == "BILI"]
    liver = visits[visits["LBTESTCD"].isin(["ALT", "AST"])].groupby(of_visit, observed=True)["high"].any()
    transaminase = liver.reindex(pd.MultiIndex.from_frame(bili[of_visit])).fillna(False).to_numpy(dtype=bool)
    values = {
        "BILIHY": bili["high"].astype(float).where(bili["known"]),
        "TRANSHY": pd.Series(transaminase.astype(float), bili.index),
        "HYLAW": (bili["high"] & transaminase).astype(float),
    }
    empty = {"LBSTRESN": np.nan, "LBNRIND": None, "PARAMTYP": "DERIVED"}
    return pd.concat(
        [
            bili.assign(PARAMCD=name, PARAM=HYLAW[name], AVAL=value, **empty).drop(columns=["high", "known"])
            for name, value in values.items()
        ]
    )


def main(sdtm: Path, out: Path) -> None:
    """Write ADSL and ADLB."""
    adsl = subjects(sdtm)
    write(adsl, out.with_name("bare_adsl.parquet"))
    lb = read_results(sdtm)
    lb = lb[lb["USUBJID"].isin(adsl["USUBJID"])].reset_index(drop=True)
    adlb = pd.concat([as_they_are(lb), changes(lb), hys_law(lb)], ignore_index=True)
    for name in ("PARAMCD", "PARAM", "PARAMTYP", "CRIT1", "CRIT1FL", "LBNRIND"):
        adlb[name] = adlb[name].astype("category")
    codes = adlb["PARAMCD"].cat.categories
    plain = codes.str.removeprefix("_")
    hylaw = codes.isin(HYLAW)
    number = [201 + [*HYLAW].index(one) if one in HYLAW else NUMBERS[one] for one in plain]
    adlb["PARAMN"] = (np.array(number) + 100 * codes.str.startswith("_"))[adlb["PARAMCD"].cat.codes]
    groups = ["HYLAW" if one in HYLAW else "HEMA" if one in HEMA else "CHEM" for one in plain]
    adlb["PARCAT1"] = pd.Categorical(np.array(groups)[adlb["PARAMCD"].cat.codes])
    derived = hylaw[adlb["PARAMCD"].cat.codes]

    adlb["ABLFL"] = yes(adlb["VISITNUM"] == 1)
    base = adlb.loc[adlb["VISITNUM"] == 1, [*RECORD, "AVAL", "R2A1LO", "R2A1HI", "ANRIND"]]
    base.columns = [*RECORD, "BASE", "BR2A1LO", "BR2A1HI", "BNRIND"]
    adlb = adlb.merge(base, on=RECORD, how="left", validate="many_to_one")
    adlb["CHG"] = (adlb["AVAL"] - adlb["BASE"]).where((adlb["AVISITN"] != 0) & ~derived)
    words = {1.0: "High", 0.0: "Normal"}
    shift = adlb["BASE"].map(words) + " to " + adlb["AVAL"].map(words)
    adlb["SHIFT1"] = shift.where(derived)

    treated = adlb[adlb["VISITNUM"].isin(ON_TREATMENT)]
    furthest = treated[treated["distance"].notna()].assign(near=-treated["distance"])
    furthest = furthest.sort_values([*RECORD, "near", "VISITNUM", "LBSEQ"], kind="stable").drop_duplicates(RECORD)
    adlb["ANL01FL"] = yes(adlb.index.to_series().isin(furthest.index))
    last = treated[~derived[treated.index]].sort_values([*RECORD, "VISITNUM", "LBSEQ"], kind="stable")
    adlb["AENTMTFL"] = yes(adlb.index.to_series().isin(last.drop_duplicates(RECORD, keep="last").index))
    end = adlb[adlb["AENTMTFL"] == "Y"].assign(AVISIT="End of Treatment", AVISITN=99.0)
    adlb = pd.concat([adlb, end], ignore_index=True)

    of = adsl.set_index("USUBJID")
    position = of.index.get_indexer(adlb["USUBJID"].cat.categories)[adlb["USUBJID"].cat.codes]
    taken = dict.fromkeys(SUBJECT) | {"TRTP": "TRT01P", "TRTPN": "TRT01PN", "TRTA": "TRT01A", "TRTAN": "TRT01AN"}
    for name, source in taken.items():
        values = of[source or name]
        if pd.api.types.is_string_dtype(values):
            values = values.astype("category")
        adlb[name] = values.array[position]
    adlb["SRCDOM"], adlb["SRCVAR"], adlb["SRCSEQ"] = "LB", "LBSTRESN", adlb["LBSEQ"]
    adlb = adlb.rename(columns={"LBDY": "ADY"})
    adlb = adlb.sort_values(ORDER, ignore_index=True, kind="stable", na_position="first")
    write(adlb.drop(columns=["LBTESTCD", "LBSTNRLO", "LBSTNRHI", "planned", "distance"]), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
