"""ADAE of the CDISC pilot from SDTM in Parquet, bare pandas: `python -m benchmarks.bare_adae SDTM_DIR OUT_FILE`.

ADSL is derived and written beside it. Written from the study's published definitions; see benchmarks.bare.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bare_adsl import DAY, day, of_subject, subjects, write, yes

SUBJECT = ["SUBJID", "SITEID", "AGE", "AGEGR1", "AGEGR1N", "RACE", "RACEN", "SEX", "SAFFL", "TRTSDT", "TRTEDT"]
SKIN = "SKIN AND SUBCUTANEOUS TISSUE DISORDERS"


def study_day(days: pd.Series, start: pd.Series) -> pd.Series:
    """Days from the first dose; there is no day 0."""
    difference = (days - start) / DAY
    return difference.where(difference < 0, difference + 1)


def main(sdtm: Path, out: Path) -> None:
    """Write ADSL and ADAE."""
    adsl = subjects(sdtm)
    write(adsl, out.with_name("bare_adsl.parquet"))
    ae = pd.read_parquet(sdtm / "ae.parquet").drop(columns=["DOMAIN", "EPOCH", "AEDTC", "AESTDY", "AEENDY"])
    adae = of_subject(ae, adsl, [*SUBJECT, "TRT01A", "TRT01AN"])
    adae = adae.rename(columns={"TRT01A": "TRTA", "TRT01AN": "TRTAN"})
    length = adae["AESTDTC"].str.len()
    month = length == 7
    adae["ASTDT"] = day(adae["AESTDTC"].where(~month, adae["AESTDTC"] + "-01"))
    adae["ASTDTF"] = pd.Series(np.where(month, "D", None), dtype="str")
    adae["AENDT"] = day(adae["AEENDTC"])
    adae["ASTDY"] = study_day(adae["ASTDT"], adae["TRTSDT"])
    adae["AENDY"] = study_day(adae["AENDT"], adae["TRTSDT"])
    adae["ADURN"] = ((adae["AENDT"] - adae["ASTDT"]) / DAY + 1).mask(month)
    adae["ADURU"] = pd.Series(np.where(adae["ADURN"].notna(), "DAY", None), dtype="str")
    unknown = adae["AESTDTC"].isna() & (adae["AENDT"] >= adae["TRTSDT"])
    adae["TRTEMFL"] = yes((adae["ASTDT"] >= adae["TRTSDT"]) | unknown, "N")
    term = adae["AEDECOD"]
    skin = (adae["AEBODSYS"] == SKIN) & ~term.str.contains("SWEAT|HIDROSIS|ALOPEC", regex=True)
    dermatologic = term.str.contains("APPLICATION|DERMATITIS|ERYTHEMA|BLISTER", regex=True) | skin
    adae["CQ01NAM"] = pd.Series(np.where(dermatologic, "DERMATOLOGIC EVENTS", None), dtype="str")

    emergent = adae["TRTEMFL"] == "Y"
    serious = emergent & (adae["AESER"] == "Y")
    levels = [["USUBJID"], ["USUBJID", "AEBODSYS"], ["USUBJID", "AEBODSYS", "AEDECOD"]]
    flags = {"AOCCFL": (emergent, 0), "AOCCSFL": (emergent, 1), "AOCCPFL": (emergent, 2),
             "AOCC02FL": (serious, 0), "AOCC03FL": (serious, 1), "AOCC04FL": (serious, 2),
             "AOCC01FL": (emergent & dermatologic, 0)}  # fmt: skip
    adae = adae.sort_values(["USUBJID", "ASTDT", "AESEQ"], kind="stable")
    for name, (rows, level) in flags.items():
        chosen = adae[rows.loc[adae.index]].drop_duplicates(levels[level])
        adae[name] = yes(adae.index.to_series().isin(chosen.index))
    adae["SRCDOM"], adae["SRCVAR"], adae["SRCSEQ"] = "AE", "AETERM", adae["AESEQ"]
    write(adae.sort_values(["USUBJID", "AESEQ"], ignore_index=True), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
