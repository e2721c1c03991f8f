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
    tests = pd.read_csv(io.StringIO(TESTS), index_col="TEST", dtype={"LBSTRESU": "str"})
    test, collected = lab["TEST_NAME"], lab["RESULT"]
    tests = tests.reindex(test.cat.categories)
    factor = bare.spread(test, tests["FACTOR"].to_numpy(dtype=float))
    scale = bare.spread(test, 10.0 ** tests["DECIMALS"].to_numpy(dtype=float))

    lb = lab[["PATNUM"]].copy()
    lb["USUBJID"] = bare.recode(lab["PATNUM"], "01-{}".format)
    lb["LBREFID"] = lab["ACCESSION"]
    lb["LBTESTCD"], lb["LBTEST"] = bare.recode(test, tests["LBTESTCD"]), test
    lb["LBCAT"] = bare.recode(lab["PANEL"], lambda text: text.upper() or None)
    lb["LBORRES"], lb["LBORRESU"] = collected, lab["UNIT"]
    for name, column in (("LBORNRLO", "REF_LOW"), ("LBORNRHI", "REF_HIGH")):
        lb[name] = bare.recode(lab[column], lambda text: f"{float(text):.15g}" if text else None)

    result = bare.numbers(collected)
    censored = bare.spread(collected, collected.cat.categories.str.startswith("<"))
    bound = bare.numbers(bare.recode(collected, lambda text: text.removeprefix("<")))
    standard = result * factor
    text = bare.number_text(standard)
    rows = np.flatnonzero(np.isnan(standard) & (collected != "").to_numpy())
    limits = bound * factor
    texts = [f"<{limits[row]:.15g}" if censored[row] else collected.iat[row] for row in rows]
    text = text.cat.add_categories(sorted(set(texts)))
    text.iloc[rows] = texts
    lb["LBSTRESC"], lb["LBSTRESN"] = text, standard
    lb["LBSTRESU"] = bare.recode(test, tests["LBSTRESU"])
    low, high = bare.numbers(lab["REF_LOW"]), bare.numbers(lab["REF_HIGH"])
    for limit, column in ((low, "LBSTNRLO"), (high, "LBSTNRHI")):
        exact = limit * factor
        rounded = np.floor(np.round(exact * scale, 6) + 0.5) / scale
        lb[column] = np.where(np.isnan(scale), exact, rounded)

    value = np.where(censored, bound, result)
    unlimited = np.isnan(low)
    normal = bare.spread(collected, collected.cat.categories.isin(["0", "N"]))
    lb["LBNRIND"] = bare.choice(
        [
            value < low,
            (value > high) & ~censored,
            (unlimited & normal) | (~unlimited & ~censored & ~np.isnan(result)),
            unlimited & ~censored,
        ],
        ["LOW", "HIGH", "NORMAL", "ABNORMAL"],
    )

    lb["LBDTC"] = lab["COLLECTED"]
    moment = bare.moments(lab["COLLECTED"], "ISO8601")
    bare.add_visit(lb, lab["VISIT"])
    bare.add_timing(lb, "LB", dates, moment.astype("datetime64[D]"))
    bare.add_last_before(lb, "LB", ["USUBJID", "LBTESTCD"], moment)
    lb["LBBLFL"] = bare.flag(lb["VISIT"] == "SCREENING 1")
    bare.write(lb, "LB", ["USUBJID", "LBCAT", "LBTESTCD", "VISITNUM", "LBDTC", "LBREFID"], out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
