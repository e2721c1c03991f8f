"""Laboratory results of the CDISC pilot in bare pandas: python -m benchmarks.bare_lb RAW_DIR OUT_FILE."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import bare

TESTS = """TEST,LBTESTCD,LBSTRESU,FACTOR,DECIMALS
Albumin,ALB,g/L,10,0
Alkaline Phosphatase,ALP,U/L,1,0
Alanine Aminotransferase,ALT,U/L,1,0
Anisocytes,ANISO,,1,
Aspartate Aminotransferase,AST,U/L,1,0
Basophils,BASO,GI/L,1,1
Bilirubin,BILI,umol/L,17.1,0
Blood Urea Nitrogen,BUN,mmol/L,0.357,1
Calcium,CA,mmol/L,0.2495,2
Cholesterol,CHOL,mmol/L,0.02586,2
Creatine Kinase,CK,U/L,1,0
Chloride,CL,mmol/L,1,0
Color,COLOR,,,
Creatinine,CREAT,umol/L,88.4,0
Eosinophils,EOS,GI/L,1,2
Gamma Glutamyl Transferase,GGT,U/L,1,0
Glucose,GLUC,mmol/L,0.05551,1
Hemoglobin A1C,HBA1C,1,0.01,
Hematocrit,HCT,1,0.01,2
Hemoglobin,HGB,mmol/L,0.6206,2
Potassium,K,mmol/L,1,1
Ketones,KETONES,,1,
Lymphocytes,LYM,GI/L,1,2
Macrocytes,MACROCY,,1,
Ery. Mean Corpuscular Hemoglobin,MCH,fmol(Fe),0.06206,1
Ery. Mean Corpuscular HGB Concentration,MCHC,mmol/L,0.6206,0
Ery. Mean Corpuscular Volume,MCV,fL,1,0
Microcytes,MICROCY,,1,
Monocytes,MONO,GI/L,1,2
pH,PH,,1,0
Phosphate,PHOS,mmol/L,0.3229,2
Platelet,PLAT,GI/L,1,0
Poikilocytes,POIKILO,,1,
Polychromasia,POLYCHR,,1,
Protein,PROT,g/L,10,0
Erythrocytes,RBC,TI/L,1,1
Sodium,SODIUM,mmol/L,1,0
Specific Gravity,SPGRAV,,1,3
Thyrotropin,TSH,mU/L,1,2
Urate,URATE,umol/L,59.48,0
Urobilinogen,UROBIL,,1,
Vitamin B12,VITB12,pmol/L,0.7378,0
Leukocytes,WBC,GI/L,1,1
"""


def main(raw: Path, out: Path) -> None:
    """Write LB."""
    dates = bare.reference_dates(raw)
    lab = bare.read(raw / "lab_central.csv")
    tests = pd.read_csv(io.StringIO(TESTS), keep_default_na=False).astype({"LBSTRESU": "str"})
    tests["FACTOR"] = pd.to_numeric(tests["FACTOR"])
    tests["DECIMALS"] = pd.to_numeric(tests["DECIMALS"])
    lb = lab.merge(tests, left_on="TEST_NAME", right_on="TEST", how="left")
    lb["USUBJID"] = "01-" + lb["PATNUM"]
    lb = lb.rename(columns={"TEST": "LBTEST", "RESULT": "LBORRES", "UNIT": "LBORRESU", "ACCESSION": "LBREFID"})
    lb["LBCAT"] = lb["PANEL"].str.upper().where(lb["PANEL"] != "")
    lb["LBSTRESU"] = lb["LBSTRESU"].where(lb["LBSTRESU"] != "")
    result = pd.to_numeric(lb["LBORRES"], errors="coerce")
    low, high = pd.to_numeric(lb["REF_LOW"]), pd.to_numeric(lb["REF_HIGH"])
    lb["LBSTRESN"] = result * lb["FACTOR"]
    censored = lb["LBORRES"].str.startswith("<")
    bound = pd.to_numeric(lb["LBORRES"].str.removeprefix("<"), errors="coerce")
    lb["LBSTRESC"] = bare.number_text(lb["LBSTRESN"])
    lb.loc[censored, "LBSTRESC"] = "<" + bare.number_text((bound * lb["FACTOR"])[censored])
    lb.loc[lb["LBTESTCD"] == "COLOR", "LBSTRESC"] = lb["LBORRES"]
    scale = 10.0 ** lb["DECIMALS"]
    for limit, column in ((low, "LBSTNRLO"), (high, "LBSTNRHI")):
        standard = limit * lb["FACTOR"]
        lb[column] = (np.floor(np.round(standard * scale, 6) + 0.5) / scale).fillna(standard)
    value = result.where(~censored, bound)
    below, above = value < low, value > high
    lb["LBNRIND"] = np.select(
        [below, above & ~censored, censored, low.isna(), result.notna()],
        ["LOW", "HIGH", "", np.where(lb["LBORRES"].isin(["0", "N"]), "NORMAL", "ABNORMAL"), "NORMAL"],
        "",
    )
    lb["LBNRIND"] = lb["LBNRIND"].where(lb["LBNRIND"] != "")
    lb["LBORNRLO"], lb["LBORNRHI"] = bare.number_text(low), bare.number_text(high)
    moment = pd.to_datetime(lb["COLLECTED"], format="ISO8601")
    day = moment.dt.normalize()
    lb = lb.rename(columns={"COLLECTED": "LBDTC"})
    lb = bare.add_visit(lb.drop(columns=["STUDY"]), lb["VISIT"])
    lb = bare.add_timing(lb, "LB", dates, day)
    lb = bare.add_last_before(lb, "LB", ["USUBJID", "LBTESTCD"], moment)
    lb["LBBLFL"] = pd.Series("Y", index=lb.index).where(lb["VISIT"] == "SCREENING 1")
    lb = lb.drop(columns=["PANEL", "TEST_NAME", "REF_LOW", "REF_HIGH", "FACTOR", "DECIMALS"])
    bare.write(lb, "LB", ["USUBJID", "LBCAT", "LBTESTCD", "VISITNUM", "LBDTC", "LBREFID"], out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
